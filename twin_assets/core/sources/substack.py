"""Substack: the archive and post API, the feed where the API refuses, notes, and the export; merged by post id.

The subscriber files of an export (`email_list`, `opens`) are other people's data and are never opened.
"""

import csv
import html
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from twin_assets.core.ahead import in_order
from twin_assets.core.archives import Archive
from twin_assets.core.documents import Category, RawDocument, content_hash
from twin_assets.core.errors import FetchError, InputError, RateLimitedError, SourceError
from twin_assets.core.sources.base import (
    Checkpoint,
    Done,
    Event,
    Found,
    Kept,
    Platform,
    Reading,
    moment,
    plain_words,
    web_address,
)
from twin_assets.core.sources.base import (
    is_export as is_imported,
)
from twin_assets.core.sources.bylines import held_if_foreign, names_of
from twin_assets.core.sources.feed_reader import TRUSTED, Item, fetch_feed
from twin_assets.core.sources.quarantine import EMPTY, FOREIGN, TRUNCATED
from twin_assets.core.sources.substack_archive import INTERVAL, PAGE, fingerprint, listed, read_post
from twin_assets.core.sources.substack_notes import guest_remedy, is_foreign, main_author, notes

WHOLE = 0.8  # share of the stated word count below which a body is a preview; real ones differ by 1 %
REMEDY = "import your Substack export (Settings > Exports), which has the whole text"
POSTS_TABLE, POST = r"posts\.csv", r"posts/(\d+)\.([^/]*)\.html"
_PROFILE_HOSTS = ("substack.com", "www.substack.com")


def normalise(location: str) -> str:
    """Address of the publication without "/": `https://name.substack.com`, or a domain of one's own."""
    text = location.strip().removeprefix("@")
    if re.fullmatch(r"[A-Za-z0-9_-]{2,63}", text):
        return f"https://{text.lower()}.substack.com"
    origin, host, parts = web_address(text)
    if host == "open.substack.com" and parts[:1] == ["pub"] and re.fullmatch(r"[A-Za-z0-9_-]+", "".join(parts[1:2])):
        return f"https://{parts[1].lower()}.substack.com"
    if host in _PROFILE_HOSTS or re.search(r"(^|\.)(linkedin|medium|github|twitter|x)\.com$", host):
        raise InputError(
            f"{location!r} is not a Substack publication; its address looks like https://your-name.substack.com."
        )
    ends = [i for i, part in enumerate(parts) if part in ("p", "archive", "feed", "about", "api")]
    return "/".join([origin, *parts[: ends[0] if ends else None]])


def collect(reading: Reading) -> Iterator[Event]:
    """Every post the archive lists; a post is read where its listing, or its text in the feed, changed.

    The listing is newest first: of more than 50 posts it is read until nothing is new on a page and nothing is missing,
    and once a week to its end, for what was edited or deleted far back.
    """
    base = reading.source.location
    posts: dict[str, Any] = dict(reading.cursor.get("posts", {}))
    feed_state, edited = _edited(reading, base)
    listed_at = float(reading.cursor.get("listed_at", 0))
    names, person = names_of(reading.author), reading.cursor.get("person")
    trusted = time.time() - listed_at < TRUSTED and reading.cursor.get("names") == names
    newest: list[str] = reading.cursor.get("newest", []) if trusted else []

    def stamp(row: Mapping[str, Any]) -> str:
        # Whose it is belongs to it: the author may say that a guest is nobody else.
        return fingerprint(row) + (" guest" if is_foreign(row, person, reading.author) else "")

    def known(row: Mapping[str, Any]) -> bool:
        return posts.get(str(row["id"])) == stamp(row) and row["slug"] not in edited

    try:
        rows, whole = listed(reading, base, known, edited, newest)
    except RateLimitedError:
        raise
    except (FetchError, SourceError) as refused:
        yield from _from_feed(reading, base, str(refused))
        return
    person = main_author(rows) if whole else person
    seen = {} if whole else dict(posts)
    for name in seen.keys() - {str(row["id"]) for row in rows}:
        yield Kept(name)

    def read(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], str, Mapping[str, Any] | None]:
        return row, stamp(row), None if known(row) else read_post(reading, base, row["slug"])

    for row, print_, post in in_order(read, rows):
        name = str(row["id"])
        if post is None:
            yield Kept(name)
        else:
            document = post_document(reading, base, row, post)
            if is_foreign(row, person, reading.author):
                document = replace(document, quarantine=FOREIGN, remedy=guest_remedy(row, reading.author))
            yield Found(document, (f"p/{row['slug']}",))
            posts[name] = print_
            # Not yet listed to its end: the posts behind this one may be new as well.
            yield Checkpoint({**reading.cursor, "posts": posts, "listed_at": 0})
        seen[name] = print_
    state: dict[str, Any] = dict(reading.cursor.get("notes", {}))
    message = ""
    for event in notes(reading, person, state, INTERVAL) if person is not None else ():
        if isinstance(event, dict):
            state = event
            yield Checkpoint({**reading.cursor, "posts": posts, "notes": state, "listed_at": 0})
        elif isinstance(event, str):
            message = event
        else:
            yield event
    listing: dict[str, Any] = {
        "posts": seen,
        "person": person,
        "names": names,
        "listed_at": time.time() if whole else listed_at,
    }
    listing["newest"] = list(dict.fromkeys([*(str(row["id"]) for row in rows), *newest]))[:PAGE]
    yield Done({**listing, "notes": state, **feed_state}, complete=True, message=message)


def post_document(reading: Reading, base: str, row: Mapping[str, Any], post: Mapping[str, Any]) -> RawDocument:
    """A post of the API as a document; one whose body is a preview is quarantined."""
    content = str(post.get("body_html") or "")
    stated = int(post.get("wordcount") or row.get("wordcount") or 0)
    words = plain_words(content, "text/html")
    reason = None
    if words == 0:
        reason = TRUNCATED if row.get("audience", "everyone") != "everyone" else EMPTY
    elif words < WHOLE * stated and (stated > 50 or row.get("audience", "everyone") != "everyone"):
        reason = TRUNCATED
    return reading.document(
        external_id=str(row["id"]),
        category=_category(row.get("type")),
        url=str(row.get("canonical_url") or f"{base}/p/{row['slug']}"),
        title=html.unescape(str(row.get("title") or "")),
        content=content,
        content_type="text/html",
        published_at=moment(row.get("post_date")),
        metadata=_metadata(row),
        quarantine=reason,
        remedy=REMEDY if reason else None,
    )


def is_export(archive: Archive) -> bool:
    """Known by posts.csv with Substack's columns."""
    tables = archive.find(POSTS_TABLE)
    header = next(csv.reader(archive.head(tables[0]).splitlines()[:1]), []) if tables else []
    return {"post_id", "is_published"} <= set(header)


def read_export(reading: Reading, archive: Archive) -> Iterator[Event]:
    """Published posts of the table with their files; drafts, pages and files without a row are counted."""
    bodies = {}
    for name in archive.find(r"posts/\d+\.[^/]*\.html"):
        found = re.search(POST, name)
        if found:
            bodies[found.group(1)] = name
    links = [s.location for s in reading.author.sources if s.platform == "substack" and not is_imported(s)]
    base = links[0] if len(links) == 1 else ""
    known = reading.known()
    drafts = pages = empty = 0
    listed = set()
    for row in _table(archive):
        number, _, slug = (row.get("post_id") or "").partition(".")
        listed.add(number)
        drafts += (published := (row.get("is_published") or "").lower() == "true") is False
        pages += published and row.get("type") == "page"
        if not number or not published or row.get("type") == "page":
            continue
        content = archive.text(bodies[number]) if number in bodies else ""
        empty += not content.strip()
        yield Found(
            reading.document(
                external_id=number,
                category=_category(row.get("type")),
                url=known.get(number) or (f"{base}/p/{slug}" if base else ""),
                title=html.unescape(row.get("title") or ""),
                content=content,
                content_type="text/html",
                published_at=moment(row.get("post_date")),
                metadata=_metadata({**row, "slug": slug}),
                quarantine=None if content.strip() else EMPTY,
                remedy=None if content.strip() else "the export holds no text for it; add the text as a file",
            ),
            (f"p/{slug}",),
        )
    message = f"{drafts} drafts, {pages} pages and {len(bodies.keys() - listed)} unlisted files left out"
    yield Done({}, message=f"{message}; {empty} posts without text.")


def _table(archive: Archive) -> Iterator[dict[str, str]]:
    """The rows of posts.csv."""
    with archive.lines(archive.find(POSTS_TABLE)[0]) as lines:
        yield from csv.DictReader(lines)


def _edited(reading: Reading, base: str) -> tuple[dict[str, Any], set[str]]:
    """(state of the feed, slugs whose text there is not what it was): the listing alone does not show every edit."""
    before: dict[str, str] = reading.cursor.get("texts", {})
    try:
        feed = fetch_feed(reading, f"{base}/feed", interval=INTERVAL)
    except RateLimitedError:
        raise
    except (FetchError, SourceError):
        feed = None
    if feed is None:
        return {"feed": reading.cursor.get("feed", {}), "texts": before}, set()
    texts = {_slug(item.link): content_hash(item.content) for item in feed.items}
    edited = {slug for slug, text in texts.items() if before.get(slug, text) != text}
    return {"feed": feed.cursor, "texts": texts}, edited


def _from_feed(reading: Reading, base: str, refused: str) -> Iterator[Event]:
    """The feed's posts, where the archive cannot be read; what the archive listed before is kept."""
    state = {key: value for key, value in reading.cursor.items() if key in ("posts", "texts", "notes")}
    feed = fetch_feed(reading, f"{base}/feed", interval=INTERVAL)
    message = f"The archive was refused, so only the feed's newest posts were read ({refused})"
    if feed is None:
        yield Done(reading.cursor, unchanged=True, message=message)
        return
    ids = {_slug(url): name for name, url in reading.known().items()}
    for item in feed.items:
        yield Found(_feed_document(reading, item, ids))
    yield Done({**state, "feed": feed.cursor}, message=message)


def _feed_document(reading: Reading, item: Item, ids: Mapping[str, str]) -> RawDocument:
    slug = _slug(item.link)
    preview = not item.whole or bool(re.search(r">\s*Read more\s*</a>\s*</p>\s*\Z", item.content))
    reason = EMPTY if not item.content else TRUNCATED if preview else None
    found = reading.document(
        external_id=ids.get(slug, f"p/{slug}"),
        category="article",
        url=item.link,
        title=item.title,
        content=item.content,
        content_type="text/html",
        published_at=item.published_at,
        metadata={"slug": slug},
        quarantine=reason,
        remedy=REMEDY if reason else None,
    )
    return held_if_foreign(found, item.bylines, reading.author)


def _metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: row.get(name) for name in ("slug", "subtitle", "audience", "type")}
    return {name: html.unescape(str(value)) for name, value in values.items() if value}


def _category(kind: object) -> Category:
    return "post" if kind in ("thread", "note") else "article"


def _slug(address: str) -> str:
    return address.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


PLATFORM = Platform(
    name="substack",
    title="Substack",
    hint="https://your-name.substack.com",
    order=30,
    reads="link",
    normalise=normalise,
    collect=collect,
    is_export=is_export,
    read_export=read_export,
)
