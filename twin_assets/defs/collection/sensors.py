"""The outside world: authors that were added, exports dropped into the inbox, and each author's own timetable."""

import time
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from twin_assets.core.collection import import_export
from twin_assets.core.errors import TwinError
from twin_assets.core.workspace import Workspace
from twin_assets.defs.partitions import AUTHOR_PARTITION, authors
from twin_assets.resources.workspace import WorkspaceResource

COLLECT_JOB = "collect"
# The timetable is looked at this often; an author's cron expression cannot be met more closely.
TICK = timedelta(minutes=15)
# A file of the inbox that was written to less than this long ago may still be on its way.
SETTLED_SECONDS = 15


@dg.sensor(
    name="new_authors",
    description="Adds a partition for every author file, so that an author added anywhere can be collected.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_authors(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
    """Request the partitions that are missing."""
    known = set(context.instance.get_dynamic_partitions(AUTHOR_PARTITION))
    missing = [author.id for author in workspace.open().authors.list() if author.id not in known]
    return dg.SensorResult(dynamic_partitions_requests=[authors.build_add_request(missing)] if missing else [])


def take_from_inbox(workspace: Workspace) -> Iterator[tuple[str, str, str | None]]:
    """Import every file in the inbox: (author, file name, what was wrong or None).

    A file that is no export goes to `<inbox>/<author>/rejected` with a text beside it that says why.
    """
    for author in workspace.authors.list():
        folder = workspace.settings.inbox_folder / author.id
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if not path.is_file() or path.name.startswith(".") or path.suffix in {".part", ".crdownload", ".tmp"}:
                continue
            if time.time() - path.stat().st_mtime < SETTLED_SECONDS:
                continue  # perhaps still being copied: half a ZIP would be taken for no export
            try:
                import_export(workspace, author.id, path)
            except OSError as error:
                yield author.id, path.name, f"{path} cannot be taken in ({error.strerror}); make it readable."
            except TwinError as error:
                rejected = folder / "rejected"
                rejected.mkdir(exist_ok=True)
                (rejected / f"{path.name}.txt").write_text(f"{error}\n", encoding="utf-8")
                path.replace(rejected / path.name)
                yield author.id, path.name, str(error)
            else:
                path.unlink()
                yield author.id, path.name, None


@dg.sensor(
    name="inbox",
    job_name=COLLECT_JOB,
    description="Imports exports dropped into <TWIN_HOME>/inbox/<author>/ and collects for that author.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def inbox(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
    """Import what lies in the inbox and request one run for each author something was imported for."""
    imported: dict[str, list[str]] = {}
    for author, name, problem in take_from_inbox(workspace.open()):
        if problem is None:
            imported.setdefault(author, []).append(name)
        else:
            context.log.warning(f"{author}/{name}: {problem}")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(partition_key=author, tags={"twin/imported": ", ".join(names)[:200]})
            for author, names in imported.items()
        ],
        dynamic_partitions_requests=[authors.build_add_request(list(imported))] if imported else [],
    )


@dg.schedule(
    name="collect_on_timetable",
    job_name=COLLECT_JOB,
    cron_schedule="*/15 * * * *",
    description="Collects for every author whose own cron expression fell due since the last tick (off by default).",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def collect_on_timetable(context: dg.ScheduleEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author who is due."""
    from cronsim import CronSim

    now = context.scheduled_execution_time
    # A request for a partition that does not exist yet would fail the whole tick, for everybody.
    known = set(context.instance.get_dynamic_partitions(AUTHOR_PARTITION))
    for author in workspace.open().authors.list():
        if author.id in known and author.schedule and next(CronSim(author.schedule, now - TICK)) <= now:
            yield dg.RunRequest(partition_key=author.id, run_key=f"{author.id}@{now.isoformat()}")
