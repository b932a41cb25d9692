"""What the tests of collection share: loopback platforms, an author without sources, and short words for a run."""

import polars as pl
import pytest

from demo.server import PlatformServer
from twin_assets.core.authors import Author
from twin_assets.core.collection import SourceResult, collect_platform
from twin_assets.core.web import WebClient
from twin_assets.core.workspace import Workspace

LOGIN = "maren-oduya"


@pytest.fixture
def platforms():
    """The demo author's platforms on loopback."""
    with PlatformServer() as server:
        yield server


@pytest.fixture
def workspace(workspace, monkeypatch):
    """The author "ada" with no source; its web client waits for nothing."""
    allowed = workspace.settings.allowed_host_names
    monkeypatch.setattr(
        Workspace, "web", lambda self: WebClient(allowed_hosts=allowed, timeout=5, sleep=lambda seconds: None)
    )
    workspace.authors.save(Author(id="ada", name="Ada"))
    return workspace


def collect_all(workspace: Workspace, platform: str) -> list[SourceResult]:
    """One run of every source of a platform."""
    return collect_platform(workspace, workspace.authors.get("ada"), platform)


def collect(workspace: Workspace, platform: str) -> SourceResult:
    """One run of the platform's only source."""
    (result,) = collect_all(workspace, platform)
    return result


def counts(result: SourceResult) -> tuple[str, int, int, int, int, int]:
    """(status, new, changed, unchanged, removed, quarantined)."""
    return (result.status, result.new, result.changed, result.unchanged, result.removed, result.quarantined)


def rows(workspace: Workspace, live: bool = True) -> dict[str, dict]:
    """The raw documents by external id."""
    frame = workspace.lake.read("raw_documents", "ada")
    frame = frame.filter(pl.col("removed_at").is_null()) if live else frame
    return {row["external_id"]: row for row in frame.to_dicts()}
