"""train(): from a dataset to a registered model version; nothing changed, nothing trained."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin_assets.core.authors import Author
from twin_assets.core.datasets import Dataset, leakage
from twin_assets.core.errors import ModelError
from twin_assets.core.prompts import PROMPTS_VERSION
from twin_assets.core.registry import ModelVersion
from twin_assets.core.training.bases import BaseModel, fetch, shape_of
from twin_assets.core.training.faults import told
from twin_assets.core.training.plan import Plan, plan_training, workload_of
from twin_assets.core.training.preflight import Machine, fit_batch, preflight
from twin_assets.core.training.recipes import NANO_BASE_SHARE, NANO_TUNING_SHARE, TRAINING_VERSION

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

Progress = Callable[[str, float], None]
EXPERIMENT = "experiment"  # tag `twin.kind` of the runs of trainings


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What train() hands back: the registered version, its base, and whether anything was trained for it."""

    version: ModelVersion
    base: BaseModel
    trained: bool


def train(
    workspace: "Workspace",
    author: Author,
    dataset: Dataset,
    progress: Progress | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    dagster_run_id: str | None = None,
    tracking_run: Callable[[], str] | None = None,
) -> TrainedModel:
    """Fine-tune the author's base model on a dataset and register the result as a candidate.

    A version trained from the same dataset, base, recipe and code is returned as it is, without importing torch. A
    killed training goes on where it stood. progress: told each stage and the share of it that is done. changes:
    base_model and numbers of the recipe set otherwise for this one. tracking_run: gives the id of an open MLflow run
    to log to, and is asked only when something is trained (else a run is opened and closed here). Raises
    TooLittleTextError, UnknownModelError, ConfigurationError, and ModelError where it does not fit, leaks, runs out of
    memory or disk, already runs, or the registry is away; nothing is registered then, and what was trained waits.
    """
    plan = plan_training(workspace, author, dataset, changes)
    if progress is not None:
        progress(f"base model {plan.base.name}, {plan.base.why}", 1.0)
    found = workspace.registry.find(author.id, plan.fingerprint)
    if found is not None:
        return TrainedModel(found, plan.base, trained=False)
    check_leaks(author, dataset)
    with only_training(workspace, author) as folder:
        trained = execute(workspace, author, dataset, plan, folder / plan.fingerprint, progress)
        run_id = workspace.registry.start_run(
            author.id, f"{plan.base.name} on {dataset.version[:8]}", parameters(dataset, plan, trained, dagster_run_id),
            tracking_run() if tracking_run else None,
        )  # fmt: skip
        try:
            version = register(workspace, author, dataset, plan, trained, folder / plan.fingerprint, run_id)
        except BaseException:
            if tracking_run is None:
                with suppress(ModelError):  # where the registry went away, that is the fault that is told
                    workspace.registry.end_run(run_id, failed=True)
            raise
        workspace.registry.tag_run(run_id, experiment_tags(plan))
        if tracking_run is None:
            workspace.registry.end_run(run_id)
    return TrainedModel(version, plan.base, trained=True)


@contextmanager
def only_training(workspace: "Workspace", author: Author) -> Iterator[Path]:
    """Folder of the author's trainings, locked; raises ModelError where one is running."""
    from filelock import FileLock, Timeout

    folder = workspace.settings.home / "training" / author.id
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ModelError(f"A training of {author.id!r} is already running; wait for it to end.") from error
    try:
        yield folder
    finally:
        lock.release()


def check_leaks(author: Author, dataset: Dataset) -> None:
    """Raise ModelError where a dataset's splits leak into each other."""
    if problems := leakage(dataset):
        raise ModelError(f"The dataset of {author.id!r} leaks, so nothing was trained: {'; '.join(problems)}.")


def execute(
    workspace: "Workspace",
    author: Author,
    dataset: Dataset,
    plan: Plan,
    folder: Path,
    progress: Progress | None,
) -> dict[str, Any]:
    """Train in `folder` and leave `trained/` (adapter, and a nano's base); what is there is kept.

    Returns {"metrics": …, "recipe": the numbers it was trained with}.
    """
    finished = folder / "trained" / "training.json"
    if finished.is_file():  # killed between training and registering
        return dict(json.loads(finished.read_text(encoding="utf-8")))
    from twin_assets.core.training.launch import fine_tune_in_processes
    from twin_assets.core.training.sft import fine_tune, quiet

    quiet()
    started = time.monotonic()
    settings = workspace.settings
    folder.mkdir(parents=True, exist_ok=True)
    with told("The training", plan.recipe()):
        if plan.base.kind == "nano":
            from twin_assets.core.training.nano import build_nano
            from twin_assets.core.training.threads import fastest_threads

            recipe, budget = plan.recipe(), 60.0 * settings.training_minutes
            with fastest_threads():
                metrics = build_nano(
                    dataset.split("train")["target"].to_list(), folder / "base", seconds=budget * NANO_BASE_SHARE,
                    seed=recipe.seed, progress=progress,
                )  # fmt: skip
                metrics |= fine_tune(
                    folder / "base", plan.base.name, author.name, dataset, recipe, folder, pairs=plan.pairs,
                    seconds=budget * NANO_TUNING_SHARE, progress=progress,
                )  # fmt: skip
        else:
            path = fetch(plan.base, settings)
            shape = shape_of(path)
            machine = Machine.measure(settings.models_folder)
            if settings.training_launcher is None:  # one process uses one GPU
                machine = replace(machine, gpus=1)
            recipe = fit_batch(plan.recipe(shape.parameters), shape, machine)
            estimate = preflight(shape, workload_of(dataset, recipe), machine, on_disk=True)
            estimate.require()
            tune = fine_tune if settings.training_launcher is None else fine_tune_in_processes(settings)
            metrics = tune(
                path, plan.base.name, author.name, dataset, recipe, folder, pairs=plan.pairs, progress=progress
            )
            metrics |= {"preflight_memory_gib": estimate.memory / 2**30, "preflight_seconds": estimate.seconds}
        metrics["training_seconds"] = round(time.monotonic() - started, 1)
        metrics["train_samples"] = float(dataset.counts["train"])
        trained = {"metrics": metrics, "recipe": recipe.parameters()}
        _assemble(folder, trained)
    return trained


def register(
    workspace: "Workspace",
    author: Author,
    dataset: Dataset,
    plan: Plan,
    trained: Mapping[str, Any],
    folder: Path,
    run_id: str,
) -> ModelVersion:
    """Make what execute() left in `folder` a candidate version, and delete the folder."""
    from twin_assets.core.features import corpus_version

    tuned_on: dict[str, Any] = {}
    if plan.pairs.height:
        pairs = replace(plan.preferences, pairs=plan.pairs)
        tuned_on = {"preferences_version": pairs.version, "preferences_delta_version": pairs.delta_version}
    with told("Storing the model", plan.recipe()):
        version = workspace.registry.register(
            author.id, run_id=run_id, folder=folder / "trained", base_model=plan.base.name,
            is_nano=plan.base.kind == "nano", base_identity=plan.base.identity, dataset_version=dataset.version,
            dataset_delta_version=dataset.delta_version, corpus_version=corpus_version(workspace.lake, author.id),
            code_version=TRAINING_VERSION, fingerprint=plan.fingerprint, metrics=trained["metrics"], **tuned_on,
        )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    return version


def experiment_tags(plan: Plan) -> dict[str, str]:
    """Tags by which a training's run is found again."""
    return {"twin.kind": EXPERIMENT, "twin.fingerprint": plan.fingerprint}


def parameters(
    dataset: Dataset, plan: Plan, trained: Mapping[str, Any], dagster_run_id: str | None = None
) -> dict[str, Any]:
    """What MLflow keeps of how a model was trained."""
    return {
        **trained["recipe"],
        **{f"{name}_samples": count for name, count in dataset.counts.items()},
        "dataset_version": dataset.version,
        "dataset_delta_version": dataset.delta_version,
        "base_model": plan.base.name,
        "base_identity": plan.base.identity,
        "base_why": plan.base.why,
        "preference_tuning": plan.pairs_why,
        "prompts_version": PROMPTS_VERSION,
        "training_version": TRAINING_VERSION,
        "dagster_run_id": dagster_run_id or "none",
    }


def _assemble(folder: Path, trained: Mapping[str, Any]) -> None:
    """Put adapter, base and figures together under `trained/` in one rename, and delete what led to them."""
    scratch = folder / "trained.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    shutil.copytree(folder / "adapter", scratch / "adapter")
    if (folder / "base").is_dir():
        shutil.copytree(folder / "base", scratch / "base")
    (scratch / "training.json").write_text(json.dumps(trained, indent=2) + "\n", encoding="utf-8")
    os.replace(scratch, folder / "trained")
    for name in ("checkpoints", "preference_checkpoints", "supervised", "adapter", "base"):
        shutil.rmtree(folder / name, ignore_errors=True)
