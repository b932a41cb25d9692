"""When to train: enough is new since the last model. A pure decision over the stores; sensors and the page ask it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from twin_assets.core.authors import Author
from twin_assets.core.datasets import load_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.training.recipes import MINIMUM_SAMPLES

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TrainingDecision:
    """Whether to train now, and why; `new_samples` since the newest model of the author."""

    wanted: bool
    reason: str
    dataset_version: str | None = None
    new_samples: int = 0


def training_wanted(workspace: "Workspace", author: Author) -> TrainingDecision:
    """Decide for one author: the first model needs enough samples, a further one enough new samples.

    Samples count as new by their number in the training split, which the registry keeps with each version.
    """
    try:
        dataset = load_dataset(workspace.lake, author.id)
    except TwinError as error:
        return TrainingDecision(False, str(error))
    samples = dataset.samples.filter((pl.col("split") == "train") & pl.col("excluded").is_null()).height
    versions = workspace.registry.versions(author.id)
    if not versions:
        enough = samples >= MINIMUM_SAMPLES
        return TrainingDecision(enough, f"{samples} samples and no model yet", dataset.version, samples)
    newest = versions[0]
    if newest.dataset_version == dataset.version:
        return TrainingDecision(False, "the newest model learned this very dataset", dataset.version)
    new = samples - int(newest.metrics.get("train_samples", 0))
    minimum = workspace.settings.minimum_new_samples
    return TrainingDecision(
        new >= minimum, f"{new} new samples since version {newest.version}, {minimum} start a training",
        dataset.version, max(new, 0),
    )  # fmt: skip
