"""Confidence intervals by bootstrap (Efron 1979): how far a figure could lie off for the texts it was measured on.

Texts are drawn with replacement, by the same draws for every system, so that a difference between two systems on the
same texts is paired: what is easy or hard about a text falls out of it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

Numbers = npt.NDArray[np.float64]

DRAWS = 2_000
# Where a draw has to be measured anew (a voice score takes a hundredth of a second), fewer have to do.
DEAR_DRAWS = 100
LEVEL = 0.95
SEED = 0


class Interval(BaseModel):
    """A figure, the ends of its 95% interval (percentiles of the bootstrap) and the number of texts behind it."""

    value: float
    low: float
    high: float
    samples: int

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g} to {self.high:.3g}]"


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Of the mean of one value a text; None for no texts."""
    return ratio_interval(values, np.ones(len(values)))


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float] | Numbers) -> Interval | None:
    """Of a sum over texts divided by another (nats by tokens); None where there is nothing to divide by."""
    above, below = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if not below.sum():
        return None
    drawn = _draws(len(above), DRAWS)
    return interval(float(above.sum() / below.sum()), above[drawn].sum(1) / below[drawn].sum(1), len(above))


def share_less(ours: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """By what share our sum lies below theirs, on the same texts (negative: above); None for no texts.

    The difference in loss of two models, each text's nats after the other's; needs no tokenizer in common.
    """
    our, their = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if not their.sum():
        return None
    drawn = _draws(len(our), DRAWS)
    return interval(float(1 - our.sum() / their.sum()), 1 - our[drawn].sum(1) / their[drawn].sum(1), len(our))


def paired_difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Interval | None:
    """Of the mean of ours less theirs, over the texts that both have a value for; None for none."""
    both = [name for name in ours if name in theirs]
    return mean_interval([ours[name] - theirs[name] for name in both])


def drawn_anew(texts: Sequence[str], measure: Callable[[Sequence[str]], float], draws: int = DEAR_DRAWS) -> Numbers:
    """A figure of all texts together, measured on each draw; equal draws are measured once."""
    known: dict[tuple[int, ...], float] = {}
    for row in _draws(len(texts), draws):
        key = tuple(sorted(row.tolist()))
        if key not in known:
            known[key] = measure([texts[i] for i in key])
    return np.array([known[tuple(sorted(row.tolist()))] for row in _draws(len(texts), draws)])


def interval(value: float, drawn: Numbers, samples: int) -> Interval:
    """From the figure of all texts and its values on the draws."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value=value, low=float(low), high=float(high), samples=samples)


def _draws(count: int, draws: int) -> npt.NDArray[np.int64]:
    # Seeded, so that the same texts get the same interval, and two systems the same draws.
    return np.random.default_rng(SEED).integers(0, count, size=(draws, count))
