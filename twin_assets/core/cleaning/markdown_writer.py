"""MarkdownWriter: Markdown written from left to right, in time proportional to its length whatever the nesting.

What is opened (emphasis, links, quotes, list items) is written with the first word inside it, so that nothing empty
appears, and closed where its last word ends, so that no mark stands beside a space.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Browsers collapse these; a no-break space is a character like any other.
_SPACE = re.compile(r"[ \t\n\r\f]+")
# Deeper quotes and lists are written at this depth: a prefix a level on every line would be quadratic.
DEEPEST = 30


@dataclass(slots=True, eq=False)
class Prefix:
    """What every line inside a list item or quote begins with: `first` on its first line, then `rest`."""

    first: str
    rest: str
    used: bool = False


@dataclass(slots=True, eq=False)
class Mark:
    """Emphasis or a link: what opens and closes it; start: the piece it was opened with, None while it is not open."""

    opening: str
    closing: str
    start: int | None = None
    dead: bool = False


class MarkdownWriter:
    """Collects text, marks and breaks; result() is the Markdown."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._marks: list[Mark] = []
        self._prefixes: list[Prefix] = []
        self._before: list[Prefix] = []  # the prefixes of the last line written
        self._breaks = 0
        self._space = False
        self._lead = ""

    @property
    def size(self) -> int:
        """Number of pieces written so far: unchanged means that nothing was."""
        return len(self._pieces)

    def result(self) -> str:
        """The Markdown written so far."""
        return "".join(self._pieces)

    def text(self, data: str) -> None:
        """Text as HTML has it: white space collapses, and vanishes at the edges of lines."""
        words = _SPACE.sub(" ", data)
        if words[:1] == " ":
            self._space = True
        if words.strip(" "):
            self.write(words.strip(" "))
            self._space = words[-1] == " "

    def write(self, text: str) -> None:
        """One piece of text, without a line break, at this place."""
        self._arrive()
        for mark in self._marks:
            if mark.start is None and not mark.dead:
                mark.start = len(self._pieces)
                self._pieces.append(mark.opening)
        self._pieces.append(text)

    def lines(self, lines: Sequence[str]) -> None:
        """A block of lines as they are, each after the prefixes of this place."""
        if not lines:
            return
        self.separate(2)
        self._arrive()
        for number, line in enumerate(lines):
            prefix = "\n" + self._prefix() if number else ""
            self._pieces.append(prefix + line if line else prefix.rstrip(" "))
        self.separate(2)

    def fence(self, code: str, language: str) -> None:
        """A fenced block of code, every line as it is; nothing where there is only white space."""
        lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        while lines and not lines[-1].strip():
            lines.pop()
        while lines and not lines[0].strip():
            lines.pop(0)
        if lines:
            fence = "`" * max(3, 1 + max(map(len, re.findall(r"^\s*(`+)", code, re.MULTILINE)), default=0))
            self.lines([fence + language, *lines, fence])

    def line_break(self) -> None:
        """A line break of the author's; two make a paragraph."""
        self._breaks = min(self._breaks + 1, 2)

    def separate(self, breaks: int) -> None:
        """What follows begins on a new line (1) or after a blank one (2)."""
        self._lead = ""
        if not self._prefixes or self._prefixes[-1].used:  # at the beginning of an item nothing is there to separate
            self._breaks = max(self._breaks, breaks)

    def join(self, breaks: int) -> None:
        """What follows stands no further down than this."""
        self._breaks = min(self._breaks, breaks)

    def follow(self) -> None:
        """What follows is the next item of a list: on a new line, without a blank one after an item."""
        self.separate(1)
        if len(self._before) > len(self._prefixes):
            self.join(1)

    def lead(self, lead: str) -> None:
        """What the next text begins with, if any comes before the next separation: a heading's number signs."""
        self._lead = lead

    def indent(self, prefix: Prefix) -> bool:
        """Begin a quote or an item; False where it is too deep to be shown."""
        if len(self._prefixes) >= DEEPEST:
            return False
        self._prefixes.append(prefix)
        return True

    def dedent(self) -> None:
        """End the innermost quote or item."""
        self._prefixes.pop()

    def open(self, mark: Mark) -> bool:
        """Begin emphasis or a link; False where the same is open already."""
        if any(other.opening == mark.opening for other in self._marks):
            return False
        self._marks.append(mark)
        return True

    def close(self, mark: Mark) -> str | None:
        """End it; the text between, None where it was empty or has been closed at a break."""
        self._marks.remove(mark)
        if mark.start is None:
            return None
        inside = "".join(self._pieces[mark.start + 1 :])
        self._pieces.append(mark.closing)
        return inside

    def replace(self, mark: Mark, text: str) -> None:
        """Write this in place of a mark that has just been closed and all inside it."""
        del self._pieces[mark.start :]
        if text:
            self._pieces.append(text)
        elif self._pieces and self._pieces[-1] == " ":
            self._pieces.pop()
            self._space = True

    def _arrive(self) -> None:
        """The line breaks and prefixes, or the space, that stand before the next text."""
        if not self._pieces:
            self._pieces.append(self._prefix())
        elif self._breaks or self._prefixes != self._before:
            self._interrupt()
            if self._breaks == 2:
                common = [p for p, other in zip(self._prefixes, self._before, strict=False) if p is other]
                self._pieces.append("\n" + "".join(p.rest for p in common).rstrip(" "))
            self._pieces.append("\n" + self._prefix())
        elif self._space:
            self._pieces.append(" ")
        if self._lead:
            self._pieces.append(self._lead)
        self._breaks, self._space, self._lead = 0, False, ""
        self._before = list(self._prefixes)

    def _interrupt(self) -> None:
        """Close what cannot reach over a blank line; emphasis opens again after it, a link does not."""
        if self._breaks < 2 and self._prefixes == self._before:
            return
        for mark in reversed(self._marks):
            if mark.start is not None:
                self._pieces.append(mark.closing)
                mark.start = None
                mark.dead = mark.opening == "["

    def _prefix(self) -> str:
        parts = []
        for prefix in self._prefixes:
            parts.append(prefix.rest if prefix.used else prefix.first)
            prefix.used = True
        return "".join(parts)
