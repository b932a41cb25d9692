"""HTML to text: megabytes a second, and characters lost, against langchain's HTML transformers and splitters."""

import argparse
import gzip
import re
import time
from collections.abc import Callable
from pathlib import Path

from rapidfuzz.distance import LCSseq
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_text
from tests.visible_text import visible
from twin_assets.core.cleaning import html_to_markdown

PAGES = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "html_article_benchmark" / "html"


def made_up(count: int) -> list[str]:
    """Articles with what articles have: headings, lists, quotes, code, links, images and an embed."""
    pages = []
    for number in range(count):
        parts = [f"<h1>Article {number}</h1>"]
        for section in range(8):
            text = [make_text(1000 * number + 10 * section + part, 50) for part in range(4)]
            parts.append(
                f'<h2 id="s{section}">Section {section}</h2><p>{text[0]} '
                f'<a href="https://example.org/{section}?utm_source=x">a link</a>,'
                f" <em>slanted</em> and <strong>bold</strong>.</p><ul><li>{text[1][:60]}</li><li><p>{text[2][:60]}"
                f'</p></li></ul><blockquote><p>{text[3]}</p></blockquote><figure><img src="{section}.png" alt="Fig"/>'
                "<figcaption>A figure.</figcaption></figure><pre><code class='language-python'>def f():\n    return 1"
                "</code></pre>"
            )
        pages.append("<html><head><title>x</title></head><body><article>" + "".join(parts) + "</article></body></html>")
    return pages


def real(count: int) -> list[str]:
    """Captured article pages, where they are there."""
    if not PAGES.is_dir():
        return []
    paths = sorted(PAGES.iterdir())[:count]
    found = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in paths]
    return [content.decode("utf-8", "replace") for content in found]


def langchain() -> dict[str, Callable[[str], str]]:
    """langchain's ways from HTML to text."""
    from langchain_community.document_transformers import (
        BeautifulSoupTransformer,
        Html2TextTransformer,
        MarkdownifyTransformer,
    )
    from langchain_core._api.beta_decorator import suppress_langchain_beta_warning
    from langchain_core.documents import Document
    from langchain_text_splitters import HTMLHeaderTextSplitter, HTMLSemanticPreservingSplitter

    headers = [("h1", "h1"), ("h2", "h2"), ("h3", "h3")]
    soup, markdown, plain = BeautifulSoupTransformer(), MarkdownifyTransformer(), Html2TextTransformer()
    by_header = HTMLHeaderTextSplitter(headers)
    with suppress_langchain_beta_warning():
        semantic = HTMLSemanticPreservingSplitter(headers, max_chunk_size=1000)

    def transform(transformer: object) -> Callable[[str], str]:
        return lambda html: transformer.transform_documents([Document(html)])[0].page_content  # type: ignore[attr-defined]

    return {
        "langchain BeautifulSoupTransformer": transform(soup),
        "langchain MarkdownifyTransformer": transform(markdown),
        "langchain Html2TextTransformer": transform(plain),
        "langchain HTMLHeaderTextSplitter": lambda html: "\n".join(d.page_content for d in by_header.split_text(html)),
        "langchain HTMLSemanticPreservingSplitter": lambda html: "\n".join(
            d.page_content for d in semantic.split_text(html)
        ),
    }


def kept(html: str, text: str) -> tuple[int, int]:
    """Length of the longest common subsequence of the visible characters and the text, and of the former."""
    wanted = visible(html)
    return LCSseq.similarity(wanted, re.sub(r"\s", "", text)), len(wanted)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few pages only")
    count = 8 if parser.parse_args().quick else 91
    ways = {"html_to_markdown": html_to_markdown, **langchain()}
    for title, pages in (("made-up articles", made_up(count)), ("captured article pages", real(count))):
        if not pages:
            continue
        size = sum(len(page.encode()) for page in pages) / 1e6
        table = Table(title=f"{len(pages)} {title}, {size:.1f} MB, one thread")
        for column in ("", "MB per CPU second", "times slower", "visible characters kept in order"):
            table.add_column(column, justify="right" if column else "left")
        first = 0.0
        for name, way in ways.items():
            way(pages[0])
            texts, started = [], time.process_time()
            for page in pages:
                try:
                    texts.append(way(page))
                except RecursionError:
                    texts.append("")
            speed = size / (time.process_time() - started)
            first = first or speed
            counts = [kept(page, text) for page, text in zip(pages[:20], texts, strict=False)]
            share = sum(found for found, _ in counts) / sum(total for _, total in counts)
            table.add_row(name, f"{speed:.2f}", f"{first / speed:.1f}", f"{share:.2%}")
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
