"""clean_documents(): rows of `raw_documents` into rows of `cleaned`: what can be told from a document by itself.

What takes all of an author's documents to tell (boilerplate that recurs, the same text elsewhere) is core/corpus.py's.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from typing import Any

import polars as pl

from twin_assets.core.cleaning.boilerplate import strip_repeated_title, strip_tail
from twin_assets.core.cleaning.duplicates import same_signatures
from twin_assets.core.cleaning.language import detect_language
from twin_assets.core.cleaning.markdown import html_to_markdown
from twin_assets.core.cleaning.quotes import fenced_spans, own_text, quoted_spans, within
from twin_assets.core.cleaning.recurring import edge_keys, place_of, without_calls
from twin_assets.core.cleaning.redaction import redact
from twin_assets.core.documents import content_hash
from twin_assets.core.lake import rows_frame

# Part of every derived row: raise it when the same raw document would be cleaned to something else.
CLEANER_VERSION = "2"

# Control characters carry nothing; tab, line feed, zero-width joiners and variation selectors do.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_FRONT_MATTER = re.compile(r"\A(?:---|\+\+\+)[ \t]*\n.*?\n(?:---|\+\+\+)[ \t]*(?:\n|\Z)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->[ \t]*\n?", re.DOTALL)
_LINK = re.compile(r"https?://\S+")
# A line of code that nobody wrote by hand.
_LONGEST_LINE = 2000


def clean_documents(raw: pl.DataFrame, *, own: Collection[str] = ()) -> pl.DataFrame:
    """One row of `cleaned` for each row of `raw_documents`; `rejected` says why one is not part of the corpus.

    Case, apostrophes, quotes, dashes, emoji, letter styles, line breaks, lists and hashtags are kept as they are.
    own: e-mail addresses and phone numbers of the author's that they have published themselves, which stay.
    """
    rows = [_clean(row, own) for row in raw.iter_rows(named=True)]
    cores = [without_calls(row["text"]) for row in rows]
    for row, core, signature in zip(rows, cores, same_signatures(cores), strict=True):
        row |= {"words": len(core.split()), "signature": signature}
    return rows_frame("cleaned", rows)


def _clean(row: dict[str, Any], own: Collection[str]) -> dict[str, Any]:
    category, url, text = row["category"], row["url"] or "", ""
    redacted: Counter[str] = Counter()
    left_out: list[str] = []
    rejected = row["quarantine"] or _reason_to_leave_out(row)
    title = _plain_title(row["title"])
    if rejected is None:
        text, left_out = _text(row, title)
        text, redacted = redact(text, url=url, own=own)
        rejected = _reason_to_reject(text, category)
    title, hidden = redact(title, url=url, own=own)
    prose = category != "code"
    values = {
        "document_id": row["document_id"], "platform": row["platform"], "external_id": row["external_id"],
        "category": category, "url": row["url"], "title": title, "text": text,
        "language": _language(row, text) if prose else None, "published_at": row["published_at"],
        "redacted": json.dumps(dict(sorted((redacted + hidden).items()))), "left_out": left_out, "rejected": rejected,
    }  # fmt: skip
    place = place_of(row["platform"], category, url)
    edges = edge_keys(text, title) if prose else []
    return {**values, "place": place, "edges": edges, "cleaned_hash": content_hash(*values.values())}


def _text(row: dict[str, Any], title: str) -> tuple[str, list[str]]:
    """The text of a raw document, and the paragraphs that a platform had appended to it."""
    content = _CONTROL.sub("", row["content"].replace("\r\n", "\n").replace("\r", "\n"))
    kind = row["content_type"]
    if kind == "text/html":
        content = html_to_markdown(content)
    elif kind == "text/markdown":
        content = _without_comments(_FRONT_MATTER.sub("", content))
    content = content.strip("\n").rstrip()
    if row["category"] != "article":
        return content, []
    content, left_out = strip_tail(strip_repeated_title(content, title))
    return content.strip("\n"), left_out


def _without_comments(markdown: str) -> str:
    """Markdown without its HTML comments, which no reader sees; those in code are text."""
    fences = fenced_spans(markdown)
    return _COMMENT.sub(lambda match: match[0] if within(match.start(), fences) else "", markdown)


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


def _language(row: dict[str, Any], text: str) -> str | None:
    """The language of the author's own words, or, where they are too few to tell, the one the platform gives."""
    detected = detect_language(own_text({"text": text, "quoted": quoted_spans(text)}))
    given = str(_metadata(row).get("language") or "").lower()
    return detected or (given[:2] if re.fullmatch(r"[a-z]{2}(?:[-_].*)?", given) else None)


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(row["metadata"] or "{}")
    return metadata
