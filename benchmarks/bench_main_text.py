"""Main text of real article pages against named extractors, scored as the public article extraction benchmark does.

The score: per page a precision and a recall over multisets of shingles of four words against the article's text, their
means over the pages, and the F1 of the means (github.com/scrapinghub/article-extraction-benchmark, evaluate.py). Half A
is every second page, half B the others.
"""

import argparse
import gzip
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

PAGES = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "html_article_benchmark"
SHINGLE = 4
Extractor = Callable[[str, str], str]


def score(expected: str, found: str) -> tuple[float | None, float]:
    """(precision, recall) of a text over shingles of four words; no precision where nothing was found."""
    wanted, got = _shingles(expected), _shingles(found)
    common = (wanted & got).total()
    return common / got.total() if got else None, common / (wanted.total() or 1)


def summary(scores: Sequence[tuple[float | None, float]]) -> tuple[float, float, float]:
    """(F1, precision, recall) over pages: the means, and the F1 of the means."""
    precision = statistics.mean(precision for precision, _ in scores if precision is not None)
    recall = statistics.mean(recall for _, recall in scores)
    return 2 * precision * recall / (precision + recall), precision, recall


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)) if words)


def pages(folder: Path = PAGES) -> list[tuple[str, str, str]]:
    """(address, mark-up, text of the article) of every page, by name."""
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    read = (gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()).decode() for name in sorted(truth))
    return [
        (truth[name]["url"], html, truth[name]["articleBody"]) for name, html in zip(sorted(truth), read, strict=True)
    ]


def extractors() -> dict[str, Extractor]:
    """What is compared: the project's own last."""
    import lxml.html
    import trafilatura
    from readability import Document
    from resiliparse.extract.html2text import extract_plain_text

    from twin_assets.core.cleaning import main_text

    def own(precise: bool) -> Extractor:
        return lambda html, url: (
            trafilatura.extract(html, url=url, favor_precision=precise, include_comments=False) or ""
        )

    return {
        "resiliparse, main_content": lambda html, url: extract_plain_text(html, main_content=True, alt_texts=False),
        "readability-lxml": lambda html, url: lxml.html.fromstring(Document(html).summary()).text_content(),
        "trafilatura": own(False),
        "trafilatura, favor_precision": own(True),
        "main_text": lambda html, url: main_text(html, url)[1],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every fourth page")
    if not PAGES.is_dir():
        raise SystemExit(f"The captured pages are not at {PAGES}; this benchmark needs them.")
    chosen = pages()[:: 4 if parser.parse_args().quick else 1]
    table = Table(title=f"Main text of {len(chosen)} real pages", title_justify="left")
    for name in ("", "F1", "precision", "recall", "F1, half A", "F1, half B", "pages/s"):
        table.add_column(name, justify="left" if not name else "right")
    for name, extract in extractors().items():
        extract(chosen[0][1], chosen[0][0])  # imports and tables
        begun = time.perf_counter()
        found = [extract(html, url) for url, html, _ in chosen]
        seconds = time.perf_counter() - begun
        scores = [score(page[2], text) for page, text in zip(chosen, found, strict=True)]
        figures = (*summary(scores), summary(scores[::2])[0], summary(scores[1::2])[0])
        table.add_row(name, *(f"{figure:.4f}" for figure in figures), f"{len(chosen) / seconds:.1f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
