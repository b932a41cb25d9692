"""chunk_documents(): documents into passages an embedder can take, each with its exact place.

A post is one passage, whole (the embedder reads a long one in windows). An article is cut where a heading begins, then
between paragraphs, then between sentences; code where its syntax has a definition, a statement, then between lines.
No passage but a post is longer than the embedder reads at once.

Compared with langchain-text-splitters 1.1 and semantic-text-splitter 0.33 (benchmarks/bench_chunking.py), and with
chonkie 1.7: none gives the heading or symbol of a passage, all fill a chunk across the end of a section, they cut
inside more sentences than ours, and by tokens they are slower; chonkie's chunker for code downloads its grammars.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from twin_assets.core.code_syntax import Syntax, suffix_of
from twin_assets.core.documents import Chunk
from twin_assets.core.embedding import Embedder
from twin_assets.core.lake import rows_frame
from twin_assets.core.sentences import split_sentences

CHUNKER_VERSION = "2"
# A section or definition smaller than this is put together with the next.
SMALLEST_CHUNK = 48

PROSE_SUFFIXES = frozenset({".md", ".markdown", ".mdx", ".rst", ".txt", ".adoc", ".org"})

_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t#]*$")
_UNDERLINE = re.compile(r"^ {0,3}(?:(=+)|-{2,})[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_LINES = re.compile(r"\n")
_WORDS = re.compile(r"\s*\S{1,500}\s*")

SHARED_FIELDS = (
    "document_id", "category", "platform", "url", "title", "published_at", "language", "addresses",
)  # fmt: skip

CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A stretch of the text of document number `document`: its heading, and whether a section begins with it."""

    document: int
    start: int
    end: int
    heading: str
    begins: bool
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Text:
    """A document's text, with its syntax where it is code."""

    text: str
    syntax: Syntax | None = None


def chunk_documents(documents: pl.DataFrame, embedder: Embedder | None = None) -> pl.DataFrame:
    """Rows of `chunks` for rows of `documents`, at least one each, in order.

    embedder: whose tokens and limit count (the built-in model's where none is given). `text` of every chunk is
    `document.text[start:end]`; what lies between and around chunks is white space.
    """
    embedder = embedder or _built_in()
    rows = list(documents.iter_rows(named=True))
    texts = [_Text(row["text"], _syntax(row)) for row in rows]
    whole = [row["category"] == "post" or not row["text"].strip() for row in rows]
    units = [
        unit
        for number, text in enumerate(texts)
        for unit in ([_Unit(number, 0, len(text.text), "", True)] if whole[number] else _units(number, text))
    ]
    largest = embedder.window
    cut = _small_enough(texts, [unit for unit in units if not whole[unit.document]], largest, embedder.count_tokens)
    spans: list[list[_Unit]] = [[] for _ in rows]
    for unit in [*(unit for unit in units if whole[unit.document]), *_pack(cut, largest)]:
        spans[unit.document].append(unit)
    chunks = [chunk.row() for row, own in zip(rows, spans, strict=True) for chunk in _chunks(row, own)]
    return rows_frame("chunks", chunks)


@cache
def _built_in() -> Embedder:
    return Embedder(Path())


def _chunks(document: dict[str, Any], spans: Sequence[_Unit]) -> Iterator[Chunk]:
    text = document["text"]
    shared = {name: document[name] for name in SHARED_FIELDS}
    for position, unit in enumerate(spans):
        start, end = _trim(text, unit.start, unit.end)
        yield Chunk(position=position, text=text[start:end], start=start, end=end, heading=unit.heading, **shared)


def _syntax(document: dict[str, Any]) -> Syntax | None:
    if document["category"] != "code":
        return None
    names = (urlsplit(document["url"]).path, document["title"], document["external_id"])
    if {PurePosixPath(name).suffix.lower() for name in names} & PROSE_SUFFIXES:
        return None
    return Syntax(document["text"], suffix_of(names))


def _units(number: int, text: _Text) -> Iterator[_Unit]:
    if text.syntax is None:
        yield from _prose_units(number, text.text)
        return
    for piece in text.syntax.pieces(0, len(text.text)):
        yield _Unit(number, piece.start, piece.end, piece.symbol, piece.begins)


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Without white space around it, but with the indentation of its first line."""
    piece = text[start:end]
    if not piece.strip():
        return start, start
    end = start + len(piece.rstrip())
    lead = piece[: len(piece) - len(piece.lstrip())]
    return start + lead.rfind("\n") + 1, end


def _prose_units(number: int, text: str) -> Iterator[_Unit]:
    """Paragraphs and fenced blocks of Markdown with the blank lines behind them, and with the headings above them."""
    path: list[tuple[int, str]] = []
    start = position = 0
    fence, blank, bare, begins = "", False, True, True
    lines = text.splitlines(keepends=True)
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        mark = _FENCE.match(line)
        heading = None if fence else _heading(line, following, blank or position == start)
        if not bare and not fence and (heading or (blank and line.strip())):
            yield _Unit(number, start, position, _heading_path(path), begins)
            start, begins, bare = position, False, True
        if heading:
            path = [(depth, name) for depth, name in path if depth < heading[0]] + [heading]
            begins = True
        elif line.strip() and not (bare and _UNDERLINE.match(line)):
            bare = False
        if mark:
            fence = "" if fence == mark[1] else fence or mark[1]
        blank = not line.strip()
        position += len(line)
    if position > start:
        yield _Unit(number, start, position, _heading_path(path), begins)


def _heading(line: str, following: str, alone: bool) -> tuple[int, str] | None:
    """Level and text of a heading: after number signs, or underlined."""
    if marked := _HEADING.match(line):
        return len(marked[1]), marked[2]
    underline = _UNDERLINE.match(following) if alone and line.strip() else None
    return (1 if underline[1] else 2, line.strip()) if underline and not _UNDERLINE.match(line) else None


def _heading_path(path: Sequence[tuple[int, str]]) -> str:
    return " › ".join(name for _, name in path)


def _small_enough(texts: Sequence[_Text], units: Sequence[_Unit], largest: int, count: CountTokens) -> list[_Unit]:
    """The units with their token counts; what is too large is cut into its parts, and those again.

    All units of all documents are counted at once, which the tokenizer does on all cores.
    """
    if not units:
        return []
    counts = count([texts[unit.document].text[unit.start : unit.end] for unit in units])
    parts = [
        _parts(texts[unit.document], unit) if tokens > largest else [unit]
        for unit, tokens in zip(units, counts, strict=True)
    ]
    counted = iter(_small_enough(texts, [part for cut in parts if len(cut) > 1 for part in cut], largest, count))
    smaller: list[_Unit] = []
    waiting = next(counted, None)
    for unit, tokens, cut in zip(units, counts, parts, strict=True):
        if len(cut) == 1:
            smaller.append(_Unit(unit.document, unit.start, unit.end, unit.heading, unit.begins, tokens))
            continue
        while waiting is not None and (waiting.document, waiting.end) <= (unit.document, unit.end):
            smaller.append(waiting)
            waiting = next(counted, None)
    return smaller


def _parts(text: _Text, unit: _Unit) -> list[_Unit]:
    """A unit's constructs where it is code, its sentences where it is prose; else its lines, else its words."""
    if text.syntax is not None:
        pieces = text.syntax.pieces(unit.start, unit.end)
        if len(pieces) > 1:
            return [
                _Unit(unit.document, piece.start, piece.end, piece.symbol, piece.begins if number else unit.begins)
                for number, piece in enumerate(pieces)
            ]
        ends = []
    else:
        ends = [unit.start + span.end for span in split_sentences(text.text[unit.start : unit.end], wrapped=True)]
    if len(ends) <= 1:
        ends = [match.end() for match in re.compile("\n").finditer(text.text, unit.start, unit.end)]
    cut = _cut(unit, ends)
    return (
        cut if len(cut) > 1 else _cut(unit, [match.end() for match in _WORDS.finditer(text.text, unit.start, unit.end)])
    )


def _cut(unit: _Unit, ends: Sequence[int]) -> list[_Unit]:
    """The unit cut at these places, and what is left behind the last of them joined to the last piece."""
    inner = [end for end in ends if unit.start < end < unit.end]
    bounds = [unit.start, *inner, unit.end]
    return [
        replace(unit, start=first, end=last, begins=unit.begins and first == unit.start)
        for first, last in pairwise(bounds)
    ]


def _pack(units: Sequence[_Unit], largest: int) -> Iterator[_Unit]:
    """Put neighbours together up to the largest size; a section begins a chunk of its own unless that would be tiny."""
    current: _Unit | None = None
    for unit in units:
        if current is None:
            current = unit
        elif (
            current.document != unit.document
            or current.tokens + unit.tokens > largest
            or (unit.begins and current.tokens >= SMALLEST_CHUNK)
        ):
            yield current
            current = unit
        else:
            heading = current.heading or unit.heading
            current = replace(current, end=unit.end, heading=heading, tokens=current.tokens + unit.tokens)
    if current is not None:
        yield current
