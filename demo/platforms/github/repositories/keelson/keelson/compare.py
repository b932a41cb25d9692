"""Two sorted lists, walked side by side.

Bookkeepers have compared ledgers like this since Venice. It needs no framework, and it finds the
rows that an incremental copy has kept although the source deleted them long ago.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Pair = tuple[str, str]


class NotSorted(ValueError):
    """A stream went backwards. The walk would report nonsense, so it stops."""


@dataclass
class Difference:
    """What two tables disagree about.

    `only_source`: keys that were missed. `only_target`: keys that the source has deleted, or that
    we invented. `changed`: keys on both sides with another fingerprint. `seen` counts source rows.
    """

    only_source: list[str] = field(default_factory=list)
    only_target: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    seen: int = 0

    @property
    def total(self) -> int:
        return len(self.only_source) + len(self.only_target) + len(self.changed)

    @property
    def is_plausible(self) -> bool:
        """False when more than 1% differs.

        Large differences are seldom real. One side was probably read while it was half empty, and
        repairing the copy from it would turn their bad night into ours.
        """
        return self.total <= max(10, self.seen // 100)


def _in_order(pairs: Iterable[Pair], side: str) -> Iterator[Pair]:
    before: str | None = None
    for key, fingerprint in pairs:
        if before is not None and key <= before:
            raise NotSorted(
                f"{side}: key {key!r} comes after {before!r}. Sort both sides with the same "
                "collation, and make sure that the key is unique."
            )
        before = key
        yield key, fingerprint


def compare(source: Iterable[Pair], target: Iterable[Pair]) -> Difference:
    """Walk two streams of (key, fingerprint), both sorted by key, and report where they differ.

    Reads each stream once and keeps only the differences in memory.

    Raises:
        NotSorted: at the first key that repeats or goes backwards, on either side.
    """
    difference = Difference()
    left, right = _in_order(source, "source"), _in_order(target, "target")
    here, there = next(left, None), next(right, None)
    while here is not None or there is not None:
        if there is None or (here is not None and here[0] < there[0]):
            assert here is not None
            difference.only_source.append(here[0])
            difference.seen += 1
            here = next(left, None)
        elif here is None or there[0] < here[0]:
            difference.only_target.append(there[0])
            there = next(right, None)
        else:
            if here[1] != there[1]:
                difference.changed.append(here[0])
            difference.seen += 1
            here, there = next(left, None), next(right, None)
    return difference
