"""Every platform through every fault: nothing lost, doubled, removed or hung."""

import json

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


def test_a_platforms_dates_from_the_future_are_kept_and_hold_nothing_up(workspace, platforms):
    rows_ = json.loads(platforms.content["substack/archive.json"])
    rows_[0]["post_date"] = "2050-01-01T00:00:00.000Z"
    platforms.content.write("substack/archive.json", json.dumps(rows_))
    add(workspace, platforms, "substack")
    assert collect(workspace, "substack").new == len(rows_)
    assert counts(collect(workspace, "substack"))[:4] == ("ok", 0, 0, len(rows_))
