"""What there is of an author, for `twin status` and the page: counts, how each source fares, what is in quarantine."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from twin_assets.core import timetable
from twin_assets.core.authors import Author
from twin_assets.core.collection import source_states
from twin_assets.core.errors import ConfigurationError, IndexMissingError

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

COUNTS = ("new", "changed", "unchanged", "removed", "quarantined")


def quarantined(workspace: "Workspace", author: str) -> list[dict[str, Any]]:
    """Documents that were collected but kept from the corpus: platform, source, url, title, reason, remedy."""
    barred = pl.col("quarantine").is_not_null() & pl.col("removed_at").is_null()
    columns = ["platform", "source", "url", "title", "quarantine", "remedy"]
    rows = workspace.lake.read("raw_documents", author, columns=columns, where=barred)
    return rows.rename({"quarantine": "reason"}).sort("platform", "url", "title").to_dicts()


def waiting_authors(workspace: "Workspace") -> set[str]:
    """Authors with a source that waits, whether for its platform or for its owner; one read for all authors."""
    waits = pl.col("status") == "waiting"
    return set(workspace.lake.read("source_state", columns=["author"], where=waits)["author"])


def waiting_until(workspace: "Workspace", author: Author) -> dict[str, datetime]:
    """The author's sources (by key) whose platform asked to wait, and until when; the moment may have passed."""
    keys = {source.key for source in author.sources}
    return {
        row["source"]: row["retry_at"]
        for row in source_states(workspace, author.id)
        if row["source"] in keys and row["status"] == "waiting" and row["retry_at"] is not None
    }


def timetable_status(workspace: "Workspace", author: Author, now: datetime | None = None) -> dict[str, Any]:
    """The author's timetable: schedule (None: off), time_zone, next_run (in that zone) and schedule_problem.

    schedule_problem: what is wrong where an author file written by hand holds no cron expression, else "".
    """
    zone, following, problem = workspace.settings.time_zone, None, ""
    try:
        following = timetable.next_run(author, now or datetime.now(UTC), zone)
    except ConfigurationError as error:
        problem = str(error)
    return {"schedule": author.schedule, "time_zone": zone, "next_run": following, "schedule_problem": problem}


def source_report(workspace: "Workspace", author: Author, now: datetime | None = None) -> list[dict[str, Any]]:
    """How each of the author's sources fares, in the order of the author file.

    Each row: source (key), platform, location, status ("new" where nothing was collected yet), message, attempted_at,
    succeeded_at, retry_at, new, changed, unchanged, removed and quarantined (of the last reading; quarantined: now),
    next_run (in the deployment's time zone; None: when somebody starts it) and do: what to do, "" for nothing.
    """
    now = now or datetime.now(UTC)
    scheduled = timetable_status(workspace, author, now)["next_run"]
    zone = ZoneInfo(workspace.settings.time_zone)
    states = {state["source"]: state for state in source_states(workspace, author.id)}
    rows = []
    for source in author.sources:
        state = states.get(source.key, {"status": "new", "message": ""})
        retry_at = state.get("retry_at") if state["status"] == "waiting" else None
        following = scheduled if retry_at is None else max(retry_at, now).astimezone(zone)
        rows.append(
            {
                "source": source.key,
                "platform": source.platform,
                "location": source.location,
                "status": state["status"],
                "message": state["message"] or "",
                "attempted_at": state.get("attempted_at"),
                "succeeded_at": state.get("succeeded_at"),
                "retry_at": retry_at,
                **{name: state.get(name) or 0 for name in COUNTS},
                "next_run": following,
                "do": _what_to_do(state, author.id, following),
            }
        )
    return rows


def _what_to_do(state: Mapping[str, Any], author: str, following: datetime | None) -> str:
    """One sentence; "" where nothing is to be done."""
    status = state["status"]
    if status == "new":
        return f"Collect it: Start collecting on the page, or `twin collect {author}`."
    if status == "waiting" and following is not None and state.get("retry_at") is not None:
        when = following.strftime("%Y-%m-%d %H:%M %Z")
        return f"Nothing: the platform asked to wait, and collecting goes on by itself from {when} while Dagster runs."
    if status == "reading":
        return "Nothing while a run goes on; if it was interrupted, the next run goes on where it stopped."
    if status != "ok":
        return str(state["message"])  # an error's own sentence says what to do
    if state.get("quarantined"):
        return "Look at what was set aside (quarantine): each link has its own reason and remedy."
    return ""


def index_version(workspace: "Workspace", author: str) -> str | None:
    """Version of the author's published index, None where there is none yet."""
    try:
        return workspace.index.version(author)
    except IndexMissingError:
        return None


def document_counts(workspace: "Workspace", author: str) -> dict[str, int]:
    """Documents of the corpus by platform."""
    accepted = workspace.lake.read("documents", author, columns=["platform"], where=pl.col("rejected").is_null())
    return dict(accepted.group_by("platform").len().sort("platform").iter_rows())


def author_status(workspace: "Workspace", author: Author) -> dict[str, Any]:
    """Everything `twin status` shows of an author, as plain values."""
    counts = document_counts(workspace, author.id)
    approved = workspace.registry.approved(author.id)
    return {
        "id": author.id,
        "name": author.name,
        "documents": sum(counts.values()),
        "by_platform": counts,
        "chunks": workspace.lake.read("chunks", author.id, columns=["chunk_id"]).height,
        "index_version": index_version(workspace, author.id),
        "model_version": approved.version if approved else None,
        "is_nano": approved.is_nano if approved else None,
        **timetable_status(workspace, author),
        "sources": source_report(workspace, author),
        "quarantined": quarantined(workspace, author.id),
    }
