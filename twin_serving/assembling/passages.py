"""Passages: an author's documents cut where a reader would cut them, with what each needs beside it to make sense."""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from twin_assets.core.sentences import split_sentences
from twin_serving.assembling.leaning import flaws, is_list_item, leaning, plain
from twin_serving.assembling.markup import HASHTAG_LINE, Block, read_blocks, render
from twin_serving.receipts.evidence import SourceText

_URL = re.compile(r"https?://\S+|www\.\S+")
# A line that is only an address, perhaps with a label: "Code: https://…", "Full chats: https://…".
_ADDRESS_LINE = re.compile(r"^\W*(?:(?:[\w.'’/&+-]+\s+){0,3}[\w.'’/&+()-]+\s*:?\s*)?(?:https?://\S+\s*[:|,]?\s*)+$")
_TRAILING_ADDRESS = re.compile(r"[\s(:]*(?:https?://\S+|www\.\S+)\s*\)?\s*$")
# What remains of a line that pointed at the address cut from it.
_POINTER = re.compile(r"\b(?:here|at|on|see|via|from|this|is|to|link)\W*$", re.IGNORECASE)
_TERMINAL = re.compile(r"[.!?…:;)\"”’'][\W_]*$")
_COUNTED = re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten|\d{1,2})\b", re.IGNORECASE)
_NUMBER = re.compile(r"\W*(\d{1,2})[.)]\s")
# An item that is a link and no more: a menu.
_LINK_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+(?:[^\[\]]{0,30}:\s*)?\**\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])\W*$")
# The last line of a section that leads to the next one.
_TEASER = re.compile(
    r"^(?:with|now|alongside|next|but|so|and|then|first|before|to|how|what|which|let)\b[^.!?\n]{5,125}[.!?:]$",
    re.IGNORECASE,
)
# A list of more items than this is a table in disguise; a heading longer than this is no heading.
MOST_ITEMS, LONGEST_HEADING = 8, 90
# A list is cut only where paragraphs may be no longer than this, and no shorter: a thread's posts, not a reply.
LEAST_LIST, LONGEST_WHOLE = 250, 300
# How much a passage leans on code, or on a paragraph that cannot be used, which stood before it.
AFTER_WALL, AFTER_TEAR = 0.5, 0.25
# Documents whose sections and passages are remembered: 6 to 10 kB for a post of 560 characters, more for an article.
# Where they are not it takes 1 ms of a core.
KEPT_DOCUMENTS = 8192
# Text before a passage that tells what it leans on, in characters.
LOOKED_BACK = 600


class OwnText(SourceText, Hashable, Protocol):
    """One published document of the author, as the table `documents` has it."""

    @property
    def document_id(self) -> str: ...
    @property
    def category(self) -> str: ...


@dataclass(frozen=True, slots=True)
class OwnDocument:
    """A plain OwnText, for callers that hold rows and not Document objects."""

    document_id: str
    title: str
    url: str
    text: str
    category: str = "post"
    published_at: datetime | None = None
    platform: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as a reader sees it, and the stretch of the document it is.

    text is render(quote) but for the mark of an item of a list.
    """

    text: str
    quote: str


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One paragraph or a part of it (a list stays with the line that announces it); a line is a row of sentences.

    starts, closes: whether it begins or ends its section; glued: whether it goes on in the paragraph of the one before;
    walled: how much it leans on what was left out just before it, as code; flaw: what speaks against using it again, 0
    to 1, 1 forbids.
    """

    document: OwnText
    section: int
    position: int
    lines: tuple[tuple[Sentence, ...], ...]
    starts: bool
    closes: bool
    last: bool
    glued: bool
    walled: float
    text: str
    flaw: float

    @property
    def is_list(self) -> bool:
        """Whether half of its lines or more are items of a list."""
        return sum(is_list_item(line[0].text) for line in self.lines) * 2 >= len(self.lines)

    @property
    def open_end(self) -> bool:
        """Whether it announces something that would have to follow, or breaks off (an item of a list may end bare)."""
        end = plain(self.lines[-1][-1].text).rstrip()
        return end.endswith((":", "…", "...", ",")) or not (_TERMINAL.search(end) or is_list_item(end))


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """What stands under one heading of a document (a post is one section); `path`: its headings, outermost first.

    blocks: its paragraphs and lists, each with whether a wall stands before it; before: the end of the text above it;
    words: all of its text, headings too, in small plain letters.
    """

    document: OwnText
    number: int
    path: tuple[str, ...]
    blocks: tuple[tuple[Block, bool], ...]
    last: bool
    before: str
    words: str

    @property
    def heading(self) -> str:
        """The heading as a reader sees it, "" for none."""
        return render(self.path[-1]) if self.path else ""

    @property
    def label(self) -> str:
        """Title and headings in a row: what the section is about."""
        return ". ".join(part for part in (self.document.title, *map(render, self.path)) if part)


@lru_cache(maxsize=KEPT_DOCUMENTS)
def sections(document: OwnText) -> tuple[Section, ...]:
    """The sections of a document in order; what stands above the first heading is one, too."""
    found: list[tuple[tuple[str, ...], list[tuple[Block, bool]]]] = [((), [])]
    path: list[tuple[int, str]] = []
    walled = False
    for block in read_blocks(document.text, wrapped=document.category != "post"):
        if block.kind == "heading":
            path = [*((level, words) for level, words in path if level < block.level), (block.level, block.pieces[0])]
            found.append((tuple(words for _, words in path), []))
            walled = False
        elif block.kind == "wall":
            walled = True
        elif block.kind != "picture":
            found[-1][1].append((block, walled))
            walled = False
    kept = [(headings, blocks) for headings, blocks in found if blocks]
    return tuple(
        Section(
            document, number, headings, tuple(blocks), number == len(kept) - 1, _tail(kept[number - 1][1], number),
            _words(document, headings, blocks),
        )
        for number, (headings, blocks) in enumerate(kept)
    )  # fmt: skip


def _words(document: OwnText, headings: Sequence[str], blocks: Sequence[tuple[Block, bool]]) -> str:
    pieces = [piece for block, _ in blocks for piece in block.pieces]
    return plain("\n".join([document.title, *headings, *pieces])).lower()


def _tail(blocks: Sequence[tuple[Block, bool]], number: int) -> str:
    return render(blocks[-1][0].pieces[-1])[-LOOKED_BACK:] if number else ""


@lru_cache(maxsize=4 * KEPT_DOCUMENTS)
def passages(section: Section, longest: int = 100_000) -> tuple[Passage, ...]:
    """The passages of a section, paragraphs longer than `longest` characters cut between sentences.

    Lines of addresses or hashtags, addresses at line ends, and sentences that only lead to code or speak of the old
    text itself ("In this post …") are left out where the rest stands without them.
    """
    made: list[tuple[tuple[tuple[Sentence, ...], ...], bool, bool, float]] = []
    spoilt = count = 0
    torn = False  # whether something that was said stands no longer before the next paragraph
    first = True
    paragraphs = _paragraphs(section)
    if len(paragraphs) > 1 and not section.last and _TEASER.match(_text(paragraphs[-1][0])):
        paragraphs.pop()
    for lines, walled in paragraphs:
        kept = _without_flaws(lines, section.document.category != "post")
        count += 1
        spoilt += not kept or _flaw(_text(kept)) >= 1
        for number, part in enumerate(_cut(kept, longest) if kept else []):
            made.append(
                (part, first and not number, number > 0, 0.0 if number else AFTER_WALL * walled or AFTER_TEAR * torn)
            )
        torn, first = not kept, False
    # A post of which much is of its day alone was written for that day.
    taint = 0.4 * (section.document.category == "post" and spoilt > max(1, 0.3 * count))
    return tuple(
        Passage(
            section.document, section.number, number, lines, starts, number == len(made) - 1,
            section.last and number == len(made) - 1, glued, walled, text := _text(lines),
            min(1.0, _flaw(text) + taint),
        )
        for number, (lines, starts, glued, walled) in enumerate(made)
    )  # fmt: skip


def _flaw(text: str) -> float:
    return 1.0 if _URL.search(text) else flaws(text)


def _text(lines: Sequence[Sequence[Sentence]]) -> str:
    return "\n".join(" ".join(sentence.text for sentence in line) for line in lines)


def _paragraphs(section: Section) -> list[tuple[list[tuple[Sentence, ...]], bool]]:
    """The paragraphs as lines of sentences; announcements with what they announce, and lists, together."""
    wrapped = section.document.category != "post"
    found: list[tuple[list[tuple[Sentence, ...]], bool]] = []
    for block, walled in section.blocks:
        for lines in _blocks_of_lines(block, wrapped):
            if found and not walled and _belongs(found[-1][0], lines, wrapped):
                found[-1][0].extend(lines)
            else:
                found.append((lines, walled))
    return found


def _belongs(before: list[tuple[Sentence, ...]], lines: list[tuple[Sentence, ...]], wrapped: bool) -> bool:
    end = plain(before[-1][-1].text)
    if is_list_item(end) and is_list_item(lines[0][0].text):
        return True
    if wrapped:
        return end.endswith(":") and is_list_item(lines[0][0].text)
    return end.endswith(":") or (len(before) == 1 and not _TERMINAL.search(end))


def _blocks_of_lines(block: Block, wrapped: bool) -> Iterator[list[tuple[Sentence, ...]]]:
    lines: list[tuple[Sentence, ...]] = []
    if block.kind == "list" and 2 * sum(bool(_LINK_ITEM.match(piece)) for piece in block.pieces) > len(block.pieces):
        return
    for piece in block.pieces:
        line = piece.strip()
        if HASHTAG_LINE.match(line) or _is_address(line):
            if lines:
                yield lines
                lines = []
            continue
        cut = line
        while not wrapped and "://" in cut and (shorter := _TRAILING_ADDRESS.sub("", cut)) != cut:
            cut = shorter.rstrip()
        if cut.strip("-*_=•→ ") and not (cut != line and _POINTER.search(cut)):
            spans = split_sentences(cut, wrapped=wrapped)
            row = tuple(Sentence(words, span.text) for span in spans if (words := render(span.text)))
            if row and block.kind == "list":
                row = (replace(row[0], text=_marked(row[0].text, len(lines) + 1)), *row[1:])
            if row:
                lines.append(row)
    if lines:
        yield lines


def _marked(text: str, number: int) -> str:
    """An item of a Markdown list with the mark a reader would see: "-", or its place where it is numbered."""
    return re.sub(r"^(?:[*+-]|1[.)])(?=\s)", lambda mark: f"{number}." if mark.group()[0] == "1" else "-", text)


def _is_address(line: str) -> bool:
    """Whether a line is an address with at most a label; a sentence or an item of a list that ends in one says more."""
    label = _URL.sub("", line).rstrip()
    says = label.endswith((".", "!", "?")) or (is_list_item(line) and not label.endswith(":"))
    return bool(_ADDRESS_LINE.match(line)) and not says


def _without_flaws(lines: Sequence[tuple[Sentence, ...]], wrapped: bool) -> tuple[tuple[Sentence, ...], ...]:
    """The paragraph without what cannot be used again at its ends; nothing where too little is left."""
    if len(lines) > 1:
        items = [line for line in lines if not is_list_item(line[0].text) or flaws(_text([line])) < 1]
        numbered = [int(found.group(1)) for line in items if (found := _NUMBER.match(line[0].text))]
        counted = len(items) < len(lines) and (_COUNTED.search(_text(lines[:1])) or numbered)
        broken = counted or (numbered and numbered[0] != 1)
        return () if broken or len(items) > MOST_ITEMS + 1 or len(items) < 2 else tuple(items)
    kept = list(lines[0])
    if wrapped and kept[0].text[0].islower():  # the rest of something that was cut
        return ()
    while kept and (flaws(kept[-1].text) >= 1 or kept[-1].text.endswith(":") or (wrapped and _hangs(kept[-1].text))):
        kept.pop()
    while kept and flaws(kept[0].text) >= 1 and len(kept) > 1 and leaning(kept[1].text, kept[0].text) < 0.3:
        kept.pop(0)
    return (tuple(kept),) if kept else ()


def _hangs(text: str) -> bool:
    """Whether a sentence of an article has no end: it leads to the code or picture that followed."""
    return not _TERMINAL.search(plain(text))


def _cut(lines: tuple[tuple[Sentence, ...], ...], longest: int) -> list[tuple[tuple[Sentence, ...], ...]]:
    """A paragraph in parts of at most `longest` characters: groups of sentences, or of lines."""
    if len(_text(lines)) <= longest:
        return [lines]
    if len(lines) > 1:
        if not LEAST_LIST <= longest <= LONGEST_WHOLE:
            return [lines]
        groups = _groups([len(_text([line])) for line in lines], longest)
        return [lines[start:end] for start, end in groups]
    sentences = lines[0]
    return [(sentences[start:end],) for start, end in _groups([len(each.text) for each in sentences], longest)]


def _groups(lengths: Sequence[int], longest: int) -> list[tuple[int, int]]:
    """As few rows of neighbours within `longest` as there can be, of about the same length."""
    parts = -(-(sum(lengths) + len(lengths)) // longest)
    aim = sum(lengths) / parts
    bounds, size = [0], 0
    for number, length in enumerate(lengths):
        over = size + length + 1 > longest
        if number > bounds[-1] and (over or size >= aim or size + length / 2 > aim * 1.1):
            bounds.append(number)
            size = 0
        size += length + 1
    return list(pairwise([*bounds, len(lengths)]))
