"""Medium: the feed of the latest posts and the member's export, merged by post id.

Pages are not read: a plain fetch meets a challenge page. Drafts are left out; responses are posts, not articles.
"""

import html
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from twin_assets.core.archives import Archive
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import Done, Event, Found, Platform, Reading, moment, web_address
from twin_assets.core.sources.bylines import held_if_foreign
from twin_assets.core.sources.feed_reader import Item, fetch_feed
from twin_assets.core.sources.quarantine import EMPTY, TRUNCATED

POSTS = r"posts/[^/]+\.html?"
REMEDY = "import your Medium export (Settings > Security and apps > Download your information), which has the text"
_ID = re.compile(r"(?:/p/|-|/)([0-9a-f]{8,14})(?:[/?#]|\Z)")
_SOURCE = re.compile(r"\?source=rss-[\w-]*(&(?:amp;)?)?|&(?:amp;)?source=rss-[\w-]*")
_PIXEL = re.compile(r"<img[^>]+medium\.com/_/stat[^>]*>", re.IGNORECASE)
_TAIL = re.compile(r"(<hr\s*/?>)?\s*<p>(?:(?!</p>).)*was originally published in(?:(?!</p>).)*</p>\s*\Z", re.DOTALL)


def normalise(location: str) -> str:
    """`@user`, a host (`user.medium.com`, a domain of one's own), or a feed's full address."""
    text = location.strip()
    if re.fullmatch(r"@?[A-Za-z0-9_-]{2,60}", text):
        return f"@{text.removeprefix('@')}"
    origin, host, parts = web_address(text)
    if "feed" in parts:
        return f"{origin}/{'/'.join(parts)}"
    if host in ("medium.com", "www.medium.com"):
        if parts and parts[0].startswith("@") and len(parts[0]) > 1:
            return parts[0]
        raise InputError(f"{location!r} is not a Medium profile; its link looks like https://medium.com/@your-name.")
    if re.search(r"(^|\.)(linkedin|substack|github|twitter|x)\.com$", host):
        raise InputError(f"{location!r} is no Medium address; give @your-name or your own domain on Medium.")
    return origin


def feed_url(location: str) -> str:
    """The feed of a normalised location."""
    if location.startswith("@"):
        return f"https://medium.com/feed/{location}"
    return location if "/feed" in location else f"{location.rstrip('/')}/feed"


def collect(reading: Reading) -> Iterator[Event]:
    """The posts the feed carries now; older ones stay as they were."""
    feed = fetch_feed(reading, feed_url(reading.source.location))
    if feed is None:
        yield Done(reading.cursor, unchanged=True)
        return
    for item in feed.items:
        yield Found(feed_document(reading, item))
    yield Done({"feed": feed.cursor})


def feed_document(reading: Reading, item: Item) -> RawDocument:
    """A feed item as a document; one with a snippet only, or signed by somebody else, is quarantined."""
    content = _SOURCE.sub(lambda found: "?" if found.group(1) else "", _PIXEL.sub("", item.content))
    content = _TAIL.sub("", content.strip()).strip()
    snippet = not item.has_content or "medium-feed-snippet" in content or "medium-feed-link" in content
    response = not snippet and _is_response(item.title, content, item.categories)
    reason = TRUNCATED if snippet else EMPTY if not content else None
    found = reading.document(
        external_id=_post_id(item.guid) or _post_id(item.link) or item.guid,
        category="post" if response else "article",
        url=item.link.split("?")[0],
        title="" if response else item.title,
        content=content,
        content_type="text/html",
        published_at=item.published_at,
        metadata={"kind": "response"} if response else {"kind": "article", "tags": list(item.categories)},
        quarantine=reason,
        remedy=REMEDY if reason else None,
    )
    return held_if_foreign(found, item.bylines, reading.author)


def is_export(archive: Archive) -> bool:
    """Known by a post in Medium's markup."""
    return any("e-content" in archive.text(name) for name in archive.find(POSTS)[:3])


def read_export(reading: Reading, archive: Archive) -> Iterator[Event]:
    """Published posts and responses; drafts are counted and left out."""
    articles = responses = drafts = 0
    for name in archive.find(POSTS):
        post = read_post(archive.text(name), PurePosixPath(name).stem)
        if post is None:
            drafts += 1
            continue
        articles += post["category"] == "article"
        responses += post["category"] == "post"
        yield Found(reading.document(content_type="text/html", **post))
    yield Done({}, message=f"{articles} articles, {responses} responses; {drafts} drafts left out.")


def read_post(markup: str, stem: str) -> dict[str, Any] | None:
    """Id, category, address, title, date and body of an exported post; None for a draft."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(markup, "lxml")
    link = page.select_one("a.p-canonical")
    url = str(link.get("href") or "") if link is not None else ""
    if stem.startswith("draft_") or not url:
        return None
    body = page.select_one("[data-field=body]")
    titles = body.select(".graf--title") if body is not None else []
    heading = page.select_one("h1.p-name")
    title = heading.get_text(" ", strip=True) if heading is not None else ""
    content = body.decode_contents().strip() if body is not None else ""
    # Medium marks the title inside an article (21 of 21) and in no response (0 of 44). Where its markup has no marks
    # at all, only a title that is the text's own beginning gives a response away.
    tags = [tag.get_text() for tag in page.select(".p-tag")]
    response = not titles and ("graf--leading" in content or _is_response(title, content, tags))
    for each in titles:
        each.extract()
    if body is not None:
        content = body.decode_contents().strip()
    return {
        "external_id": _post_id(url) or stem.rsplit("-", 1)[-1],
        "category": "post" if response else "article",
        "url": url,
        "title": "" if response else title,
        "content": content,
        "published_at": _published(page),
        "metadata": {"kind": "response"} if response else {"kind": "article"},
        "quarantine": None if _text(content) else EMPTY,
        "remedy": None if _text(content) else "the export holds no text for it; look whether the post still exists",
    }


def _is_response(title: str, content: str, tags: Any) -> bool:
    """A response has no title of its own: Medium shows its beginning as one, and it has no tags."""
    shown = re.sub(r"(…|\.\.\.)$", "", " ".join(title.split())).strip()
    return bool(shown) and not list(tags) and _text(content).startswith(shown)


def _text(content: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", content)).split())


def _post_id(address: str) -> str:
    found = _ID.findall(address)
    return str(found[-1]) if found else ""


def _published(page: Any) -> datetime | None:
    dated = page.select_one("time.dt-published")
    return moment(dated.get("datetime")) if dated is not None else None


PLATFORM = Platform(
    name="medium",
    title="Medium",
    hint="@your-name, or your own domain on Medium",
    order=20,
    reads="link",
    normalise=normalise,
    collect=collect,
    is_export=is_export,
    read_export=read_export,
)
