"""fine_tuned_model: an adapter on the author's base model, registered with everything it came from."""

from typing import Any

import dagster as dg
from pydantic import Field

from twin_assets.core.errors import TwinError
from twin_assets.defs.partitions import authors
from twin_assets.defs.reporting import OWNERS, as_failure, bar_plot, share_to_log
from twin_assets.defs.training.datasets import instruct_dataset, preference_dataset
from twin_assets.resources.mlflow import TrainingRun
from twin_assets.resources.workspace import WorkspaceResource


class TrainingConfig(dg.Config):
    """What a run trains otherwise than the settings say: values by name, of the training recipe or base_model; several
    values make a sweep, whose best by validation loss becomes the candidate."""

    grid: dict[str, list[str]] = Field(default_factory=dict)


@dg.asset(
    group_name="training",
    partitions_def=authors,
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    deps=[instruct_dataset, preference_dataset],
    description="A LoRA adapter on the base model, trained on the instruct dataset; never twice on the same data.",
)
def fine_tuned_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    workspace: WorkspaceResource,
    training_run: dg.ResourceParam[TrainingRun],
) -> dg.MaterializeResult:
    from twin_assets.core import datasets
    from twin_assets.core.training.experiments import sweep
    from twin_assets.core.training.train import train

    stores = workspace.open()
    author = stores.authors.get(context.partition_key)

    def tracking_run() -> str:
        stores.registry.experiment(author.id)  # made here, so that its files lie where the registry wants them
        return training_run.start(stores.registry.experiment_name(author.id))

    try:
        dataset, progress = datasets.load_dataset(stores.lake, author.id), share_to_log(context)
        tracked: dict[str, Any] = {"tracking_run": tracking_run, "dagster_run_id": context.run.run_id}
        trials = []
        if any(len(values) > 1 for values in config.grid.values()):
            found = sweep(stores, author, dataset, config.grid, progress, **tracked)
            trained, trials = found.best, found.trials
        else:
            changes = {name: values[0] for name, values in config.grid.items() if values}
            trained = train(stores, author, dataset, progress, changes=changes, **tracked)
    except TwinError as error:
        raise as_failure(error) from error
    model = trained.version
    losses = {name: value for name, value in model.metrics.items() if name.startswith("held_out_loss")}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(model.fingerprint),
        metadata={
            "model version": model.version,
            "trained now": trained.trained,
            "base model": model.base_model,
            "why this base": trained.base.why,
            "nano": model.is_nano,
            "dataset version": model.dataset_version,
            "corpus version": model.corpus_version,
            "status": model.status,
            **{name: float(value) for name, value in model.metrics.items()},
            **({"experiments": trials_table(trials)} if trials else {}),
            "held-out loss": bar_plot(losses, "held-out loss (lower is better)"),
        },
    )


def trials_table(trials) -> dg.MetadataValue:
    """The trials of a sweep side by side, best first."""
    rows = ["| settings | validation loss | held-out loss | steps | problem |", "|---|---|---|---|---|"]
    for trial in trials:
        figures = [trial.metrics.get(name) for name in ("validation_loss", "held_out_loss", "training_steps")]
        words = " ".join(f"{name}={value}" for name, value in trial.changes.items())
        cells = [words, *("–" if figure is None else f"{figure:.4g}" for figure in figures), trial.problem]
        rows.append(f"| {' | '.join(cells)} |")
    return dg.MetadataValue.md("\n".join(rows))


@dg.asset_check(
    asset=fine_tuned_model,
    partitions_def=authors,
    blocking=True,
    description="The model's files are safetensors, which cannot carry code.",
)
def only_safetensors(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    registry = workspace.open().registry
    latest = registry.versions(context.partition_key)[0]
    folder = registry.folder(context.partition_key, latest.version)
    weights = [path for path in folder.rglob("*") if path.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]
    adapters = list(folder.rglob("*.safetensors"))
    return dg.AssetCheckResult(
        passed=not weights and bool(adapters),
        description=f"unsafe files: {[path.name for path in weights]}" if weights else None,
        metadata={"safetensors": len(adapters), "unsafe": len(weights)},
    )
