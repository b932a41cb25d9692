"""split_sentences(): where sentences end in what people post and publish.

Compared with pysbd 0.3.4 and sentencex 1.0.32 on the posts of a real export: both cut URLs and product names
("https://a.b/c?" "x=1", "ASP." "NET"), know nothing of hard-wrapped Markdown and cut inside parentheses; pysbd is also
far slower. Drafts are assembled from sentences, so a wrong cut is a wrong sentence: hence our own.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# Something always follows these, so their full stop ends nothing.
_BEFORE_A_NAME = frozenset(
    """mr mrs ms mx dr prof st vs e.g i.e cf fig figs eq approx viz resp gen rep sen gov capt lt col sgt hon rev mt ca
    al dept est bzw z.b""".split()  # noqa: SIM905 (a list a line)
)
# These abbreviate only before a number: "No. 5", "pp. 3–4", "Sept. 12".
_BEFORE_A_NUMBER = frozenset(
    "no nos nr p pp vol ch sec art ver v jan feb mar apr jun jul aug sep sept oct nov dec".split()  # noqa: SIM905
)
_END = re.compile(r"(?:\.{1,}|[!?…。！？‼⁉⁈⁇]+)+")
_CLOSING = "\"'”’»›)]}*_`"
_MARKER = re.compile(r"\s*(?:(?:[-*+•–—>]|#{1,6}|\d{1,3}[.)]|[A-Za-z][.)])\s+)*")
_BLOCK_START = re.compile(r"\s*(?:[-*+•>]\s|#{1,6}\s|\d{1,3}[.)]\s|\||!\[|={3,}|-{3,})")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)[^\n]*\n.*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
# A quotation longer than this is cut into its sentences.
_LONGEST_QUOTE = 240
# Characters around an end that are looked at: a text whose sentences never end takes no longer than another.
_AROUND = 500


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text: `text` is exactly `source[start:end]`, without white space around it."""

    start: int
    end: int
    text: str


def split_sentences(text: str, *, wrapped: bool = False) -> list[Span]:
    """The sentences of a text in order; between them lies white space alone.

    A line break ends a sentence, as in posts; with `wrapped` a single one inside a paragraph is layout, as in Markdown
    wrapped at a column, and only blank lines, list items, headings and table rows begin anew. A fenced code block is
    one span. Emoji after an end belong to the sentence they follow.
    """
    lower_case = _writes_lower_case(text)
    spans: list[Span] = []
    for start, end, code in _pieces(text, wrapped):
        if code:
            spans.append(_span(text, start, end))
        else:
            spans.extend(_sentences(text, start, end, lower_case))
    return [span for span in spans if span.text]


def _span(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    piece = piece.strip()
    return Span(start, start + len(piece), piece)


def _pieces(text: str, wrapped: bool) -> Iterator[tuple[int, int, bool]]:
    """(start, end, is code) of the lines or, where wrapped, of the blocks."""
    position = 0
    for fence in _FENCE.finditer(text):
        yield from _lines(text, position, fence.start(), wrapped)
        yield fence.start(), fence.end(), True
        position = fence.end()
    yield from _lines(text, position, len(text), wrapped)


def _lines(text: str, start: int, end: int, wrapped: bool) -> Iterator[tuple[int, int, bool]]:
    block = start
    position = start
    heading = False
    for line in text[start:end].splitlines(keepends=True):
        begins = not wrapped or heading or not line.strip() or _BLOCK_START.match(line) is not None
        if begins and position > block:
            yield block, position, False
            block = position
        heading = line.lstrip().startswith("#")
        position += len(line)
    if position > block:
        yield block, position, False


def _sentences(text: str, start: int, end: int, lower_case: bool) -> Iterator[Span]:
    """Cut one line or paragraph."""
    marker = _MARKER.match(text, start, end)
    begin, position = start, marker.end() if marker else start
    while match := _END.search(text, position, end):
        position = _after_closing(text, match.end(), end)
        if not _ends(text, begin, match, position, end, lower_case):
            continue
        position = _after_emoji(text, position, end)
        yield _span(text, begin, position)
        begin = position
    yield _span(text, begin, end)


def _after_closing(text: str, position: int, end: int) -> int:
    while position < end and text[position] in _CLOSING:
        position += 1
    return position


def _after_emoji(text: str, position: int, end: int) -> int:
    """Where the emoji that follow an end are over, if any follow on the same line."""
    last = position
    while position < end and (text[position] in " \t" or _is_emoji(text[position])):
        position += 1
        if _is_emoji(text[position - 1]):
            last = position
    return last


def _is_emoji(character: str) -> bool:
    return unicodedata.category(character) in ("So", "Sk") or character in "\ufe0f\u200d\u20e3"


def _ends(text: str, begin: int, match: re.Match[str], position: int, end: int, lower_case: bool) -> bool:
    """Whether the full stop (or its like) at `match` ends the sentence that began at `begin`."""
    if position < end and not text[position].isspace() and not _is_emoji(text[position]):
        return text[match.end() - 1] in "。！？"
    begin, end = max(begin, position - _AROUND), min(end, position + _AROUND)
    following = text[position:end].lstrip()
    while following and (_is_emoji(following[0]) or following[0].isspace()):
        following = following[1:]
    if not following:
        return True
    stop = match.group()
    if stop == "." and position == match.end() and _abbreviates(text, begin, match.start(), following):
        return False
    if _is_open(text[begin:position]):
        return False
    first = following.lstrip("\"'“‘«‹([{*_`")[:1] or following[0]
    if first.islower():
        quoted = position > match.end() and text[position - 1] in "\"”’»'"
        return lower_case and not quoted
    return True


def _abbreviates(text: str, begin: int, stop: int, following: str) -> bool:
    word = re.split(r"[\s(\[{“\"'‘/]", text[begin:stop])[-1]
    plain = unicodedata.normalize("NFKC", word).lower()
    if plain in _BEFORE_A_NAME:
        return True
    if plain in _BEFORE_A_NUMBER:
        return following[0].isdigit()
    # An initial ("J. Doe"), unless it is the word "I" or a grade or plan ("Plan B. Then …").
    if len(plain) == 1 and word.isalpha() and word.isupper() and plain != "i":
        before = text[begin:stop].split()[:-1]
        return not before or before[-1].endswith(".")
    return False


def _is_open(sentence: str) -> bool:
    """Whether a parenthesis or a (short) quotation opened in the sentence is still open at its end."""
    if sentence.count("(") > sentence.count(")"):
        return len(sentence) - sentence.rfind("(") < _LONGEST_QUOTE
    opened = sentence.rfind("“")
    if opened > sentence.rfind("”"):
        return len(sentence) - opened < _LONGEST_QUOTE
    straight = [match.start() for match in re.finditer('"', sentence)]
    if len(straight) % 2:
        # An inch mark or a stray one follows a character; an opening one follows white space.
        before = sentence[straight[-1] - 1 : straight[-1]]
        return (not before or before in " \t(") and len(sentence) - straight[-1] < _LONGEST_QUOTE
    return False


def _writes_lower_case(text: str) -> bool:
    """Whether the author begins sentences in lower case, as some do in posts."""
    starts = re.findall(r"[.!?…]\s+(\w)", text)
    small = sum(letter.islower() for letter in starts)
    return small >= 2 and small > len(starts) / 2
