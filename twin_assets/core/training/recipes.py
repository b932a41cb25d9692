"""Recipes: every number of a training that is ours to choose, in one place, and how they are set otherwise."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from twin_assets.core.errors import ConfigurationError

# Part of every fingerprint: raised when the code of training changes what comes out.
TRAINING_VERSION = "2"
# Below these a model learns nothing that a test could tell from chance.
MINIMUM_SAMPLES = 8
MINIMUM_CHARACTERS = 2_000
# Pairs the author made (edits, choices) below which `preference: auto` leaves preference tuning out; chosen, not
# measured: with fewer the last stage would fit single edits.
MINIMUM_PAIRS = 50

Method = Literal["lora", "rslora", "dora", "qlora", "full"]
Preference = Literal["auto", "off", "dpo", "orpo"]
Backend = Literal["auto", "trl", "unsloth"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Supervised fine-tuning and the preference tuning on top of it.

    method: lora, rslora (scaled by the root of the rank), dora (direction and magnitude apart), qlora (base in 4 bits;
    needs a GPU), full (every weight but tied embeddings); accumulation: batches that make a step; warmup: steps in
    which the learning rate rises; length: tokens of the longest example; packing: several examples in one row;
    checkpointing: recompute activations (less memory, a third more time; on a GPU alone); patience: epochs without a
    lower validation loss after which it stops (0: never); checkpoint_steps: steps between checkpoints, beside one an
    epoch; seed: of everything that is random; preference: auto is dpo once there are MINIMUM_PAIRS of the author's own.
    """

    method: Method = "lora"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    learning_rate: float = 2e-4
    epochs: int = 3
    warmup: int = 5
    batch: int = 8
    accumulation: int = 1
    length: int = 1024
    packing: bool = False
    checkpointing: bool = True
    patience: int = 2
    checkpoint_steps: int = 50
    seed: int = 0
    preference: Preference = "auto"
    preference_beta: float = 0.1
    preference_learning_rate: float = 2e-5
    preference_epochs: int = 1
    backend: Backend = "auto"

    def parameters(self) -> dict[str, Any]:
        """The recipe by name, for fingerprints and MLflow."""
        return asdict(self)


# Two million parameters take a larger rate and learn the form of a prompt in a few passes. Longer examples are cut, as
# the time goes with their length (0.4 s for 2,048 tokens on one core).
NANO = Recipe(
    dropout=0.0, learning_rate=3e-3, epochs=3, warmup=0, length=320, patience=0, preference_learning_rate=3e-4
)
STANDARD = Recipe()
# By size, up to so many parameters: sixteen examples a step from 7B on, in batches that leave room for the activations;
# smaller rates for larger models; the base in 4 bits where 16 would need more than one card of 80 GB. Starting points
# from the LoRA and QLoRA papers' tables (arXiv 2106.09685, 2305.14314), not tuned here.
BY_SIZE: tuple[tuple[str, float, Recipe], ...] = (
    ("0.5B", 1.0e9, STANDARD),
    ("1.5B", 2.2e9, STANDARD),
    ("3B", 5.0e9, replace(STANDARD, batch=4, accumulation=2)),
    ("7B", 1.0e10, replace(STANDARD, batch=4, accumulation=4)),
    ("14B", 2.0e10, replace(STANDARD, batch=2, accumulation=8, learning_rate=1e-4)),
    ("30B", 4.5e10, replace(STANDARD, batch=2, accumulation=8, learning_rate=1e-4, method="qlora")),
    ("70B", float("inf"), replace(STANDARD, batch=1, accumulation=16, learning_rate=1e-4, method="qlora")),
)
# Of `training_minutes`, what the nano base and its fine-tuning may take; the rest is imports, losses and writing.
NANO_BASE_SHARE, NANO_TUNING_SHARE = 0.40, 0.35

_ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(kind) for name, kind in get_type_hints(Recipe).items()}
_POSITIVE = ("rank", "alpha", "learning_rate", "epochs", "batch", "accumulation", "length", "preference_epochs")


def recipe_for(kind: str, parameters: int | None = None) -> Recipe:
    """The recipe of a kind of base model (nano, hub, folder) and, where it is known, of its number of parameters."""
    if kind == "nano":
        return NANO
    if parameters is None:
        return STANDARD
    return next(recipe for _, most, recipe in BY_SIZE if parameters <= most)


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with some of its numbers set otherwise; texts are read as what they should be.

    Raises ConfigurationError naming what is wrong.
    """
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in _ADAPTERS:
            raise ConfigurationError(f"A recipe has no {name!r}; it has {', '.join(_ADAPTERS)}.")
        try:
            values[name] = _ADAPTERS[name].validate_python(value)
        except ValidationError as error:
            raise ConfigurationError(f"{name} of a recipe cannot be {value!r}: {error.errors()[0]['msg']}.") from error
        low = 1e-12 if name in _POSITIVE else 0
        if not isinstance(values[name], (str, bool)) and values[name] < low:
            raise ConfigurationError(f"{name} of a recipe cannot be {value!r}: it is too small.")
    return replace(recipe, **values)


METHODS: tuple[str, ...] = get_args(Method)
