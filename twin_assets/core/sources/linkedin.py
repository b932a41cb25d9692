"""LinkedIn: the member's own export. Pages are never read: that is against LinkedIn's terms and gets accounts locked.

Comments are parsed and left out of the corpus: they lean on other people's posts and begin with those people's names.
"""

import csv
import html
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from twin_assets.core.archives import Archive
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import (
    Done,
    Event,
    Found,
    Platform,
    Reading,
    WaitingError,
    moment,
    web_address,
)

SHARES, COMMENTS, ARTICLES = r"Shares(_\d+)?\.csv", r"Comments(_\d+)?\.csv", r"Articles/[^/]+\.html?"
HOW_TO_EXPORT = (
    "LinkedIn lets nobody read a profile by its link; ask for your data (Settings > Data privacy > Get a copy of your "
    "data, the larger archive) and import the ZIP."
)
_URN = re.compile(r"urn:li:(\w+):(\d+)")
_PARAGRAPHS = re.compile(r'"(\r?\n)"')


def normalise(location: str) -> str:
    """`https://www.linkedin.com/in/<name>` of a profile link or a bare name."""
    text = location.strip().removeprefix("@")
    if re.fullmatch(r"[\w-]{3,100}", text):
        return f"https://www.linkedin.com/in/{text}"
    _, host, parts = web_address(text)
    if not (host == "linkedin.com" or host.endswith(".linkedin.com")) or parts[:1] != ["in"] or len(parts) < 2:
        raise InputError(
            f"{location!r} is not a LinkedIn profile; its link looks like https://www.linkedin.com/in/your-name."
        )
    return f"https://www.linkedin.com/in/{parts[1]}"


def collect(reading: Reading) -> Iterator[Event]:
    """A profile link gives nothing by itself: waits for an export, or says that one is there."""
    if not reading.exports:
        raise WaitingError(HOW_TO_EXPORT)
    yield Done({}, message="The imported export is what is read.")


def is_export(archive: Archive) -> bool:
    """Known by the shares, the articles, or by the profile beside LinkedIn's other tables."""
    if archive.find(SHARES):
        return "ShareCommentary" in archive.text(archive.find(SHARES)[0])[:5000]
    if archive.find(ARTICLES):
        return True
    if archive.find(r"Profile\.csv") and archive.find(r"(Connections|Positions|Comments|Registration)\.csv"):
        raise InputError(
            f"{archive.path.name} is a LinkedIn export without posts or articles; LinkedIn sends that one first, and "
            "the whole archive within a day: import the second ZIP."
        )
    return False


def read_export(reading: Reading, archive: Archive) -> Iterator[Event]:
    """Posts and published articles."""
    rows = [row for name in archive.find(SHARES) for row in read_shares(archive.text(name))]
    written = [row for row in rows if row["ShareCommentary"].strip()]
    links: dict[str, str] = {}
    for row in written:
        name = _share_id(row)
        if links.setdefault(name, row["ShareCommentary"]) != row["ShareCommentary"]:
            name = f"{name}/{row['Date']}"  # one link, two texts: both are the author's
        yield Found(_post(reading, name, row))
    articles = drafts = 0
    for name in archive.find(ARTICLES):
        article = read_article(archive.text(name), PurePosixPath(name).stem)
        if article is None:
            drafts += 1
        else:
            articles += 1
            yield Found(reading.document(category="article", content_type="text/html", **article))
    comments = sum(len(read_comments(archive.text(name))) for name in archive.find(COMMENTS))
    parts = [
        f"{len(written)} rows with text are {len(links)} posts",
        f"{len(rows) - len(written)} reposts without words of your own",
        f"{articles} articles and {drafts} drafts",
        f"{comments} comments left out, as they lean on other people's posts",
    ]
    yield Done({}, message="; ".join(parts) + ".")


def read_shares(text: str) -> list[dict[str, str]]:
    """Rows of Shares.csv; ShareCommentary has its paragraphs back, which LinkedIn joins by quote, newline, quote."""
    rows = _table(text, "ShareLink")
    for row in rows:
        row["ShareCommentary"] = _PARAGRAPHS.sub("\n", row.get("ShareCommentary") or "")
    return rows


def read_comments(text: str) -> list[dict[str, str]]:
    """Rows of Comments.csv, whose quotes are escaped by a backslash."""
    return _table(text, "Message", escapechar="\\")


def read_article(markup: str, stem: str) -> dict[str, Any] | None:
    """Id, address, title, date and body of an article; None for a draft (created but never published)."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(markup, "lxml")
    created, published = page.select_one("p.created"), page.select_one("p.published")
    if created is not None and published is None:
        return None
    title, link = page.find("h1"), page.select_one('h1 a[href*="pulse"]')
    url = str(link["href"]) if link is not None else ""
    body = published.find_next("div") if published is not None else None
    if body is None:
        for extra in page.select("h1, style, script, p.created, p.published, title"):
            extra.extract()
        body = page.body or page
    dated = re.search(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?", published.get_text() if published else stem)
    slug = url.rstrip("/").rsplit("/", 1)[-1].split("?")[0] or stem
    return {
        "external_id": f"article:{slug}",
        "url": url,
        "title": title.get_text(" ", strip=True) if title is not None else "",
        "content": body.decode_contents().strip(),
        "published_at": moment(dated.group(0)) if dated else None,
        "metadata": {"kind": "article"},
    }


def _table(text: str, column: str, **dialect: Any) -> list[dict[str, str]]:
    """Rows of a CSV whose header row has `column`; LinkedIn sometimes puts notes above it."""
    csv.field_size_limit(50_000_000)
    lines = csv.reader(io.StringIO(text, newline=""), **dialect)
    header: list[str] = []
    rows = []
    try:
        for line in lines:
            if not header:
                header = [name.strip() for name in line] if column in [name.strip() for name in line] else []
            elif any(line):
                rows.append(dict(zip(header, line + [""] * (len(header) - len(line)), strict=False)))
    except csv.Error as error:
        raise InputError(f"The export's table with {column} is damaged ({error}); download it again.") from error
    return rows


def _share_id(row: dict[str, str]) -> str:
    found = _URN.search(unquote(row["ShareLink"]))
    return f"{found.group(1)}:{found.group(2)}" if found else unquote(row["ShareLink"]) or f"dated:{row['Date']}"


def _post(reading: Reading, name: str, row: dict[str, str]) -> Any:
    published = moment(row["Date"])
    kind, _, number = name.partition(":")
    if published is None and kind in ("share", "ugcPost") and number.isdigit():
        published = datetime.fromtimestamp((int(number) >> 22) / 1000, UTC)
    extra = {"shared_url": "SharedUrl", "media_url": "MediaUrl", "visibility": "Visibility"}
    return reading.document(
        external_id=name,
        category="post",
        url=html.unescape(row["ShareLink"]),
        title="",
        content=row["ShareCommentary"],
        content_type="text/plain",
        published_at=published,
        metadata={key: row[column] for key, column in extra.items() if row.get(column)},
    )


PLATFORM = Platform(
    name="linkedin",
    title="LinkedIn",
    hint="https://www.linkedin.com/in/your-name",
    order=10,
    reads="link",
    normalise=normalise,
    collect=collect,
    is_export=is_export,
    read_export=read_export,
)
