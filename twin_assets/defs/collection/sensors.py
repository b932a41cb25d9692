"""The outside world: authors that were added, exports dropped into the inbox, timetables, and waits that are over."""

import time
from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from twin_assets.core.authors import Author
from twin_assets.core.collection import import_export
from twin_assets.core.errors import ConfigurationError, TwinError
from twin_assets.core.status import waiting_authors, waiting_until
from twin_assets.core.timetable import TICK, fell_due
from twin_assets.core.workspace import Workspace
from twin_assets.defs.automation import DERIVES
from twin_assets.defs.partitions import AUTHOR_PARTITION, authors
from twin_assets.defs.runs import busy_authors, clock, ready_authors
from twin_assets.resources.workspace import WorkspaceResource

COLLECT_JOB = "collect"
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
    missing = [author for author in workspace.open().authors.ids() if author not in known]
    return dg.SensorResult(dynamic_partitions_requests=[authors.build_add_request(missing)] if missing else [])


def take_from_inbox(workspace: Workspace) -> Iterator[tuple[str, str, str | None]]:
    """Import every file in the inbox: (author, file name, what was wrong or None).

    A file that is no export goes to `<inbox>/<author>/rejected` with a text beside it that says why.
    """
    for author in workspace.authors.ids():
        folder = workspace.settings.inbox_folder / author
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if not path.is_file() or path.name.startswith(".") or path.suffix in {".part", ".crdownload", ".tmp"}:
                continue
            if time.time() - path.stat().st_mtime < SETTLED_SECONDS:
                continue  # perhaps still being copied: half a ZIP would be taken for no export
            try:
                import_export(workspace, author, path)
            except OSError as error:
                yield author, path.name, f"{path} cannot be taken in ({error.strerror}); make it readable."
            except Exception as error:  # what a file holds may break a parser in any way; it fails alone
                expected = isinstance(error, TwinError)
                problem = str(error) if expected else f"{path.name} cannot be read ({type(error).__name__}); report it."
                rejected = folder / "rejected"
                rejected.mkdir(exist_ok=True)
                (rejected / f"{path.name}.txt").write_text(f"{problem}\n", encoding="utf-8")
                path.replace(rejected / path.name)
                yield author, path.name, problem
            else:
                path.unlink()
                yield author, path.name, None


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


def _due(workspace: Workspace, author: Author, now: datetime) -> str | None:
    """Why a due author is not collected now ("" to collect), None where their timetable did not fall due.

    Raises ConfigurationError where the timetable is no cron expression.
    """
    if not author.schedule or not fell_due(author.schedule, now, workspace.settings.time_zone):
        return None
    if not author.sources:
        return "there is no source"
    waits = waiting_until(workspace, author)
    if all(waits.get(source.key, now) > now for source in author.sources):
        return f"every source waits, the first until {min(waits.values()):%Y-%m-%d %H:%M:%S} UTC"
    return ""


@dg.schedule(
    name="collect_on_timetable",
    job_name=COLLECT_JOB,
    cron_schedule=f"*/{TICK.seconds // 60} * * * *",
    description="Collects for every author whose own cron expression fell due since the last tick (off by default), "
    "unless they are being collected or every source was asked to wait.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def collect_on_timetable(context: dg.ScheduleEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author who is due."""
    now, stores = context.scheduled_execution_time, workspace.open()
    busy = busy_authors(context.instance, DERIVES)
    for author in ready_authors(context.instance, stores, context.log):
        try:
            reason = _due(stores, author, now)
        except ConfigurationError as error:
            context.log.warning(f"{author.id} is not collected: {error}")
            continue
        if reason == "" and author.id in busy:
            reason = "a run is under way"
        if reason == "":
            yield dg.RunRequest(partition_key=author.id, run_key=f"{author.id}@{now.isoformat()}")
        elif reason is not None:
            context.log.info(f"{author.id} is due and not collected: {reason}.")


@dg.sensor(
    name="wait_is_over",
    job_name=COLLECT_JOB,
    description="Goes on with an author whose platform asked to wait, once, when the time it named has come.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def wait_is_over(context: dg.SensorEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author a wait is over for; its key is the moment that was waited for."""
    now, stores = clock(), workspace.open()
    waiting = waiting_authors(stores)
    if not waiting:
        return
    idle = waiting - busy_authors(context.instance, DERIVES)
    for author in ready_authors(context.instance, stores, context.log):
        if author.id not in idle:
            continue
        over = [until for until in waiting_until(stores, author).values() if until <= now]
        if over:
            yield dg.RunRequest(partition_key=author.id, run_key=f"{author.id}@wait@{max(over).isoformat()}")
