"""Syntax: where a source file can be cut, and what it calls the things around a place; parsed by tree-sitter.

Grammars are wheels of their own, one a language, because tree-sitter-language-pack (1.0 and later) downloads them at
first use, and chonkie's code chunker uses that. semantic-text-splitter's CodeSplitter takes these grammars too, but
fills chunks across definitions, names no symbols and drops indentation. A file in another language is cut at blank
lines that are followed by a line without indentation.
"""

import importlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tree_sitter import Language, Node

# Module of the grammar and the function of it, by file suffix.
_GRAMMARS = {
    suffix: (module, function)
    for module, function, suffixes in (
        ("python", "language", ".py .pyi"), ("javascript", "language", ".js .mjs .cjs .jsx"),
        ("typescript", "language_typescript", ".ts .mts .cts"), ("typescript", "language_tsx", ".tsx"),
        ("go", "language", ".go"), ("rust", "language", ".rs"), ("java", "language", ".java"),
        ("c", "language", ".c .h"), ("cpp", "language", ".cc .cpp .cxx .hh .hpp"), ("c_sharp", "language", ".cs"),
        ("ruby", "language", ".rb"), ("php", "language_php", ".php"), ("bash", "language", ".sh .bash"),
        ("scala", "language", ".scala"), ("kotlin", "language", ".kt .kts"), ("swift", "language", ".swift"),
    )
    for suffix in suffixes.split()
}  # fmt: skip
# What begins a chunk of its own, by the words a grammar's node names are made of.
_DEFINES = (
    "function", "class", "method", "interface", "struct", "enum", "trait", "impl", "module", "namespace", "type",
    "object", "record", "constructor", "protocol", "extension", "macro", "mod",
)  # fmt: skip
_ENDINGS = ("definition", "declaration", "item", "specifier", "spec", "signature")
_ALSO_DEFINES = frozenset({"class", "module", "method", "singleton_method", "macro_definition", "variable_declarator"})
# Nodes that stand around one definition, or before it.
_WRAPPERS = ("decorated", "export", "template", "lexical_declaration", "variable_declaration", "type_declaration")
_ABOVE = ("comment", "attribute", "annotation", "decorator")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of source, cut at line starts; symbol: names of the definitions it is in or is, outermost first."""

    start: int
    end: int
    symbol: str
    begins: bool


class Syntax:
    """The syntax of one file. Offsets are in characters."""

    def __init__(self, text: str, suffix: str) -> None:
        self.text = text
        source = text.encode("utf-8")
        grammar = _language(suffix)
        self._tree = None
        if grammar is not None:
            from tree_sitter import Parser

            self._tree = Parser(grammar).parse(source)
        self._ends = None if len(source) == len(text) else list(accumulate(_width(letter) for letter in text))

    def pieces(self, start: int, end: int) -> list[Piece]:
        """The stretch cut once more: into the parts of the smallest construct around it; itself where it has none."""
        if self._tree is None:
            cuts = [(place, True) for place in _paragraphs(self.text, start, end)]
        else:
            cuts = self._cuts(self._tree.root_node, start, end)
        inner = [(place, begins) for place, begins in cuts if start < place < end]
        bounds = [(start, True), *inner]
        ends = [place for place, _ in inner] + [end]
        return [
            Piece(first, last, self._symbol(first, last), begins)
            for (first, begins), last in zip(bounds, ends, strict=True)
        ]

    def _cuts(self, node: "Node", start: int, end: int) -> list[tuple[int, bool]]:
        """Line starts in (start, end) where a part of the construct begins that has several there."""
        while True:
            parts = [
                part for part in node.children if self._at(part.start_byte) < end and self._at(part.end_byte) > start
            ]
            cuts = list(self._between(parts, start, end))
            if cuts:
                return cuts
            # Into the largest part: the body of a function, not its name.
            inside = [part for part in parts if part.child_count]
            if not inside:
                return []
            node = max(
                inside, key=lambda part: min(self._at(part.end_byte), end) - max(self._at(part.start_byte), start)
            )

    def _between(self, parts: "Sequence[Node]", start: int, end: int) -> Iterator[tuple[int, bool]]:
        """A comment or decorator directly above a part goes with it."""
        after_definition = False
        first: int | None = None  # where the comments above the next part begin
        above: Node | None = None
        for part in parts:
            if above is not None and above.end_point.row + 1 < part.start_point.row and first is not None:
                yield first, after_definition
                first = None
            place = self._line_start(part)
            if first is None and place is not None and start < place < end and part.is_named:
                first = place
            above = part if _is_above(part) else None
            if above is None and part.is_named:
                defines = _defines(part)
                if first is not None:
                    yield first, defines or after_definition
                first, after_definition = None, defines
        if first is not None:
            yield first, after_definition

    def _line_start(self, node: "Node") -> int | None:
        """Where the line begins that the node is first on; None where something else precedes it there."""
        place = self._at(node.start_byte)
        start = self.text.rfind("\n", 0, place) + 1
        return start if not self.text[start:place].strip() else None

    def _symbol(self, start: int, end: int) -> str:
        """Names of the definitions around the first thing in the stretch that is no comment."""
        if self._tree is None:
            return ""
        cursor, names = self._tree.walk(), []
        begin = start + len(self.text[start:end]) - len(self.text[start:end].lstrip())
        byte = begin if self._ends is None else (self._ends[begin - 1] if begin else 0)
        while cursor.node is not None:
            if _defines(cursor.node) and (name := _name(cursor.node)):
                names.append(name)
            if cursor.goto_first_child_for_byte(byte) is None:
                break
            while cursor.node is not None and (_is_above(cursor.node) or not cursor.node.is_named):
                if not cursor.goto_next_sibling():
                    return " › ".join(names)
            if cursor.node is None or self._at(cursor.node.start_byte) >= end:
                break
        return " › ".join(names)

    def _at(self, byte: int) -> int:
        """The character that begins at, or holds, this byte."""
        return byte if self._ends is None else bisect_right(self._ends, byte)


def suffix_of(names: Sequence[str]) -> str:
    """The first suffix among these file names that there is a grammar for, else ""."""
    suffixes = (PurePosixPath(name).suffix.lower() for name in names)
    return next((suffix for suffix in suffixes if suffix in _GRAMMARS), "")


@cache
def _language(suffix: str) -> "Language | None":
    if suffix not in _GRAMMARS:
        return None
    from tree_sitter import Language

    module, function = _GRAMMARS[suffix]
    return Language(getattr(importlib.import_module(f"tree_sitter_{module}"), function)())


def _width(letter: str) -> int:
    code = ord(letter)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


def _paragraphs(text: str, start: int, end: int) -> Iterator[int]:
    blank, position = False, start
    for line in text[start:end].splitlines(keepends=True):
        if blank and line.strip() and not line[0].isspace():
            yield position
        blank = not line.strip()
        position += len(line)


def _defines(node: "Node") -> bool:
    kind = node.type
    if kind in _ALSO_DEFINES:
        return kind != "variable_declarator" or _is_function(node)
    if kind.startswith(_WRAPPERS):
        return any(_defines(part) for part in node.named_children)
    return kind.endswith(_ENDINGS) and any(word in kind for word in _DEFINES)


def _is_function(declarator: "Node") -> bool:
    value = declarator.child_by_field_name("value")
    return value is not None and ("function" in value.type or "class" in value.type)


def _is_above(node: "Node") -> bool:
    return any(word in node.type for word in _ABOVE) and not node.type.endswith("declaration")


def _name(node: "Node") -> str:
    """The name a definition gives; "" for what only stands around one."""
    if node.type.startswith(_WRAPPERS):
        return ""
    named: Any = node.child_by_field_name("name")
    if named is None and node.type.startswith(("impl", "extension")):
        named = node.child_by_field_name("type")
    declarator = node.child_by_field_name("declarator")
    while named is None and declarator is not None:  # C: pointers and parameters around the name
        inner = declarator.child_by_field_name("declarator")
        if inner is None:
            named = declarator
        declarator = inner
    return named.text.decode("utf-8", "replace") if named is not None and named.text else ""
