"""Recency and diversity: the last two looks at an order of hits."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from twin_assets.core.index import Hit

# Days after which a passage has lost half of what newness gives it.
HALF_LIFE = 365.0
# Passages less alike than this (cosine) do not repeat each other: two of one subject are commonly at 0.5.
REPEATS = 0.7

Scores = npt.NDArray[np.float64]


def add_recency(scores: Scores, hits: Sequence[Hit], share: float) -> Scores:
    """Scores with newness added: `share` of their spread for the newest of them, half of it for a year older …

    A passage without a date gets what the oldest get: nothing.
    """
    newest = max((hit.published_at for hit in hits if hit.published_at), default=None)
    if newest is None or share == 0:
        return scores
    ages = [(newest - hit.published_at).total_seconds() / 86_400 if hit.published_at else np.inf for hit in hits]
    newness = 0.5 ** (np.array(ages) / HALF_LIFE)
    return scores + share * float(np.ptp(scores)) * newness


def diversify(scores: Scores, hits: Sequence[Hit], limit: int, share: float) -> list[int]:
    """The order of the best `limit` hits by maximal marginal relevance (Carbonell and Goldstein 1998).

    share: part of the scores' spread that a passage loses where it says the same as one before it (cosine 1), falling
    to nothing at REPEATS.
    """
    order = [int(number) for number in np.argsort(-scores, kind="stable")]
    if share == 0 or len(order) < 2 or any(hit.vector is None for hit in hits):
        return order[:limit]
    vectors = np.stack([np.asarray(hit.vector) for hit in hits])
    alike = np.clip((vectors @ vectors.T - REPEATS) / (1 - REPEATS), 0, 1)
    loss = share * float(np.ptp(scores))
    chosen = [order[0]]
    nearest = alike[order[0]].copy()
    while len(chosen) < min(limit, len(order)):
        left = scores - loss * nearest
        left[chosen] = -np.inf
        chosen.append(int(np.argmax(left)))
        nearest = np.maximum(nearest, alike[chosen[-1]])
    return chosen
