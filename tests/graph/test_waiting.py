"""A platform that says wait: nothing is asked before its time, it goes on then by itself, and once."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest

from demo.server import PlatformServer
from tests.graph.ticks import empty_instance, instance, resource, tick, tick_timetable  # noqa: F401  fixtures
from tests.integration.collecting import platforms, workspace  # noqa: F401  fixtures
from twin_assets.core import collection
from twin_assets.core.authors import Author, Source
from twin_assets.core.collection import add_source, collect_platform
from twin_assets.core.status import source_report, waiting_until
from twin_assets.defs import runs
from twin_assets.defs.automation import DERIVES
from twin_assets.defs.collection import sensors
from twin_assets.defs.collection.sensors import wait_is_over
from twin_assets.defs.partitions import AUTHOR_PARTITION

MINUTE = timedelta(minutes=1)


@pytest.fixture
def quota_spent(workspace, platforms: PlatformServer, instance) -> datetime:
    """Ada's GitHub quota was spent by a run that ended well; the moment it goes on."""
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada"])
    workspace.authors.save(Author(id="ada", name="Ada", schedule="* * * * *"))
    add_source(workspace, "ada", "github", "maren-oduya", api_url=f"{platforms.url}/github")
    platforms.set_github_quota(0, resets_in=3600)
    (result,) = collect(workspace, "github")
    assert result.status == "waiting"
    return waiting_until(workspace, workspace.authors.get("ada"))["github:maren-oduya"]


def collect(workspace, platform: str):
    return collect_platform(workspace, workspace.authors.get("ada"), platform)


def freeze(monkeypatch, moment: datetime) -> None:
    """Let the sensors and the collector live at this moment."""
    for module in (runs, sensors):
        monkeypatch.setattr(module, "clock", lambda: moment)
    monkeypatch.setattr(collection, "time", SimpleNamespace(**vars(time) | {"time": moment.timestamp}))


def asked(instance, resource) -> list[tuple[str, str]]:
    return [(each.partition_key, each.run_key) for each in tick(wait_is_over, instance, resource).run_requests]


def under_way(instance, author: str, tags: dict[str, str]) -> None:
    """A run of this author that has started and not ended."""
    tags = {"dagster/partition": author, **tags}
    instance.add_run(dg.DagsterRun(job_name="collect", status=dg.DagsterRunStatus.STARTED, tags=tags))


def test_a_spent_quota_goes_on_at_its_time_and_once(workspace, platforms, resource, instance, quota_spent, monkeypatch):
    (row,) = source_report(workspace, workspace.authors.get("ada"))
    assert row["next_run"] == row["retry_at"] == quota_spent
    assert quota_spent.strftime("%Y-%m-%d %H:%M UTC") in row["do"]

    freeze(monkeypatch, quota_spent - timedelta(seconds=1))
    assert asked(instance, resource) == []
    freeze(monkeypatch, quota_spent)
    (first,) = asked(instance, resource)
    assert first[0] == "ada"
    assert asked(instance, resource) == [first], "Dagster starts no second run with the same key"

    platforms.set_github_quota(60)
    freeze(monkeypatch, quota_spent + timedelta(seconds=1))
    (result,) = collect(workspace, "github")
    assert (result.status, result.new > 0) == ("ok", True)
    assert asked(instance, resource) == []


def test_a_feed_that_says_retry_after_goes_on_then(workspace, platforms, resource, instance, monkeypatch):
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada"])
    add_source(workspace, "ada", "feed", f"{platforms.url}/blog/feed.xml")
    platforms.fail("/blog", status=429, retry_after=600, times=None)
    (result,) = collect(workspace, "feed")
    (until,) = waiting_until(workspace, workspace.authors.get("ada")).values()
    assert result.status == "waiting"
    freeze(monkeypatch, until - timedelta(seconds=1))
    assert asked(instance, resource) == []
    freeze(monkeypatch, until)
    assert len(asked(instance, resource)) == 1


def test_a_second_wait_is_another_one(workspace, platforms, resource, instance, quota_spent, monkeypatch):
    freeze(monkeypatch, quota_spent)
    (first,) = asked(instance, resource)
    platforms.set_github_quota(0, resets_in=7200)
    freeze(monkeypatch, quota_spent + timedelta(seconds=1))
    collect(workspace, "github")
    assert asked(instance, resource) == []
    freeze(monkeypatch, quota_spent + timedelta(hours=2))
    (second,) = asked(instance, resource)
    assert second != first


def test_nothing_is_started_beside_a_run_that_collects(resource, instance, quota_spent, monkeypatch):
    freeze(monkeypatch, quota_spent)
    under_way(instance, "ada", {})
    assert len(asked(instance, resource)) == 1, "a run that trains does not stand in the way"
    under_way(instance, "ada", DERIVES)
    assert asked(instance, resource) == []
    assert tick_timetable(instance, resource, quota_spent) == []
    later = datetime.now(UTC) + timedelta(hours=3)
    freeze(monkeypatch, later)
    assert len(asked(instance, resource)) == 1, "one that has been silent for hours was killed"


def test_a_source_that_was_removed_is_not_waited_for(workspace, resource, instance, quota_spent, monkeypatch):
    workspace.authors.save(Author(id="ada", name="Ada"))
    freeze(monkeypatch, quota_spent + MINUTE)
    assert asked(instance, resource) == []


def test_the_timetable_waits_only_where_every_source_does(workspace, resource, instance, quota_spent):
    workspace.authors.save(Author(id="ben", name="Ben", schedule="* * * * *"))
    workspace.authors.add_source("ben", Source(platform="feed", location="https://ben.example/feed"))
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ben"])
    assert tick_timetable(instance, resource, quota_spent - MINUTE) == ["ben"]
    assert tick_timetable(instance, resource, quota_spent) == ["ada", "ben"]
    workspace.authors.add_source("ada", Source(platform="feed", location="https://ada.example/feed"))
    assert tick_timetable(instance, resource, quota_spent - MINUTE) == ["ada", "ben"]
