"""Any RSS, Atom or JSON feed: what it lists now is added or changed; what falls out of its window stays."""

from collections.abc import Iterator

from twin_assets.core.documents import RawDocument
from twin_assets.core.sources.base import Done, Event, Found, Platform, Reading, web_address
from twin_assets.core.sources.feed_reader import Item, fetch_feed
from twin_assets.core.sources.quarantine import EMPTY, TRUNCATED

SHORT = 1500  # characters of markup; what is shorter and has no title is a post


def normalise(location: str) -> str:
    """The address with its scheme."""
    web_address(location)
    text = location.strip()
    return text if text.lower().startswith(("http://", "https://")) else f"https://{text}"


def collect(reading: Reading) -> Iterator[Event]:
    """Every item of the feed; one conditional request where nothing changed."""
    feed = fetch_feed(reading, reading.source.location)
    if feed is None:
        yield Done(reading.cursor, unchanged=True)
        return
    for item in feed.items:
        if item.guid:
            yield Found(document(reading, item))
    yield Done({"feed": feed.cursor})


def document(reading: Reading, item: Item) -> RawDocument:
    """A feed item as a document; one with a summary only is quarantined."""
    quarantine = remedy = None
    if not item.content:
        quarantine, remedy = EMPTY, f"the feed carries no text for it; add the texts as files, from {item.link}"
    elif not item.whole:
        quarantine, remedy = TRUNCATED, "let the feed carry full texts, or add the texts as files"
    return reading.document(
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


PLATFORM = Platform(
    name="feed",
    title="Feed",
    hint="https://your.blog/feed.xml",
    order=60,
    reads="link",
    normalise=normalise,
    collect=collect,
)
