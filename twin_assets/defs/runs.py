"""Whose turn it is: authors that can be run, and those with a run under way."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from twin_assets.core.authors import Author
from twin_assets.core.errors import ConfigurationError
from twin_assets.core.workspace import Workspace
from twin_assets.defs.partitions import AUTHOR_PARTITION

IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# A run that has said nothing for so long was killed, and is never heard of again.
SILENT = timedelta(hours=2)


def clock() -> datetime:
    """The present; tests put another one in its place."""
    return datetime.now(UTC)


def ready_authors(instance: dg.DagsterInstance, workspace: Workspace, log: logging.Logger) -> list[Author]:
    """Authors with a partition: a request for one that is missing would fail the whole tick, for everybody.

    An author file that cannot be read is told to the log and stops nobody else.
    """
    known = set(instance.get_dynamic_partitions(AUTHOR_PARTITION))
    found = []
    for author_id in workspace.authors.ids():
        try:
            author = workspace.authors.get(author_id)
        except ConfigurationError as error:
            log.warning(str(error))
            continue
        if author.id in known:
            found.append(author)
    return found


def busy_authors(instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None) -> set[str]:
    """Authors with a run under way that has these tags."""
    since = clock() - SILENT
    records = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS, tags=tags))
    alive = [record.dagster_run for record in records if _heard_of(instance, record, since)]
    return {run.tags["dagster/partition"] for run in alive if "dagster/partition" in run.tags}


def _heard_of(instance: dg.DagsterInstance, record: dg.RunRecord, since: datetime) -> bool:
    """Whether the run's status changed, or its log grew, since then."""
    changed = record.update_timestamp
    if changed.replace(tzinfo=changed.tzinfo or UTC) >= since:
        return True
    events = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return any(datetime.fromtimestamp(event.timestamp, UTC) >= since for event in events)
