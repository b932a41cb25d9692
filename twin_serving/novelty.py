"""How new a draft is: the longest run of words it has from what was published, and how much of it one text holds.

Every run of four words of the corpus is kept as a 64-bit hash in one sorted array (16 bytes a word): 20,000 chunks take
40 MB and are searched by halving, where sets of runs of every length would take gigabytes. A hash only proposes; the
words themselves decide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from twin_assets.core.overlap import WORD

# Shorter runs are everyday language.
RUN = 4
# A run that stands in more places than this is a phrase of the author's, and no single one of them its source.
MOST_PLACES = 64
# A word that no document has.
UNKNOWN = np.iinfo(np.int32).min
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Copied:
    """words: length of the longest run that a published text holds as well; text: that run as the draft has it;
    document_id: whose it is, None where there is none; shares: of the draft's words, by document, in runs of four and
    more that stand there too."""

    words: int = 0
    text: str = ""
    document_id: str | None = None
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def most(self) -> float:
        """The largest share that one document holds."""
        return max(self.shares.values(), default=0.0)


class PublishedRuns:
    """The runs of words of an author's documents."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._documents: dict[str, Ids] = {}
        self._hashes: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._words: Ids = np.empty(0, np.int32)
        self._starts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._names: list[str] = []

    def update(self, texts: Mapping[str, str], changed: Sequence[str]) -> None:
        """Make these the texts, by document id; only those that changed, or were not here, are read."""
        again = set(changed)
        kept = {name: words for name, words in self._documents.items() if name in texts and name not in again}
        for name, text in texts.items():
            if name not in kept:
                kept[name] = self._ids(WORD.findall(text.lower()))
        self._documents = kept
        self._names = list(kept)
        lengths = np.array([len(words) + 1 for words in kept.values()], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # A negative number of its own ends each document, so that no run reaches over two.
        ended = [np.append(words, np.int32(-1 - number)) for number, words in enumerate(kept.values())]
        self._words = np.concatenate(ended) if ended else np.empty(0, np.int32)
        hashes = _hashed(self._words)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._places = hashes[order], order

    def copied(self, text: str) -> Copied:
        """What a text has from the documents."""
        matches = list(WORD.finditer(text.lower()))
        words = np.array([self._numbers.get(match.group(), UNKNOWN) for match in matches], np.int32)
        if len(words) < RUN or not len(self._hashes):
            return Copied()
        held: dict[int, npt.NDArray[np.bool_]] = {}
        longest, where, whose = 0, 0, -1
        for at, place in self._candidates(words):
            document = int(np.searchsorted(self._starts, place, side="right")) - 1
            length = self._extent(words, at, place)
            if length < RUN:
                continue
            held.setdefault(document, np.zeros(len(words), bool))[at : at + length] = True
            if length > longest:
                longest, where, whose = length, at, document
        if not longest:
            return Copied()
        # Lower case can be longer than what it was made of ("İ"): then the run is shown as it was compared.
        shown = text if len(text.lower()) == len(text) else text.lower()
        run = shown[matches[where].start() : matches[where + longest - 1].end()]
        shares = {self._names[number]: float(mask.mean()) for number, mask in held.items()}
        return Copied(longest, run, self._names[whose], shares)

    def _candidates(self, words: Ids) -> Iterator[tuple[int, int]]:
        """(position in the text, place in the corpus) where a run of the text may begin that is none's continuation."""
        hashes = _hashed(words)
        first, last = np.searchsorted(self._hashes, hashes, "left"), np.searchsorted(self._hashes, hashes, "right")
        before: set[int] = set()
        for at in range(len(hashes)):
            places = self._places[first[at] : last[at]][:MOST_PLACES]
            found = {int(place) for place in places}
            for place in sorted(found):
                if place - 1 not in before:
                    yield at, place
            before = found

    def _extent(self, words: Ids, at: int, place: int) -> int:
        """How many words are the same from there on."""
        length = min(len(words) - at, len(self._words) - place)
        differ = np.flatnonzero(words[at : at + length] != self._words[place : place + length])
        return int(differ[0]) if len(differ) else length

    def _ids(self, words: Sequence[str]) -> Ids:
        numbers = self._numbers
        return np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)


def _hashed(words: Ids) -> npt.NDArray[Any]:
    """A hash of each run of RUN words."""
    if len(words) < RUN:
        return np.empty(0, np.uint64)
    ids = words.astype(np.int64).astype(np.uint64) + np.uint64(1 << 33)
    result = np.zeros(len(words) - RUN + 1, np.uint64)
    with np.errstate(over="ignore"):
        for step in range(RUN):
            result = (result ^ ids[step : step + len(result)]) * _FACTOR
            result ^= result >> np.uint64(29)
    return result
