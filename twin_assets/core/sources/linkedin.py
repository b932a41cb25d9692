"""LinkedIn: the member's own export, and the Member Data Portability API where the member has a token for it.

Both hold the same posts under the same ids. Pages are never read: that is against LinkedIn's terms and gets accounts
locked. Comments are collected under a kind of their own, which cleaning keeps from the corpus: they lean on other
people's posts and begin with those people's names.
"""

import html
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from twin_assets.core.archives import Archive
from twin_assets.core.documents import RawDocument, content_hash
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import (
    Checkpoint,
    Done,
    Event,
    Found,
    Gone,
    Kept,
    Platform,
    Reading,
    WaitingError,
    moment,
    web_address,
)
from twin_assets.core.sources.linkedin_api import DOMAINS, PortabilityApi, article_row, moment_of, recent, stale
from twin_assets.core.sources.linkedin_tables import read_comments, read_rich_media, read_shares, with_paragraphs

SHARES, COMMENTS, ARTICLES = r"Shares[^/]*\.csv", r"Comments[^/]*\.csv", r"Articles/[^/]+\.html?"
RICH_MEDIA = r"Rich[_ ]?Media[^/]*\.csv"
HOW_TO_EXPORT = (
    "LinkedIn lets nobody read a profile by its link; ask for your data (Settings > Data privacy > Get a copy of your "
    "data, the larger archive) and import the ZIP; members in the EEA and Switzerland can set TWIN_LINKEDIN_TOKEN "
    "instead."
)
_URN = re.compile(r"urn:li:(\w+):(\d+)")
_ARTICLE = re.compile(r"linkedin\.com/pulse|class=[\"'](created|published)[\"']")


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
    """What the API gives to the member's token; without one a profile link waits for an export."""
    if reading.settings.linkedin_token is not None:
        yield from _from_api(reading)
        return
    if not reading.exports:
        raise WaitingError(HOW_TO_EXPORT)
    yield Done(reading.cursor, message="The imported export is what is read.")


def _from_api(reading: Reading) -> Iterator[Event]:
    """The snapshot once a week, the change log every time; nothing is removed but what the log says is deleted."""
    api = PortabilityApi(reading)
    cursor: dict[str, Any] = dict(reading.cursor)
    changed = recent(cursor.get("changed", {}))
    first = int(cursor.get("log", 0))
    if stale(cursor.get("snapshot_at", 0.0)):
        yield from _snapshot(reading, api, cursor, changed)
        del cursor["snapshot"]
        if len(api.notes) < len(DOMAINS):  # a snapshot that is not prepared yet is asked for again the next time
            cursor["snapshot_at"] = time.time()
    changes, cursor["log"] = api.changes(first)
    for change in changes.values():
        name = _urn_id(change.urn)
        changed[name] = change.at
        if change.text is None:
            yield Gone(name)
        else:
            link = f"https://www.linkedin.com/feed/update/{quote(change.urn, safe='')}"
            date = moment_of(change.at).isoformat()
            row = {"ShareLink": link, "ShareCommentary": change.text, "Date": "" if _made(name) else date}
            yield Found(_post(reading, name, row), (_text_id(change.text),))
    # For what is kept: a deleted post stays in `changed`, so that no late snapshot brings it back.
    yield Done({**cursor, "changed": changed}, message="; ".join(api.notes) + "." if api.notes else "")


def _snapshot(
    reading: Reading, api: PortabilityApi, cursor: dict[str, Any], changed: Mapping[str, int]
) -> Iterator[Event]:
    """Posts, articles and comments of the snapshot; one broken off today goes on at the page it had reached."""
    state = dict(cursor.get("snapshot", {}))
    if time.time() - state.get("begun", 0.0) > 86_400:  # LinkedIn may have made another one since
        state = {"begun": time.time(), "domain": 0, "page": 0, "links": {}}
    cursor["snapshot"] = state
    for number in range(state["domain"], len(DOMAINS)):
        first = state["page"] if number == state["domain"] else 0
        for page, rows in api.snapshot(DOMAINS[number], first):
            for found in _of_domain(reading, DOMAINS[number], rows, state["links"]):
                yield Kept(found.document.external_id) if found.document.external_id in changed else found
            state |= {"domain": number, "page": page + 1}
            yield Checkpoint(cursor)


def _of_domain(reading: Reading, domain: str, rows: list[dict[str, str]], links: dict[str, str]) -> Iterator[Found]:
    if domain == "MEMBER_SHARE_INFO":
        yield from _posts(reading, map(with_paragraphs, rows), links)
    elif domain == "ALL_COMMENTS":
        yield from (Found(_comment(reading, row)) for row in rows if row.get("Message", "").strip())
    else:
        articles = map(article_row, rows)
        yield from (Found(_article_of(reading, row)) for row in articles if row["content"].strip())


def is_export(archive: Archive) -> bool:
    """Known by the shares, the articles, the media's descriptions, or the profile beside LinkedIn's other tables."""
    if any("ShareCommentary" in archive.head(name) for name in archive.find(SHARES)):
        return True
    articles = archive.find(ARTICLES)
    if articles and (archive.find(r"Profile\.csv") or any(_ARTICLE.search(archive.text(name)) for name in articles)):
        return True
    if any(_rows(archive, RICH_MEDIA, read_rich_media)):
        return True
    if archive.find(r"Profile\.csv") and archive.find(r"(Connections|Positions|Comments|Registration)\.csv"):
        raise InputError(
            f"{archive.path.name} is a LinkedIn export without posts or articles; LinkedIn sends that one first, and "
            "the whole archive within a day: import the second ZIP."
        )
    return False


def read_export(reading: Reading, archive: Archive) -> Iterator[Event]:
    """Posts and published articles."""
    rows = written = described = 0
    posts: set[str] = set()
    links: dict[str, str] = {}
    for row in _rows(archive, SHARES, read_shares):
        rows += 1
        for event in _posts(reading, [row], links):
            written += 1
            posts.add(event.document.external_id)
            yield event
    if not written:  # some archives have no other file with the posts
        for row in _rows(archive, RICH_MEDIA, read_rich_media):
            described += 1
            yield Found(_described(reading, row))
    articles = drafts = 0
    for name in archive.find(ARTICLES):
        article = read_article(archive.text(name), PurePosixPath(name).stem)
        if article is None:
            drafts += 1
        else:
            articles += 1
            yield Found(reading.document(category="article", content_type="text/html", **article))
    comments = 0
    for row in _rows(archive, COMMENTS, read_comments):
        comments += 1
        yield Found(_comment(reading, row))
    parts = [
        f"{written} rows with text are {len(posts)} posts",
        f"{rows - written} reposts without words of your own",
        f"{articles} articles and {drafts} drafts",
        f"{comments} comments kept out of the corpus, as they lean on other people's posts",
    ]
    if described:
        parts.insert(1, f"{described} posts known by the descriptions of their media")
    yield Done({}, message="; ".join(parts) + ".")


def _rows(
    archive: Archive, pattern: str, read: Callable[[Iterable[str]], Iterator[dict[str, str]]]
) -> Iterator[dict[str, str]]:
    """The rows of every table of that name, one at a time."""
    for name in archive.find(pattern):
        with archive.lines(name) as lines:
            yield from read(lines)


def _posts(reading: Reading, rows: Iterable[dict[str, str]], links: dict[str, str]) -> Iterator[Found]:
    """Posts of the rows with a text; one link with two texts is two posts, as both are the author's.

    links: a hash of what was first said under each link, filled here.
    """
    for row in rows:
        if row["ShareCommentary"].strip():
            name = _share_id(row)
            said = content_hash(row["ShareCommentary"])[:16]
            if links.setdefault(name, said) != said:
                name = f"{name}/{row['Date']}"
            yield Found(_post(reading, name, row), (_text_id(row["ShareCommentary"]),))


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


def _share_id(row: dict[str, str]) -> str:
    return _urn_id(unquote(row.get("ShareLink", ""))) or f"dated:{row.get('Date', '')}"


def _urn_id(text: str) -> str:
    """`share:123` of whatever holds an URN; the text itself where it holds none."""
    found = _URN.search(text)
    return f"{found.group(1)}:{found.group(2)}" if found else text


def _address(link: str) -> str:
    """One form of a link, whether the export gives it (percent-encoded) or the API (plain, with a "/" at its end)."""
    link = html.unescape(link)
    urn = _URN.search(unquote(link))
    return f"https://www.linkedin.com/feed/update/{quote(urn.group(0), safe='')}" if urn else link.split("?")[0]


def _text_id(text: str) -> str:
    """The name of a post of which only the text is known."""
    return f"text:{content_hash(' '.join(text.split()))}"


def _made(name: str) -> datetime | None:
    """When a share was made, which its number tells."""
    kind, _, number = name.partition(":")
    number = number.partition("/")[0]
    if kind not in ("share", "ugcPost") or not number.isdigit():
        return None
    try:
        return datetime.fromtimestamp((int(number) >> 22) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _described(reading: Reading, row: dict[str, str]) -> RawDocument:
    return reading.document(
        external_id=_text_id(row["Text"]), category="post", url="", title="", content=row["Text"],
        content_type="text/plain", published_at=moment(row["Date"]),
        metadata={"media_url": row["Media Link"]} if row.get("Media Link") else {},
    )  # fmt: skip


def _comment(reading: Reading, row: dict[str, str]) -> RawDocument:
    """A comment, known by what it answers and the second it was made in: the tables give it no number."""
    return reading.document(
        external_id=f"comment:{_urn_id(unquote(row.get('Link', '')))}/{row.get('Date', '')}", category="post",
        url=_address(row.get("Link", "")), title="", content=row["Message"], content_type="text/plain",
        published_at=moment(row.get("Date")), metadata={"kind": "comment"},
    )  # fmt: skip


def _article_of(reading: Reading, row: dict[str, str]) -> RawDocument:
    slug = row["url"].rstrip("/").rsplit("/", 1)[-1].split("?")[0] or content_hash(row["title"])
    markup = "<" in row["content"] and ">" in row["content"]
    return reading.document(
        external_id=f"article:{slug}", category="article", url=row["url"].split("?")[0], title=row["title"],
        content=row["content"],
        content_type="text/html" if markup else "text/plain", published_at=moment(row["date"]),
        metadata={"kind": "article"},
    )  # fmt: skip


def _post(reading: Reading, name: str, row: dict[str, str]) -> RawDocument:
    published = moment(row.get("Date")) or _made(name)
    extra = {"shared_url": "SharedUrl", "media_url": "MediaUrl", "visibility": "Visibility"}
    return reading.document(
        external_id=name,
        category="post",
        url=_address(row["ShareLink"]),
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
