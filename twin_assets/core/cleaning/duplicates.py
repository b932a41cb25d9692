"""near_duplicate_groups(): documents that say the same, so that they never stand on both sides of a split.

MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", ch. 3) over five-word
shingles; every candidate pair is confirmed on the shingles themselves.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

SHINGLE = 5
BANDS, ROWS = 32, 4
# Share of shingles in common that makes two documents one group, of both together or of the smaller alone.
JACCARD, CONTAINMENT = 0.4, 0.8
_PRIME = np.uint64((1 << 61) - 1)

Shingles = npt.NDArray[np.uint64]


def near_duplicate_groups(documents: pl.DataFrame) -> dict[str, str]:
    """Group id (the smallest document_id in it) by document_id; a document like no other is a group of one.

    documents: a frame with `document_id` and `text`. Letter case, punctuation and letter styles do not count.
    """
    ids: list[str] = documents["document_id"].to_list()
    shingles = [_shingles(text) for text in documents["text"].to_list()]
    parent = list(range(len(ids)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in _candidates(shingles):
        one, other = root(first), root(second)
        if one != other and _alike(shingles[first], shingles[second]):
            parent[max(one, other, key=lambda i: ids[i])] = min(one, other, key=lambda i: ids[i])
    return {ids[index]: ids[root(index)] for index in range(len(ids))}


def _shingles(text: str) -> Shingles:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower())
    size = min(SHINGLE, max(len(words), 1))
    found = {" ".join(words[start : start + size]) for start in range(max(len(words) - size + 1, 1))}
    digests = b"".join(blake2b(shingle.encode(), digest_size=8).digest() for shingle in found)
    return np.unique(np.frombuffer(digests, dtype=np.uint64))


def _candidates(shingles: list[Shingles]) -> Iterator[tuple[int, int]]:
    """Pairs that share a band of their signatures: each document with the first seen in its bucket and the last."""
    random = np.random.default_rng(20)
    factors = random.integers(1, 1 << 31, size=BANDS * ROWS, dtype=np.uint64)
    offsets = random.integers(0, 1 << 61, size=BANDS * ROWS, dtype=np.uint64)
    buckets: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(BANDS)]
    for index, values in enumerate(shingles):
        hashed = ((values[:, None] >> np.uint64(32)) * factors + offsets) % _PRIME
        signature = hashed.min(axis=0).reshape(BANDS, ROWS)
        for band, bucket in enumerate(buckets):
            members = bucket[signature[band].tobytes()]
            for other in members:
                yield other, index
            # A few of a large group are enough to be compared with; all of them would be quadratic.
            if len(members) < 4:
                members.append(index)


def _alike(one: Shingles, other: Shingles) -> bool:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    smaller = min(len(one), len(other))
    return shared >= JACCARD * (len(one) + len(other) - shared) or (smaller >= 8 and shared >= CONTAINMENT * smaller)
