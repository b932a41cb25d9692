"""The most memory that reading an export of a gigabyte takes, against reading its files whole.

Exports of LinkedIn, X and Medium are made here: a table, or articles, of a long life, and photos beside them. Each
reading runs in a process of its own. The alternative is the standard library's way: ZipFile.read() of each text
file, json.loads() or csv.DictReader over it, rows in a list.
"""

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_text
from benchmarks.memory import peak_megabytes

AUTHOR = "bench"
PHOTO = 4_000_000
TABLES = {"linkedin": 0.25, "x": 0.4, "medium": 0.1}  # share of the export that is text; the rest is photos


def linkedin(size: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Shares.csv, posts of 2,400 characters each."""

    def rows() -> Iterator[bytes]:
        yield b"Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\n"
        body = make_text(1, 400)[:2400]
        for number in range(size // 2500):
            link = f"https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A{7_000_000_000_000_000_000 + number}"
            yield f'2024-05-01 10:00:00,{link},"{number} {body}",,,MEMBER_NETWORK\n'.encode()

    yield "Complete/Shares.csv", rows()


def x(size: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """data/tweets.js, indented as X writes it; every tenth tweet goes on with the thread of the one before."""

    def rows() -> Iterator[bytes]:
        body = make_text(1, 60)[:240]
        for number in range(1, size // 1700):
            mentions = [{"name": "Somebody", "screen_name": "somebody", "indices": ["0", "9"], "id_str": "1"}] * 3
            tweet = {
                "edit_info": {"initial": {"editTweetIds": [str(number)], "isEditEligible": False}}, "retweeted": False,
                "entities": {"user_mentions": mentions, "urls": []}, "id_str": str(number), "favorite_count": "1",
                "full_text": f"{number} {body}", "created_at": "Wed Sep 04 13:51:55 +0000 2019", "lang": "en",
                **({"in_reply_to_status_id_str": str(number - 1)} if number % 10 == 0 else {}),
            }  # fmt: skip
            text = json.dumps({"tweet": tweet}, indent=2)
            yield (("window.YTD.tweets.part0 = [\n" if number == 1 else ",\n") + text).encode()
        yield b"\n]"

    yield "data/tweets.js", rows()


def medium(size: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """One HTML file an article, of 20,000 characters."""
    paragraphs = "".join(f'<p class="graf">{make_text(n, 150)}</p>' for n in range(20))[:19_000]
    for number in range(size // 20_000):
        page = (
            f'<!DOCTYPE html><html><body><article class="h-entry"><h1 class="p-name">Article {number}</h1>'
            f'<section data-field="body" class="e-content"><h3 class="graf--title">Article {number}</h3>{paragraphs}'
            f'<p>{number}</p></section><footer><a href="https://medium.com/p/{number:012x}" class="p-canonical">x</a>'
            '<time class="dt-published" datetime="2024-05-01T10:00:00.000Z"></time></footer></article></body></html>'
        )
        yield f"posts/2024-05-01_Article-{number:012x}.html", iter([page.encode()])


SHAPES: dict[str, Callable[[int], Iterator[tuple[str, Iterator[bytes]]]]] = {
    "linkedin": linkedin, "x": x, "medium": medium,
}  # fmt: skip


def make_export(platform: str, path: Path, size: int) -> None:
    """Write an export that unpacks to about `size` bytes."""
    text = int(size * TABLES[platform])
    with zipfile.ZipFile(path, "w") as packed:
        for name, blocks in SHAPES[platform](text):
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = text
            with packed.open(entry, "w") as file:
                for block in blocks:
                    file.write(block)
        for number in range((size - text) // PHOTO):
            packed.writestr(f"data/media/{number}.jpg", os.urandom(PHOTO))


def read_whole(platform: str, path: Path) -> int:
    """The alternative; number of rows or files."""
    with zipfile.ZipFile(path) as packed:
        if platform == "medium":
            return sum(1 for name in packed.namelist() if name.endswith(".html") and packed.read(name).decode())
        name = next(name for name in packed.namelist() if name.endswith((".csv", ".js")))
        text = packed.read(name).decode()
        if platform == "x":
            return len(json.loads(text[text.index("=") + 1 :]))
        return len(list(csv.DictReader(io.StringIO(text))))


def read_stream(platform: str, path: Path) -> int:
    """What a source does with an export; number of documents."""
    from twin_assets.core.archives import Archive
    from twin_assets.core.authors import Author, Source
    from twin_assets.core.sources import platform_named, recognise
    from twin_assets.core.sources.base import Found, Reading
    from twin_assets.core.web import WebClient
    from twin_assets.settings import Settings

    assert recognise(path) == platform
    source = Source(platform=platform, location="imports/bench/x.zip")
    author = Author(id=AUTHOR, name="Bench", sources=(source,))
    reader = platform_named(platform).read_export
    assert reader is not None
    with WebClient() as web, Archive(path) as archive:
        reading = Reading(author, source, {}, web, Settings(home=path.parent))
        return sum(isinstance(event, Found) for event in reader(reading, archive))


def collect(platform: str, path: Path) -> int:
    """The whole way: imported, read, written to the lake; number of documents there."""
    from twin_assets.core.authors import Author
    from twin_assets.core.collection import collect_platform, import_export
    from twin_assets.core.workspace import Workspace
    from twin_assets.settings import Settings

    with tempfile.TemporaryDirectory(dir=path.parent) as home:
        workspace = Workspace(Settings(home=Path(home)))
        workspace.authors.save(Author(id=AUTHOR, name="Bench"))
        import_export(workspace, AUTHOR, path)
        (result,) = collect_platform(workspace, workspace.authors.get(AUTHOR), platform)
        assert result.status == "ok", result.message
        return result.new


WAYS = {"files read whole": read_whole, "as a stream": read_stream, "imported and collected": collect}


def measured(way: str, platform: str, path: Path) -> dict[str, float]:
    """Documents, seconds and peak of a process that reads the export one way."""
    command = [sys.executable, "-m", "benchmarks.bench_archive", "--read", way, platform, str(path)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="exports of 60 MB")
    parser.add_argument("--read", nargs=3, metavar=("WAY", "PLATFORM", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        way, platform, path = options.read
        started = time.perf_counter()
        documents = WAYS[way](platform, Path(path))
        print(json.dumps({"documents": documents, "seconds": time.perf_counter() - started, "peak": peak_megabytes()}))
        return
    size = 60_000_000 if options.quick else 1_000_000_000
    table = Table(title=f"Reading exports of {size / 1e6:,.0f} MB", title_justify="left")
    for name in ("export", "of it text, MB", "how", "documents", "seconds", "peak MB"):
        table.add_column(name, justify="left" if name in ("export", "how") else "right")
    with tempfile.TemporaryDirectory() as folder:
        for platform in SHAPES:
            path = Path(folder, f"{platform}.zip")
            make_export(platform, path, size)
            for way in WAYS:
                figures = measured(way, platform, path)
                row = (platform, f"{size * TABLES[platform] / 1e6:,.0f}", way, f"{figures['documents']:,.0f}")
                row += (f"{figures['seconds']:.1f}", f"{figures['peak']:,.0f}")
                table.add_row(*row)
                print(*row, sep=", ", file=sys.stderr, flush=True)
            path.unlink()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
