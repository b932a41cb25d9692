"""An author's own timetable: a cron expression that is read in the deployment's time zone."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from twin_assets.core.authors import Author
from twin_assets.core.errors import ConfigurationError

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

# The timetables are looked at this often; a cron expression cannot be met more closely.
TICK = timedelta(minutes=15)
CRON_FIELDS = 5  # cronsim also reads one for seconds, which nothing here could keep


def next_moment(expression: str, after: datetime, zone: str) -> datetime:
    """The first moment after `after` that the cron expression names, in the time zone; raises ConfigurationError."""
    from cronsim import CronSim, CronSimError

    try:
        if len(expression.split()) != CRON_FIELDS:
            raise CronSimError("a cron expression has five fields")
        return next(CronSim(expression, after.astimezone(ZoneInfo(zone))))
    except (CronSimError, StopIteration) as error:
        reason = str(error) or "no such moment ever comes"
        raise ConfigurationError(
            f"{expression!r} is no cron expression ({reason}); write minute, hour, day, month and weekday, as in "
            "'0 6 * * *' for every day at six."
        ) from error


def fell_due(expression: str, now: datetime, zone: str) -> bool:
    """Whether the expression named a moment since the tick before `now`; raises ConfigurationError."""
    return next_moment(expression, now - TICK, zone) <= now


def next_run(author: Author, now: datetime, zone: str) -> datetime | None:
    """When the author is collected next by their timetable (a tick's moment, in the time zone); None: never by itself.

    Raises ConfigurationError where the author file holds what is no cron expression.
    """
    if author.schedule is None:
        return None
    wanted = next_moment(author.schedule, now, zone)
    late = (wanted.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) % TICK
    return (wanted.astimezone(UTC) + (TICK - late if late else timedelta())).astimezone(ZoneInfo(zone))


def checked_schedule(text: str | None, zone: str) -> str | None:
    """What a person wrote as a timetable: a cron expression, or None for "", "off" and None.

    Raises ConfigurationError where it is neither.
    """
    wanted = (text or "").strip()
    if wanted.lower() in ("", "off"):
        return None
    next_moment(wanted, datetime.now(UTC), zone)
    return wanted


def set_schedule(workspace: "Workspace", author_id: str, text: str | None) -> Author:
    """Give the author this timetable ("off": none) and return them; raises ConfigurationError, UnknownAuthorError."""
    schedule = checked_schedule(text, workspace.settings.time_zone)
    with workspace.authors.changing(author_id) as author:
        changed = author.model_copy(update={"schedule": schedule})
        workspace.authors.save(changed)
    return changed
