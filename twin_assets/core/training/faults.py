"""Faults of a running training, told in one sentence: out of memory, disk full, a loss that is no number."""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager

from twin_assets.core.errors import ModelError
from twin_assets.core.training.recipes import Recipe

# What torch's CPU allocator and CUDA say where they raise plain RuntimeErrors; the operating system's own words.
_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory")
_DISK = "No space left on device"


class DivergedError(ModelError):
    """The loss is no number any more; what was trained is of no use."""


@contextmanager
def told(what: str, recipe: Recipe) -> Iterator[None]:
    """Turn faults of the machine into a ModelError that says what to change; checkpoints stay for the next try."""
    try:
        yield
    except ModelError:
        raise
    except (MemoryError, RuntimeError, OSError) as error:
        if _is_memory(error):
            raise ModelError(f"{what} ran out of memory; nothing was registered. {_less(recipe)}") from error
        if getattr(error, "errno", None) == errno.ENOSPC or _DISK in str(error):
            raise ModelError(
                f"{what} found the disk full; nothing was registered. Make room and start it again: it goes on from "
                "its last whole checkpoint."
            ) from error
        raise
    except Exception as error:
        if _DISK in str(error):  # safetensors has an exception of its own
            raise ModelError(
                f"{what} found the disk full; nothing was registered. Make room and start it again."
            ) from error
        raise


def check_loss(loss: float, step: int, recipe: Recipe) -> None:
    """Raise DivergedError for a loss that is no number."""
    if not math.isfinite(loss):
        raise DivergedError(
            f"The loss is no number any more at step {step}, so the training was stopped and nothing was registered; "
            f"try a learning_rate below {recipe.learning_rate:g}."
        )


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return getattr(error, "errno", None) == errno.ENOMEM or any(words in str(error) for words in _MEMORY)


def _less(recipe: Recipe) -> str:
    """The nearest setting that takes less."""
    if recipe.batch > 1:
        smaller = recipe.batch // 2
        return (
            f"Nearest that takes less: batch={smaller} accumulation={recipe.accumulation * recipe.batch // smaller} "
            "(TWIN_TRAINING_RECIPE or --set), the same steps in smaller pieces."
        )
    if recipe.length > 256:
        return f"Nearest that takes less: length={recipe.length // 2} (TWIN_TRAINING_RECIPE or --set)."
    if recipe.method in ("lora", "dora", "rslora", "full"):
        return (
            "Nearest that takes less: method=qlora on a GPU (TWIN_TRAINING_RECIPE or --set), else a smaller base model."
        )
    return "Choose a smaller base model, or nano."
