"""How often the quarantine detector is right: on real captured pages, feeds and API answers, and on the known formats.

Real things are counted apart from those made to the formats of known walls (benchmarks/walls.py). The alternative that
is compared is what it is tempting to write: the set phrases of walls, looked for anywhere in a page.
"""

import argparse
import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from benchmarks.bench_main_text import pages
from benchmarks.walls import HONEST, LATER, WALLS, page
from twin_assets.core.authors import Author, Source
from twin_assets.core.cleaning.pages import read_article
from twin_assets.core.sources import medium, substack
from twin_assets.core.sources.base import Reading
from twin_assets.core.sources.bylines import judge_author
from twin_assets.core.sources.feed_reader import parse_feed
from twin_assets.core.sources.quarantine import FOREIGN, judge_page
from twin_assets.core.web_answers import WebResponse

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
# The one page of the set that is a preview.
PREVIEW = (
    "042bb7b5fedab6eac7db576522b89b93904c237d344bcbe14a6a5ab7f7335856"  # the one page of the set that is a preview
)
Case = tuple[str, str | None, str | None]  # where from, what is true, what was found
_PHRASES = re.compile(
    r"just a moment|access denied|captcha|verify you are human|cookies|value your privacy|subscribe|paywall"
    r"|sign in|log in|404|not found",
    re.IGNORECASE,
)


@dataclass
class Counts:
    """What was counted for one kind."""

    right: int = 0
    missed: int = 0
    false: Counter[str] = field(default_factory=Counter)


def real_pages(judge: Callable[[str, int, str], str | None]) -> Iterator[Case]:
    """The 91 article pages, all whole but one, and saved pages of exports."""
    names = sorted(json.loads((DATA / "html_article_benchmark" / "ground-truth.json").read_text()))
    for name, (url, html, _) in zip(names, pages(), strict=True):
        yield "article page", "paywall" if name == PREVIEW else None, judge(html, 200, url)
    for path in sorted(
        [*DATA.glob("medium_substack_export_ghost/**/*.html"), *DATA.glob("linkedin_export*/**/*.html")]
    ):
        yield "exported page", None, judge(path.read_text(encoding="utf-8"), 200, path.name)


def made_pages(judge: Callable[[str, int, str], str | None]) -> Iterator[Case]:
    """The known formats, and honest pages that look like them."""
    for reason, _, status, html in WALLS:
        yield "made to a known format", reason, judge(html, status, "https://example.org/x")
    for reason, _, status, html in LATER:
        yield "formats looked at later", reason, judge(html, status, "https://example.org/x")
    for _, html in HONEST:
        yield "honest, made to mislead", None, judge(html, 200, "https://example.org/x")


def real_posts(judge: Callable[[str, int, str], str | None]) -> Iterator[Case]:
    """Real short posts, each in a plain page with a menu and a footer: what is short is no wall for that."""
    menu = "<nav><a href='/'>Home</a> <a href='/about'>About</a> <a href='/subscribe'>Subscribe</a></nav>"
    footer = "<footer>Sign in. We use cookies, see our privacy policy. © 2024</footer>"
    for path in sorted(DATA.glob("linkedin_export_sanand/**/*hares*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if text := row.get("ShareCommentary", "").strip():
                    text = f"{menu}<article><p>{escape(text)}</p></article>{footer}"
                    yield "short post in a page", None, judge(page("A post", text), 200, "https://example.org/p")


def feed_items() -> Iterator[Case]:
    """Medium's feeds: one of snippets, one of whole texts; Substack's API: rows without a body, and a whole post."""
    for name, truth in (("EMarley.rss", "truncated preview"), ("489.rss", None)):
        reading = _reading("medium", "@somebody")
        for item in _items(DATA / "feeds_rss" / name):
            yield "Medium feed", truth, medium.feed_document(reading, item).quarantine
    reading = _reading("substack", "https://somebody.substack.com")
    for path in sorted((DATA / "substack_api_samples" / "api" / "v1").rglob("*post*/**/*")) + sorted(
        (DATA / "substack_api_samples").rglob("posts__*.json")
    ):
        for row in _rows(path):
            found = substack.post_document(reading, reading.source.location, row, row).quarantine
            preview = "truncated preview" if row.get("audience") != "everyone" else "empty body"
            yield "Substack API", None if row.get("body_html") else preview, found


def signatures() -> Iterator[Case]:
    """Real bylines of feeds and pages: each against its own name, and against somebody else's of the same data."""
    signed: list[tuple[str, ...]] = []
    for path in sorted((DATA / "feeds_rss").iterdir()):
        signed += sorted({item.bylines for item in _items(path) if item.bylines})
    signed += [bylines for url, html, _ in pages() if (bylines := read_article(html, url).bylines)]
    persons = [bylines for bylines in dict.fromkeys(signed) if _is_full_name(bylines)]
    for number, bylines in enumerate(signed):
        own = Author(id="own", name=re.sub(r"^By |,.*|\|.*|\..*", "", bylines[0]).strip() or "x")
        yield "own byline", None, _reason(bylines, own)
        other = persons[(number * 7 + 3) % len(persons)]
        if bylines in persons and not {w.lower() for w in " ".join(bylines).split()} & set(other[0].lower().split()):
            yield "another's byline", FOREIGN, _reason(bylines, Author(id="other", name=other[0]))


def _is_full_name(bylines: tuple[str, ...]) -> bool:
    """True of a plain "First Last", judged apart from the detector: two or three words, and no house's word."""
    houses = r"staff|team|news|press|team|group|admin|media|international|cloud|the|jazeera|department|hodl|editorial"
    return bool(re.fullmatch(r"[A-Z]\w+( [A-Z]\.?\w*)? [A-Z][\w-]+", bylines[0])) and not re.search(
        rf"\b({houses})\b", bylines[0], re.IGNORECASE
    )


def _reason(bylines: tuple[str, ...], author: Author) -> str | None:
    judged = judge_author(bylines, author)
    return judged.reason if judged else None


def _items(path: Path) -> tuple[Any, ...]:
    try:
        response = SimpleNamespace(content=path.read_bytes(), url=f"https://example.org/{path.name}", headers={})
        return parse_feed(cast(WebResponse, response))[1]
    except Exception:  # the folder holds files that are no feeds
        return ()


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return []
    rows = data.get("posts", [data.get("post")]) if isinstance(data, dict) else []
    return [row for row in rows if isinstance(row, dict) and "body_html" in row and "slug" in row]


def _reading(platform: str, location: str) -> Reading:
    source = Source(platform=platform, location=location)
    return Reading(
        Author(id="somebody", name="somebody", sources=(source,)), source, {}, cast(Any, None), cast(Any, None)
    )


def detector(html: str, status: int, url: str) -> str | None:
    """The project's."""
    judged = judge_page(html, status=status, url=url)
    return judged.reason if judged else None


def phrases(html: str, status: int, url: str) -> str | None:
    """The alternative: any wall whose phrases occur."""
    return "wall" if status >= 400 or _PHRASES.search(html) else None


def count(cases: Iterator[Case]) -> dict[tuple[str, str | None], Counts]:
    """Counts by where from and what is true."""
    counts: dict[tuple[str, str | None], Counts] = defaultdict(Counts)
    for where, truth, found in cases:
        one = counts[where, truth]
        if truth is None and found is not None:
            one.false[found] += 1
        elif truth is not None and found is None:
            one.missed += 1
        else:
            one.right += truth is None or found == truth
            if truth is not None and found != truth:
                one.false[str(found)] += 1
    return counts


def table(title: str, counts: dict[tuple[str, str | None], Counts]) -> Table:
    """A table with a row for each kind, and below it precision and recall of "this is held back"."""
    rows = Table(title=title, title_justify="left", title_style="bold")
    for name in ("from", "truth", "cases", "right", "missed", "held back wrongly or for another reason"):
        rows.add_column(name, justify="right" if name in ("cases", "right", "missed") else "left")
    held = missed = wrong = 0
    for (where, truth), one in sorted(counts.items(), key=str):
        number = one.right + one.missed + one.false.total()
        others = ", ".join(f"{reason} {n}" for reason, n in one.false.items())
        rows.add_row(where, truth or "whole", *map(str, (number, one.right, one.missed)), others)
        if truth is None:
            wrong += one.false.total()
        else:
            held, missed = held + one.right + one.false.total(), missed + one.missed
    precision = f"precision {held / (held + wrong):.3f}" if held + wrong else ""
    recall = f"recall {held / (held + missed):.3f}" if held + missed else ""
    rows.add_section()
    rows.add_row("all", precision, "", "", "", recall)
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.parse_args()
    console = Console(width=130)
    if DATA.is_dir():
        console.print(table("Real pages: judge_page", count(real_pages(detector))))
        console.print(table("Real pages: phrases anywhere in the page (the alternative)", count(real_pages(phrases))))
        console.print(table("Real short posts: judge_page", count(real_posts(detector))))
        console.print(table("Real short posts: phrases anywhere (the alternative)", count(real_posts(phrases))))
        console.print(table("Real feeds and API answers", count(feed_items())))
        console.print(table("Real bylines: judge_author", count(signatures())))
    else:
        console.print(f"The captured data is not at {DATA}; only what was made to known formats is counted.")
    console.print(table("Made to the known formats: judge_page", count(made_pages(detector))))
    console.print(table("Made to the known formats: phrases anywhere (the alternative)", count(made_pages(phrases))))


if __name__ == "__main__":
    main()
