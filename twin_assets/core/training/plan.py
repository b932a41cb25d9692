"""Plans: what a training would be of, and whether that very training has been done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.authors import Author
from twin_assets.core.datasets import Dataset, Preferences, load_preferences
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import TooLittleTextError
from twin_assets.core.prompts import PROMPTS_VERSION
from twin_assets.core.training.bases import BaseModel, resolve_base
from twin_assets.core.training.preferences import pairs_to_train
from twin_assets.core.training.preflight import Workload
from twin_assets.core.training.recipes import (
    MINIMUM_CHARACTERS,
    MINIMUM_SAMPLES,
    TRAINING_VERSION,
    Recipe,
    changed,
    recipe_for,
)

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

CHARACTERS_PER_TOKEN = 4
# Of a sweep's settings, the one that is not of the recipe.
BASE_MODEL = "base_model"


@dataclass(frozen=True, slots=True)
class Plan:
    """A training that is to be done: of which base, how, on what; fingerprint: hash of all that decides its result.

    changes: what is set otherwise than in the recipe for a base of this size; pairs: preference pairs it is tuned on,
    none where preference tuning is left out (pairs_why); preferences: what they are of, with its versions.
    """

    base: BaseModel
    changes: Mapping[str, Any]
    pairs: pl.DataFrame
    pairs_why: str
    preferences: Preferences
    fingerprint: str

    def recipe(self, parameters: int | None = None) -> Recipe:
        """The numbers of the training, for a base with so many parameters."""
        return changed(recipe_for(self.base.kind, parameters), self.changes)


def plan_training(
    workspace: "Workspace", author: Author, dataset: Dataset, changes: Mapping[str, Any] | None = None
) -> Plan:
    """Plan a training of the author's base; `changes` (base_model and fields of Recipe) stand before the settings'.

    Imports no torch. Raises TooLittleTextError, UnknownModelError, ConfigurationError.
    """
    check_enough(author, dataset)
    settings = workspace.settings
    wanted = {**settings.training_recipe, **(changes or {})}
    setting = str(wanted.pop(BASE_MODEL, None) or author.base_model or settings.base_model)
    base = resolve_base(setting, settings, workload_of(dataset, changed(recipe_for("hub"), wanted)))
    recipe = changed(recipe_for(base.kind), wanted)
    preferences = load_preferences(workspace.lake, author.id)
    pairs, why = pairs_to_train(preferences.pairs, recipe)
    # The base's identity tells its size, and so the recipe whose numbers of these names are set otherwise.
    fingerprint = content_hash(
        dataset.version, author.name, base.kind, base.name, base.identity, recipe.parameters(), sorted(wanted),
        settings.training_minutes if base.kind == "nano" else None, preferences.version if pairs.height else None,
        PROMPTS_VERSION, TRAINING_VERSION,
    )  # fmt: skip
    return Plan(base, wanted, pairs, why, preferences, fingerprint)


def workload_of(dataset: Dataset, recipe: Recipe) -> Workload:
    """What a recipe makes of a dataset."""
    characters = sum(map(len, dataset.split("train")["target"].to_list()))
    return Workload.of(recipe, characters // CHARACTERS_PER_TOKEN)


def check_enough(author: Author, dataset: Dataset) -> None:
    """Raise TooLittleTextError where a dataset is too small to train on or to test with."""
    train_split = dataset.split("train")
    characters = sum(map(len, train_split["target"].to_list()))
    enough = train_split.height >= MINIMUM_SAMPLES and characters >= MINIMUM_CHARACTERS
    if not enough or not dataset.split("test").height:
        raise TooLittleTextError(
            f"There is too little writing of {author.name} to train on: {train_split.height} samples with "
            f"{characters:,} characters and {dataset.split('test').height} to test on; it takes {MINIMUM_SAMPLES} with "
            f"{MINIMUM_CHARACTERS:,} and 1. Add another export, feed or folder."
        )
