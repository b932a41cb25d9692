"""What the ranker looks at: numbers that say how well a passage answers a question, besides the two searches' scores.

Words are compared as BM25 compares them: stop words left out, stemmed (Snowball, English). A word weighs as much as it
tells this question's candidates apart, so no statistics of the whole corpus are needed.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from twin_assets.core.embedding import STOP_WORDS
from twin_assets.core.index import Hit

FEATURES = (
    "similarity",  # cosine of question and passage
    "bm25",  # BM25 score as a share of the best candidate's
    "covered",  # weight of the question's words that the passage holds
    "covered_by_label",  # of those it does not hold: weight of what its title or its heading holds
    "covered_by_sentence",  # weight of what its best sentence holds
    "together",  # how near words that are neighbours in the question are in the passage
)
# Besides, where sentences are embedded: cosine of the question and the passage's nearest sentence.
SENTENCE_FEATURE = "sentence_similarity"

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def terms(text: str) -> list[str]:
    """The stemmed words of a text, in order, less stop words."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    return str(_stemmer().stem_word(word))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from py_rust_stemmers import SnowballStemmer

    return SnowballStemmer("english")


@dataclass(frozen=True, slots=True)
class _Passage:
    """A passage's terms, in order and by sentence."""

    ordered: tuple[str, ...]
    sentences: tuple[frozenset[str], ...]
    words: frozenset[str]


@lru_cache(maxsize=8192)
def _read(text: str) -> _Passage:
    """The terms of a passage; kept, since a passage is a candidate again and again."""
    sentences = [terms(sentence) for sentence in _SENTENCE.split(text)]
    ordered = tuple(chain.from_iterable(sentences))
    return _Passage(ordered, tuple(frozenset(words) for words in sentences if words), frozenset(ordered))


@lru_cache(maxsize=8192)
def _label(title: str, heading: str) -> frozenset[str]:
    return frozenset(terms(f"{title} {heading}"))


def features(question: str, hits: Sequence[Hit], vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Float64 [len(hits), len(FEATURES)] for hits that carry their vectors; `vector` is the question's."""
    asked = list(dict.fromkeys(terms(question)))
    passages = [_read(hit.text) for hit in hits]
    known = [passage.words | _label(hit.title, hit.heading) for passage, hit in zip(passages, hits, strict=True)]
    weights = _weights(asked, known)
    best_bm25 = max((hit.bm25 or 0.0 for hit in hits), default=0.0) or 1.0
    rows = []
    for hit, passage, words in zip(hits, passages, known, strict=True):
        similarity = hit.similarity if hit.vector is None else float(hit.vector @ vector)
        held = passage.words.intersection(weights)
        best = max((_covered(weights, held & sentence) for sentence in passage.sentences), default=0.0) if held else 0.0
        rows.append((
            similarity or 0.0, (hit.bm25 or 0.0) / best_bm25, _covered(weights, held),
            _covered(weights, words.intersection(weights) - held), best,
            _together(asked, weights, passage.ordered) if len(held) > 1 else 0.0,
        ))  # fmt: skip
    return np.array(rows, dtype=np.float64).reshape(len(hits), len(FEATURES))


def _weights(asked: Sequence[str], candidates: Sequence[frozenset[str]]) -> dict[str, float]:
    """Each word's share of the question's weight, by its inverse frequency among the candidates (as BM25 has it)."""
    count = Counter(word for words in candidates for word in words.intersection(asked))
    rarity = {word: math.log1p((len(candidates) - count[word] + 0.5) / (count[word] + 0.5)) for word in asked}
    total = sum(rarity.values()) or 1.0
    return {word: value / total for word, value in rarity.items()}


def _covered(weights: dict[str, float], words: frozenset[str]) -> float:
    return sum(weights[word] for word in words)


def _together(asked: Sequence[str], weights: dict[str, float], words: Sequence[str]) -> float:
    """Mean of 1 / distance over pairs of neighbouring words of the question, by weight; 1: they stand side by side."""
    places = defaultdict(list)
    for place, word in enumerate(words):
        if word in weights:
            places[word].append(place)
    near = total = 0.0
    for first, second in pairwise(asked):
        weight = weights[first] + weights[second]
        total += weight
        if first in places and second in places:
            near += weight / min(abs(a - b) for a in places[first] for b in places[second])
    return near / total if total else 0.0
