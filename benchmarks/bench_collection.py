"""Collection over the loopback platforms: documents per second against a sequential client, and what a refresh costs.

The sequential client is a plain httpx.Client that makes the very requests ours made, one after the other, under the
same pauses, and neither parses nor stores anything: no sequential collector is faster. The second table counts, at
the server, requests and bytes of a first run over the demo author and of one with nothing changed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_text
from demo.history import HistoryServer
from demo.linkedin import TOKEN
from demo.loopback import LoopbackServer
from demo.run import AUTHOR, add_demo_author
from demo.server import PlatformServer
from twin_assets.core.authors import Author, Source
from twin_assets.core.collection import add_source, collect_platform
from twin_assets.core.politeness import TURNS
from twin_assets.core.sources.github_api import RULE
from twin_assets.core.web import WebClient
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

LOGIN = "maren-oduya"
GRAPHQL = json.dumps({"query": "repositoryDiscussions", "variables": {"login": LOGIN, "after": None}}).encode()
PAUSES = {"feed": 0.25, "github": RULE["interval"]}  # seconds between two requests, as the project keeps them


class PausingClient(WebClient):
    """The client with the pauses it keeps towards hosts that are not the operator's own."""

    def _turn(self, host: str, limits: Any) -> AbstractContextManager[None]:
        return TURNS.turn(host, limits.interval, self._sleep, limits.connections)


class BenchWorkspace(Workspace):
    """A deployment in a folder that may read loopback, with or without pauses."""

    def __init__(self, home: Path, pauses: bool) -> None:
        super().__init__(Settings(home=home, allowed_hosts="127.0.0.1", github_token=SecretStr("bench")))
        self.client = PausingClient if pauses else WebClient

    def web(self) -> WebClient:
        return self.client(allowed_hosts=frozenset({"127.0.0.1"}))


@contextmanager
def blog(size: int) -> Iterator[tuple[LoopbackServer, Source]]:
    """A feed with summaries only; the texts are on its pages."""
    with PlatformServer() as server:
        items = []
        for number in range(size):
            link = f"{server.url}/blog/{number}.html"
            text = "".join(f"<p>{make_text(number * 10 + part, 80)}</p>" for part in range(6))
            server.content.write(
                f"blog/{number}.html",
                f"<!DOCTYPE html><html><head><title>Post {number}</title></head><body><nav>Home</nav><article>"
                f"<h1>Post {number}</h1>{text}</article></body></html>",
            )
            items.append(
                f"<item><title>Post {number}</title><link>{link}</link><guid>{link}</guid><description>"
                f"{make_text(number * 10, 20)} ...</description></item>"
            )
        server.content.write("blog/feed.xml", f'<rss version="2.0"><channel>{"".join(items)}</channel></rss>')
        yield server, Source(platform="feed", location=f"{server.url}/blog/feed.xml")


@contextmanager
def github(size: int) -> Iterator[tuple[LoopbackServer, Source]]:
    """Repositories of a README and four pages of documentation each."""
    with PlatformServer() as server:
        rows = json.loads(server.content["github/repos.json"])
        written = []
        for number in range(size):
            name = f"project-{number}"
            full = f"{LOGIN}/{name}"
            written.append(rows[0] | {"id": number + 1, "name": name, "full_name": full})
            for path in ("README.md", *(f"docs/{page}.md" for page in "abcd")):
                text = f"# {name} {path}\n\n{make_text(number * 10 + len(path), 150)}\n"
                server.content.write(f"github/repositories/{name}/{path}", text)
        server.content.write("github/repos.json", json.dumps(written))
        yield server, Source(platform="github", location=LOGIN, api_url=f"{server.url}/github")


@contextmanager
def substack(size: int) -> Iterator[tuple[LoopbackServer, Source]]:
    """A publication whose posts are read one by one."""
    with HistoryServer(size) as server:
        yield server, Source(platform="substack", location=f"{server.url}/substack")


def ours(source: Source, pauses: bool) -> tuple[int, float]:
    """(documents, seconds) of collecting a source into an empty home."""
    with tempfile.TemporaryDirectory() as home:
        workspace = BenchWorkspace(Path(home), pauses)
        workspace.authors.save(Author(id=AUTHOR, name="Bench", sources=(source,)))
        started = time.perf_counter()
        (result,) = collect_platform(workspace, workspace.authors.get(AUTHOR), source.platform)
        seconds = time.perf_counter() - started
    assert result.status == "ok", result.message
    return result.new, seconds


def sequential(server: LoopbackServer, first: int, pause: float) -> float:
    """Seconds a plain client takes for the requests since the `first` logged one."""
    asked = server.requests[first:]
    started = time.perf_counter()
    with httpx.Client(timeout=20, trust_env=False) as client:
        for number, request in enumerate(asked):
            time.sleep(max(0.0, started + number * pause - time.perf_counter()))
            headers = {
                name: request.headers[name] for name in ("user-agent", "authorization") if name in request.headers
            }
            body = GRAPHQL if request.method == "POST" else None
            client.request(request.method, server.url + request.path, headers=headers, content=body)
    return time.perf_counter() - started


def throughput(name: str, make: Callable[[int], Any], size: int, latency: float, pauses: bool) -> tuple[str, ...]:
    """A row of the first table."""
    with make(size) as (server, source):
        if not pauses:
            ours(source, False)  # imports what it needs
        server.latency = latency
        first = len(server.requests)
        documents, seconds = ours(source, pauses)
        requests = len(server.requests) - first
        most, plain = server.most_inside, sequential(server, first, PAUSES[source.platform] if pauses else 0.0)
    return (
        name, f"{latency * 1000:.0f} ms", f"{PAUSES[source.platform]:g} s" if pauses else "none", f"{documents:,}",
        f"{requests:,}", f"{most}", f"{documents / plain:.1f}", f"{documents / seconds:.1f}", f"{plain / seconds:.2f}",
    )  # fmt: skip


def refresh() -> Table:
    """What a first run over the demo author and one with nothing changed ask for."""
    table = Table(title="Requests and bytes counted by the server: the demo author", title_justify="left")
    for column in ("source", "documents", "first: requests", "bytes", "nothing changed: requests", "bytes", "answers"):
        table.add_column(column, justify="left" if column in ("source", "answers") else "right")
    with tempfile.TemporaryDirectory() as home, PlatformServer() as server:
        workspace = BenchWorkspace(Path(home), False)
        workspace.settings.linkedin_token = SecretStr(TOKEN)
        add_demo_author(workspace, server)
        add_source(workspace, AUTHOR, "linkedin", f"https://www.linkedin.com/in/{LOGIN}", f"{server.url}/linkedin")
        pages = "".join(f"<url><loc>{server.url}/web/{name}.html</loc></url>" for name in ("small-teams", "notfound"))
        for number in range(20):
            server.content.write(
                f"blog/{number}.html", f"<article><h1>{number}</h1><p>{make_text(number, 200)}</p></article>"
            )
            pages += f"<url><loc>{server.url}/blog/{number}.html</loc><lastmod>2025-01-01</lastmod></url>"
        server.content.write("blog/sitemap.xml", f"<urlset>{pages}</urlset>")
        add_source(workspace, AUTHOR, "feed", f"{server.url}/blog/sitemap.xml")
        author = workspace.authors.get(AUTHOR)
        for source in author.sources:
            alone = author.model_copy(update={"sources": (source,)})
            runs = []
            for _ in range(2):
                first = len(server.requests)
                (result,) = collect_platform(workspace, alone, source.platform)
                assert result.status == "ok", result.message
                asked = server.requests[first:]
                answers = sorted({request.status for request in asked})
                runs.append((len(asked), sum(request.size for request in asked), answers, result))
            assert runs[1][3].new + runs[1][3].changed == 0
            name = source.key.replace(server.url, "").replace(home, "")[:48]
            costs = [f"{number:,}" for run in runs for number in run[:2]]
            table.add_row(name, f"{runs[0][3].new}", *costs, " ".join(map(str, runs[1][2])))
    return table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few documents, no pauses")
    quick = parser.parse_args().quick
    table = Table(title="Documents per second against a sequential httpx.Client", title_justify="left")
    for column in ("source", "latency", "pauses", "documents", "requests", "at once", "httpx /s", "ours /s", "ratio"):
        table.add_column(column, justify="left" if column == "source" else "right")
    sizes = (20, 4, 20) if quick else (200, 40, 200)
    for name, make, size in zip(
        ("feed and its pages", "GitHub", "Substack"), (blog, github, substack), sizes, strict=True
    ):
        table.add_row(*throughput(name, make, size, 0.05, False))
    if not quick:
        for latency in (0.05, 0.3):
            table.add_row(*throughput("feed and its pages", blog, 60, latency, True))
            table.add_row(*throughput("GitHub", github, 20, latency, True))
    console = Console(width=130)
    console.print(table)
    console.print(refresh())


if __name__ == "__main__":
    main()
