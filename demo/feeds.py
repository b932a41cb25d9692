"""Editing an RSS or Atom file in place: items come, change and go; every other byte stays as written."""

import html
import re
import time
from email.utils import formatdate

_ITEM = re.compile(r"<(item|entry)\b.*?</\1>", re.DOTALL)
_IDENTITY = re.compile(r"<(?:guid|id)\b[^>]*>(.*?)</(?:guid|id)>", re.DOTALL)
_LINK = re.compile(r"<link>(.*?)</link>", re.DOTALL)
_ATOM_LINK = re.compile(r"<link\b[^>]*>")
_TITLE = re.compile(r"(<title\b[^>]*>)(.*?)(</title>)", re.DOTALL)
_BODY = re.compile(r"(<(content:encoded|content|description|summary)\b[^>]*>)(.*?)(</\2>)", re.DOTALL)


def iso_time(moment: float) -> str:
    """Epoch seconds as `2026-01-31T12:00:00.000Z`, the way Medium and Substack write them."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(moment))


def to_html(text: str) -> str:
    """Plain text as HTML paragraphs; text that starts with a tag is HTML already."""
    if text.lstrip().startswith("<"):
        return text
    paragraphs = (html.escape(each.strip(), quote=False) for each in text.split("\n\n"))
    return "".join(f"<p>{each}</p>".replace("\n", "<br>") for each in paragraphs if each != "<p></p>")


def slugify(title: str) -> str:
    """A title as the last part of an address."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "untitled"


def _plain(markup: str) -> str:
    inside = re.fullmatch(r"\s*<!\[CDATA\[(.*?)\]\]>\s*", markup, re.DOTALL)
    return inside.group(1) if inside else html.unescape(markup.strip())


def _cdata(text: str) -> str:
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def identity(item: str) -> str:
    """The guid (RSS) or id (Atom) of one item's markup."""
    found = _IDENTITY.search(item)
    return _plain(found.group(1)) if found else link(item)


def head(feed: str) -> str:
    """What stands before the first item: the feed's own title and links."""
    return _ITEM.split(feed, maxsplit=1)[0]


def link(markup: str) -> str:
    """The address of an item or a feed (in Atom the alternate link), "" where there is none."""
    found = _LINK.search(markup)
    if found:
        return _plain(found.group(1))
    for tag in _ATOM_LINK.findall(markup):
        address = re.search(r'\bhref="(.*?)"', tag)
        if address and (' rel="' not in tag or ' rel="alternate"' in tag):
            return html.unescape(address.group(1))
    return ""


def title(item: str) -> str:
    """An item's title."""
    found = _TITLE.search(item)
    return _plain(found.group(2)) if found else ""


def body(item: str) -> str:
    """An item's HTML: the full text where there is one, else its summary, else ""."""
    found = {name: text for _, name, text, _ in _BODY.findall(item)}
    name = next((each for each in ("content:encoded", "content", "description", "summary") if each in found), None)
    return _plain(found[name]) if name else ""


def items(feed: str) -> list[str]:
    """The markup of every item, in the feed's order."""
    return [found.group(0) for found in _ITEM.finditer(feed)]


def make_item(feed: str, key: str, address: str, heading: str, markup: str) -> str:
    """A new item with full text, published now, in the feed's own format; its author is the feed's."""
    now = time.time()
    if "<feed" in head(feed):
        return (
            f'<entry><title>{html.escape(heading)}</title><link rel="alternate" href="{html.escape(address)}"/>'
            f"<id>{html.escape(key)}</id><published>{iso_time(now)}</published><updated>{iso_time(now)}</updated>"
            f'<content type="html">{_cdata(markup)}</content></entry>'
        )
    creator = re.search(r"<dc:creator>(.*?)</dc:creator>", feed, re.DOTALL)
    name = _plain(creator.group(1)) if creator else title(head(feed))
    permanent = "true" if key == address else "false"
    return (
        f"<item><title>{_cdata(heading)}</title><link>{html.escape(address)}</link>"
        f'<guid isPermaLink="{permanent}">{html.escape(key)}</guid>'
        f'<dc:creator xmlns:dc="http://purl.org/dc/elements/1.1/">{_cdata(name)}</dc:creator>'
        f"<pubDate>{formatdate(now, usegmt=True)}</pubDate>"
        f'<atom:updated xmlns:atom="http://www.w3.org/2005/Atom">{iso_time(now)}</atom:updated>'
        f'<content:encoded xmlns:content="http://purl.org/rss/1.0/modules/content/">{_cdata(markup)}'
        "</content:encoded></item>"
    )


def add_item(feed: str, item: str, window: int | None = None) -> str:
    """Put an item on top; items beyond `window` fall off the end, as platforms' feeds lose them."""
    everything = [item, *items(feed)]
    first, after = _span(feed)
    return feed[:first] + "\n".join(everything[:window]) + feed[after:]


def change_item(feed: str, key: str, markup: str) -> str:
    """Replace the text of the item with this identity. Raises KeyError where there is none."""
    old = _find(feed, key)
    spans = {found.group(2): found for found in _BODY.finditer(old)}
    name = next((each for each in ("content:encoded", "content", "description", "summary") if each in spans), None)
    if name is None:
        raise KeyError(key)
    found = spans[name]
    new = old[: found.start(3)] + _cdata(markup) + old[found.end(3) :]
    new = re.sub(r"(<(?:atom:)?updated\b[^>]*>).*?(<)", rf"\g<1>{iso_time(time.time())}\g<2>", new)
    return feed.replace(old, new, 1)


def remove_item(feed: str, key: str) -> str:
    """Drop the item with this identity. Raises KeyError where there is none."""
    return feed.replace(_find(feed, key), "", 1)


def _find(feed: str, key: str) -> str:
    found = next((item for item in items(feed) if identity(item) == key), None)
    if found is None:
        raise KeyError(key)
    return found


def _span(feed: str) -> tuple[int, int]:
    """Where the items start and end in the file; before the end tag where there are none."""
    spans = [found.span() for found in _ITEM.finditer(feed)]
    if spans:
        return spans[0][0], spans[-1][1]
    end = re.search(r"</(channel|feed)>", feed)
    place = end.start() if end else len(feed)
    return place, place
