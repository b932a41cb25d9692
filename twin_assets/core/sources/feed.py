"""Any RSS, Atom or JSON feed: what it lists now is added or changed; what falls out of its window stays.

Where the feed has summaries only the texts come from their pages, as far as robots.txt allows. The address of a
sitemap instead of a feed's brings the back catalogue.
"""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from twin_assets.core.ahead import in_order
from twin_assets.core.documents import RawDocument
from twin_assets.core.sources.base import (
    Checkpoint,
    Done,
    Event,
    Found,
    Kept,
    Platform,
    Reading,
    plain_words,
    web_address,
)
from twin_assets.core.sources.bylines import held_if_foreign, names_of
from twin_assets.core.sources.feed_reader import Item, fetch_feed
from twin_assets.core.sources.pages import UNREAD, Page, read_page
from twin_assets.core.sources.quarantine import EMPTY, TRUNCATED
from twin_assets.core.sources.sitemap import ADDRESS, collect_sitemap

MORE, MORE_WORDS = 1.2, 20  # a page's text is this much longer than the feed's summary, or it is the summary again
SHORT = 1500  # characters of markup; what is shorter and has no title is a post


def normalise(location: str) -> str:
    """The address with its scheme."""
    web_address(location)
    text = location.strip()
    return text if text.lower().startswith(("http://", "https://")) else f"https://{text}"


def collect(reading: Reading) -> Iterator[Event]:
    """Every item of the feed; one conditional request where nothing changed.

    Where an item has a summary only, its page is read, once for every state of the item.
    """
    if ADDRESS.search(urlsplit(reading.source.location).path):
        yield from collect_sitemap(reading)
        return
    feed = fetch_feed(reading, reading.source.location)
    if feed is None:
        yield Done(reading.cursor, unchanged=True)
        return
    names = names_of(reading.author)
    judged = reading.cursor.get("names", names) == names
    pages: dict[str, str] = dict(reading.cursor.get("pages", {}) if judged else {})
    unread = 0
    documents = [document(reading, item) for item in feed.items]
    unseen = (found for found in documents if _leads(found) and pages.get(found.external_id) != found.raw_hash)
    behind = {found.external_id: found.url for found in unseen}
    read = in_order(lambda url: read_page(reading, url), list(behind.values()))
    for item, found in zip(feed.items, documents, strict=True):
        if not _leads(found):
            yield Found(found, _former(item))
        elif behind.pop(found.external_id, None) is None:
            yield Kept(item.guid)
        else:
            page = next(read)
            yield Found(completed(found, page), _former(item))
            if page.problem is not None and page.problem.reason == UNREAD:
                unread += 1
            else:
                pages[item.guid] = found.raw_hash
                yield Checkpoint({**reading.cursor, "feed": {}, "names": names, "pages": pages})
    # With pages still to read the feed is not told "as before": the next run has to see it again.
    state = {**feed.cursor, "etag": None, "last_modified": None, "body": None} if unread else feed.cursor
    message = f"{unread} pages behind the feed could not be read and are tried again." if unread else ""
    pages = {item.guid: pages[item.guid] for item in feed.items if item.guid in pages}
    yield Done({"feed": state, "names": names, "pages": pages}, message=message)


def _leads(found: RawDocument) -> bool:
    """Whether the text is on the item's page and not in the feed."""
    return found.quarantine in (EMPTY, TRUNCATED) and found.url.startswith(("http://", "https://"))


def completed(found: RawDocument, page: Page) -> RawDocument:
    """A feed's summary with the text of its page in place; held back where the page has no more than it."""
    if page.problem is not None:
        return replace(found, quarantine=page.problem.reason, remedy=page.problem.remedy)
    if len(page.text.split()) < MORE * plain_words(found.content, found.content_type) + MORE_WORDS:
        return found
    return replace(
        found,
        title=found.title or page.title,
        content=page.text,
        content_type="text/markdown",
        published_at=found.published_at or page.published_at,
        metadata={**found.metadata, "text_from": "page"},
        category="article",
        quarantine=None,
        remedy=None,
    )


def _former(item: Item) -> tuple[str, ...]:
    """Names the item may have in the lake: a guid it shared, and its address, from the sitemap."""
    return (*item.replaces, *({item.link, item.link.rstrip("/")} - {item.guid, ""}))


def document(reading: Reading, item: Item) -> RawDocument:
    """A feed item as a document; one with a summary only, or signed by somebody else, is quarantined."""
    quarantine = remedy = None
    if not item.content:
        quarantine, remedy = EMPTY, f"the feed carries no text for it; add the texts as files, from {item.link}"
    elif not item.whole:
        quarantine, remedy = TRUNCATED, "let the feed carry full texts, or add the texts as files"
    found = reading.document(
        external_id=item.guid,
        category="article" if item.title or len(item.content) >= SHORT else "post",
        url=item.link,
        title=item.title,
        content=item.content,
        content_type=item.content_type,
        published_at=item.published_at,
        metadata={"categories": list(item.categories)} if item.categories else {},
        quarantine=quarantine,
        remedy=remedy,
    )
    return held_if_foreign(found, item.bylines, reading.author)


PLATFORM = Platform(
    name="feed",
    title="Feed",
    hint="https://your.blog/feed.xml, or its sitemap.xml",
    order=60,
    reads="link",
    normalise=normalise,
    collect=collect,
)
