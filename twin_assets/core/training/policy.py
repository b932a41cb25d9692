"""When to train by itself: enough is new, it has been quiet, the week's budget allows it, and it does not just fail.

The decision is a pure reading of the stores, for the page and the command line; the sensor alone writes down what it
saw and what it started (one small JSON file an author, without a word of any text).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import BaseModel, Field, ValidationError

from twin_assets.core.authors import Author
from twin_assets.core.datasets import Dataset, Preferences, load_dataset, load_preferences
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import TwinError, VersionGoneError
from twin_assets.core.rules import TrainingRules, training_rules
from twin_assets.core.training.preferences import OWN, pairs_to_train
from twin_assets.core.training.recipes import MINIMUM_CHARACTERS, MINIMUM_SAMPLES, STANDARD, changed
from twin_assets.core.whole_files import write_whole

if TYPE_CHECKING:
    from twin_assets.core.registry import ModelVersion
    from twin_assets.core.workspace import Workspace

WEEK = timedelta(days=7)
# A failing training is tried again once.
ATTEMPTS = 2


class Attempt(BaseModel):
    """A training that was started by itself; key: what it was started on; ended: when it was no longer running."""

    key: str
    dataset_version: str
    at: datetime
    ended: datetime | None = None


class TrainingState(BaseModel):
    """What the sensor remembers of an author: the data it saw last and since when, and what it started."""

    seen: str | None = None
    seen_at: datetime | None = None
    attempts: list[Attempt] = Field(default_factory=list)
    reported: str | None = Field(default=None, description="key of the last failure that a person was told of")


@dataclass(frozen=True, slots=True)
class TrainingDecision:
    """Whether to train now, and why.

    new_samples, new_pairs: since the newest model of the author; failed: it was tried as often as it may and
    nothing has changed; key: what would be trained on; attempt: how often that was tried before; runs, minutes: of
    the last seven days.
    """

    wanted: bool
    reason: str
    dataset_version: str | None = None
    new_samples: int = 0
    new_pairs: int = 0
    failed: bool = False
    key: str = ""
    attempt: int = 0
    runs: int = 0
    minutes: float = 0.0
    rules: TrainingRules = field(default_factory=TrainingRules)


def training_wanted(workspace: "Workspace", author: Author, now: datetime | None = None) -> TrainingDecision:
    """Decide for one author: the first model needs enough text, a further one enough that is new.

    Samples count as new where their text is not among those the newest model learned, pairs (edits and choices, once
    there are enough to be tuned on) where it was not tuned on them. Data that a model has learned is not trained on
    again. Raises nothing of the stores: what cannot be read is the reason.
    """
    now = now or datetime.now(UTC)
    rules = training_rules(workspace.settings, author)
    try:
        dataset = load_dataset(workspace.lake, author.id)
        versions = workspace.registry.versions(author.id)
        if workspace.settings.forget_policy == "retrain":  # what was withdrawn is to be made up for
            versions = [version for version in versions if version.status != "withdrawn"]
        state = read_state(workspace, author.id)
        new, enough, reason = _new(workspace, dataset, versions, rules)
        pairs = _pairs(workspace, author.id)
        new_pairs, enough_pairs, about_pairs = _new_pairs(workspace, author.id, pairs, versions, rules)
    except TwinError as error:
        return TrainingDecision(False, str(error), rules=rules)
    week = [attempt for attempt in state.attempts if now - attempt.at < WEEK]
    data = _data(dataset, pairs)
    key = _key(workspace, author, data)
    tried = [attempt for attempt in state.attempts if attempt.key == key]
    minutes = sum(((attempt.ended or now) - attempt.at).total_seconds() for attempt in week) / 60

    def decided(wanted: bool, reason: str, failed: bool = False) -> TrainingDecision:
        return TrainingDecision(
            wanted, reason, dataset.version, new, new_pairs, failed, key, len(tried), len(week), minutes, rules
        )

    learned = next((version for version in versions if version.dataset_version == dataset.version), None)
    if learned is not None:
        enough, reason = False, f"version {learned.version} learned this very dataset"
        tuned = {version.preferences_version for version in versions if version.dataset_version == dataset.version}
        enough_pairs = enough_pairs and pairs.version not in tuned
    reason = "; ".join(filter(None, (reason, about_pairs)))
    if not (enough or enough_pairs):
        return decided(False, reason)
    if not rules.automatic:
        return decided(False, f"{reason}; training by itself is switched off")
    if len(tried) >= ATTEMPTS:
        return decided(False, f"it failed {len(tried)} times on this dataset and waits until something changes", True)
    why_not = _not_yet(data, state, rules, len(week), minutes, now)
    if why_not:
        return decided(False, f"{reason}; {why_not}")
    return decided(True, f"{reason}; the last attempt failed and is repeated once" if tried else reason)


def observe(workspace: "Workspace", author: Author, now: datetime) -> None:
    """Write down which data there is now and since when; of an author with no run under way, so that what was
    started has ended."""
    state = read_state(workspace, author.id)
    data = _data(load_dataset(workspace.lake, author.id), _pairs(workspace, author.id))
    changed = data != state.seen
    if changed:
        state.seen, state.seen_at = data, now
    for attempt in state.attempts:
        if attempt.ended is None:
            attempt.ended, changed = now, True
    if changed:
        _write_state(workspace, author.id, state)


def note_start(workspace: "Workspace", author: Author, decision: TrainingDecision, now: datetime) -> None:
    """Write down that a training is being started."""
    state = read_state(workspace, author.id)
    recent = [attempt for attempt in state.attempts if now - attempt.at < WEEK or attempt.key == decision.key]
    assert decision.dataset_version is not None
    started = Attempt(key=decision.key, dataset_version=decision.dataset_version, at=now)
    state.attempts = [*recent, started]
    _write_state(workspace, author.id, state)


def to_report(workspace: "Workspace", author: Author, decision: TrainingDecision) -> bool:
    """Whether a person has yet to be told of this failure; says so once."""
    if not decision.failed:
        return False
    state = read_state(workspace, author.id)
    if state.reported == decision.key:
        return False
    state.reported = decision.key
    _write_state(workspace, author.id, state)
    return True


def read_state(workspace: "Workspace", author: str) -> TrainingState:
    """What is remembered of an author; raises TwinError where the file cannot be read: forgetting the failures in it
    would start the training again."""
    path = _path(workspace, author)
    try:
        return TrainingState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return TrainingState()
    except (OSError, ValidationError) as error:
        raise TwinError(f"The record of trainings {path} cannot be read; remove it.") from error


def _new(
    workspace: "Workspace", dataset: Dataset, versions: "list[ModelVersion]", rules: TrainingRules
) -> tuple[int, bool, str]:
    """(new samples, whether they are enough, in words)."""
    targets = dataset.split("train")["target"].to_list()
    if not versions:
        characters = sum(map(len, targets))
        enough = len(targets) >= MINIMUM_SAMPLES and characters >= MINIMUM_CHARACTERS
        wanted = f"{MINIMUM_SAMPLES} with {MINIMUM_CHARACTERS:,} are needed and one held out to test on"
        reason = f"{len(targets)} samples with {characters:,} characters and no model yet ({wanted})"
        return len(targets), enough and dataset.split("test").height > 0, reason
    newest = versions[0]
    before = int(newest.metrics.get("train_samples", 0))
    new = len(targets) - before
    if newest.dataset_delta_version is not None and newest.dataset_version != dataset.version:
        try:
            learned = load_dataset(workspace.lake, dataset.author, newest.dataset_delta_version)
            new = len(set(targets) - set(learned.split("train")["target"].to_list()))
        except VersionGoneError:
            pass  # the numbers alone have to do
    least = max(rules.minimum_new_samples or 1, round((rules.minimum_new_share or 0.0) * before))
    reason = f"{max(0, new)} new samples since version {newest.version}, {least} start a training"
    return max(0, new), new >= least, reason


def _pairs(workspace: "Workspace", author: str) -> Preferences:
    """The pairs that a training would tune on (none where it would leave that out), and why."""
    recipe = workspace.settings.training_recipe
    wanted = {name: value for name, value in recipe.items() if name == "preference"}
    pairs, why = pairs_to_train(load_preferences(workspace.lake, author).pairs, changed(STANDARD, wanted))
    return Preferences(pairs, why)


def _new_pairs(
    workspace: "Workspace",
    author: str,
    preferences: Preferences,
    versions: "list[ModelVersion]",
    rules: TrainingRules,
) -> tuple[int, bool, str]:
    """(new pairs, whether they are enough for a further model, in words: "" where there is nothing to say)."""
    least, own = rules.minimum_new_pairs or 1, preferences.pairs.filter(pl.col("source").is_in(OWN))
    if not versions or own.is_empty():
        return 0, False, ""
    newest, new = versions[0], own.height
    if newest.preferences_delta_version is not None:
        try:
            learned = load_preferences(workspace.lake, author, newest.preferences_delta_version).pairs
            new = own.join(learned, on="pair_id", how="anti").height
        except VersionGoneError:
            new = max(0, preferences.pairs.height - int(newest.metrics.get("preference_pairs", 0)))
    return new, new >= least, f"{new} new pairs of the author's own, {least} start a preference tuning"


def _not_yet(data: str, state: TrainingState, rules: TrainingRules, runs: int, minutes: float, now: datetime) -> str:
    if rules.runs_per_week is not None and runs >= rules.runs_per_week:
        return f"the week's {rules.runs_per_week} trainings are used up"
    if rules.minutes_per_week is not None and minutes >= rules.minutes_per_week:
        return f"the week's {rules.minutes_per_week:g} minutes of training are used up ({minutes:.0f})"
    quiet = timedelta(minutes=rules.quiet_minutes or 0.0)
    since = state.seen_at if state.seen == data else None
    if quiet and (since is None or now - since < quiet):
        when = "just now" if since is None else f"at {since:%H:%M} UTC"
        return f"the dataset changed {when}, and it has to be quiet for {rules.quiet_minutes:g} minutes"
    return ""


def _data(dataset: Dataset, pairs: Preferences) -> str:
    """What there is to be learned, by its hashes."""
    return content_hash(dataset.version, pairs.version) if pairs.pairs.height else dataset.version


def _key(workspace: "Workspace", author: Author, data: str) -> str:
    """What a training would be made of: after a failure, nothing is tried again while this is the same."""
    settings = workspace.settings.model_dump(mode="json")
    own = {name: value for name, value in settings.items() if name == "base_model" or name.startswith("training_")}
    theirs = author.model_dump(mode="json", exclude={"sources", "schedule", "approval", "gate"})
    return content_hash(data, own, theirs)


def _path(workspace: "Workspace", author: str) -> Path:
    return workspace.settings.home / "policy" / f"{author}.json"


def _write_state(workspace: "Workspace", author: str, state: TrainingState) -> None:
    write_whole(_path(workspace, author), state.model_dump_json(indent=1))
