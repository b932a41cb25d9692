"""Every platform through every fault: nothing lost, doubled, removed or hung."""

import html
import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from demo.linkedin import TOKEN
from tests.integration.collecting import LOGIN, collect, counts, platforms, rows, workspace  # noqa: F401
from twin_assets.core.collection import _Collector, add_source, source_states

SOURCES = {
    "linkedin": ("https://www.linkedin.com/in/ada", "/linkedin"),
    "medium": (f"/medium/feed/@{LOGIN}", None),
    "substack": ("/substack", None),
    "github": (LOGIN, "/github"),
    "feed": ("/blog/feed.xml", None),
}
PREFIX = {name: f"/{name}" for name in SOURCES} | {"feed": "/blog"}
FAULTS = {
    "429 without Retry-After": {"status": 429}, "429 with Retry-After": {"status": 429, "retry_after": 900},
    "403 of Cloudflare": {"fault": "challenge"}, "500": {"status": 500},
    "reset": {"fault": "reset"}, "timeout mid-body": {"fault": "stall", "seconds": 0.01},
    "truncated": {"fault": "truncated"}, "truncated gzip": {"fault": "truncated_gzip"},
    "malformed": {"fault": "malformed"}, "wrong encoding": {"fault": "wrong_encoding"},
    "endless redirects": {"fault": "redirect_loop"}, "304 to everything": {"fault": "not_modified"},
    "100 MB": {"fault": "huge", "size": 100_000_000},
}  # fmt: skip


def add(workspace, platforms, platform: str) -> None:
    location, api = SOURCES[platform]
    if platform == "linkedin":
        workspace.settings = workspace.settings.model_copy(update={"linkedin_token": SecretStr(TOKEN)})
    location = platforms.url + location if location.startswith("/") else location
    add_source(workspace, "ada", platform, location, api_url=platforms.url + api if api else None)


def contents(workspace) -> dict[str, str]:
    return {name: row["content"] for name, row in rows(workspace).items()}


@pytest.fixture
def unhurried(monkeypatch):
    """A platform that asked to wait may be asked again at once."""
    monkeypatch.setattr(_Collector, "_check_wait", lambda *_: None)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("platform", [name for name in SOURCES if name != "medium"])  # a feed like any other
def test_a_fault_at_the_first_reading_costs_nothing_but_time(workspace, platforms, unhurried, platform, fault):
    add(workspace, platforms, platform)
    platforms.fail(PREFIX[platform], times=None, **FAULTS[fault])
    failed = collect(workspace, platform)
    assert failed.removed == 0
    if fault != "wrong encoding":  # ASCII is the same in every encoding
        assert (failed.status, failed.new) in (("failed", 0), ("waiting", 0))
        assert failed.message.endswith(".")
        assert source_states(workspace, "ada")[0]["succeeded_at"] is None
    platforms.clear_faults()
    healed = collect(workspace, platform)
    assert healed.status == "ok"
    if failed.status != "ok":  # else Substack's feed stood in, whose documents the archive's then replace
        assert failed.new + healed.new == len(rows(workspace)) > 0
    version = workspace.lake.version("raw_documents")
    assert counts(collect(workspace, platform))[:3] == ("ok", 0, 0)
    assert workspace.lake.version("raw_documents") == version


@pytest.mark.parametrize("platform", SOURCES)
def test_a_burst_of_trouble_is_outlived(workspace, platforms, platform):
    add(workspace, platforms, platform)
    platforms.fail(PREFIX[platform], status=503, times=1)
    platforms.fail(PREFIX[platform], fault="truncated_gzip", times=1)
    assert collect(workspace, platform).status == "ok"


def test_a_feed_that_loses_its_old_items_takes_nothing_away(workspace, platforms):
    add(workspace, platforms, "medium")
    first = collect(workspace, "medium")
    for name in list(rows(workspace))[1:]:
        platforms.remove_post("medium", name)
    platforms.add_post("medium", "Something new", "A text that was not there. " * 40)
    assert counts(collect(workspace, "medium"))[:5] == ("ok", 1, 0, 1, 0)
    assert len(rows(workspace)) == first.new + 1


def test_dates_that_cannot_be_are_told_and_not_believed(workspace, platforms):
    """Clock skew: a text the platform shows is published, whatever day it names; it is kept, without that day."""
    rows_ = json.loads(platforms.content["substack/archive.json"])
    soon = (datetime.now(UTC) + timedelta(hours=12)).isoformat()
    dates = ["2050-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "soon", soon]
    for row, date in zip(rows_, dates, strict=False):
        row["post_date"] = date
    platforms.content.write("substack/archive.json", json.dumps(rows_))
    add(workspace, platforms, "substack")
    assert collect(workspace, "substack").new == len(rows_)
    stored = rows(workspace)
    published = [stored[str(row["id"])]["published_at"] for row in rows_[:5]]
    assert published == [None, None, None, None, datetime.fromisoformat(soon)]  # clocks and time zones differ by a day
    stated = [json.loads(stored[str(row["id"])]["metadata"]).get("stated_date", "")[:10] for row in rows_[:5]]
    assert stated == ["2050-01-01", "0001-01-01", "1970-01-01", "", ""]
    assert counts(collect(workspace, "substack"))[:4] == ("ok", 0, 0, len(rows_))


@pytest.mark.parametrize("platform", ["feed", "medium"])
def test_a_feed_in_another_encoding_than_it_says_keeps_every_character(workspace, platforms, platform):
    words = "“It’s naïve,” said the café – and closed. " * 9
    platforms.add_post("blog" if platform == "feed" else platform, "The café", words)
    add(workspace, platforms, platform)
    platforms.fail(PREFIX[platform], fault="wrong_encoding", times=None)
    assert collect(workspace, platform).status == "ok"
    found = " ".join(contents(workspace).values())
    assert words.strip() in html.unescape(found)
    assert "\ufffd" not in found
