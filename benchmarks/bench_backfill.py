"""A long history collected through a loopback Substack, killed in the middle and gone on with.

The alternative is a full re-read: what a collector that keeps no account of what it has read does after a kill. It is
the same collector with an empty home.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.memory import peak_megabytes
from demo.history import HistoryServer

AUTHOR = "bench"


def collect(home: Path, url: str) -> None:
    """In a process of its own: one run of the source, and what it did as a line of JSON."""
    from twin_assets.core.authors import Author, Source
    from twin_assets.core.collection import collect_platform
    from twin_assets.core.workspace import Workspace
    from twin_assets.settings import Settings

    workspace = Workspace(Settings(home=home, allowed_hosts=url.removeprefix("http://").partition("/")[0]))
    workspace.authors.save(Author(id=AUTHOR, name="Bench", sources=(Source(platform="substack", location=url),)))
    (result,) = collect_platform(workspace, workspace.authors.get(AUTHOR), "substack")
    rows = workspace.lake.read("raw_documents", AUTHOR, columns=["document_id"])
    assert rows["document_id"].n_unique() == rows.height
    figures = {"status": result.status, "message": result.message, "new": result.new, "documents": rows.height}
    print(json.dumps(figures | {"peak": peak_megabytes()}))


class Run:
    """A collecting process against the server, and what the server saw of it."""

    def __init__(self, server: HistoryServer, home: Path) -> None:
        self.server, self.started = server, time.perf_counter()
        self.before = len(server.requests), server.given
        command = [sys.executable, "-m", "benchmarks.bench_backfill", "--collect", str(home), f"{server.url}/substack"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.seconds, self.peak, self.figures = 0.0, 0.0, {}

    def kill_after(self, posts: int) -> "Run":
        """Kill it when it has been given so many posts."""
        while self.server.given - self.before[1] < posts:
            if self.process.poll() is not None:
                raise SystemExit(f"the collector ended by itself ({self.process.returncode})")
            time.sleep(0.05)
        self.peak = peak_megabytes(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._end()
        return self

    def finish(self) -> "Run":
        """Wait for its end."""
        answer, _ = self.process.communicate()
        if self.process.returncode:
            raise SystemExit(f"the collector failed ({self.process.returncode})")
        self._end()
        self.figures = json.loads(answer)
        assert self.figures["status"] == "ok", self.figures["message"]
        self.peak = self.figures["peak"]
        return self

    def _end(self) -> None:
        self.seconds = time.perf_counter() - self.started
        self.after = len(self.server.requests), self.server.given

    @property
    def requests(self) -> int:
        return self.after[0] - self.before[0]

    @property
    def posts(self) -> int:
        """Posts it was given, each as often as it asked."""
        return self.after[1] - self.before[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 posts")
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--collect", nargs=2, metavar=("HOME", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collect:
        collect(Path(options.collect[0]), options.collect[1])
        return
    posts = 2000 if options.quick else options.posts
    table = Table(title=f"A backfill of {posts:,} posts, killed at half", title_justify="left")
    for name in ("", "seconds", "posts asked", "of them again", "requests", "posts/s", "peak MB"):
        table.add_column(name, justify="right" if name else "left")

    def show(name: str, run: Run, again: int) -> None:
        speed = f"{run.posts / run.seconds:.0f}" if run.posts else ""
        figures = (f"{run.seconds:.1f}", f"{run.posts:,}", f"{again:,}", f"{run.requests:,}", speed, f"{run.peak:.0f}")
        table.add_row(name, *figures)
        print(name, *figures, sep=", ", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        with HistoryServer(posts) as server:
            killed = Run(server, Path(folder, "a")).kill_after(posts // 2)
            show("until the kill", killed, 0)
            rest = Run(server, Path(folder, "a")).finish()
            show("the next run goes on", rest, killed.posts + rest.posts - posts)
            assert rest.figures["documents"] == posts
            show("a refresh with nothing new", Run(server, Path(folder, "a")).finish(), 0)
        # A full re-read takes time in proportion, so that of a long history a fifth is read.
        part = posts if options.quick else posts // 5
        with HistoryServer(part) as server:
            whole = Run(server, Path(folder, "b")).finish()
            show(f"a full re-read of {part:,}", whole, part // 2)
    Console(width=120).print(table)
    scale = posts / part
    print(f"after the kill: going on takes {rest.seconds / (whole.seconds * scale):.2f} of the time of a full re-read "
          f"and {rest.requests / (whole.requests * scale):.2f} of its requests")  # fmt: skip


if __name__ == "__main__":
    main()
