"""Reading a feed, RSS, Atom or JSON Feed, whole or not at all; what Medium, Substack and plain feeds share."""

import json
import re
import time
from calendar import timegm
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from twin_assets.core.documents import content_hash
from twin_assets.core.errors import FetchError, SourceError
from twin_assets.core.sources.base import Reading, moment, plain_words
from twin_assets.core.sources.bylines import names_of
from twin_assets.core.sources.quarantine import judge_page
from twin_assets.core.web import WebResponse, shown

TRUSTED = 7 * 86_400  # seconds for which a feed's validators are believed
SUMMARY = 120  # words; a titled item shorter than that, without a paragraph, has a summary and not the text
BY_DATE = " by date"  # what marks a name whose items go by their dates
_END = re.compile(rb"</(rss|feed|rdf:RDF)>\s*(<!--.*?-->\s*)*\Z", re.IGNORECASE | re.DOTALL)
_MORE = re.compile(r"(\[?(…|\.\.\.)\]?|(continue reading|read more)\W*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """One entry; `content` is HTML (or plain text), the fullest body the entry carries."""

    guid: str
    link: str
    title: str
    content: str
    content_type: str
    published_at: datetime | None
    categories: tuple[str, ...]
    has_content: bool  # a body meant as the text, where a mere description may be a summary
    bylines: tuple[str, ...] = ()  # who it is signed by
    replaces: tuple[str, ...] = ()  # names the item had before its guid turned out to be another item's as well

    @property
    def whole(self) -> bool:
        """False where the body reads like a summary with a title, which only leads to the text."""
        if self.has_content or not self.title:
            return True
        text = re.sub(r"<[^>]+>", " ", self.content).strip()
        long = plain_words(self.content, "text/html") >= SUMMARY
        return (long or "</p>" in self.content) and not _MORE.search(text)


@dataclass(frozen=True)
class Feed:
    """A feed that was read; `cursor` makes the next read conditional."""

    url: str
    title: str
    items: tuple[Item, ...]
    cursor: dict[str, Any]


def fetch_feed(reading: Reading, url: str, *, interval: float | None = None) -> Feed | None:
    """The feed at a URL, None where nothing changed since the reading's cursor.

    A page that names its feed leads to it. Raises FetchError, and SourceError for what is no feed or is cut off.
    """
    cursor: Mapping[str, Any] = reading.cursor.get("feed", {})
    names = names_of(reading.author)
    known = cursor if cursor.get("asked") == url and cursor.get("names", names) == names else {}
    # A broken cache answers 304 for ever: once a week the feed is read whatever its validators say.
    trusted = time.time() - known.get("read_at", 0) < TRUSTED
    response = reading.web.get(
        known.get("url") or url,
        etag=known.get("etag") if trusted else None,
        last_modified=known.get("last_modified") if trusted else None,
        interval=interval,
        headers={"Accept": "application/atom+xml, application/rss+xml, application/feed+json, */*;q=0.5"},
    )
    if response.not_modified:
        return None
    if _is_page(response):
        response = reading.web.get(_named_feed(response), interval=interval)
        if _is_page(response):
            raise SourceError(f"{shown(response.url)} is a page and not a feed; give the feed's own address.")
    body_hash = content_hash(response.content.decode("latin-1"))
    if trusted and known.get("body") == body_hash:
        return None
    title, items = parse_feed(response)
    items, shared = tell_apart(items, known.get("shared", ()))
    state: dict[str, Any] = {"asked": url, "url": response.url, "body": body_hash, "shared": shared}
    state |= {
        "names": names,
        "etag": response.etag,
        "last_modified": response.last_modified,
        "read_at": int(time.time()),
    }
    return Feed(response.url, title, items, state)


def tell_apart(items: Iterable[Item], shared: Iterable[str]) -> tuple[tuple[Item, ...], list[str]]:
    """(items, names that more than one item has or had): such items go by their links, for good.

    Where even the link is one (several notes of a day's page), they go by their dates as well. shared: the names known
    to be shared already. An item listed twice stays, under its one name.
    """
    items = tuple(items)
    found = {*shared, *_names_of_several(items, lambda item: item.link)}
    items = tuple(
        replace(item, guid=item.link, replaces=(item.guid,)) if item.guid in found and item.link else item
        for item in items
    )
    texts = {(item.guid, item.content): item for item in items}.values()  # one text listed twice is one item
    found |= {name + BY_DATE for name in _names_of_several(texts, lambda item: str(item.published_at or ""))}
    items = tuple(
        replace(item, guid=f"{item.guid} {item.published_at.isoformat()}", replaces=(*item.replaces, item.guid))
        if item.guid + BY_DATE in found and item.published_at
        else item
        for item in items
    )
    return items, sorted(found)


def _names_of_several(items: Iterable[Item], what: Callable[[Item], str]) -> set[str]:
    """Names of items that are not one, as their `what` differs."""
    values: dict[str, set[str]] = {}
    for item in items:
        values.setdefault(item.guid, set()).add(what(item))
    return {name for name, several in values.items() if len(several - {""}) > 1}


def parse_feed(response: WebResponse) -> tuple[str, tuple[Item, ...]]:
    """(title, items) of a feed, in its order; raises SourceError for what is no feed or is cut off."""
    data, where = response.content, shown(response.url)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _parse_json(data, where)
    import feedparser

    if not _END.search(data.rstrip(b"\0 \t\r\n")):
        if re.search(rb"<(rss|feed|rdf:RDF)\b", data[:4096], re.IGNORECASE):
            raise SourceError(
                f"The feed {where} is cut off after {len(data):,} bytes; nothing was changed, and the next run reads "
                "it again."
            )
        raise SourceError(f"{where} is not a feed; give the address of an RSS, Atom or JSON feed.")
    headers = {"content-location": response.url, "content-type": _content_type(response)}
    # Sanitising would drop iframes, <mark> and Substack's data-attrs; cleaning does it later.
    parsed = feedparser.parse(data, response_headers=headers, sanitize_html=False)
    if parsed.bozo and not parsed.entries and b"<item" in data + b"<entry":
        problem = str(parsed.get("bozo_exception", "")).split("\n")[0]
        if re.search(rb"<(item|entry)\b", data):
            raise SourceError(f"The feed {where} cannot be read ({problem}); its owner has to mend it.")
    return str(parsed.feed.get("title", "")), tuple(_item(entry) for entry in parsed.entries)


def _content_type(response: WebResponse) -> str:
    """The header's, with the encoding where it names none: the declaration's, else XML's own, UTF-8.

    feedparser would take `text/xml` without one for ASCII, and guess where it is not: a lone "¡" became Thai.
    """
    given = response.headers.get("content-type", "")
    if "charset" in given.lower():
        return given
    declared = re.search(rb"<\?xml[^>]*\bencoding=[\"']([\w.:-]+)", response.content[:256])
    if declared:
        return f"{given or 'application/xml'}; charset={declared[1].decode()}"
    try:
        response.content.decode()
    except UnicodeDecodeError:
        return given
    return f"{given or 'application/xml'}; charset=utf-8"


def _item(entry: Any) -> Item:
    bodies = [part for part in entry.get("content", []) if part.get("value")]
    body = max(bodies, key=lambda part: len(part["value"]), default=None)
    text = body["value"] if body else str(entry.get("summary", ""))
    kind = (body or entry.get("summary_detail") or {}).get("type", "text/html")
    parsed = entry.get("published_parsed") or entry.get("updated_parsed")
    return Item(
        guid=str(entry.get("id") or entry.get("link") or content_hash(_unmarked(entry) or text)),
        link=str(entry.get("link") or ""),
        title=_unmarked(entry),
        content=text.strip(),
        content_type="text/plain" if kind == "text/plain" and "<" not in text else "text/html",
        published_at=datetime.fromtimestamp(timegm(parsed), UTC) if parsed else None,
        categories=tuple(str(tag.get("term")) for tag in entry.get("tags", []) if tag.get("term")),
        has_content=body is not None,
        bylines=tuple(str(each["name"]) for each in entry.get("authors", []) if each.get("name")),
    )


def _unmarked(entry: Any) -> str:
    title = str(entry.get("title") or "")
    if entry.get("title_detail", {}).get("type") != "text/plain" and "<" in title:
        title = re.sub(r"<[^>]+>", "", title)
    return " ".join(title.split())


def _parse_json(data: bytes, where: str) -> tuple[str, tuple[Item, ...]]:
    try:
        feed = json.loads(data)
    except ValueError as error:
        raise SourceError(
            f"The feed {where} is cut off or no JSON ({error}); nothing was changed, the next run reads it again."
        ) from error
    if not isinstance(feed, dict) or "jsonfeed.org" not in str(feed.get("version", "")):
        raise SourceError(f"{where} is JSON but no JSON Feed; give the address of an RSS, Atom or JSON feed.")
    entries = feed.get("items", [])
    if not isinstance(entries, list):
        raise SourceError(f"The feed {where} has no list of items; its owner has to mend it.")
    items = tuple(_json_item(entry) for entry in entries if isinstance(entry, dict))
    return str(feed.get("title", "")), items


def _json_item(entry: Mapping[str, Any]) -> Item:
    markup, text = entry.get("content_html"), entry.get("content_text")
    body = str(markup or text or entry.get("summary") or "").strip()
    title = str(entry.get("title") or "")
    tags = entry.get("tags")
    authors = entry.get("authors") or [entry.get("author")]
    return Item(
        guid=str(entry.get("id") or entry.get("url") or content_hash(title or body)),
        link=str(entry.get("url") or entry.get("external_url") or ""),
        title=title,
        content=body,
        content_type="text/html" if markup else "text/plain",
        published_at=moment(entry.get("date_published")),
        categories=tuple(map(str, tags)) if isinstance(tags, list) else (),
        has_content=bool(markup or text),
        bylines=tuple(str(each["name"]) for each in authors if isinstance(each, dict) and each.get("name")),
    )


def _is_page(response: WebResponse) -> bool:
    start = response.content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _named_feed(response: WebResponse) -> str:
    """The feed a page names in its head."""
    problem = judge_page(response.text, status=response.status, url=response.url)
    if problem is not None and problem.reason in ("challenge page", "consent wall", "login wall", "soft 404"):
        raise FetchError(
            f"{shown(response.url)} answered with a {problem.reason}: {problem.remedy}.",
            url=shown(response.url), status=response.status,
        )  # fmt: skip
    for tag in re.findall(r"<link\b[^>]*>", response.text, re.IGNORECASE):
        if re.search(r"application/(rss|atom|feed)\+(xml|json)", tag, re.IGNORECASE):
            address = re.search(r"href=[\"']?([^\"' >]+)", tag, re.IGNORECASE)
            if address:
                return urljoin(response.url, address.group(1).replace("&amp;", "&"))
    raise SourceError(f"{shown(response.url)} is a page that names no feed; give the feed's own address.")
