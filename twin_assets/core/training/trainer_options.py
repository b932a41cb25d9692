"""What trl's trainers are told, for supervised and for preference tuning, and what watches over their steps."""

import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twin_assets.core.training.faults import check_loss
from twin_assets.core.training.recipes import Recipe

# However slow the machine: fewer steps leave the adapter as it was made.
MINIMUM_STEPS = 8
LOGGING_STEPS = 10

Progress = Callable[[str, float], None]


def shared_options(recipe: Recipe, checkpoints: Path, *, has_validation: bool) -> dict[str, Any]:
    """Arguments of every trainer; reports to nobody, keeps the state with the lowest loss on validation."""
    from accelerate import PartialState

    from twin_assets.core.training.backends import has_gpu

    gpu = has_gpu()
    # A step is of as many examples in several processes as in one.
    examples = max(1, recipe.batch * recipe.accumulation // PartialState().num_processes)
    batch = min(recipe.batch, examples)
    return {
        "output_dir": str(checkpoints),
        "per_device_train_batch_size": batch,
        "per_device_eval_batch_size": batch,
        "gradient_accumulation_steps": max(1, examples // batch),
        "lr_scheduler_type": "cosine",
        "max_length": recipe.length,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "bf16": gpu,
        "use_cpu": not gpu,
        "gradient_checkpointing": None,  # the old name of the next
        "activation_checkpointing": gpu and recipe.checkpointing,
        "dataloader_pin_memory": gpu,
        "eval_strategy": "epoch" if has_validation else "no",
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "load_best_model_at_end": has_validation,
        "metric_for_best_model": "eval_loss" if has_validation else None,
        "logging_strategy": "steps",
        "logging_steps": LOGGING_STEPS,
        "logging_nan_inf_filter": False,  # a loss that is no number is to be seen
        "report_to": "none",
        "disable_tqdm": True,
        "push_to_hub": False,
    }


def callbacks(
    recipe: Recipe, stage: str, progress: Progress | None, seconds: float | None, *, has_validation: bool
) -> list[Any]:
    """What watches over a trainer: progress and time, checkpoints by steps, losses, early stopping."""
    from transformers import EarlyStoppingCallback

    stopping = [EarlyStoppingCallback(recipe.patience)] if recipe.patience and has_validation else []
    return [_watch(recipe, stage, progress, seconds), *stopping]


def _watch(recipe: Recipe, stage: str, progress: Progress | None, seconds: float | None) -> Any:
    from transformers import TrainerCallback

    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Tells how far the training is after every step, and ends it when its time is up or its loss is no number."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Called by the trainer."""
            if progress is not None:
                progress(stage, state.global_step / max(1, state.max_steps))
            if recipe.checkpoint_steps and state.global_step % recipe.checkpoint_steps == 0:
                control.should_save = True
            late = time.monotonic() > deadline and state.global_step >= MINIMUM_STEPS
            if late and state.global_step < state.max_steps:
                control.should_evaluate = args.eval_strategy != "no"
                control.should_save = control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            """Called by the trainer every few steps, with the mean loss since the last time."""
            for name in ("loss", "eval_loss", "grad_norm"):
                check_loss(float((logs or {}).get(name, 0.0)), state.global_step, recipe)

    return Watch()


def quiet() -> None:
    """No progress bars and notices of the libraries' own (progress is ours to show), and no telemetry (trl's)."""
    from datasets.utils.logging import disable_progress_bar
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    constants.HF_HUB_DISABLE_TELEMETRY = True
    disable_progress_bar()
    disable_progress_bars()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    # trl and transformers warn about each other's renamed options.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl")
