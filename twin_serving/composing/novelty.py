"""How new a draft is: the longest run of words it has from what was published, and how much of it one text holds.

Every run of four words of the corpus is kept as a 64-bit hash in one sorted array (16 bytes a word): 20,000 chunks take
40 MB and are searched by halving, where sets of runs of every length would take gigabytes. A hash only proposes; the
words themselves decide.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from twin_assets.core.overlap import WORD

# Shorter runs are everyday language.
RUN = 4
# A run that stands in more places than this is a phrase of the author's, and no single one of them its source.
MOST_PLACES = 64
# The longest runs are followed word for word beyond what was looked up.
EXTENDED = 16
# Segments of at most so many words are merged when there are so many of them.
MERGED, MOST_SEGMENTS = 500_000, 6
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
    """The runs of words of an author's documents, in segments: what is added makes a new one, few are merged."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._segments: list[_Segment] = []

    def update(self, texts: Mapping[str, str], gone: Collection[str] = ()) -> None:
        """Add these texts, or put them in the place of those of the same document ids; drop those that are gone."""
        dropped = {*texts, *gone}
        self._segments = [
            segment for segment in (each.without(dropped) for each in self._segments) if segment.documents
        ]
        added = {name: self._ids(WORD.findall(text.lower())) for name, text in texts.items()}
        if not added:
            return
        small = [each for each in self._segments if len(each.words) <= MERGED]
        if len(small) >= MOST_SEGMENTS:
            self._segments = [each for each in self._segments if len(each.words) > MERGED]
            added = {name: words for each in small for name, words in each.alive()} | added
        self._segments.append(_Segment.of(added))

    def copied(self, text: str) -> Copied:
        """What a text has from the documents."""
        matches = list(WORD.finditer(text.lower()))
        words = np.array([self._numbers.get(match.group(), UNKNOWN) for match in matches], np.int32)
        held: dict[str, int] = {}  # the words of the text that a document has, a bit each
        longest, where, whose = 0, 0, ""
        for segment in self._segments if len(words) >= RUN else ():
            for at, length, name in segment.matches(words):
                held[name] = held.get(name, 0) | ((1 << length) - 1) << at
                if length > longest:
                    longest, where, whose = length, at, name
        if not longest:
            return Copied()
        # Lower case can be longer than what it was made of ("İ"): then the run is shown as it was compared.
        shown = text if len(text.lower()) == len(text) else text.lower()
        run = shown[matches[where].start() : matches[where + longest - 1].end()]
        return Copied(longest, run, whose, {name: bits.bit_count() / len(words) for name, bits in held.items()})

    def _ids(self, words: Sequence[str]) -> Ids:
        numbers = self._numbers
        return np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)


@dataclass(frozen=True, slots=True)
class _Segment:
    """Some documents: their words one after the other, where each begins, and every run's hash with its place."""

    names: Sequence[str]
    words: Ids
    starts: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    places: npt.NDArray[np.int64]
    dropped: frozenset[str] = frozenset()

    @classmethod
    def of(cls, documents: Mapping[str, Ids]) -> "_Segment":
        lengths = np.array([len(words) + 1 for words in documents.values()], np.int64)
        # A negative number of its own ends each document, so that no run reaches over two.
        ended = [np.append(words, np.int32(-1 - number)) for number, words in enumerate(documents.values())]
        words = np.concatenate(ended)
        hashes = _hashed(words)
        order = np.argsort(hashes, kind="stable")
        return cls(list(documents), words, np.concatenate([[0], np.cumsum(lengths)]), hashes[order], order)

    @property
    def documents(self) -> int:
        """How many are still there."""
        return len(self.names) - len(self.dropped)

    def without(self, names: Collection[str]) -> "_Segment":
        """The same without these documents."""
        gone = self.dropped.union(name for name in self.names if name in names)
        return self if len(gone) == len(self.dropped) else replace(self, dropped=gone)

    def alive(self) -> Iterator[tuple[str, Ids]]:
        """The documents that are still there."""
        for number, name in enumerate(self.names):
            if name not in self.dropped:
                yield name, self.words[self.starts[number] : self.starts[number + 1] - 1]

    def matches(self, words: Ids) -> Iterator[tuple[int, int, str]]:
        """(position, length, document) of the runs of these words that documents have too."""
        hashes = _hashed(words)
        first, last = np.searchsorted(self.hashes, hashes, "left"), np.searchsorted(self.hashes, hashes, "right")
        counts = np.minimum(last - first, MOST_PLACES)
        if not counts.any():
            return
        at = np.repeat(np.arange(len(hashes)), counts)
        nth = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self.places[np.repeat(first, counts) + nth]
        same = np.all([words[at + step] == self.words[places + step] for step in range(RUN)], axis=0)
        at, places = at[same], places[same]
        # A run is a line of neighbours: the same distance between text and corpus, one position after the other.
        order = np.lexsort((at, places - at))
        at, places = at[order], places[order]
        begins = (
            np.flatnonzero(np.concatenate([[True], (np.diff(at) != 1) | (np.diff(places) != 1)])) if len(at) else at
        )
        lengths = np.diff(np.append(begins, len(at))) + RUN - 1
        documents = np.searchsorted(self.starts, places[begins], side="right") - 1
        longest = set(np.argsort(-lengths, kind="stable")[:EXTENDED].tolist())
        for number, (begin, length, document) in enumerate(
            zip(begins, lengths.tolist(), documents.tolist(), strict=True)
        ):
            name = self.names[document]
            if name not in self.dropped:
                start = int(at[begin])
                # What is a common phrase further on was not looked up everywhere.
                yield start, self._extent(words, start, int(places[begin])) if number in longest else length, name

    def _extent(self, words: Ids, at: int, place: int) -> int:
        """How many words are the same from there on."""
        length = min(len(words) - at, len(self.words) - place)
        differ = np.flatnonzero(words[at : at + length] != self.words[place : place + length])
        return int(differ[0]) if len(differ) else length


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
