"""Passages: an author's documents cut where a reader would cut them, with what each needs beside it to make sense."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from twin_serving.leaning import flaws, is_list_item, opening_leaning, plain, ties

_URL = re.compile(r"https?://\S+|www\.\S+")
# A line that is only an address, perhaps with a label: "Code: https://…", "Full chats: https://…".
_ADDRESS_LINE = re.compile(r"^\W*(?:(?:[\w.'’/&+-]+\s+){0,3}[\w.'’/&+()-]+\s*:?\s*)?(?:https?://\S+\s*[:|,]?\s*)+$")
_TRAILING_ADDRESS = re.compile(r"[\s(:]*(?:https?://\S+|www\.\S+)\s*\)?\s*$")
# What remains of a line that pointed at the address cut from it.
_POINTER = re.compile(r"\b(?:here|at|on|see|via|from|this|is|to|link)\W*$", re.IGNORECASE)
_HASHTAG = re.compile(r"(?<![\w#&/])#[^\W\d_][\w-]*")
_HASHTAG_LINE = re.compile(r"^\s*(?:#[^\W\d_][\w-]*[\s,]*)+$")
_TERMINAL = re.compile(r"[.!?…:;)\"”’'][\W_]*$")


class OwnText(Protocol):
    """One published document of the author, as the table `documents` has it."""

    @property
    def document_id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def text(self) -> str: ...
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
class Passage:
    """One paragraph (a list stays with the line that announces it): `lines` are verbatim substrings of the document."""

    document: OwnText
    position: int
    lines: tuple[str, ...]
    last: bool
    flaw: float

    @property
    def text(self) -> str:
        """The lines as they go into a draft."""
        return "\n".join(self.lines)

    @property
    def is_list(self) -> bool:
        """Whether half of its lines or more are items of a list."""
        return sum(map(is_list_item, self.lines)) * 2 >= len(self.lines)

    @property
    def open_end(self) -> bool:
        """Whether it announces something that would have to follow, or breaks off (an item of a list may end bare)."""
        end = plain(self.lines[-1]).rstrip()
        return end.endswith((":", "…", "...", ",")) or not (_TERMINAL.search(end) or is_list_item(end))


def hashtags(text: str) -> list[str]:
    """The hashtags that stand on lines of their own, in order."""
    return [tag for line in text.split("\n") if _HASHTAG_LINE.match(line) for tag in _HASHTAG.findall(line)]


def passages(document: OwnText) -> list[Passage]:
    """The passages of a document in order, without lines of addresses or hashtags or addresses at line ends."""
    blocks: list[list[str]] = [[]]
    for raw in document.text.split("\n"):
        line = raw.strip()
        if not line or _HASHTAG_LINE.match(line) or _is_address(line):
            if blocks[-1]:
                blocks.append([])
            continue
        cut = line
        while (shorter := _TRAILING_ADDRESS.sub("", cut)) != cut:
            cut = shorter.rstrip()
        if cut.strip("-*_=•→ ") and not (cut != line and _POINTER.search(cut)):
            blocks[-1].append(cut)
    merged = _merge([block for block in blocks if block])
    return [
        Passage(document, position, tuple(lines), position == len(merged) - 1, _flaw(lines))
        for position, lines in enumerate(merged)
    ]


def _is_address(line: str) -> bool:
    """Whether a line is an address with at most a label; a sentence or an item of a list that ends in one says more."""
    label = _URL.sub("", line).rstrip()
    says = label.endswith((".", "!", "?")) or (is_list_item(line) and not label.endswith(":"))
    return bool(_ADDRESS_LINE.match(line)) and not says


def _flaw(lines: Sequence[str]) -> float:
    text = "\n".join(lines)
    return 1.0 if _URL.search(text) else flaws(text)


def _merge(blocks: list[list[str]]) -> list[list[str]]:
    """Put headings and announcements (ending in a colon, or in nothing) with what they announce, and lists together."""
    merged: list[list[str]] = []
    for block in blocks:
        if merged:
            before = merged[-1][-1]
            announced = plain(before).endswith(":") or (len(merged[-1]) == 1 and not _TERMINAL.search(before))
            if announced or (is_list_item(before) and is_list_item(block[0])):
                merged[-1].extend(block)
                continue
        merged.append(list(block))
    return merged


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive passages of one document; `leans`: how much its start leans on what is left out before it (0 to 1);
    `cut`: how much the passage left out after it belonged to it (0 to 1)."""

    passages: tuple[Passage, ...]
    leans: float
    cut: float

    @property
    def document(self) -> OwnText:
        """The document it is from."""
        return self.passages[0].document

    @property
    def text(self) -> str:
        """The passages as they go into a draft."""
        return "\n\n".join(passage.text for passage in self.passages)

    @property
    def trails_off(self) -> bool:
        """Whether its last passage turns to something ("But …") that is left out."""
        last = self.passages[-1]
        return not last.last and len(self.passages) > 1 and len(last.text) < 100 and ties(last.text)

    @property
    def opens(self) -> bool:
        """Whether it begins where its document begins."""
        return self.passages[0].position == 0

    @property
    def ends(self) -> bool:
        """Whether it ends where its document ends."""
        return self.passages[-1].last


def runs(parts: Sequence[Passage], longest: int) -> list[Run]:
    """Every run of at most `longest` characters that holds nothing unusable and does not break off in a thought."""
    leans = [opening_leaning(part.text, "\n".join(before.text for before in parts[:n])) for n, part in enumerate(parts)]
    found = []
    for start in range(len(parts)):
        length = 0
        for end in range(start + 1, len(parts) + 1):
            final = parts[end - 1]
            length += len(final.text) + 2 * (end > start + 1)
            if final.flaw >= 1 or length > longest:
                break
            if final.open_end or (final.text.endswith("?") and end < len(parts)):
                continue
            found.append(Run(tuple(parts[start:end]), leans[start], leans[end] if end < len(parts) else 0.0))
    return found
