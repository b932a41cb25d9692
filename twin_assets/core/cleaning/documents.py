"""clean_documents(): rows of `raw_documents` into rows of `documents`."""

import json
import re
import unicodedata
from typing import Any

import polars as pl

from twin_assets.core.cleaning.boilerplate import strip_repeated_title, strip_tail
from twin_assets.core.cleaning.markdown import html_to_markdown
from twin_assets.core.cleaning.redaction import redact
from twin_assets.core.documents import Document
from twin_assets.core.lake import rows_frame

# Part of every derived row: raise it when the same raw document would be cleaned to something else.
CLEANER_VERSION = "1"

# Control characters carry nothing; tab, line feed, zero-width joiners and variation selectors do.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_FRONT_MATTER = re.compile(r"\A(?:---|\+\+\+)[ \t]*\n.*?\n(?:---|\+\+\+)[ \t]*(?:\n|\Z)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->[ \t]*\n?", re.DOTALL)
_LINK = re.compile(r"https?://\S+")
# A line of code that nobody wrote by hand.
_LONGEST_LINE = 2000


def clean_documents(raw: pl.DataFrame) -> pl.DataFrame:
    """One row of `documents` for each row of `raw_documents`; `rejected` says why one is not part of the corpus.

    Case, apostrophes, quotes, dashes, emoji, letter styles, line breaks, lists and hashtags are kept as they are.
    """
    rows = [_clean(row).row() for row in raw.iter_rows(named=True)]
    return rows_frame("documents", rows)


def _clean(row: dict[str, Any]) -> Document:
    title = _plain_title(row["title"])
    text, redactions, rejected = "", 0, row["quarantine"] or _reason_to_leave_out(row)
    if rejected is None:
        text, redactions = redact(_text(row, title))
        rejected = _reason_to_reject(text, row["category"])
    title, hidden = redact(title)
    return Document(
        document_id=row["document_id"], platform=row["platform"], external_id=row["external_id"],
        category=row["category"], url=row["url"], title=title, text=text, language=_language(row),
        published_at=row["published_at"], redactions=redactions + hidden, rejected=rejected,
    )  # fmt: skip


def _text(row: dict[str, Any], title: str) -> str:
    content = _CONTROL.sub("", row["content"].replace("\r\n", "\n").replace("\r", "\n"))
    kind = row["content_type"]
    if kind == "text/html":
        content = html_to_markdown(content)
    elif kind == "text/markdown":
        content = _COMMENT.sub("", _FRONT_MATTER.sub("", content))
    content = content.strip("\n").rstrip()
    if row["category"] == "article":
        content = strip_tail(strip_repeated_title(content, title)).strip("\n")
    return content


def _plain_title(title: str) -> str:
    if "<" in title or "&" in title:
        title = html_to_markdown(title)
    return " ".join(_CONTROL.sub("", title).split())


def _reason_to_leave_out(row: dict[str, Any]) -> str | None:
    """LinkedIn's comments begin with the name of the person they answer and mean little without that person's words."""
    comment = row["platform"] == "linkedin" and _metadata(row).get("kind") == "comment"
    return "it is a comment on somebody else's words" if comment else None


def _reason_to_reject(text: str, category: str) -> str | None:
    if not text.strip():
        return "nothing is left of it after cleaning"
    if category == "code":
        longest = max(map(len, text.split("\n")))
        return "it is minified or generated" if longest > _LONGEST_LINE else None
    words = _LINK.sub("", text)
    if not any(unicodedata.category(character)[0] in "LN" for character in words):
        return "it holds links only" if _LINK.search(text) else "it holds no words"
    return None


def _language(row: dict[str, Any]) -> str | None:
    """The language the platform itself gives, if any."""
    language = _metadata(row).get("language")
    return language if isinstance(language, str) and language else None


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(row["metadata"] or "{}")
    return metadata
