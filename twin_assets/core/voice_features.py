"""Vectors of how a text is written: what the voice score and its shipped background are both made of."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

CHARACTER_FEATURES = 2**14
WORD_FEATURES = 2**13
FEATURES = CHARACTER_FEATURES + WORD_FEATURES
NGRAMS = (3, 5)
RUNS = (1, 3)
KNOWN_WORDS = 400
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
RUN_OF = r"[^\W_]+(?:['’]\w+)?|[^\w\s]|¶"
PASSAGE_WORDS = 200
# Passage lengths, in words, at which similarities are calibrated.
LENGTHS = (25, 50, 100, 200, 400)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Matrix = NDArray[np.float32]

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


def distorted(text: str, known: frozenset[str]) -> str:
    """The text with every word that is not among the known (the most frequent ones) made x, or X where it is
    capitalised, and every number 0: what is left is grammar, habit and rhythm (Stamatatos 2017)."""

    def keep(match: re.Match[str]) -> str:
        word = match.group()
        return word if word.lower().replace("’", "'") in known else "X" if word[0].isupper() else "x"

    return re.sub(r"\d+", "0", WORD.sub(keep, text))


def counts(texts: Sequence[str], known: frozenset[str]) -> "csr_matrix":
    """How often each feature stands in each text [n, FEATURES]: hashed character 3-5-grams, then runs of 1 to 3 words
    and marks of the distorted text."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    # The analyser folds white space into one blank; a line break is part of how somebody writes.
    lines = [prose(text).replace("\n", "¶") or " " for text in texts]
    common = {"alternate_sign": False, "norm": None, "lowercase": False, "dtype": np.float32}
    letters = HashingVectorizer(analyzer="char", ngram_range=NGRAMS, n_features=CHARACTER_FEATURES, **common)
    words = HashingVectorizer(ngram_range=RUNS, token_pattern=RUN_OF, n_features=WORD_FEATURES, **common)
    return hstack([letters.transform(lines), words.transform([distorted(line, known) for line in lines])]).tocsr()


def sparse_vectors(texts: Sequence[str], idf: Matrix, known: frozenset[str]) -> "csr_matrix":
    """TF-IDF vectors [n, FEATURES] float32 of length 1: sublinear counts, both kinds of features weighing the same."""
    found = counts(texts, known)
    found.data = (1.0 + np.log(found.data)).astype(np.float32) * idf[found.indices]
    letters = found.indices < CHARACTER_FEATURES
    rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    for part in (letters, ~letters):
        squares = np.bincount(rows[part], weights=found.data[part] ** 2, minlength=found.shape[0])
        found.data[part] /= np.maximum(np.sqrt(2 * squares), 1e-9)[rows[part]].astype(np.float32)
    return found


def vectors(texts: Sequence[str], idf: Matrix, known: frozenset[str]) -> Matrix:
    """The same as sparse_vectors(), dense."""
    return np.asarray(sparse_vectors(texts, idf, known).toarray(), dtype=np.float32)


def unit(vector: Matrix) -> Matrix:
    """The vector at length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


def units(rows: Matrix) -> Matrix:
    """The rows at length 1 each."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)
