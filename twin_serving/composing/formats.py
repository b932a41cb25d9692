"""What platforms make of a text: how X counts characters, what LinkedIn shows before the fold, a thread's posts."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from twin_assets.core.sentences import split_sentences

# X's limit, in the weights of its own counting (twitter-text, configuration 3).
X_POST = 280
LINK_WEIGHT, WIDE_WEIGHT = 23, 2
# LinkedIn shows about this many characters, and no more than three lines, before “…more”.
FOLD_CHARACTERS, FOLD_LINES = 210, 3
INSTAGRAM_HASHTAGS = 30
# Instagram shows about this much of a caption before “… more”.
CAPTION_FOLD = 125
_LINK = re.compile(r"https?://\S+|\bwww\.\S+", re.IGNORECASE)
# One emoji as a reader sees it: flags, keycaps, and families joined by zero-width joiners count once.
_EMOJI_PART = "[\U0001f300-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u203c\u2049]"
_MODIFIED = f"(?:{_EMOJI_PART}[\U0001f3fb-\U0001f3ff]?\ufe0f?)"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_MODIFIED}(?:\u200d{_MODIFIED})*[\U000e0020-\U000e007f]*"
)
# Where X's configuration gives a character the weight of one; every other counts two.
_LIGHT = re.compile("[\u0000-\u10ff\u2000-\u200d\u2010-\u201f\u2032-\u2037]+")
# What writers and models put between or before the posts of a thread: "---", "2/", "(2/7)", "Tweet 2:".
_SEPARATOR = re.compile(r"^\s*(?:[-*_]{3,}|#{1,3})\s*$")
_NUMBER = re.compile(r"^\s*(?:\(?\d{1,2}/\d{0,2}\)?|(?:tweet|post)\s+\d{1,2}\s*[:.)-])(?=\s|$)", re.IGNORECASE)


def x_length(text: str) -> int:
    """Characters of a post as X counts them: a link 23, an emoji 2, Chinese, Japanese and Korean letters 2."""
    text = unicodedata.normalize("NFC", text)
    text, links = _LINK.subn("", text)
    text, emoji = _EMOJI.subn("", text)
    wide = len(_LIGHT.sub("", text))
    return LINK_WEIGHT * links + WIDE_WEIGHT * (emoji + wide) + len(text) - wide


def fits(text: str, limit: int) -> bool:
    """Whether a text has at most so many characters, as X counts them."""
    return len(text) * LINK_WEIGHT <= limit or x_length(text) <= limit


def before_fold(text: str) -> str:
    """What a reader on LinkedIn sees of a post before they open it."""
    lines = text.strip().split("\n")[:FOLD_LINES]
    return "\n".join(lines)[:FOLD_CHARACTERS]


def thread_parts(text: str, limit: int = X_POST) -> list[str]:
    """A text as the posts of a thread: pieces of it, in order, each within the limit as X counts.

    Posts that are marked (numbers, rules between them) stay posts; else paragraphs and then sentences are put together
    as far as they fit, and a sentence that is too long is cut between words.
    """
    posts: list[str] = []
    for block in _blocks(text):
        if x_length(text[block.start : block.end].strip()) <= limit and block.marked:
            posts.append(text[block.start : block.end].strip())
        else:
            posts += _packed(text[block.start : block.end], limit)
    return [post for post in posts if post]


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    marked: bool


def _blocks(text: str) -> Iterator[_Block]:
    """The posts as the text itself marks them; all of it as one block where it marks none."""
    starts, skipped, at = [0], [], 0
    marked = False
    for line in text.splitlines(keepends=True):
        if _SEPARATOR.match(line):
            skipped.append((at, at + len(line)))
            starts.append(at + len(line))
            marked = True
        elif _NUMBER.match(line):
            starts.append(at)
            marked = True
        at += len(line)
    bounds = sorted({*starts, *(start for start, _ in skipped), len(text)})
    between = {start for start, _ in skipped}
    for start, end in pairwise(bounds):
        if start not in between:
            yield _Block(start, end, marked)


def _packed(text: str, limit: int) -> list[str]:
    """Paragraphs, or the sentences of those that are too long, put together as far as they fit."""
    posts: list[str] = []
    start = end = 0
    for piece_start, piece_end in _pieces(text, limit):
        if start == end:
            start = piece_start
        elif x_length(text[start:piece_end].strip()) > limit:
            posts.append(text[start:end].strip())
            start = piece_start
        end = piece_end
    return [*posts, text[start:end].strip()]


def _pieces(text: str, limit: int) -> Iterator[tuple[int, int]]:
    for paragraph in re.finditer(r"\S(?:.|\n(?!\s*\n))*", text):
        if x_length(paragraph.group()) <= limit:
            yield paragraph.span()
            continue
        for sentence in split_sentences(paragraph.group()):
            offset = paragraph.start() + sentence.start
            yield from _cut(text, offset, offset + sentence.end - sentence.start, limit)


def _cut(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """A stretch in pieces within the limit, cut between words; a word that is longer than the limit is cut itself."""
    while x_length(text[start:end]) > limit:
        reach = next(n for n in range(min(end, start + limit), start, -1) if x_length(text[start:n]) <= limit)
        space = text.rfind(" ", start, reach + 1)
        cut = space if space > start else reach
        yield start, cut
        start = cut + (text[cut : cut + 1] == " ")
    if text[start:end].strip():
        yield start, end
