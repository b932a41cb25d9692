"""Quoted text of other people: where it stands in a document, and the document without it.

Quotes stay in the text, since what an author answers to gives their answer its sense; whatever learns the author's
voice reads own_text(), with_own_text() or own_spans() instead. Taken to be somebody else's: Markdown block quotes (what
HTML's blockquote and embedded posts become), lines that begin with ">" as replies by e-mail have them, the line "On …
wrote:" above those, and what a mail program copied below a reply. Not a quote: code, and the callouts ("> [!NOTE]") of
an author's own documentation.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

Spans = list[tuple[int, int]]

_FENCE = re.compile(r"\s{0,3}(?:[-*+]\s+|\d+[.)]\s+)*(`{3,}|~{3,})")
_ELEMENT = re.compile(r"<blockquote\b.*?(?:</blockquote>|\Z)", re.DOTALL | re.IGNORECASE)  # HTML within Markdown
_QUOTED = re.compile(r"[ \t]*(?:[-*+]\s+|\d+[.)]\s+)?>")
_CALLOUT = re.compile(r"[ \t]*>\s*(?:\[!\w+\]|\*\*(?:note|tip|warning|important|caution|info|update|edit)\b)", re.I)
# "On Monday, 3 May 2021 at 10:12, Jo Doe <jo@…> wrote:" as mail programs write it, over one to three lines.
_SAYING = (
    ("On", "wrote"), ("Am", "schrieb"), ("Le", "a écrit"), ("El", "escribió"), ("Il", "ha scritto"),
    ("Em", "escreveu"), ("Op", "schreef"), ("Den", "skrev"),
)  # fmt: skip
_ATTRIBUTION = re.compile(
    "|".join(
        rf"^{first}\b[^\n]*(?:\n(?!>)[^\n]+){{0,2}}?\n?\b{verb}\b[^\n:]{{0,60}}:[ \t]*$" for first, verb in _SAYING
    ),
    re.MULTILINE,
)
# What a mail program puts above the whole message it copies below a reply.
_COPIED = re.compile(
    r"^(?:[ \t]*-{2,}[ \t]*(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d.origine"
    r"|Mensaje original|Messaggio originale|Mensagem original)[ \t]*-{2,}[ \t]*$"
    r"|[ \t]*_{20,}[ \t]*\n+(?=\**From:)"
    r"|(?=\**From:\**[^\n]+\n\**(?:Sent|Date|To):\**[^\n]+\n))",
    re.MULTILINE | re.IGNORECASE,
)


def quoted_spans(text: str) -> Spans:
    """(start, end) of each stretch that quotes somebody else, in order, not overlapping; end is past the last
    character, line break excluded."""
    fences = fenced_spans(text)
    found: Spans = []
    start = end = -1
    callout = False
    for first, last in _lines(text):
        quoted = _QUOTED.match(text, first, last) is not None and not within(first, fences)
        if quoted and start < 0:
            start, callout = first, _CALLOUT.match(text, first, last) is not None
        if quoted:
            end = last
        elif start >= 0:
            found.extend([] if callout else [(_attribution(text, start), end)])
            start = -1
    if start >= 0 and not callout:
        found.append((_attribution(text, start), end))
    found += [match.span() for match in _ELEMENT.finditer(text) if not within(match.start(), fences)]
    copied = [match.start() for match in _COPIED.finditer(text)]
    # Some programs copy a message below its attribution without marking its lines.
    copied += [
        m.start() for m in _ATTRIBUTION.finditer(text) if "@" in m[0] and not _QUOTED.match(text[m.end() :].lstrip())
    ]
    for at in copied:
        if text[:at].strip() and not within(at, fences):
            found.append((at, len(text.rstrip())))
    return _merged(found)


def own_spans(document: Mapping[str, Any]) -> Spans:
    """(start, end) of the stretches of `document["text"]` between what `document["quoted"]` says is quoted."""
    text, at = document["text"], 0
    found: Spans = []
    for start, end in [*(document.get("quoted") or ()), (len(text), len(text))]:
        if text[at:start].strip():
            found.append((at, start))
        at = end
    return found


def own_text(document: Mapping[str, Any]) -> str:
    """The author's own words of a row of `documents` (text, quoted): each stretch as it stands there, a blank line
    between two; the whole text where nothing is quoted."""
    spans = own_spans(document)
    if not document.get("quoted"):
        return str(document["text"])
    return "\n\n".join(document["text"][start:end].strip("\n").rstrip() for start, end in spans)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield at, end
        at = end + 1


def with_own_text(documents: pl.DataFrame) -> pl.DataFrame:
    """Rows of `documents` with own_text() for their text, less those that have none."""
    has_quotes = pl.col("quoted").list.len() > 0
    quoting = documents.filter(has_quotes)
    texts = pl.Series("text", [own_text(row) for row in quoting.iter_rows(named=True)], dtype=pl.String)
    own = pl.concat([documents.filter(~has_quotes.fill_null(False)), quoting.with_columns(texts)])
    order = documents.select("document_id").with_row_index("place")
    return own.join(order, on="document_id").sort("place").drop("place").filter(pl.col("text").str.strip_chars() != "")


def fenced_spans(text: str) -> Spans:
    """Where code blocks between fences stand."""
    if "```" not in text and "~~~" not in text:
        return []
    found: Spans = []
    mark, start = "", 0
    for first, last in _lines(text):
        fence = _FENCE.match(text, first, last)
        if fence and not mark:
            mark, start = fence[1], first
        elif fence and fence[1].startswith(mark) and not text[fence.end() : last].strip():
            found.append((start, last))
            mark = ""
    return [*found, (start, len(text))] if mark else found


def within(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a place is inside one of these spans, which are in order."""
    before = bisect_right(spans, (at, float("inf")))
    return before > 0 and at < spans[before - 1][1]


def _attribution(text: str, start: int) -> int:
    """Where the line that says who wrote the quote begins, if one stands right above it."""
    above = text[max(0, start - 400) : start].rstrip("\n")
    for match in _ATTRIBUTION.finditer(above):
        if match.end() == len(above):
            return max(0, start - 400) + match.start()
    return start


def _merged(spans: Spans) -> Spans:
    merged: Spans = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
