"""Documents that say the same: near_duplicate_groups() for datasets, and cross_posts() for the corpus.

MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", ch. 3): shingles are
hashed here, in bulk, and their signatures made by rensa. Results depend on the documents alone, never on their order.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

SIGNATURE = 128  # values of 32 bits
SEED = 20
# Near-duplicates: share of five-word shingles in common that makes two documents one group, of both together or of the
# smaller alone. Candidates share one of 32 bands of 4 values.
SHINGLE, NEAR_ROWS = 5, 4
JACCARD, CONTAINMENT = 0.4, 0.8
# The same text: share of three-word shingles in common, as the signatures estimate it (standard error 0.035); one of
# 21 bands of 6 values then is the same with a probability of 0.998.
SAME_SHINGLE, SAME_ROWS = 3, 6
SAME, SAME_WORDS = 0.8, 5
# A few of a large bucket are enough to be compared with; all of them would be quadratic.
COMPARED = 4

Hashes = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]
Pairs = npt.NDArray[np.int64]
_LINK = re.compile(r"\]\(\S*?\)|<?https?://\S+")
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 1], np.uint64)


def near_duplicate_groups(documents: pl.DataFrame) -> dict[str, str]:
    """Group id (the smallest document_id in it) by document_id; a document like no other is a group of one.

    documents: a frame with `document_id` and `text`. Letter case, punctuation and letter styles do not count. Every
    candidate pair is confirmed on the shingles themselves.
    """
    documents = documents.select("document_id", "text").sort("document_id")
    ids: list[str] = documents["document_id"].to_list()
    shingles = [shingle_hashes(text, SHINGLE) for text in documents["text"]]
    parent = list(range(len(ids)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in _candidates(signatures(shingles), NEAR_ROWS).tolist():
        one, other = root(first), root(second)
        if one != other and _alike(shingles[first], shingles[second]):
            parent[max(one, other)] = min(one, other)
    return {ids[index]: ids[root(index)] for index in range(len(ids))}


def cross_posts(documents: pl.DataFrame) -> pl.DataFrame:
    """The same texts at several addresses: columns document_id and `kept`, the document that stands for it; only of
    documents that another one stands for.

    documents: document_id, category, platform, published_at, words (their number) and signature (same_signatures()).
    The fullest text is kept, of several as full the earliest. Code is the same only across platforms, since files of
    one repository may rightly be alike.
    """
    documents = documents.filter(pl.col("words") >= SAME_WORDS).sort(
        pl.col("words"), pl.col("published_at"), pl.col("document_id"),
        descending=[True, False, False], nulls_last=[False, True, False],
    )  # fmt: skip
    found = np.frombuffer(b"".join(documents["signature"]), dtype=np.uint32).reshape(-1, SIGNATURE)
    pairs = _candidates(found, SAME_ROWS)
    pairs = pairs[_agreement(found, pairs) >= SAME]
    code = (documents["category"] == "code").to_numpy()
    platform = documents["platform"].rank("dense").to_numpy()
    first, second = pairs.T
    pairs = pairs[(code[first] == code[second]) & (~code[first] | (platform[first] != platform[second]))]
    kept: dict[int, int] = {}
    for other, document in sorted(map(tuple, pairs[:, ::-1].tolist())):  # each with its most preferred equals first
        if document not in kept:
            kept.setdefault(other, document)
    ids = documents["document_id"].to_list()
    rows = [(ids[other], ids[document]) for other, document in kept.items()]
    return pl.DataFrame(rows, schema={"document_id": pl.String, "kept": pl.String}, orient="row")


def same_signatures(texts: Sequence[str]) -> list[bytes]:
    """Signatures by which cross_posts() tells the same texts, [SIGNATURE] of uint32 each; links do not count."""
    found = signatures([shingle_hashes(_LINK.sub(" ", text), SAME_SHINGLE) for text in texts])
    return [row.tobytes() for row in found]


def words_of(text: str) -> list[str]:
    """The words of a text, with letter case and letter styles taken off."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return re.findall(r"\w+", plain.lower())


def shingle_hashes(text: str, size: int) -> Hashes:
    """Sorted 64-bit hashes of the runs of `size` words (of all the words, where there are fewer); the same everywhere
    and always."""
    words = words_of(text)
    if not words:
        return np.zeros(1, dtype=np.uint64)
    values = np.array([_word_hash(word) for word in words], dtype=np.uint64)
    size = min(size, len(values))
    runs = np.zeros(len(values) - size + 1, dtype=np.uint64)
    for offset in range(size):
        runs = runs * _FACTORS[0] + values[offset : offset + len(runs)] * _FACTORS[offset]
        runs ^= runs >> np.uint64(29)
    return np.unique(runs)


def signatures(shingles: Sequence[Hashes]) -> Signatures:
    """MinHash signatures of these sets, [n, SIGNATURE]."""
    from rensa import RMinHash

    found = np.zeros((len(shingles), SIGNATURE), dtype=np.uint32)
    for start in range(0, len(shingles), 2000):  # rensa hands them over as lists, which are ten times as large
        part = shingles[start : start + 2000]
        offsets = np.cumsum([0, *map(len, part)]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(part), offsets, SIGNATURE, SEED)
        found[start : start + len(part)] = matrix.to_rows()
    return found


@lru_cache(maxsize=1 << 18)
def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _candidates(found: Signatures, rows: int) -> Pairs:
    """Pairs (earlier, later) of rows that share a band of `rows` values: each with the first COMPARED of its bucket."""
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, SIGNATURE - rows + 1, rows):
        key = np.zeros(len(found), dtype=np.uint64)
        for column in found[:, start : start + rows].T:
            key = (key ^ column) * _FACTORS[0]
            key ^= key >> np.uint64(32)
        order = np.argsort(key, kind="stable")
        fresh = np.flatnonzero(np.diff(key[order], prepend=key[order][:1] + np.uint64(1)))
        length = np.diff(np.append(fresh, len(order)))
        first = np.repeat(fresh, length)  # where the bucket of each begins
        for offset in range(COMPARED):
            later = np.flatnonzero(np.arange(len(order)) - first > offset)
            pairs.append(np.stack([order[first[later] + offset], order[later]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _agreement(found: Signatures, pairs: Pairs) -> npt.NDArray[np.float64]:
    """Share of the values that are the same, of each pair; a slice at a time, so that memory stays small."""
    shares = [np.zeros(0)]
    for start in range(0, len(pairs), 10_000):
        first, second = pairs[start : start + 10_000].T
        shares.append((found[first] == found[second]).mean(axis=1))
    return np.concatenate(shares)


def _alike(one: Hashes, other: Hashes) -> bool:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    smaller = min(len(one), len(other))
    return shared >= JACCARD * (len(one) + len(other) - shared) or (smaller >= 8 and shared >= CONTAINMENT * smaller)
