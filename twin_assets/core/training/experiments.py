"""Experiments: several settings side by side; the best by validation loss becomes the candidate.

Every training is a run in MLflow with its parameters and figures; those of a sweep are children of one run, so that
MLflow's page shows them side by side. A combination that was trained is not trained again.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin_assets.core.authors import Author
from twin_assets.core.datasets import Dataset
from twin_assets.core.errors import ConfigurationError, ModelError, TwinError
from twin_assets.core.training.plan import BASE_MODEL, Plan, plan_training
from twin_assets.core.training.train import (
    EXPERIMENT,
    TrainedModel,
    check_leaks,
    execute,
    experiment_tags,
    only_training,
    parameters,
    register,
)

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

Progress = Callable[[str, float], None]
# What trials are compared by: of a character, as models with other tokenizers count other tokens.
CRITERION = "validation_loss_per_character"
MOST_TRIALS = 64


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination of a sweep: its figures, or why there are none; trained: now, not before."""

    changes: Mapping[str, Any]
    fingerprint: str
    base_model: str
    metrics: Mapping[str, float]
    run_id: str = ""
    trained: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials, best first, and the best one's version."""

    trials: list[Trial]
    best: TrainedModel


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the grid's values; raises ConfigurationError for none or too many."""
    empty = [name for name, values in grid.items() if not values]
    found = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if not grid or empty:
        raise ConfigurationError(f"A sweep takes at least one value for {', '.join(empty) or 'one setting'}.")
    if len(found) > MOST_TRIALS:
        raise ConfigurationError(f"These are {len(found)} trainings, and one sweep makes at most {MOST_TRIALS}.")
    return found


def sweep(
    workspace: "Workspace",
    author: Author,
    dataset: Dataset,
    grid: Mapping[str, Sequence[Any]],
    progress: Progress | None = None,
    *,
    dagster_run_id: str | None = None,
    tracking_run: Callable[[], str] | None = None,
) -> Sweep:
    """Train every combination of the grid (fields of Recipe and base_model) that was not trained before, and register
    the one with the lowest validation loss as a candidate.

    A trial that fails, fails alone. tracking_run: as for train(); it becomes the parent of the trials' runs. Raises
    what train() raises, and ModelError where no trial came out.
    """
    plans = {plan.fingerprint: (changes, plan) for changes, plan in _plans(workspace, author, dataset, grid)}
    if not dataset.split("validation").height:
        raise ModelError(f"{author.name}'s dataset has nothing to validate on, so no setting can be preferred.")
    check_leaks(author, dataset)
    parents: list[str] = []
    with only_training(workspace, author) as folder:
        known = _known(workspace, author.id)
        trials = []
        for number, (changes, plan) in enumerate(plans.values(), start=1):
            trial = known.get(plan.fingerprint)
            if trial is None:
                if not parents:
                    parents.append(_parent(workspace, author, grid, tracking_run))
                named = _numbered(progress, f"{number} of {len(plans)}")
                trial = _try(workspace, author, dataset, plan, changes, folder, parents[0], named, dagster_run_id)
            trials.append(trial)
        ranked = sorted(trials, key=lambda trial: (bool(trial.problem), trial.metrics.get(CRITERION, float("inf"))))
        if parents and tracking_run is None:
            workspace.registry.end_run(parents[0], failed=bool(ranked[0].problem))
        if ranked[0].problem:
            raise ModelError(f"No training of the sweep came out: {ranked[0].problem}")
        best = _registered(workspace, author, dataset, plans[ranked[0].fingerprint][1], ranked[0], folder, progress)
    return Sweep(ranked, best)


def experiments(workspace: "Workspace", author: str) -> list[dict[str, Any]]:
    """All trainings of an author side by side, best first: settings, losses, steps, time, parameters trained, and the
    number of the version made of it (None: none was)."""
    versions = {version.fingerprint: version for version in workspace.registry.versions(author)}
    rows = []
    for run in workspace.registry.runs(author, EXPERIMENT):
        made, figures = versions.get(run.data.tags.get("twin.fingerprint", "")), run.data.metrics
        shown = ("method", "rank", "learning_rate", "epochs", "length", "preference", "dataset_version")
        rows.append(
            {
                "run": run.info.run_id, "base_model": run.data.params.get("base_model"),
                **{name: run.data.params.get(name) for name in shown},
                "validation_loss": figures.get("validation_loss"), CRITERION: figures.get(CRITERION),
                "held_out_loss": figures.get("held_out_loss"), "steps": figures.get("training_steps"),
                "seconds": figures.get("training_seconds"), "trained_parameters": figures.get("trained_parameters"),
                "version": made.version if made else None, "status": made.status if made else None,
            }
        )  # fmt: skip
    # Losses on different datasets say nothing about each other.
    return sorted(rows, key=lambda row: (row["dataset_version"], row[CRITERION] is None, row[CRITERION]))


def _plans(
    workspace: "Workspace", author: Author, dataset: Dataset, grid: Mapping[str, Sequence[Any]]
) -> list[tuple[dict[str, Any], Plan]]:
    return [(changes, plan_training(workspace, author, dataset, changes)) for changes in combinations(grid)]


def _known(workspace: "Workspace", author: str) -> dict[str, Trial]:
    """Trainings that came out before, by fingerprint."""
    found = {}
    for run in reversed(workspace.registry.runs(author, EXPERIMENT)):
        fingerprint = run.data.tags.get("twin.fingerprint", "")
        found[fingerprint] = Trial(
            {}, fingerprint, run.data.params.get("base_model", ""), run.data.metrics, run.info.run_id
        )
    return found


def _parent(
    workspace: "Workspace",
    author: Author,
    grid: Mapping[str, Sequence[Any]],
    tracking_run: Callable[[], str] | None,
) -> str:
    words = {f"sweep.{name}": ", ".join(map(str, values)) for name, values in grid.items()}
    run_id = workspace.registry.start_run(author.id, "sweep", words, tracking_run() if tracking_run else None)
    workspace.registry.tag_run(run_id, {"twin.kind": "sweep"})
    return run_id


def _try(
    workspace: "Workspace",
    author: Author,
    dataset: Dataset,
    plan: Plan,
    changes: Mapping[str, Any],
    folder: Path,
    parent: str,
    progress: Progress | None,
    dagster_run_id: str | None,
) -> Trial:
    """Train one combination and keep its run; the weights stay in the author's training folder."""
    name = " ".join(f"{key}={value}" for key, value in changes.items())
    registry = workspace.registry
    try:
        trained = execute(workspace, author, dataset, plan, folder / plan.fingerprint, progress)
    except TwinError as error:
        run_id = registry.start_run(author.id, name, {BASE_MODEL: plan.base.name, **changes})
        registry.tag_run(run_id, {"mlflow.parentRunId": parent, "twin.kind": EXPERIMENT, "problem": str(error)[:4000]})
        registry.end_run(run_id, failed=True)
        return Trial(changes, plan.fingerprint, plan.base.name, {}, run_id, problem=str(error))
    run_id = registry.start_run(author.id, name, parameters(dataset, plan, trained, dagster_run_id))
    registry.log_metrics(run_id, trained["metrics"])
    registry.tag_run(run_id, {"mlflow.parentRunId": parent, **experiment_tags(plan)})
    registry.end_run(run_id)
    return Trial(changes, plan.fingerprint, plan.base.name, trained["metrics"], run_id, trained=True)


def _registered(
    workspace: "Workspace",
    author: Author,
    dataset: Dataset,
    plan: Plan,
    trial: Trial,
    folder: Path,
    progress: Progress | None,
) -> TrainedModel:
    """The version of a trial; made from the weights that lie in its folder, which are trained again where they went."""
    found = workspace.registry.find(author.id, plan.fingerprint)
    if found is not None:
        return TrainedModel(found, plan.base, trained=False)
    place = folder / plan.fingerprint
    trained = execute(workspace, author, dataset, plan, place, progress)
    version = register(workspace, author, dataset, plan, trained, place, trial.run_id)
    return TrainedModel(version, plan.base, trained=trial.trained)


def _numbered(progress: Progress | None, number: str) -> Progress | None:
    if progress is None:
        return None
    return lambda stage, share: progress(f"training {number}: {stage}", share)
