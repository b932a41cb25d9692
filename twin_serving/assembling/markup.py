"""Markup: a document's blocks as a reader sees them, and its sentences without Markdown's signs.

What is kept is verbatim: a piece is exactly a stretch of the document, and `render` only takes signs away, so that
every sentence of a draft can be shown in its source.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["heading", "text", "list", "wall", "picture"]


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, a paragraph, a list, a picture (or a footnote: what a reader skips), or a wall: what prose cannot
    be taken across (code, a table, a quote).

    pieces: substrings of the document: a paragraph as a whole, or the lines of a post, or the items of a list.
    """

    kind: Kind
    pieces: tuple[str, ...] = ()
    level: int = 0


_FENCE = re.compile(r"^\s*(?:```+|~~~+|:::+|\{\{[<%]|\$\$)")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_FOOTNOTE = re.compile(r"^\s*(?:\[\^?\w{1,12}\]:?\s|\^\d+\s)")
# A line in bold by itself is a heading that its author gave no level.
_BOLD_LINE = re.compile(r"^\*\*([^*]{3,90}[^*.!?:,]:?)\*\*:?$")
LOWEST = 7
_WALL = re.compile(r"^\s*(?:>|:\s|\||</?\w|<!--|\+[-=]{3,}|\{[%#.]|\[[^\]]+\]:|\{\{)")
_RULE = re.compile(r"^\s*(?:[-*_=~]\s*){3,}$")
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+\S")
_PICTURE = re.compile(
    r"^\s*(?:<(?:img|figure|video|iframe|picture)\b|\{\{[<%]\s*(?:img|figure|image|video|gallery)\b)|^\s*(?:\[?!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])\]?(?:\([^)]*\))?\s*)+$"
)
_ATTRIBUTES = re.compile(r"\{[.#][^{}\n]*\}|\{\s*\w+=[^{}\n]*\}")
_HASHTAG = re.compile(r"(?<![\w#&/])#[^\W\d_][\w-]*")
HASHTAG_LINE = re.compile(r"^\s*(?:#[^\W\d_][\w-]*[\s,]*)+$")
_SIGNS = (
    (re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])"), ""),
    # References to footnotes, and the anchors of headings.
    (re.compile(r"\s?\[(?:\^[^\]]+|\d{1,2})\](?![(\[])"), ""),
    (re.compile(r"\s\(#[\w-]+\)$"), ""),
    (re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?:[^()]|\([^()]*\))*\)"), r"\1"),
    (re.compile(r"\[([^\[\]]+)\]\[[^\[\]]*\]"), r"\1"),
    (re.compile(r"\[([^\[\]]*[^\W\d][^\[\]]*)\](?![(\[:])"), r"\1"),
    (re.compile(r"(`+)(.+?)\1"), r"\2"),
    (re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"(?<!\w)(_{1,3})(?=\S)([^_\n]+?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"~~([^~\n]+)~~"), r"\1"),
    (re.compile(r"</?(?:em|strong|b|i|u|code|kbd|sub|sup|span|a|mark|small|abbr)\b[^>]*>", re.IGNORECASE), ""),
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
    (re.compile(r"\s?(?<!-)---(?!-)\s?"), " — "),
    (re.compile(r"\s+"), " "),
)  # fmt: skip
# What none of the signs, attributes and entities goes without; most sentences have none of it.
_SIGNED = re.compile(r"[\[#`*_~<\\&{]|---")


def hashtags(text: str) -> list[str]:
    """The hashtags that stand on lines of their own, in order."""
    return [tag for line in text.split("\n") if HASHTAG_LINE.match(line) for tag in _HASHTAG.findall(line)]


def all_hashtags(text: str) -> list[str]:
    """Every hashtag, in order."""
    return _HASHTAG.findall(text)


def render(raw: str) -> str:
    """A piece of Markdown as its reader sees it: links as their words, emphasis and code without their signs."""
    if not _SIGNED.search(raw):
        return " ".join(raw.split())
    text = " ".join((_ATTRIBUTES.sub("", raw) if "{" in raw else raw).split())
    for pattern, words in _SIGNS:
        text = pattern.sub(words, text)
    return html.unescape(text).strip()


def read_blocks(text: str, *, wrapped: bool) -> Iterator[Block]:
    """The blocks of a text in order.

    wrapped: Markdown, whose line breaks inside a paragraph are layout; in a post every line break is meant.
    """
    reader = _Reader(text, wrapped)
    position = 0
    for line in text.splitlines(keepends=True):
        yield from reader.take(line, position)
        position += len(line)
    yield from reader.close()


class _Reader:
    """Collects lines, given with their place in the text, into blocks."""

    def __init__(self, text: str, wrapped: bool) -> None:
        self.text = text
        self.wrapped = wrapped
        self.kind: Kind = "text"
        self.spans: list[tuple[int, int]] = []
        self.fence = ""
        self.blank = True
        self.indent = 0
        self.nested = False

    def take(self, raw: str, start: int) -> Iterator[Block]:
        """The blocks that end with this line or before it."""
        line = raw.rstrip()
        if self.fence:
            if line.strip().startswith(self.fence):
                self.fence = ""
            return
        if not line.strip():
            if self.kind != "list" or not self.wrapped:
                yield from self.close()
            self.blank = True
            return
        yield from self._line(line, start)
        self.blank = False

    def _line(self, line: str, start: int) -> Iterator[Block]:
        if self.wrapped and (_PICTURE.match(line) or (self.blank and _FOOTNOTE.match(line))):
            yield from self.close()
            yield Block("picture")
        elif opened := _FENCE.match(line):
            yield from self._wall()
            mark = opened.group().strip()
            closed = mark in ("{{<", "{{%") or (mark == "$$" and line.strip().endswith("$$") and len(line.strip()) > 2)
            self.fence = "" if closed else mark
        elif self.wrapped and (heading := _HEADING.match(line)):
            yield from self.close()
            yield Block("heading", (heading.group(2),), len(heading.group(1)))
        elif self.wrapped and self.blank and (bold := _BOLD_LINE.match(line)):
            yield from self.close()
            yield Block("heading", (bold.group(1),), LOWEST)
        elif _RULE.match(line):
            yield from self.close()
            yield Block("picture")
        elif self.wrapped and (_WALL.match(line) or self._is_indented_code(line)):
            yield from self._wall()
        else:
            yield from self._prose(line, start)

    def _is_indented_code(self, line: str) -> bool:
        return line.startswith(("    ", "\t")) and self.blank and self.kind != "list"

    def _prose(self, line: str, start: int) -> Iterator[Block]:
        item = bool(_ITEM.match(line))
        place = (start + len(line) - len(line.lstrip()), start + len(line))
        if self.wrapped and item and (self.kind == "list" or self.blank or not self.spans):
            if self.kind != "list":
                yield from self.close()
                self.kind, self.indent = "list", len(line) - len(line.lstrip())
            # A list in a list has no place in a post.
            self.nested = self.nested or len(line) - len(line.lstrip()) > self.indent + 1
            self.spans.append(place)
        elif self.wrapped and self.spans and (self.kind == "text" or not self.blank or line.startswith("  ")):
            self.spans[-1] = (self.spans[-1][0], place[1])
        else:
            if self.kind == "list":
                yield from self.close()
            self.spans.append(place)

    def _wall(self) -> Iterator[Block]:
        yield from self.close()
        yield Block("wall")

    def close(self) -> Iterator[Block]:
        """The block that was being read, if any."""
        if self.spans:
            pieces = tuple(self.text[start:end] for start, end in self.spans)
            yield Block("wall") if self.nested else Block(self.kind, pieces)
        self.kind, self.spans, self.nested = "text", [], False
