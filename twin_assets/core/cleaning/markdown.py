"""html_to_markdown(): HTML into Markdown whose visible characters are those of the page, in their order.

libxml2 reads the HTML and tells of each tag as it comes; nothing of a page is kept but what was written of it, so that
neither depth nor length matters. Our own, since what is kept of an author's words is what this project is about, and
no library does it: markdownify calls itself once a level, loses embeds and is half as fast; html-to-markdown (Rust) is
faster, but gives nothing at all, without a word, for a page nested 20,000 deep.
"""

import re

from twin_assets.core.cleaning.markdown_reader import MarkdownReader

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)[^>]*>")
# For an end tag libxml2 looks through all open elements: many that close nothing would take it minutes.
MANY_END_TAGS = 5000


def html_to_markdown(html: str) -> str:
    """Markdown (ATX headings, `-` lists, fenced code) of an HTML fragment or page.

    Nothing is escaped: `snake_case` and `2*3*4` stay as written. Images keep their alternative text, embeds and
    iframes become links, and nesting of any depth is taken. Left out is what a reader does not see (scripts, styles,
    comments, hidden elements) and the page's own controls (buttons, fields, subscription widgets, tracking pixels).
    """
    from lxml.etree import HTMLParser

    if "<" not in html and "&" not in html:
        return html.strip()
    if html.count("</") > MANY_END_TAGS:
        html = _without_idle_end_tags(html)
    parser = HTMLParser(target=MarkdownReader(), huge_tree=True)
    parser.feed(html.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return str(parser.close()).strip("\n").rstrip()


def _without_idle_end_tags(html: str) -> str:
    """The HTML without the end tags of elements of which none is open."""
    opened: dict[str, int] = {}
    pieces, at = [], 0
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if not match[1]:
            opened[name] = opened.get(name, 0) + 1
        elif opened.get(name, 0):
            opened[name] -= 1
        else:
            pieces.append(html[at : match.start()])
            at = match.end()
    return "".join(pieces) + html[at:]
