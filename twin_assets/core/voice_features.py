"""Vectors of how a text is written: what the voice score and its shipped background are both made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

KNOWN_WORDS = 400
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
RUN_OF = r"[^\W_]+(?:['’]\w+)?|[^\w\s]|¶"
PASSAGE_WORDS = 200
# Passage lengths, in words, at which similarities are calibrated.
LENGTHS = (25, 50, 100, 200)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of features: where it starts in a vector, how many it has (hashed), of runs of how many letters or
    words, and how much it weighs."""

    start: int
    features: int
    sizes: tuple[int, int]
    weight: float


LETTERS = Kind(0, 2**14, (3, 5), 1.0)
WORDS = Kind(LETTERS.features, 2**13, (1, 3), 0.6)
SHAPES = Kind(WORDS.start + WORDS.features, 2**12, (1, 4), 0.4)
KINDS = (LETTERS, WORDS, SHAPES)
FEATURES = SHAPES.start + SHAPES.features


@lru_cache(maxsize=16)
def _shared(known: frozenset[str]) -> frozenset[str]:
    return known


@dataclass(frozen=True, slots=True)
class Measure:
    """What texts are measured with. idf: weight of each feature; scale: one over how much it varies; known: the most
    frequent words."""

    idf: Matrix
    scale: Matrix
    known: frozenset[str]

    def __post_init__(self) -> None:
        # One object for the same words: _codes() remembers by them, and sets that are two are compared word by word.
        object.__setattr__(self, "known", _shared(self.known))


_FENCED = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_URL = re.compile(r"<?(https?://|www\.)[^\s)>\]]+>?")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


_BLOCK_MARK = re.compile(r"^(#{1,6} .*|\|.*|\{[^}]*\}|:{3,}.*|\[[^\]]+\]:.*)$", re.MULTILINE)
_LINE_MARK = re.compile(r"^(> ?|[*-] )+", re.MULTILINE)
_INLINE_MARK = re.compile(r"<[^>\n]{1,200}>|`|\*\*?|(?<!\w)_|_(?!\w)|\{[^}\n]*\}|(?<=\])\[[^\]]*\]|[\[\]]")
_WRAPPED = re.compile(r"(?<=[^\n.!?:…])\n(?=[a-z0-9(\"'“‘])")


def without_code(text: str) -> str:
    """The text without its code blocks."""
    return _FENCED.sub("", text)


def plain(text: str) -> str:
    """The text without code blocks and addresses, which are not voice; case, marks, emoji and line breaks stay."""
    text = _LINK.sub(r"\1", without_code(text))
    return re.sub(r"\n{3,}", "\n\n", _URL.sub("", text)).strip()


def prose(text: str) -> str:
    """Plain text without headings, tables and the marks of Markdown and its kin, wrapped lines joined: what markup a
    platform has somebody write in is not voice."""
    text = _BLOCK_MARK.sub("", plain(text))
    text = _WRAPPED.sub(" ", _INLINE_MARK.sub("", _LINE_MARK.sub("", text)))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def passages(texts: Sequence[str], length: int) -> list[str]:
    """The texts, one after the other, cut into passages of `length` words (at the end of a line where one is near)."""
    words = [w for text in texts for w in re.findall(r"\S+\s*", prose(text) + "\n\n")]
    return ["".join(words[i : i + length]).strip() for i in range(0, len(words) - length + 1, length)]


def pieces(text: str) -> list[str]:
    """Prose in pieces of about PASSAGE_WORDS words each, which together are the whole of it."""
    ends = [found.end() for found in re.finditer(r"\S+\s*", text)]
    count = max(1, round(len(ends) / PASSAGE_WORDS))
    cuts = [0, *(ends[len(ends) * i // count - 1] for i in range(1, count)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts)]


def distorted(text: str, known: frozenset[str]) -> str:
    """The text with every word that is not among the known (the most frequent ones) made x, or X where it is
    capitalised, and every number 0: what is left is grammar, habit and rhythm (Stamatatos 2017)."""

    def keep(match: re.Match[str]) -> str:
        word = match.group()
        return word if word.lower().replace("’", "'") in known else "X" if word[0].isupper() else "x"

    return re.sub(r"\d+", "0", WORD.sub(keep, text))


def shaped(line: str) -> list[str]:
    """A text's words as their shape alone (case, and whether short, middling or long) and its marks as they are."""
    return [_shape(token) if token[0].isalnum() else token for token in re.findall(RUN_OF, line)]


@lru_cache(maxsize=20_000)
def _shape(word: str) -> str:
    if word.isdigit():
        return "0"
    case = "A" if len(word) > 1 and word.isupper() else "X" if word[0].isupper() else "x"
    return f"{case}{1 if len(word) < 4 else 2 if len(word) < 8 else 3}"


def runs(codes: NDArray[np.uint64], sizes: tuple[int, int], features: int) -> NDArray[np.int64]:
    """Hashes below `features` (a power of 2) of all runs of so many codes, shorter runs first: a polynomial of the
    codes modulo 2^64, its bits mixed."""
    found, hashes = [], codes
    for size in range(1, sizes[1] + 1):
        if size > 1:
            hashes = hashes[:-1] * _BASE + codes[size - 1 :]
        if size >= sizes[0]:
            mixed = hashes * _MIXER
            mixed = (mixed ^ (mixed >> np.uint64(31))) * _BASE
            found.append((mixed >> np.uint64(65 - features.bit_length())).astype(np.int64))
        if len(hashes) < 2:
            break
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


_BASE, _MIXER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


def codes_of(tokens: Sequence[str]) -> NDArray[np.uint64]:
    """A number for each token, the same everywhere."""
    return np.array([crc32(token.encode()) for token in tokens], dtype=np.uint64)


@lru_cache(maxsize=50_000)
def _codes(chunk: str, known: frozenset[str]) -> tuple[bytes, bytes]:
    """Codes of the words and of the shapes of what stands between two spaces: no token reaches over one.

    Remembered, as the texts that explain a score differ from one another in a phrase (11.6 ms without, 4.6 with).
    """
    words = codes_of(re.findall(RUN_OF, distorted(chunk, known)))
    return words.tobytes(), codes_of(shaped(chunk)).tobytes()


def hashed(text: str, known: frozenset[str]) -> list[NDArray[np.int64]]:
    """Features of prose by kind (letters, words, shapes), in the order they stand in it, shorter runs first."""
    letters = np.frombuffer(text.replace("\n", "¶").encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    chunks = [_codes(chunk, known) for chunk in text.replace("\n", " ¶ ").split()]
    words, shapes = (np.frombuffer(b"".join(chunk[i] for chunk in chunks), dtype=np.uint64) for i in (0, 1))
    return [
        kind.start + runs(found, kind.sizes, kind.features)
        for kind, found in zip(KINDS, (letters, words, shapes), strict=True)
    ]


def _present(found: NDArray[np.int64], kind: Kind) -> NDArray[np.int64]:
    """The features of a kind that are there, each once, in order."""
    marks = np.zeros(kind.features, dtype=bool)
    marks[found - kind.start] = True
    return kind.start + np.flatnonzero(marks)


def sparse_vectors(texts: Sequence[str], measure: Measure) -> "csr_matrix":
    """Vectors [n, FEATURES] float32 of prose: the IDF of each feature that is there, every kind of features at its
    weight's length, and each feature by its scale."""
    from scipy.sparse import csr_matrix

    rows, values = [], []
    for text in texts:
        at = [_present(found, kind) for kind, found in zip(KINDS, hashed(text, measure.known), strict=True)]
        for kind, found in zip(KINDS, at, strict=True):
            weights = measure.idf[found]
            length = max(float(np.linalg.norm(weights)), 1e-9)
            values.append(weights * measure.scale[found] * np.float32(kind.weight / length))
        rows.append(np.concatenate(at))
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    data = np.concatenate([np.zeros(0, np.float32), *values])
    return csr_matrix((data, np.concatenate([np.zeros(0, np.int64), *rows]), ends), shape=(len(texts), FEATURES))


def vectors(texts: Sequence[str], measure: Measure) -> Matrix:
    """The same as sparse_vectors(), dense, of texts that are made prose first."""
    return np.asarray(sparse_vectors([prose(text) for text in texts], measure).toarray(), dtype=np.float32)


def unit(vector: Matrix) -> Matrix:
    """The vector at length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


def units(rows: Matrix) -> Matrix:
    """The rows at length 1 each."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)
