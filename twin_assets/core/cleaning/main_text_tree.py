"""Readying a page for the extractor: what is plainly not the article goes, what it would lose by its form is mended.

Everything here is a convention of the web (names of classes and ids, lines that lead to other articles), not a habit of
one site; texts are matched in the larger European languages.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml.html import HtmlElement

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
CONTAINERS = ("div", "section", "article", "main", "td", "center")
BLOCKS = frozenset(
    ("p", "ul", "ol", "dl", "li", "table", "blockquote", "pre", "figure", "form", "nav", "aside", "header", "footer",
     "iframe", "video", "hr", "details", "script", "style", "noscript", *CONTAINERS, *HEADINGS)
)  # fmt: skip
BOXES = (
    "div", "section", "aside", "ul", "ol", "p", "span", "article", "form", "table", "label", "details", "figcaption",
    *HEADINGS,
)  # fmt: skip
# Whole words of a class or an id that name what stands beside an article.
WIDGETS = frozenset(
    ("newsletter", "newsletters", "promo", "promos", "promotion", "promoted", "recirc", "recirculation", "related",
     "trending", "popular", "cta", "subscribe", "subscription", "signup", "share", "sharing", "sharebar", "tooltip",
     "popover", "popup", "modal", "sponsor", "sponsored", "sponsors", "advert", "advertisement", "taboola",
     "outbrain", "comments", "disqus", "breadcrumb", "breadcrumbs", "caption", "captions", "credit", "toolbar")
)  # fmt: skip
LONG_RUN = 80  # characters; bare text this long is a paragraph without its tag
MOST_OF_A_PAGE = 5  # a box with more than one part in five of the page's prose is no widget, whatever its name

# A line that is nothing but one of these leads to other articles.
LEAD_IN = re.compile(
    r"\W*(related|read (more|also|next)|also read|see (also|more)|more|do ?n['’]t miss|recommended|advertisement|"
    r"(you|you['’]ll) (may|might|will)? ?(also )?(like|love|enjoy|be interested in)|"
    r"most (read|popular|viewed|shared)( \w+){0,3}|more (from|on|in|about)\b[\w ]{0,40}|continue reading|share this|"
    r"(more|related|recommended|popular|latest|similar) (stories|articles|coverage|content|news|links|reading|posts|"
    r"videos?|stor(y|ies))|sponsored( content)?|"
    r"lesen sie (auch|mehr)|mehr (zum thema|dazu)|siehe auch|das könnte sie( auch)? interessieren|anzeige|"
    r"(à )?lire (aussi|également)|voir aussi|sur le même sujet|publicité|"
    r"(lea|lee|leer|leia|leggi|vedi|ver) (también|también:|tamb[eé]m|anche|más|mais)|veja (mais|tamb[eé]m)|"
    r"(artículos|artigos|notícias|noticias) relacionad[oa]s|publicidade?|"
    r"potrebbe interessarti|lees ook|zobacz także)\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Size:
    """Characters of an element: all of them, those inside links, those inside paragraphs."""

    all: int
    linked: int
    prose: int


def prepare(tree: "HtmlElement") -> None:
    """Ready a parsed page, in place, in time proportional to its size."""
    body = tree.find("body")
    if body is None:
        return
    _remove_widgets(body)
    _remove_leads(body)
    _mend_forms(body)
    for container in [e for e in body.iter(*CONTAINERS) if e is not body]:
        _mend_container(container)


def measure(body: "HtmlElement") -> dict[Any, Size]:
    """The size of every element below a body, in one walk."""
    from lxml import etree

    sizes: dict[Any, Size] = {}
    for _, element in etree.iterwalk(body, events=("end",)):
        if not isinstance(element.tag, str) or element.tag in ("script", "style", "noscript"):
            continue
        parts = [sizes.get(child, Size(0, 0, 0)) for child in element]
        own = len((element.text or "").strip()) + sum(len((child.tail or "").strip()) for child in element)
        size = own + sum(part.all for part in parts)
        linked = size if element.tag == "a" else sum(part.linked for part in parts)
        sizes[element] = Size(size, linked, size if element.tag == "p" else sum(part.prose for part in parts))
    return sizes


def names(element: "HtmlElement") -> set[str]:
    """The lower-case words of an element's class and id, camel case taken apart."""
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", f"{element.get('class', '')} {element.get('id', '')}")
    return set(re.split(r"[^a-z]+", text.lower()))


def _remove_widgets(body: "HtmlElement") -> None:
    sizes = measure(body)
    whole = sizes[body].prose if body in sizes else 0
    holders = {a for e in body.iter("h1") for a in e.iterancestors()}
    holders |= {a for e in body.iterfind(".//*[@itemprop='articleBody']") for a in (e, *e.iterancestors())}
    for element in list(body.iter(*BOXES)):
        size = sizes.get(element, Size(0, 0, 0))
        if element in holders or size.prose * MOST_OF_A_PAGE > whole or element.getparent() is None:
            continue
        if names(element) & WIDGETS or _is_link_list(element, size) or _is_link_card(element, size):
            element.drop_tree()


def _is_link_list(element: "HtmlElement", size: Size) -> bool:
    """True of a list of two items and more that are links and nothing else: a menu, other articles."""
    if element.tag not in ("ul", "ol") or len(element) < 2:
        return False
    return size.all > 0 and size.linked >= 0.95 * size.all


def _is_link_card(element: "HtmlElement", size: Size) -> bool:
    """True of a card of several links that pops up inside a sentence."""
    if element.tag != "span" or size.linked < 0.6 * size.all or len(element.findall(".//a")) < 3:
        return False
    return all(len(child.findall(".//a")) < 3 for child in element.iterdescendants("span"))


def _remove_leads(body: "HtmlElement") -> None:
    """Remove lines that lead to other articles, and the links that follow such a line."""
    sizes = measure(body)
    for element in list(body.iter("p", "li", "div", *HEADINGS)):
        size = sizes.get(element, Size(0, 0, 0))
        if size.all > 300 or any(child.tag in BLOCKS for child in element):
            continue
        unlinked = _unlinked(element) if size.linked else _words(element)
        if not LEAD_IN.fullmatch(unlinked) and not (size.all < LONG_RUN and LEAD_IN.fullmatch(_words(element))):
            continue
        follower = element.getnext()
        while follower is not None and (after := sizes.get(follower)) and after.linked > 0.7 * after.all > 0:
            follower, gone = follower.getnext(), follower
            _drop(gone)
        _drop(element)


def _drop(element: "HtmlElement") -> None:
    if element.getparent() is not None:
        element.drop_tree()


def _words(element: "HtmlElement") -> str:
    return " ".join(element.text_content().split())


def _unlinked(element: "HtmlElement") -> str:
    """An element's text outside of its links."""
    return " ".join(" ".join(element.xpath("descendant-or-self::text()[not(ancestor-or-self::a)]")).split())


def _mend_forms(body: "HtmlElement") -> None:
    """Undo what makes the extractor lose text: empty markers before a text, spans by name, quotations in embeds."""
    for element in list(body.iter("span", "a", "b", "i", "em", "strong", "div", "p")):
        empty = len(element) == 0 and not (element.text or "").strip()
        if empty and (element.tail or "").strip() and element.getparent() is not None:
            element.drop_tag()  # in its precise mode trafilatura removes an empty element with the text after it
    for element in list(body.iterfind(".//p//span")):
        if not any(child.tag in BLOCKS for child in element.iterdescendants()):
            element.attrib.pop("class", None)
    for element in body.iter("blockquote"):
        element.attrib.pop("class", None)
        around = element.getparent()
        while around is not None and sum(isinstance(child.tag, str) and child.tag != "script" for child in around) == 1:
            around.attrib.pop("class", None)
            around = around.getparent()


def _mend_container(container: "HtmlElement") -> None:
    """Make paragraphs of what stands bare among paragraphs, and keep headings among them that are links."""
    if not any(child.tag in BLOCKS for child in container):
        return
    _wrap_bare_text(container)
    paragraphs = sum(child.tag == "p" and len(child.text_content()) > LONG_RUN for child in container)
    if paragraphs < 3:
        return
    for child in container:
        if child.tag in HEADINGS:
            for link in list(child.iter("a")):
                link.drop_tag()
        elif child.tag == "div" and not any(d.tag in BLOCKS or d.tag in ("a", "img") for d in child.iterdescendants()):
            child.tag = "p"
            child.attrib.clear()


def _wrap_bare_text(container: "HtmlElement") -> None:
    """Put long runs of text and inline elements that stand directly in a container into paragraphs.

    A run goes from one block to the next; two line breaks with nothing between them end it as well.
    """
    runs: list[tuple[Any, list[Any]]] = [(None, [])]  # the element a run follows, and the run's elements
    for child in container:
        second_break = child.tag == "br" and _is_break(child.getprevious())
        if second_break or child.tag in BLOCKS or not isinstance(child.tag, str):
            runs.append((child, []))
        else:
            runs[-1][1].append(child)
    for before, inline in runs:
        text = (container.text if before is None else before.tail) or ""
        bare = len(text.strip()) + sum(len((child.tail or "").strip()) for child in inline)
        if not bare or bare + sum(len(_words(child)) for child in inline) < LONG_RUN:
            continue
        paragraph = container.makeelement("p")
        paragraph.text = text
        if before is None:
            container.text = None
            container.insert(0, paragraph)
        else:
            before.tail = None
            before.addnext(paragraph)
        paragraph.extend(inline)


def _is_break(element: "HtmlElement | None") -> bool:
    return element is not None and element.tag == "br" and not (element.tail or "").strip()
