"""A site's sitemap as a source: the back catalogue that a feed's window no longer shows."""

import re
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from twin_assets.core.ahead import in_order
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import SourceError
from twin_assets.core.sources.base import Checkpoint, Done, Event, Found, Kept, Reading
from twin_assets.core.sources.bylines import names_of
from twin_assets.core.sources.feed_reader import TRUSTED
from twin_assets.core.sources.pages import UNREAD, Page, read_page
from twin_assets.core.web import shown

Entry = tuple[str, str, str]  # a page's address, its time of change ("": not told), the sitemap that lists it
ADDRESS = re.compile(r"/[\w.-]*sitemap[\w.-]*\.xml(\.gz)?$", re.IGNORECASE)
SITEMAPS = 100  # files of one index that are read
LARGEST = 50_000_000  # bytes of one file, as the protocol says
WORDS = 80  # a page with fewer words of text is a list or a form
_LISTS = re.compile(
    r"/(tags?|categor(y|ies)|topics?|authors?|page|search|archives?|series|feed)(/|$)|\.(xml|jpe?g|png|pdf|zip)$",
    re.IGNORECASE,
)


def collect_sitemap(reading: Reading) -> Iterator[Event]:
    """Every page of the sitemap that holds a text; one that did not change since its last reading is not read.

    Pages that a feed of the author already brought are left to it. The sitemap's own files are asked for conditionally,
    and once a week read whatever their validators say.
    """
    names = names_of(reading.author)
    before = reading.cursor if reading.cursor.get("names", names) == names else {}
    pages: dict[str, Any] = dict(before.get("pages", {}))
    read_at = float(before.get("read_at", 0))
    trusted = time.time() - read_at < TRUSTED
    files: dict[str, Any] = dict(before.get("files", {})) if trusted else {}
    elsewhere = {url.rstrip("/") for name, url in reading.known().items() if name != url}
    now: dict[str, Any] = {}
    texts = unread = 0

    def read(entry: Entry) -> tuple[Entry, Page]:
        address, changed, _ = entry
        state = pages.get(address, {})
        if changed and state.get("changed") == changed:
            return entry, Page(unchanged=True)
        validators = {"etag": state.get("etag"), "last_modified": state.get("modified")}
        return entry, read_page(reading, address, **validators)

    listed = read_sitemap(reading, reading.source.location, pages, files)
    wanted = (entry for entry in listed if entry[0].rstrip("/") not in elsewhere)
    for (address, changed, file), page in in_order(read, wanted):
        if page.unchanged:
            now[address] = {**pages.get(address, {}), "file": file}
        elif page.problem is not None and page.problem.reason == UNREAD:
            unread += 1
            now[address] = {"file": file, "due": changed}
        else:
            now[address] = {"changed": changed, "etag": page.etag, "modified": page.last_modified, "file": file}
            now[address]["text"] = page.problem is not None or len(page.text.split()) >= WORDS
            if now[address]["text"]:
                yield Found(_document(reading, address, page))
                texts += 1
            pages[address] = now[address]
            yield Checkpoint({"names": names, "pages": pages})
            continue
        yield Kept(address)
    message = f"{unread} pages could not be read and are tried again." if unread else ""
    cursor = {"names": names, "pages": now, "files": files, "read_at": read_at if trusted else time.time()}
    yield Done(cursor, complete=True, message=message)


def read_sitemap(
    reading: Reading, address: str, pages: Mapping[str, Any], files: dict[str, Any], depth: int = 0
) -> Iterator[Entry]:
    """Every page of the site that is not a list; nested sitemaps are read.

    pages: what is known of each; files: validators and nested sitemaps of each file, brought up to date here.
    Raises FetchError, and SourceError for what is no sitemap or is cut off.
    """
    known = files.get(address, {})
    validators = {"etag": known.get("etag"), "last_modified": known.get("modified")}
    response = reading.web.get(address, max_bytes=LARGEST, **validators)
    if response.not_modified:
        for each in known["nested"]:
            yield from read_sitemap(reading, each, pages, files, depth + 1)
        for page, state in list(pages.items()):
            if state.get("file") == address:
                yield page, state.get("changed", state.get("due", "")), address
        return
    kind, rows = parse_sitemap(_unpacked(response.content, address), address)
    if kind == "sitemapindex" and depth < 2:
        if len(rows) > SITEMAPS:  # to read some of them would make the pages of the others look removed
            raise SourceError(
                f"The sitemap {shown(address)} lists {len(rows)} others, more than {SITEMAPS}; give the address of the "
                "one that lists the posts."
            )
    elif kind != "urlset":
        raise SourceError(f"{shown(address)} is no sitemap; give the address of the site's sitemap.xml.")
    nested = [each for each, _ in rows] if kind == "sitemapindex" else []
    files[address] = {"etag": response.etag, "modified": response.last_modified, "nested": nested}
    for each in nested:
        yield from read_sitemap(reading, each, pages, files, depth + 1)
    for url, changed in rows if kind == "urlset" else ():
        path = urlsplit(url).path
        if path.strip("/") and not _LISTS.search(path):
            yield url, changed, address


def parse_sitemap(data: bytes, address: str) -> tuple[str, list[tuple[str, str]]]:
    """("urlset" or "sitemapindex" or what else the root is, (address, time of change or "") of the same host's rows).

    Raises SourceError for what is no XML or is cut off. What an entity stands for is not read.
    """
    from lxml import etree

    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SourceError(
            f"The sitemap {shown(address)} is cut off or no XML ({error}); nothing was changed, the next run reads it "
            "again."
        ) from error
    found = [{_name(field): (field.text or "").strip() for field in row} for row in root if isinstance(row.tag, str)]
    host = _host(address)
    rows = [(row["loc"], row.get("lastmod", "")) for row in found if _host(row.get("loc", "")) == host]
    return _name(root), rows


def _host(address: str) -> str:
    """The host of an address, "" of what is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _document(reading: Reading, address: str, page: Page) -> RawDocument:
    problem = page.problem
    return reading.document(
        external_id=address,
        category="article",
        url=address,
        title=page.title,
        content=page.text,
        content_type="text/markdown",
        published_at=page.published_at,
        metadata={"text_from": "page"},
        quarantine=problem.reason if problem else None,
        remedy=problem.remedy if problem else None,
    )


def _unpacked(data: bytes, address: str) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        unpacked = zlib.decompressobj(wbits=31).decompress(data, LARGEST + 1)
    except zlib.error as error:
        raise SourceError(f"The sitemap {shown(address)} is damaged ({error}); try again later.") from error
    if len(unpacked) > LARGEST:
        raise SourceError(f"The sitemap {shown(address)} unpacks to more than {LARGEST / 1e6:g} MB; it was not read.")
    return unpacked


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2] if isinstance(element.tag, str) else ""
