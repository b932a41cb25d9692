"""Recipes: every number of a training that is ours to choose, in one place."""

from dataclasses import asdict, dataclass
from typing import Any

# Part of every fingerprint: raised when the code of training changes what comes out.
TRAINING_VERSION = "1"
# Below these a model learns nothing that a test could tell from chance.
MINIMUM_SAMPLES = 8
MINIMUM_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Supervised fine-tuning with LoRA. warmup: steps in which the learning rate rises; length: tokens of the longest
    example; seed: of everything that is random."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    learning_rate: float = 2e-4
    epochs: int = 3
    warmup: int = 5
    batch: int = 8
    length: int = 1024
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
        """The recipe by name, for fingerprints and MLflow."""
        return asdict(self)


# Two million parameters take a larger rate and learn the form of a prompt in a few passes. Longer examples are cut, as
# the time goes with their length (0.4 s for 2,048 tokens on one core).
NANO = Recipe(dropout=0.0, learning_rate=3e-3, epochs=3, warmup=0, length=320)
STANDARD = Recipe()
# Of `training_minutes`, what the nano base and its fine-tuning may take; the rest is imports, losses and writing.
NANO_BASE_SHARE, NANO_TUNING_SHARE = 0.40, 0.35


def recipe_for(kind: str) -> Recipe:
    """The recipe of a kind of base model (nano, hub, folder)."""
    return NANO if kind == "nano" else STANDARD
