"""A process that is really killed (SIGKILL) at every step that leaves a trace: one more run puts all right.

Between two writes nothing on the disk changes, so that a death at any request is one before the write that follows it.
"""

import itertools
import json
import multiprocessing
import os
import signal
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from demo.linkedin import TOKEN
from demo.server import PlatformServer
from tests.integration.collecting import LOGIN, counts, platforms  # noqa: F401
from twin_assets.core import collection
from twin_assets.core.authors import Author, Source
from twin_assets.core.lake import Lake
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

PROSE = "The watermark moves only after the rows are counted, because a reader that trusts it must never be early. "


def deployment(home: Path, source: Source) -> Workspace:
    """An author with one source: the same for every process that is given the same folder."""
    workspace = Workspace(Settings(home=home, allowed_hosts="127.0.0.1", linkedin_token=SecretStr(TOKEN)))
    workspace.authors.save(Author(id="ada", name="Ada", sources=(source,)))
    return workspace


def run(workspace: Workspace) -> collection.SourceResult:
    author = workspace.authors.get("ada")
    (result,) = collection.collect_platform(workspace, author, author.sources[0].platform)
    return result


def run_killed_at(step: int, home: Path, source: Source) -> None:
    """Collect, writing down every document at once, and die before that transaction, if there are so many."""
    collection.BATCH, collection.RESUMABLE, collection.SAVING_SHARE = 2, 1, float("inf")
    steps, write = 0, Lake._write

    def writing(self, *arguments, **options):
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, *arguments, **options)

    Lake._write = writing  # type: ignore[method-assign]
    run(deployment(home, source))


@pytest.fixture(scope="module")
def context():
    """Processes that start with everything imported and nothing opened."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "deltalake", "feedparser", "protego", "trafilatura"])
    return context


def github(platforms: PlatformServer) -> Source:
    """One repository, release notes, an issue and a gist."""
    author = {"login": LOGIN, "type": "User"}
    release = {"id": 1, "html_url": "u", "tag_name": "v1", "body": PROSE, "author": author}
    gists = [
        {"id": name, "html_url": "u", "public": True, "updated_at": "2026-01-01T00:00:00Z",
         "files": {"a.md": {"content": PROSE, "truncated": False}}}
        for name in "a"
    ]  # fmt: skip
    issue = {"number": 1, "title": "T", "body": PROSE, "updated_at": "2026-01-01T00:00:00Z", "html_url": "u"}
    issue |= {"repository_url": "https://api.github.com/repos/o/r", "created_at": "2026-01-01T00:00:00Z"}
    for name, found in (("releases/keelson", [release]), ("gists", gists), ("issues", [issue])):
        platforms.content.write(f"github/{name}.json", json.dumps(found))
    return Source(platform="github", location=LOGIN, api_url=f"{platforms.url}/github")


def substack(platforms: PlatformServer) -> Source:
    """Two posts and a note."""
    posts = json.loads(platforms.content["substack/archive.json"])[:2]
    posts = [row | {"publishedBylines": [{"id": 41}]} for row in posts]
    platforms.content.write("substack/archive.json", json.dumps(posts))
    notes = [
        {"type": "comment", "context": {"type": "note"},
         "comment": {"id": number, "body": "A thought.", "user_id": 41, "date": "2025-01-01T00:00:00Z"}}
        for number in (1,)
    ]  # fmt: skip
    platforms.content.write("substack/notes/41.json", json.dumps(notes))
    return Source(platform="substack", location=f"{platforms.url}/substack")


def feed(platforms: PlatformServer) -> Source:
    """Two items with summaries, whose texts are on their pages."""
    items = ""
    for number in range(2):
        link = f"{platforms.url}/blog/{number}.html"
        items += f"<item><guid>urn:{number}</guid><link>{link}</link><title>T</title><description>So ..."
        items += "</description></item>"
        page = f"<html><head><title>T</title></head><body><article><h1>T</h1><p>{PROSE * 9}</p></article></body></html>"
        platforms.content.write(f"blog/{number}.html", page)
    platforms.content.write("blog/feed.xml", f'<rss version="2.0"><channel>{items}</channel></rss>')
    return Source(platform="feed", location=f"{platforms.url}/blog/feed.xml")


def linkedin(platforms: PlatformServer) -> Source:
    """A page of posts, one of comments, and one event of the change log."""
    header, *_ = platforms.content.text("linkedin/Shares.csv").split("\n", 1)
    rows = [f"2025-07-01 14:33:22,https://x/urn%3Ali%3Ashare%3A{n},{PROSE} {n},,,X" for n in range(4)]
    platforms.content.write("linkedin/Shares.csv", "\n".join([header, *rows]))
    platforms.content.write("linkedin/Comments.csv", "Date,Link,Message\n2025-07-01 14:33:22,urn:li:activity:1,Yes\n")
    event = {"resourceName": "ugcPosts", "resourceId": "urn:li:share:3", "method": "DELETE", "processedAt": 1}
    platforms.content.write("linkedin-api/changes.json", json.dumps([event]))
    return Source(platform="linkedin", location="https://www.linkedin.com/in/ada", api_url=f"{platforms.url}/linkedin")


@pytest.mark.parametrize("prepare", [github, substack, feed, linkedin])
def test_a_run_killed_at_any_step_is_finished_by_the_next(context, platforms, tmp_path, prepare):
    source = prepare(platforms)
    whole = deployment(tmp_path / "whole", source)
    assert (result := run(whole)).status == "ok", result
    expected = live(whole)
    assert len(expected) >= 2
    for step in itertools.count(1):
        platforms.set_github_quota(60)
        home = tmp_path / str(step)
        process = context.Process(target=run_killed_at, args=(step, home, source))
        process.start()
        process.join(timeout=60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL, f"step {step} ended with {process.exitcode}"
        workspace = deployment(home, source)
        had = live(workspace)
        result = run(workspace)
        assert (result.status, result.changed) == ("ok", 0), f"after step {step}: {result}"
        assert live(workspace) == expected, f"after step {step}"
        assert result.new - result.removed == len(expected) - len(had)
        frame = workspace.lake.read("raw_documents", "ada")
        assert frame["document_id"].n_unique() == frame.height
    assert step > 4


def test_a_run_killed_when_all_was_done_is_followed_by_one_that_writes_nothing(context, platforms, tmp_path):
    source = github(platforms)
    process = context.Process(target=run_killed_at, args=(0, tmp_path, source))
    process.start()
    process.join(timeout=60)
    workspace = deployment(tmp_path, source)
    version = workspace.lake.version("raw_documents")
    assert counts(run(workspace))[:3] == ("ok", 0, 0)
    assert workspace.lake.version("raw_documents") == version


def live(workspace: Workspace) -> dict[str, str]:
    """Contents of the raw documents that were not removed, by external id."""
    frame = workspace.lake.read("raw_documents", "ada", where=pl.col("removed_at").is_null())
    return dict(zip(frame["external_id"], frame["content"], strict=True))
