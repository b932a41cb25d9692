"""Character n-gram vectors of text: what the voice score and its shipped background are both made of."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = 2**14
NGRAMS = (3, 5)
PASSAGE_WORDS = 200
# Passage lengths, in words, at which similarities are calibrated.
LENGTHS = (25, 50, 100, 200, 400)

Matrix = NDArray[np.float32]

_FENCED = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_URL = re.compile(r"<?(https?://|www\.)[^\s)>\]]+>?")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def without_code(text: str) -> str:
    """The text without its code blocks."""
    return _FENCED.sub("", text)


def plain(text: str) -> str:
    """The text without code blocks and addresses, which are not voice; case, marks, emoji and line breaks stay."""
    text = _LINK.sub(r"\1", without_code(text))
    return re.sub(r"\n{3,}", "\n\n", _URL.sub("", text)).strip()


def passages(texts: Sequence[str], length: int) -> list[str]:
    """The texts, one after the other, cut into passages of `length` words (at the end of a line where one is near)."""
    words = [w for text in texts for w in re.findall(r"\S+\s*", plain(text) + "\n\n")]
    return ["".join(words[i : i + length]).strip() for i in range(0, len(words) - length + 1, length)]


def vectors(texts: Sequence[str], idf: NDArray[np.floating[Any]]) -> Matrix:
    """TF-IDF vectors [n, FEATURES] float32, L2-normed: hashed character 3-5-grams, sublinear counts."""
    from sklearn.feature_extraction.text import HashingVectorizer

    # The analyser folds white space into one blank; a line break is part of how somebody writes.
    lines = [plain(text).replace("\n", "¶") or " " for text in texts]
    hasher = HashingVectorizer(
        analyzer="char", ngram_range=NGRAMS, n_features=FEATURES, alternate_sign=False, norm=None, lowercase=False
    )
    counts = hasher.transform(lines).astype(np.float32)
    counts.data = 1.0 + np.log(counts.data)
    dense = np.asarray(counts.multiply(idf[None, :]).todense(), dtype=np.float32)
    norms = np.linalg.norm(dense, axis=1, keepdims=True)
    return np.asarray(dense / np.maximum(norms, 1e-9), dtype=np.float32)


def unit(vector: Matrix) -> Matrix:
    """The vector at length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)
