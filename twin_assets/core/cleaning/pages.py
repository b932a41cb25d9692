"""A web page's main text, without what stands around it, and what the page says of it."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml.etree import _Element
    from lxml.html import HtmlElement

LARGE_PAGE = 20_000  # elements; comparing extractors takes time that grows faster than the page


@dataclass(frozen=True)
class Article:
    """What a page is about: its title, its main text (Markdown), the day (ISO 8601) it says it was published, and whom
    it names as its author."""

    title: str = ""
    text: str = ""
    date: str = ""
    bylines: tuple[str, ...] = ()


def main_text(html: str, url: str) -> tuple[str, str]:
    """(title, Markdown) of a page's main text; ("", "") of a page that has none."""
    article = read_article(html, url)
    return article.title, article.text


def read_article(html: str, url: str) -> Article:
    """The article of a page; its text is empty where the page has none.

    trafilatura in its precise mode, helped before (main_text_tree: widgets out, mark-up mended) and after
    (main_text_blocks: the title, closing lines). Precision before recall: a navigation bar in a draft is worse than a
    paragraph less. Measured by `python -m benchmarks.bench_main_text`.
    """
    tree = _parsed(html)
    if tree is None:
        return Article()
    metadata = _metadata(tree, url)
    title = str(metadata.title or "").strip() if metadata else ""
    titles = [title, tree.findtext(".//title") or "", *[h.text_content() for h in tree.iterfind(".//h1")][:2]]
    bylines = _bylines(tree)
    body = _extracted(tree, url)
    text = _markdown(body, titles) if body is not None else ""
    return Article(title, text, str(metadata.date or "") if metadata else "", bylines)


def _parsed(html: str) -> "HtmlElement | None":
    from trafilatura import load_html

    return load_html(html) if html.strip() else None


def _metadata(tree: "HtmlElement", url: str) -> Any:
    """What the page states; no date is guessed from its text."""
    from copy import deepcopy

    from trafilatura import extract_metadata

    return extract_metadata(deepcopy(tree), default_url=url, extensive=False)


def _bylines(tree: "HtmlElement") -> tuple[str, ...]:
    """Names in the page's JSON-LD article, else in its meta tags; names in its text may be anybody's."""
    found: list[str] = []
    for script in tree.iterfind(".//script[@type='application/ld+json']"):
        try:
            found += _named(json.loads(script.text or "", strict=False))
        except (ValueError, RecursionError):
            continue
    tags = [tag.get("content") or "" for tag in tree.iterfind(".//meta[@name='author']")]
    return tuple(dict.fromkeys(name for name in found or tags if name.strip()))


def _named(data: Any) -> list[str]:
    """Authors' names of the articles in JSON-LD."""
    if isinstance(data, list):
        return [name for part in data for name in _named(part)]
    if not isinstance(data, dict):
        return []
    if not any(str(kind).endswith(("Article", "Posting")) for kind in _several(data.get("@type"))):
        return _named(data.get("@graph"))
    authors = _several(data.get("author"))
    persons = [one for one in authors if not isinstance(one, dict) or "Organization" not in str(one.get("@type"))]
    names = [one.get("name") if isinstance(one, dict) else one for one in persons]
    return [name for name in names if isinstance(name, str)]


def _several(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _extracted(tree: "HtmlElement", url: str) -> "_Element | None":
    from trafilatura import bare_extraction

    from twin_assets.core.cleaning.main_text_tree import prepare

    prepare(tree)
    fast = sum(1 for _ in tree.iter()) > LARGE_PAGE
    document: Any = bare_extraction(
        tree, url=url, favor_precision=True, include_comments=False, include_formatting=True, fast=fast
    )
    return document.body if document is not None else None


def _markdown(body: "_Element", titles: list[str]) -> str:
    from lxml.etree import tostring
    from trafilatura.htmlprocessing import convert_to_html

    from twin_assets.core.cleaning.main_text_blocks import tidy
    from twin_assets.core.cleaning.markdown import html_to_markdown

    tidy(body, titles)
    return html_to_markdown(tostring(convert_to_html(body), encoding="unicode")).strip()
