"""Words and phrases that are an author's own: what they use more than other people do.

Words by the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi, Quinn 2008, "Fightin' Words"), which
neither a rare word seen once nor a common word used a little more often wins. The background is numbers alone: how
often hashed words occur in openly licensed writing (data/make_word_background.py).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib import resources
from io import BytesIO
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

WORD = re.compile(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*")
# Where the background knows fewer of the author's words than this, it is of another language: of two English authors it
# knows 0.90 and 0.97, of a paragraph of Dutch, German, French and Spanish 0.3 to 0.4.
KNOWN_SHARE = 0.6
# The prior counts as much as a text of so many words.
PRIOR_WORDS = 1_000
# A phrase of so many words, found in so many documents, says something.
PHRASE_WORDS = (2, 3, 4, 5)
PHRASE_DOCUMENTS = 3
DISTINCT = 1.96  # standard deviations above what chance gives


class OwnWord(BaseModel):
    """A word the author uses more than others; rates are per 1,000 words, z in standard deviations."""

    word: str
    documents: int
    rate: float
    others: float | None = Field(description="how often others use it; None without a background in the language")
    z: float | None


class OwnPhrase(BaseModel):
    """Words the author puts together again and again, and in how many documents."""

    phrase: str
    documents: int


@dataclass(frozen=True)
class WordBackground:
    """How often other people use a word.

    buckets: sorted hashes of words; shares: of all words, beside each; words: how many there were; norms: what the
    measures of voice_profile.py are on average for other writers.
    """

    buckets: NDArray[np.uint32]
    shares: NDArray[np.float32]
    words: int
    norms: Mapping[str, float]

    @classmethod
    @lru_cache(maxsize=1)
    def load(cls) -> "WordBackground":
        """The shipped background."""
        content = resources.files("twin_assets.core.data").joinpath("word_background.npz").read_bytes()
        with np.load(BytesIO(content), allow_pickle=False) as data:
            norms = dict(zip(data["norm_names"].tolist(), data["norm_values"].tolist(), strict=True))
            return cls(data["buckets"], data["shares"].astype(np.float32), int(data["words"]), norms)

    def share(self, word: str) -> float:
        """The word's share of all words others write, 0 where it is not known."""
        bucket = bucket_of(word)
        at = int(np.searchsorted(self.buckets, bucket))
        return float(self.shares[at]) if at < len(self.buckets) and self.buckets[at] == bucket else 0.0


def bucket_of(word: str) -> int:
    """Hash of a word, 32 bits: among 20,000 words two share one in twenty such backgrounds."""
    return int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big")


def words_of(text: str) -> list[str]:
    """Words in lower case, curly apostrophes made straight."""
    return [word.lower().replace("’", "'") for word in WORD.findall(text)]


def own_words(texts: Sequence[Sequence[str]], limit: int = 30) -> list[OwnWord]:
    """Words (lists of words_of() by document) that are the author's more than anybody's, the most so first.

    Those in fewer than two documents are a subject of the day. Where the background is of another language the words
    found in the most documents stand in, less the author's own hundred most frequent.
    """
    counts = Counter(word for words in texts for word in words)
    documents = Counter(word for words in texts for word in set(words))
    background, total = WordBackground.load(), counts.total()
    shares = {word: background.share(word) for word in counts}
    known = sum(counts[word] for word, share in shares.items() if share) / max(1, total)
    candidates = [word for word in counts if documents[word] >= 2 and len(word) > 2]
    if known < KNOWN_SHARE:
        common = {word for word, _ in counts.most_common(100)}
        ranked = sorted((w for w in candidates if w not in common), key=lambda w: (-documents[w], -counts[w], w))
        return [_own_word(word, counts, documents, None, None) for word in ranked[:limit]]
    scored = [(_z(counts[word], total, shares[word], background.words), word) for word in candidates]
    best = sorted(((z, word) for z, word in scored if z > DISTINCT), key=lambda found: (-found[0], found[1]))
    return [_own_word(word, counts, documents, shares[word], z) for z, word in best[:limit]]


def _own_word(
    word: str, counts: Counter[str], documents: Counter[str], share: float | None, z: float | None
) -> OwnWord:
    return OwnWord(
        word=word, documents=documents[word], rate=round(1000 * counts[word] / counts.total(), 3),
        others=None if share is None else round(1000 * share, 3), z=None if z is None else round(z, 2),
    )  # fmt: skip


def _z(count: int, total: int, share: float, background_words: int) -> float:
    """Log-odds ratio of a word against the background, in its standard deviations."""
    share = share or 0.5 / background_words
    prior, others = PRIOR_WORDS * share, background_words * share
    own_odds = log((count + prior) / (total + PRIOR_WORDS - count - prior))
    other_odds = log((others + prior) / (background_words + PRIOR_WORDS - others - prior))
    return (own_odds - other_odds) / sqrt(1 / (count + prior) + 1 / (others + prior))


def own_phrases(texts: Sequence[str], limit: int = 20) -> list[OwnPhrase]:
    """Runs of two to five words within a sentence that recur in at least three documents, the most telling first.

    Ranked by documents times surprise: log2 of how much more often the words stand together than others' use of each
    lets expect. A phrase is left out where a longer one is found nearly as often.
    """
    background = WordBackground.load()
    found: Counter[tuple[str, ...]] = Counter()
    shown: dict[tuple[str, ...], str] = {}
    clauses: set[tuple[str, ...]] = set()
    for text in texts:
        seen = set()
        for clause in _clauses(text):
            folded = tuple(word.lower().replace("’", "'") for word in clause)
            # The same long clause again is a post published twice, not a turn of phrase.
            if len(folded) > 2 * PHRASE_WORDS[-1] and folded in clauses:
                continue
            clauses.add(folded)
            for size in PHRASE_WORDS:
                for start in range(len(folded) - size + 1):
                    run = folded[start : start + size]
                    seen.add(run)
                    shown.setdefault(run, " ".join(clause[start : start + size]))
        found.update(seen)
    least = max(PHRASE_DOCUMENTS, len(texts) // 100)
    recurring = {run: count for run, count in found.items() if count >= least}
    score = {run: count * _surprise(run, count, len(texts), background) for run, count in recurring.items()}
    kept: list[tuple[str, ...]] = []
    for run in sorted(recurring, key=lambda run: (-score[run], run)):
        if len(kept) == limit or score[run] <= 0:
            break
        if not any(_alike(run, other) for other in kept):
            kept.append(_longest(run, recurring))
    return [OwnPhrase(phrase=shown[run], documents=recurring[run]) for run in dict.fromkeys(kept)]


def _clauses(text: str) -> Iterator[list[str]]:
    for clause in re.split(r"[.!?…:;,\n()\"“”—–]+", text):
        yield WORD.findall(clause)


def _surprise(run: tuple[str, ...], count: int, documents: int, background: WordBackground) -> float:
    """Bits by which the words are rarer in others' writing than the phrase is in the author's; 0 for common turns."""
    expected = sum(log(max(background.share(word), 1e-6), 2) for word in run)
    # What has hardly a word of its own beside function words ("one of the", "a year") is everybody's.
    telling = sum(background.share(word) < 1e-3 for word in run)
    if telling < (1 if len(run) > 3 else 2):
        return 0.0
    return log(count / documents, 2) - expected - 8 * (len(run) - 1)


def _alike(run: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one is most of the other: neighbouring windows on the same turn of phrase."""
    shared = len(set(run) & set(other))
    return shared >= 0.6 * min(len(set(run)), len(set(other)))


def _within(short: tuple[str, ...], long: tuple[str, ...]) -> bool:
    return len(short) <= len(long) and any(long[i : i + len(short)] == short for i in range(len(long) - len(short) + 1))


def _longest(run: tuple[str, ...], recurring: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    """The longest phrase around this one that is found at least seven times in ten."""
    around = [other for other, count in recurring.items() if _within(run, other) and count >= 0.7 * recurring[run]]
    return max(around, key=lambda other: (len(other), recurring[other]))
