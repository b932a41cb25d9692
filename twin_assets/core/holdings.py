"""What the lake holds of an author, for people to look through: documents as a list and one by one, and in figures."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.datasets.exclusions import excluded_by_author
from twin_assets.core.errors import InputError
from twin_assets.core.lake import Lake
from twin_assets.core.lineage import learners
from twin_assets.core.vocabulary import WORD

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

BEGINNING = 280  # characters
# Upper ends of the bins that documents' lengths are counted in, in words.
BINS = (25, 50, 100, 200, 400, 800, 1_600, 3_200)
BIN_NAMES = [
    *(f"{low + 1:,}–{high:,}" for low, high in zip((0, *BINS), BINS, strict=False)),
    f"over {BINS[-1]:,}",
]
# polars' regular expressions have letters and no \d_ in a class of word characters left out.
_WORD = WORD.pattern.replace(r"[^\W\d_]", r"\p{L}")
_WORDS = pl.col("text").str.count_matches(_WORD).alias("words")
_IN_CORPUS = pl.col("rejected").is_null()
_LISTED = ("document_id", "title", "url", "platform", "category", "published_at", "language")


def list_documents(
    workspace: "Workspace",
    author: str,
    limit: int,
    offset: int = 0,
    *,
    platform: str | None = None,
    category: str | None = None,
    text: str | None = None,
    published_from: datetime | None = None,
    published_until: datetime | None = None,
) -> dict[str, Any]:
    """Documents of the corpus, newest first: total, by_platform, by_category (of what passes) and a page of documents.

    text: words that stand in title or text, all of them, upper and lower case alike; published_until: the first moment
    that is too late. Raises LakeError.
    """
    where = [_IN_CORPUS]
    where += [pl.col(name) == value for name, value in (("platform", platform), ("category", category)) if value]
    where += [pl.col("published_at") >= published_from] if published_from else []
    where += [pl.col("published_at") < published_until] if published_until else []
    everything = pl.concat_str("title", "text", separator="\n", ignore_nulls=True).str.to_lowercase()
    where += [everything.str.contains(word, literal=True) for word in (text or "").lower().split()]
    found = workspace.lake.read("documents", author, columns=[*_LISTED, "text"], where=pl.all_horizontal(where))
    excluded, _ = excluded_by_author(workspace.lake, author)
    page = found.sort("published_at", "document_id", descending=[True, False], nulls_last=True).slice(offset, limit)
    rows = page.select(*_LISTED, _WORDS, beginning=pl.col("text").str.slice(0, BEGINNING)).to_dicts()
    return {
        "total": found.height,
        "by_platform": _counts(found, "platform"),
        "by_category": _counts(found, "category"),
        "documents": [row | {"excluded": row["document_id"] in excluded} for row in rows],
    }


def one_document(workspace: "Workspace", author: str, document_id: str) -> dict[str, Any]:
    """A document in full, with the versions that learned it; raises InputError where there is none of this id."""
    columns = [*_LISTED, "text", "addresses", "redactions"]
    this = pl.col("document_id") == document_id
    found = workspace.lake.read("documents", author, columns=columns, where=_IN_CORPUS & this).with_columns(_WORDS)
    if found.is_empty():
        raise InputError(f"{author} has no document {document_id!r}; see the library's list.")
    excluded, _ = excluded_by_author(workspace.lake, author)
    learned = [each.version for each in learners(workspace, author, [document_id]) if each.how == "learned"]
    return {**found.to_dicts()[0], "excluded": document_id in excluded, "learned_by": learned}


def statistics(lake: Lake, author: str) -> dict[str, Any]:
    """The corpus in figures.

    documents, words; undated: documents without a date; months: documents and words by month and platform; lengths:
    documents by category and number of words; vocabulary: by year the words written, the different ones used up to
    then, and those new in that year; top_words: those that stand in most documents, of prose.
    """
    columns = ["document_id", "platform", "category", "published_at", "text"]
    found = lake.read("documents", author, columns=columns, where=_IN_CORPUS).with_columns(_WORDS)
    dated = found.filter(pl.col("published_at").is_not_null())
    months = dated.group_by(pl.col("published_at").dt.strftime("%Y-%m").alias("month"), "platform").agg(
        documents=pl.len(), words=pl.col("words").sum()
    )
    place = pl.sum_horizontal((pl.col("words") > end).cast(pl.Int64) for end in BINS)
    lengths = found.group_by("category", place=place).agg(documents=pl.len()).sort("place", "category")
    used = (
        found.filter(pl.col("category") != "code")
        .select("document_id", "published_at", word=pl.col("text").str.to_lowercase().str.extract_all(_WORD))
        .explode("word").drop_nulls("word")
    )  # fmt: skip
    return {
        "documents": found.height,
        "words": int(found["words"].sum()),
        "undated": found.height - dated.height,
        "months": months.sort("month", "platform").to_dicts(),
        "lengths": [
            {"category": category, "bin": BIN_NAMES[place], "documents": number}
            for category, place, number in lengths.iter_rows()
        ],
        "vocabulary": _vocabulary(used),
        "top_words": _top_words(used),
    }


def _vocabulary(used: pl.DataFrame) -> list[dict[str, Any]]:
    dated = used.filter(pl.col("published_at").is_not_null()).with_columns(year=pl.col("published_at").dt.year())
    fresh = dated.group_by("word").agg(pl.col("year").min()).group_by("year").agg(new=pl.len())
    years = dated.group_by("year").agg(words=pl.len()).join(fresh, on="year", how="left").sort("year")
    years = years.with_columns(pl.col("new").fill_null(0)).with_columns(distinct=pl.col("new").cum_sum())
    return years.select("year", "words", "distinct", "new").to_dicts()


def _top_words(used: pl.DataFrame, most: int = 40, shortest: int = 4) -> list[dict[str, Any]]:
    long = used.filter(pl.col("word").str.len_chars() >= shortest).unique(["document_id", "word"])
    counted = long.group_by("word").agg(documents=pl.len())
    return counted.sort(["documents", "word"], descending=[True, False]).head(most).to_dicts()


def _counts(frame: pl.DataFrame, column: str) -> Mapping[str, int]:
    return dict(frame.group_by(column).len().sort(column).iter_rows())
