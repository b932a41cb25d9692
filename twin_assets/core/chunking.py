"""chunk_documents(): documents into passages an embedder can take, each with its exact place.

A post is one passage, whole. An article is cut where a heading begins, then between paragraphs, then between sentences;
code where a top-level definition begins, then between lines. No passage but a post is longer than the embedder reads.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from twin_assets.core.documents import Chunk
from twin_assets.core.embedding import MAXIMUM_TOKENS, Embedder
from twin_assets.core.lake import rows_frame
from twin_assets.core.sentences import split_sentences

CHUNKER_VERSION = "1"
# The embedder's limit less its two special tokens.
LARGEST_CHUNK = MAXIMUM_TOKENS - 2
# A section or definition smaller than this is put together with the next.
SMALLEST_CHUNK = 48

PROSE_SUFFIXES = frozenset({".md", ".markdown", ".mdx", ".rst", ".txt", ".adoc", ".org"})

_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t#]*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_DEFINITION = re.compile(
    r"^(?:@|#\[|(?:pub(?:\([a-z]+\))?|export|default|async|static|final|abstract|public|private|protected|internal|open"
    r"|unsafe|inline|const|declare)\s+)*"
    r"(?:@\w|#\[|(?:def|class|func|fn|function|struct|enum|trait|impl|interface|type|module|object|record|namespace|macro"
    r"|let|const|var|val|protocol|extension|sub|proc|defmodule|defn)\b)"
)
_SYMBOL = re.compile(
    r"\b(?:def|class|func|fn|function|struct|enum|trait|impl|interface|type|module|object|record|namespace|protocol"
    r"|extension|defmodule|defn|const|let|var|val)\s+(?:\([^)]*\)\s*)?([A-Za-z_$][\w$.]*)"
)
_WORDS = re.compile(r"\s*\S{1,500}\s*")

CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A stretch that is not cut: its heading, and whether a section begins with it."""

    start: int
    end: int
    heading: str
    begins: bool
    tokens: int = 0


def chunk_documents(documents: pl.DataFrame) -> pl.DataFrame:
    """Rows of `chunks` for rows of `documents`, at least one each, in order.

    `text` of every chunk is `document.text[start:end]`; what lies between and around chunks is white space.
    """
    count = _token_counter()
    rows = [chunk.row() for document in documents.iter_rows(named=True) for chunk in _chunks(document, count)]
    return rows_frame("chunks", rows)


@cache
def _token_counter() -> CountTokens:
    from pathlib import Path

    return Embedder(Path()).count_tokens


def _chunks(document: dict[str, Any], count: CountTokens) -> Iterator[Chunk]:
    text = document["text"]
    shared = {name: document[name] for name in ("document_id", "category", "platform", "url", "title", "published_at")}
    if document["category"] == "post" or not text.strip():
        spans = [_Unit(0, len(text), "", True)]
    else:
        units = _code_units(text) if _is_code(document) else _prose_units(text)
        spans = list(_pack(list(_small_enough(text, list(units), count))))
    for position, unit in enumerate(spans):
        start, end = _trim(text, unit.start, unit.end)
        yield Chunk(position=position, text=text[start:end], start=start, end=end, heading=unit.heading, **shared)


def _is_code(document: dict[str, Any]) -> bool:
    if document["category"] != "code":
        return False
    names = (urlsplit(document["url"]).path, document["title"], document["external_id"])
    suffixes = {PurePosixPath(name).suffix.lower() for name in names}
    return not suffixes & PROSE_SUFFIXES


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Without white space around it, but with the indentation of its first line."""
    piece = text[start:end]
    if not piece.strip():
        return start, start
    end = start + len(piece.rstrip())
    lead = piece[: len(piece) - len(piece.lstrip())]
    return start + lead.rfind("\n") + 1, end


def _prose_units(text: str) -> Iterator[_Unit]:
    """Paragraphs, fenced blocks and headings of Markdown, each with the blank lines behind it."""
    path: list[tuple[int, str]] = []
    start = position = 0
    begins, fence, blank = True, "", False
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        heading = None if fence else _HEADING.match(line)
        if position > start and not fence and (heading or (blank and line.strip())):
            yield _Unit(start, position, _heading_path(path), begins)
            start, begins = position, False
        if heading:
            level = len(heading[1])
            path = [(depth, name) for depth, name in path if depth < level] + [(level, heading[2])]
            begins = True
        if mark:
            fence = "" if fence == mark[1] else fence or mark[1]
        blank = not line.strip()
        position += len(line)
    if position > start:
        yield _Unit(start, position, _heading_path(path), begins)


def _heading_path(path: Sequence[tuple[int, str]]) -> str:
    return " › ".join(name for _, name in path)


def _code_units(text: str) -> Iterator[_Unit]:
    """Top-level definitions with the comments and decorators above them; what precedes the first one too."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    cuts = [0]
    for number, line in enumerate(lines):
        if not _DEFINITION.match(line):
            continue
        first = number
        while first > 0 and lines[first - 1].startswith(("#", "//", "/*", " *", "--", ";", "@", '"""')):
            first -= 1
        if first > cuts[-1]:
            cuts.append(first)
    for first, last in zip(cuts, [*cuts[1:], len(lines)], strict=True):
        body = "".join(lines[first:last])
        symbol = _SYMBOL.search(body)
        yield _Unit(starts[first], starts[last], symbol[1] if symbol else "", True)


def _small_enough(text: str, units: Sequence[_Unit], count: CountTokens) -> Iterator[_Unit]:
    """The units with their token counts; what is too large is cut into sentences or lines, and those into words."""
    counts = count([text[unit.start : unit.end] for unit in units])
    for unit, tokens in zip(units, counts, strict=True):
        if tokens <= LARGEST_CHUNK:
            yield _Unit(unit.start, unit.end, unit.heading, unit.begins, tokens)
            continue
        parts = _parts(text, unit)
        if len(parts) == 1:
            parts = _cut(unit, [match.end() for match in _WORDS.finditer(text, unit.start, unit.end)])
        if len(parts) == 1:
            yield _Unit(unit.start, unit.end, unit.heading, unit.begins, tokens)
        else:
            yield from _small_enough(text, parts, count)


def _parts(text: str, unit: _Unit) -> list[_Unit]:
    """A unit's sentences; the lines of one that is code or a table."""
    piece = text[unit.start : unit.end]
    spans = split_sentences(piece, wrapped=True)
    ends = [unit.start + span.end for span in spans]
    if len(spans) <= 1:
        ends = [unit.start + match.end() for match in re.finditer(r"\n", piece)]
    return _cut(unit, ends)


def _cut(unit: _Unit, ends: Sequence[int]) -> list[_Unit]:
    """The unit cut at these places, and what is left behind the last of them joined to the last piece."""
    inner = [end for end in ends[:-1] if unit.start < end < unit.end]
    bounds = [unit.start, *inner, unit.end]
    return [_Unit(first, last, unit.heading, unit.begins and first == unit.start) for first, last in pairwise(bounds)]


def _pack(units: Sequence[_Unit]) -> Iterator[_Unit]:
    """Put neighbours together up to the largest size; a section begins a chunk of its own unless that would be tiny."""
    current: _Unit | None = None
    for unit in units:
        if current is None:
            current = unit
        elif current.tokens + unit.tokens > LARGEST_CHUNK or (unit.begins and current.tokens >= SMALLEST_CHUNK):
            yield current
            current = unit
        else:
            heading = current.heading or unit.heading
            current = _Unit(current.start, unit.end, heading, current.begins, current.tokens + unit.tokens)
    if current is not None:
        yield current
