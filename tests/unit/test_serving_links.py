"""The link reader, on the pages the loopback platforms serve."""

from collections.abc import Iterator

import pytest

from demo.server import PlatformServer
from twin_assets.core.workspace import Workspace
from twin_serving.links import LinkText, read_links


@pytest.fixture(scope="module")
def platforms() -> Iterator[PlatformServer]:
    with PlatformServer() as server:
        yield server


def read(workspace: Workspace, *urls: str) -> list[LinkText]:
    with workspace.web() as web:
        return read_links(urls, web)


def test_an_article_is_read_for_its_main_text(workspace: Workspace, platforms: PlatformServer) -> None:
    url = f"{platforms.url}/web/small-teams.html"
    (link,) = read(workspace, url)
    assert (link.status, link.message, link.url) == ("read", "", url)
    assert link.title
    assert len(link.text) > 500
    assert "<p" not in link.text
    assert "Subscribe" not in link.text
    assert link.to_dict()["characters"] == len(link.text)


@pytest.mark.parametrize("page", ["challenge", "paywall", "notfound", "missing"])
def test_what_cannot_be_read_is_reported_and_never_invented(
    workspace: Workspace, platforms: PlatformServer, page: str
) -> None:
    (link,) = read(workspace, f"{platforms.url}/web/{page}.html")
    assert (link.status, link.text) == ("failed", "")
    assert f"/web/{page}.html" in link.message


def test_one_that_fails_stops_no_other_and_the_order_stays(workspace: Workspace, platforms: PlatformServer) -> None:
    good = f"{platforms.url}/web/small-teams.html"
    export = f"{platforms.url}/exports/medium.zip"
    links = read(
        workspace, "http://127.0.0.1:9/nothing", good, " ", good, export, "http://169.254.169.254/latest", "nonsense"
    )
    assert [link.status for link in links] == ["failed", "read", "failed", "failed", "failed"]
    assert "cannot be reached" in links[0].message
    assert "is application/zip, not a text" in links[2].message
    assert links[1].url == good
    assert all(link.message for link in links if link.status == "failed")


def test_no_links_read_nothing(workspace: Workspace) -> None:
    assert read(workspace) == []
