"""Made-up texts for benchmarks: the same number gives the same text, and no two are alike."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl

from twin_assets.core.documents import RawDocument
from twin_assets.core.lake import rows_frame

WORDS = tuple(
    """queue release sensor review incident weekend database deploy latency garden bread oven letter colleague meeting
    budget forest river camera train station paper draft sentence reader question answer number figure chart table
    window morning evening winter summer coffee bicycle bridge engine signal pattern habit promise mistake lesson
    """.split()  # noqa: SIM905 (a list a line)
)


def make_text(number: int, words: int = 60) -> str:
    """Sentences of plain words, `words` words in all."""
    choose = random.Random(number)
    sentences, left = [], words
    while left > 0:
        size = min(left, choose.randint(5, 16))
        sentence = " ".join(choose.choice(WORDS) for _ in range(size - 1)) + f" {number}-{left}"
        sentences.append(sentence.capitalize() + ".")
        left -= size
    return " ".join(sentences)


def make_raw_documents(
    count: int, author: str = "bench", edited: frozenset[int] = frozenset(), first: int = 0
) -> pl.DataFrame:
    """Rows of `raw_documents` number `first` to `count`: nine short posts for each article.

    Those numbered in `edited` have another text than usual.
    """
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = []
    for number in range(first, count):
        article = number % 10 == 0
        text = make_text(number + (10_000_000 if number in edited else 0), words=300 if article else 20 + number % 40)
        document = RawDocument(
            author, "files", str(number), "article" if article else "post", "files:bench",
            f"https://example.org/{number}", f"Document {number}", text, "text/plain", start + timedelta(hours=number),
        )  # fmt: skip
        rows.append(document.row() | {"collected_at": start, "removed_at": None})
    return rows_frame("raw_documents", rows)
