"""Verbatim overlap between texts, in words: for splits that do not leak and for memorisation."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

SHINGLE_WORDS = 8
CONTAINED_SHARE = 0.5
WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation: what two spellings of the same passage share."""
    return WORD.findall(text.lower())


def shingles(text: str, size: int = SHINGLE_WORDS) -> set[int]:
    """Hashes of all runs of `size` words; of the whole text where it is shorter."""
    tokens = words(text)
    if len(tokens) <= size:
        return {hash(tuple(tokens))} if tokens else set()
    return {hash(tuple(tokens[i : i + size])) for i in range(len(tokens) - size + 1)}


def contained_pairs(texts: Mapping[str, str], share: float = CONTAINED_SHARE) -> list[tuple[str, str]]:
    """Pairs of names whose texts share at least `share` of the shorter one's runs of 8 words (excerpts, cross-posts).

    Runs found in more than 50 texts are boilerplate (signatures) and do not count.
    """
    sets = {name: shingles(text) for name, text in texts.items()}
    holders: defaultdict[int, list[str]] = defaultdict(list)
    for name in sorted(sets):
        for shingle in sets[name]:
            holders[shingle].append(name)
    shared: Counter[tuple[str, str]] = Counter()
    for names in holders.values():
        if 2 <= len(names) <= 50:
            shared.update((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
    return sorted(
        (a, b) for (a, b), count in shared.items() if count >= share * max(1, min(len(sets[a]), len(sets[b])))
    )


class VerbatimIndex:
    """Runs of words of a set of texts, to find how long a stretch of another text was copied from them."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = [words(text) for text in texts]
        self._runs: dict[int, set[tuple[str, ...]]] = {}

    def longest(self, text: str) -> int:
        """Length in words of the longest run of `text` that stands verbatim in one of the texts (0: not a word)."""
        tokens = words(text)
        low, high = 0, len(tokens)
        # A run of n words holds one of n - 1, so the longest can be found by halving.
        while low < high:
            middle = (low + high + 1) // 2
            if self._has_run(tokens, middle):
                low = middle
            else:
                high = middle - 1
        return low

    def _has_run(self, tokens: Sequence[str], size: int) -> bool:
        if size not in self._runs:
            self._runs[size] = {tuple(t[i : i + size]) for t in self._texts for i in range(len(t) - size + 1)}
        return any(tuple(tokens[i : i + size]) in self._runs[size] for i in range(len(tokens) - size + 1))
