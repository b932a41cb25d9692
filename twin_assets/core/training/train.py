"""train(): from a dataset to a registered model version; nothing changed, nothing trained."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin_assets.core.authors import Author
from twin_assets.core.datasets import Dataset, leakage
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import ModelError, TooLittleTextError
from twin_assets.core.prompts import PROMPTS_VERSION
from twin_assets.core.registry import ModelVersion
from twin_assets.core.training.bases import BaseModel, fetch, resolve_base
from twin_assets.core.training.preflight import Machine, ModelShape, Workload, preflight
from twin_assets.core.training.recipes import (
    MINIMUM_CHARACTERS,
    MINIMUM_SAMPLES,
    NANO_BASE_SHARE,
    NANO_TUNING_SHARE,
    TRAINING_VERSION,
    Recipe,
    recipe_for,
)

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

Progress = Callable[[str, float], None]
CHARACTERS_PER_TOKEN = 4


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
    dagster_run_id: str | None = None,
    tracking_run: Callable[[], str] | None = None,
) -> TrainedModel:
    """Fine-tune the author's base model on a dataset and register the result as a candidate.

    A version trained from the same dataset, base, recipe and code is returned as it is, without importing torch. A
    killed training goes on where it stood. progress: told each stage and the share of
    it that is done. tracking_run: gives the id of an open MLflow run
    to log to, and is asked only when something is trained (else a run is opened and closed here). Raises
    TooLittleTextError, UnknownModelError, and ModelError where it does not fit, leaks, or already runs.
    """
    _check_enough(author, dataset)
    settings, registry = workspace.settings, workspace.registry
    setting = author.base_model or settings.base_model
    workload = _workload(dataset, recipe_for("hub"))
    base = resolve_base(setting, settings, workload)
    if progress is not None:
        progress(f"base model {base.name}, {base.why}", 1.0)
    recipe = recipe_for(base.kind)
    minutes = settings.training_minutes if base.kind == "nano" else None
    fingerprint = content_hash(
        dataset.version, author.name, base.kind, base.name, base.identity, recipe.parameters(), minutes,
        PROMPTS_VERSION, TRAINING_VERSION,
    )  # fmt: skip
    found = registry.find(author.id, fingerprint)
    if found is not None:
        return TrainedModel(found, base, trained=False)
    problems = leakage(dataset)
    if problems:
        raise ModelError(f"The dataset of {author.id!r} leaks, so nothing was trained: {'; '.join(problems)}.")

    from filelock import FileLock, Timeout

    from twin_assets.core.features import corpus_version

    folder = settings.home / "training" / author.id / fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.parent / "lock", timeout=0):
            metrics = _run(workspace, author, dataset, base, recipe, folder, progress)
            metrics["train_samples"] = float(dataset.counts["train"])
            run_id = registry.start_run(
                author.id, f"{base.name} on {dataset.version[:8]}",
                _parameters(dataset, base, recipe, dagster_run_id),
                tracking_run() if tracking_run else None,
            )  # fmt: skip
            version = registry.register(
                author.id, run_id=run_id, folder=folder / "trained", base_model=base.name, is_nano=base.kind == "nano",
                base_identity=base.identity,
                dataset_version=dataset.version,
                dataset_delta_version=dataset.delta_version, corpus_version=corpus_version(workspace.lake, author.id),
                code_version=TRAINING_VERSION, fingerprint=fingerprint, metrics=metrics,
            )  # fmt: skip
            if tracking_run is None:
                registry.end_run(run_id)
    except Timeout as error:
        raise ModelError(f"A training of {author.id!r} is already running; wait for it to end.") from error
    shutil.rmtree(folder, ignore_errors=True)
    return TrainedModel(version, base, trained=True)


def _check_enough(author: Author, dataset: Dataset) -> None:
    train_split = dataset.split("train")
    characters = sum(map(len, train_split["target"].to_list()))
    enough = train_split.height >= MINIMUM_SAMPLES and characters >= MINIMUM_CHARACTERS
    if not enough or not dataset.split("test").height:
        raise TooLittleTextError(
            f"There is too little writing of {author.name} to train on: {train_split.height} samples with "
            f"{characters:,} characters and {dataset.split('test').height} to test on; it takes {MINIMUM_SAMPLES} with "
            f"{MINIMUM_CHARACTERS:,} and 1. Add another export, feed or folder."
        )


def _workload(dataset: Dataset, recipe: Recipe) -> Workload:
    characters = sum(map(len, dataset.split("train")["target"].to_list()))
    return Workload(
        tokens=characters // CHARACTERS_PER_TOKEN, epochs=recipe.epochs, batch=recipe.batch, length=recipe.length,
        lora_rank=recipe.rank,
    )  # fmt: skip


def _run(
    workspace: "Workspace",
    author: Author,
    dataset: Dataset,
    base: BaseModel,
    recipe: Recipe,
    folder: Path,
    progress: Progress | None,
) -> dict[str, float]:
    """Train in `folder` and leave `trained/` (adapter, and a nano's base) with its metrics; what is there is kept."""
    finished = folder / "trained" / "metrics.json"
    if finished.is_file():  # killed between training and registering
        return dict(json.loads(finished.read_text(encoding="utf-8")))
    from twin_assets.core.training.sft import fine_tune, quiet

    quiet()
    settings = workspace.settings
    if base.kind == "nano":
        from twin_assets.core.training.nano import build_nano
        from twin_assets.core.training.threads import fastest_threads

        budget = 60.0 * settings.training_minutes
        with fastest_threads():
            metrics = build_nano(
                dataset.split("train")["target"].to_list(), folder / "base", seconds=budget * NANO_BASE_SHARE,
                seed=recipe.seed, progress=progress,
            )  # fmt: skip
            metrics |= fine_tune(
                folder / "base", base.name, author.name, dataset, recipe, folder, seconds=budget * NANO_TUNING_SHARE,
                progress=progress,
            )  # fmt: skip
    else:
        path = fetch(base, settings)
        machine = Machine.measure(settings.models_folder)
        preflight(shape_of(path), _workload(dataset, recipe), machine, on_disk=True).require()
        metrics = fine_tune(path, base.name, author.name, dataset, recipe, folder, progress=progress)
    _assemble(folder, metrics)
    return metrics


def shape_of(folder: Path) -> ModelShape:
    """Sizes of a model in a folder, from its configuration and the headers of its weights."""
    from safetensors import safe_open

    configuration = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parameters = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                size = 1
                for extent in file.get_slice(name).get_shape():
                    size *= extent
                parameters += size

    def first(*names: str) -> int:
        nested = configuration.get("text_config", {})
        return next(int(c[name]) for name in names for c in (configuration, nested) if name in c)

    return ModelShape(
        parameters, first("hidden_size", "n_embd"), first("num_hidden_layers", "n_layer"), first("vocab_size")
    )


def _assemble(folder: Path, metrics: dict[str, float]) -> None:
    """Put adapter, base and figures together under `trained/` in one rename."""
    scratch = folder / "trained.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    shutil.copytree(folder / "adapter", scratch / "adapter")
    if (folder / "base").is_dir():
        shutil.copytree(folder / "base", scratch / "base")
    (scratch / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    os.replace(scratch, folder / "trained")


def _parameters(dataset: Dataset, base: BaseModel, recipe: Recipe, dagster_run_id: str | None) -> dict[str, Any]:
    counts = {f"{name}_samples": count for name, count in dataset.counts.items()}
    return {
        **recipe.parameters(),
        **counts,
        "dataset_version": dataset.version,
        "dataset_delta_version": dataset.delta_version,
        "base_model": base.name,
        "base_identity": base.identity,
        "base_why": base.why,
        "prompts_version": PROMPTS_VERSION,
        "training_version": TRAINING_VERSION,
        "dagster_run_id": dagster_run_id or "none",
    }
