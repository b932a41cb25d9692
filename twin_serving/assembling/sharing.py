"""Sharing: how much of a draft is from one document, and whether that comes close to publishing it again."""

from collections.abc import Sequence

from twin_serving.assembling.runs import Run
from twin_serving.assembling.scoring import EXCERPT

# No post gives more than this share of a draft (its own words and what it quotes), where there is another one to take
# from: of one that quotes a link, and of one that does not.
LARGEST_SHARE_WITH_LINK, LARGEST_SHARE = 0.8, 0.7


def shares(parts: Sequence[Run], quoted: int = 0) -> dict[str, float]:
    """The share of the draft that each document gives, largest first; quoted: characters quoted of links."""
    lengths = _lengths(parts)
    total = quoted + sum(lengths.values())
    return {key: value / total for key, value in sorted(lengths.items(), key=lambda item: -item[1])}


def republishes(parts: Sequence[Run], quoted: int) -> bool:
    """Whether the draft is close to one document that is short enough to be recognised in it."""
    size = {run.document.document_id: len(run.document.text) for run in parts}
    lengths = _lengths(parts)
    found = shares(parts, quoted)
    return any(share > largest_share(quoted > 0) and lengths[key] > EXCERPT * size[key] for key, share in found.items())


def _lengths(parts: Sequence[Run]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for run in parts:
        lengths[run.document.document_id] = lengths.get(run.document.document_id, 0) + len(run.text)
    return lengths


def largest_share(quotes: bool) -> float:
    """The most one document may give of a draft, by whether the draft quotes a link."""
    return LARGEST_SHARE_WITH_LINK if quotes else LARGEST_SHARE
