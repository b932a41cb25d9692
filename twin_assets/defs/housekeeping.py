"""Every night: merge small files and remove what the stated retention no longer keeps."""

from dataclasses import asdict

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.housekeeping import tidy
from twin_assets.defs.forgetting import forget_older_runs
from twin_assets.defs.reporting import as_failure
from twin_assets.resources.workspace import WorkspaceResource


@dg.op(description="Applies TWIN_LAKE_RETENTION_DAYS to the lake and to replaced exports.")
def keep_house(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    """Tidy the deployment; what was done is in the run's log and in its output."""
    try:
        stores = workspace.open()
        done = tidy(stores, progress=context.log.info)
        runs = forget_older_runs(context.instance, stores.lake, stores.settings.home / "dagster")
    except TwinError as error:
        raise as_failure(error) from error
    files = [asdict(table) for table in done.tables if table.merged or table.removed]
    context.add_output_metadata(
        {
            "retention in days": done.keep_days,
            "files merged": sum(table.merged for table in done.tables),
            "files removed": sum(table.removed for table in done.tables),
            "by table": dg.MetadataValue.json(files),
            "unused embeddings removed": done.embeddings,
            "replaced exports removed": done.imports,
            "runs removed that remember what was forgotten": runs,
        }
    )


@dg.job(description="Merges small files of the lake and removes what the retention no longer keeps.")
def housekeeping() -> None:
    """One step over the whole deployment, whoever the authors are."""
    keep_house()


every_night = dg.ScheduleDefinition(
    name="every_night",
    job=housekeeping,
    cron_schedule="30 3 * * *",
    description="Keeps house while nobody is likely to be reading.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
