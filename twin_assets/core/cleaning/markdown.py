"""html_to_markdown(): HTML into Markdown whose visible characters are those of the page, in their order."""

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from twin_assets.core.cleaning.boilerplate import is_tracking_parameter, is_tracking_pixel, is_widget

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

# markdownify and BeautifulSoup call themselves once a level; Python's limit is at 1,000 calls, a few to a level.
DEEPEST = 100
# Taking a container away costs time in proportion to its depth.
DEEPEST_TO_FLATTEN = 2000
CONTAINERS = ("div", "section", "article", "main", "span", "font", "center", "header", "footer", "aside")
INVISIBLE = ("script", "style", "noscript", "template", "svg", "head", "title", "meta", "link", "dialog")
CONTROLS = ("button", "input", "select", "textarea")


def html_to_markdown(html: str) -> str:
    """Markdown (ATX headings, `-` lists, fenced code) of an HTML fragment or page.

    Nothing is escaped: `snake_case` and `2*3*4` stay as written. Images keep their alternative text, embeds and
    iframes become links, and nesting of any depth is taken.
    """
    from bs4 import BeautifulSoup

    if "<" not in html and "&" not in html:
        return html.strip()
    soup = BeautifulSoup(html, "lxml")
    _remove_unseen(soup)
    _turn_embeds_into_links(soup)
    _mend_lists(soup)
    _strip_tracking(soup)
    _tidy_attributes(soup)
    _flatten(soup)
    markdown = _converter().convert_soup(soup)
    # Headings, paragraphs and lists bring blank lines of their own, which would pile up; code keeps its own.
    return _collapse_blank_lines(markdown).strip("\n").rstrip()


@cache
def _converter() -> Any:
    from markdownify import MarkdownConverter

    class Converter(MarkdownConverter):  # type: ignore[misc]
        """markdownify with bare line breaks: its own leave a backslash or two spaces in the author's text."""

        def convert_br(self, el: Any, text: str, parent_tags: Any) -> str:
            return (" " if "_inline" in parent_tags else "\n") + text

        def convert_figcaption(self, el: Any, text: str, parent_tags: Any) -> str:
            return f"\n\n{text.strip()}\n\n" if text.strip() else ""

    return Converter(
        heading_style="ATX", bullets="-", code_language_callback=_code_language, escape_asterisks=False,
        escape_underscores=False, escape_misc=False, strip_document=None,
    )  # fmt: skip


def _code_language(element: "Tag") -> str:
    for tag in (element, *element.find_all("code", limit=1)):
        for name in tag.get("class") or []:
            if match := re.match(r"(?:language|lang|highlight-source|brush:)-?(\w+)", name):
                return match[1]
    return ""


def _remove_unseen(soup: "BeautifulSoup") -> None:
    from bs4 import Comment, Declaration, Doctype, ProcessingInstruction

    for text in soup.find_all(string=lambda s: isinstance(s, Comment | Declaration | Doctype | ProcessingInstruction)):
        text.extract()
    for tag in soup.find_all([*INVISIBLE, *CONTROLS]):
        tag.decompose()
    for tag in soup.find_all(is_widget):
        if not tag.decomposed:
            tag.decompose()
    for tag in soup.find_all("img"):
        if is_tracking_pixel(tag):
            tag.decompose()
    for tag in soup.find_all("form"):
        tag.unwrap()


def _turn_embeds_into_links(soup: "BeautifulSoup") -> None:
    for tag in soup.find_all(["iframe", "embed", "object", "video", "audio"]):
        source = tag.find("source")
        address = tag.get("src") or tag.get("data") or tag.get("data-src") or (source.get("src") if source else None)
        _replace_by_link(soup, tag, str(address or ""), str(tag.get("title") or ""))
    for tag in soup.select("[data-attrs]"):
        address = None if tag.decomposed or tag.find(["a", "img"]) else _embedded_address(str(tag["data-attrs"]))
        if address:
            _replace_by_link(soup, tag, address, tag.get_text(" ", strip=True))


def _embedded_address(attributes: str) -> str | None:
    """The link an embed's payload carries (Substack keeps tweets, videos and previews in it)."""
    try:
        payload = json.loads(attributes)
    except json.JSONDecodeError:
        return None
    if not isinstance(payload, dict):
        return None
    if isinstance(payload.get("videoId"), str):
        return f"https://www.youtube.com/watch?v={payload['videoId']}"
    address = payload.get("url") or payload.get("href")
    return address if isinstance(address, str) and address.startswith(("http://", "https://")) else None


def _replace_by_link(soup: "BeautifulSoup", tag: "Tag", address: str, title: str) -> None:
    if address.startswith("//"):
        address = "https:" + address
    if not address.startswith(("http://", "https://")):
        tag.decompose()
        return
    paragraph = soup.new_tag("p")
    link = soup.new_tag("a", href=address)
    link.string = title or address
    paragraph.append(link)
    tag.replace_with(paragraph)


def _mend_lists(soup: "BeautifulSoup") -> None:
    """Put a list that lies directly in a list, which is invalid but common, into the item before it."""
    for inner in soup.select("ul > ul, ul > ol, ol > ul, ol > ol"):
        before = inner.find_previous_sibling("li")
        if before is not None:
            before.append(inner.extract())


def _strip_tracking(soup: "BeautifulSoup") -> None:
    for tag in soup.find_all("a", href=True):
        href = str(tag["href"])
        if "?" not in href:
            continue
        try:
            parts = urlsplit(href)
        except ValueError:
            continue
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        kept = [(name, value) for name, value in pairs if not is_tracking_parameter(name, value)]
        if len(kept) != len(pairs):
            tag["href"] = urlunsplit(parts._replace(query=urlencode(kept)))


def _tidy_attributes(soup: "BeautifulSoup") -> None:
    """Markdown holds no line break in a title and no space in an address."""
    for tag in soup.find_all(["a", "img"]):
        for name in ("alt", "title"):
            if tag.get(name):
                tag[name] = " ".join(str(tag[name]).split())
        for name in ("href", "src"):
            if tag.get(name):
                tag[name] = str(tag[name]).strip().replace(" ", "%20")


def _flatten(soup: "BeautifulSoup") -> None:
    """Take away containers that hold one container and nothing else; write what is still too deep as plain text."""
    _write_plainly(soup, DEEPEST_TO_FLATTEN)
    for tag in soup.find_all(CONTAINERS):
        while tag.name != "span" and (only := _only_child(tag)) is not None and only.name in CONTAINERS:
            only.unwrap()
    _write_plainly(soup, DEEPEST)


def _only_child(tag: "Tag") -> "Tag | None":
    """The element that is all a tag holds but white space."""
    from bs4 import Tag

    children = [child for child in tag.contents if isinstance(child, Tag) or str(child).strip()]
    return children[0] if len(children) == 1 and isinstance(children[0], Tag) else None


def _write_plainly(soup: "BeautifulSoup", depth: int) -> None:
    """Put the bare text of elements at this depth in their place."""
    level: list[Any] = [child for child in soup.contents if getattr(child, "name", None)]
    for _ in range(depth):
        level = [child for tag in level for child in tag.contents if getattr(child, "name", None)]
    for tag in level:
        tag.replace_with(soup.new_string(tag.get_text("\n")))


def _collapse_blank_lines(markdown: str) -> str:
    lines: list[str] = []
    fence, blank = False, 0
    for line in markdown.split("\n"):
        if line.lstrip().startswith("```"):
            fence = not fence
        blank = 0 if fence or line.strip() else blank + 1
        if blank < 2:
            lines.append(line if fence or line.strip() else "")
    return "\n".join(lines)
