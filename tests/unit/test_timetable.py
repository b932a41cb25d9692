"""An author's own timetable: what counts as one, when it fell due, and which moment comes next."""

from datetime import UTC, datetime

import pytest

from twin_assets.core.authors import Author
from twin_assets.core.errors import ConfigurationError, UnknownAuthorError
from twin_assets.core.timetable import checked_schedule, fell_due, next_run, set_schedule
from twin_assets.settings import Settings

AMSTERDAM = "Europe/Amsterdam"


@pytest.mark.parametrize("text", ["at six", "0 6 * *", "0 0 6 * * *", "61 6 * * *", "0 6 30 2 *", "@daily"])
def test_what_is_no_cron_expression_is_refused_with_an_example(text):
    with pytest.raises(ConfigurationError, match=r"is no cron expression .* '0 6 \* \* \*'"):
        checked_schedule(text, "UTC")


@pytest.mark.parametrize(("text", "schedule"), [(" 0 6 * * * ", "0 6 * * *"), ("off", None), ("", None), (None, None)])
def test_a_timetable_and_none(text, schedule):
    assert checked_schedule(text, "UTC") == schedule


@pytest.mark.parametrize(
    ("expression", "moment", "zone", "due"),
    [
        ("0 6 * * *", (2026, 1, 5, 6, 0), "UTC", True),
        ("0 6 * * *", (2026, 1, 5, 6, 15), "UTC", False),
        ("0 6 * * *", (2026, 1, 5, 5, 0), AMSTERDAM, True),  # winter time
        ("0 6 * * *", (2026, 7, 6, 4, 0), AMSTERDAM, True),  # summer time
        ("0 6 * * *", (2026, 7, 6, 6, 0), AMSTERDAM, False),
        ("30 2 * * *", (2026, 3, 29, 1, 0), AMSTERDAM, True),  # half past two does not come that night: three does
        ("* * * * *", (2026, 1, 5, 6, 0), "UTC", True),
    ],
)
def test_a_timetable_falls_due_in_its_time_zone(expression, moment, zone, due):
    assert fell_due(expression, datetime(*moment, tzinfo=UTC), zone) is due


def test_the_next_run_is_the_first_tick_at_or_after_the_moment():
    author = Author(id="ada", name="Ada", schedule="7 6 * * *")
    now = datetime(2026, 7, 6, 12, tzinfo=UTC)
    assert next_run(author, now, AMSTERDAM).isoformat() == "2026-07-07T06:15:00+02:00"
    on_the_hour = author.model_copy(update={"schedule": "0 6 * * *"})
    assert next_run(on_the_hour, now, "UTC").isoformat() == "2026-07-07T06:00:00+00:00"
    assert next_run(author.model_copy(update={"schedule": None}), now, "UTC") is None


def test_setting_it_changes_nothing_else_and_nobody_unknown(workspace):
    author = Author(id="ada", name="Ada", approval="manual")
    workspace.authors.save(author)
    assert set_schedule(workspace, "ada", "0 6 * * *") == workspace.authors.get("ada")
    assert set_schedule(workspace, "ada", "off") == author
    with pytest.raises(UnknownAuthorError):
        set_schedule(workspace, "nobody", "0 6 * * *")
    assert workspace.authors.ids() == ["ada"]


def test_an_unknown_time_zone_is_named():
    with pytest.raises(ValueError, match="'Mars/Olympus' is no time zone"):
        Settings(time_zone="Mars/Olympus")
