"""Ranks the drafts of an answer by what a reader can check, and says why."""

from collections.abc import Mapping, Sequence
from typing import Any

# What each measure (0 to 1) counts for. A draft nobody can vouch for is of no use, so support counts most.
WEIGHTS: Mapping[str, float] = {"support": 0.35, "voice": 0.25, "novelty": 0.2, "length": 0.1, "format": 0.1}
# Checks that put a draft behind every other: it must not be posted as it is.
GRAVE = frozenset({"empty", "length", "instructions", "author's rules"})
NEUTRAL = 0.5  # of a measure that could not be taken
# Differences smaller than this are no reason to tell.
TELLING = 0.05


def value(draft: Mapping[str, Any]) -> float:
    """What a draft is worth, 0 to 1, less one where a grave check failed."""
    measures = measured(draft)
    grave = any(not check["passed"] and check["name"] in GRAVE for check in draft["checks"])
    return sum(weight * measures[name] for name, weight in WEIGHTS.items()) - grave


def measured(draft: Mapping[str, Any]) -> dict[str, float]:
    """The measures of a draft, 0 to 1 each."""
    said = [sentence for sentence in draft["sentences"] if sentence["status"] != "joining"]
    backed = sum(sentence["status"] != "unsupported" for sentence in said)
    scores, checks = draft["scores"], {check["name"]: check["passed"] for check in draft["checks"]}
    formal = [checks[name] for name in ("length", "fold", "hashtags", "language", "call to action") if name in checks]
    return {
        "support": backed / len(said) if said else 0.0,
        "voice": NEUTRAL if scores["voice"] is None else scores["voice"] / 100,
        "novelty": scores["novelty"],
        "length": float(checks.get("wanted length", True)),
        "format": sum(formal) / len(formal) if formal else 1.0,
    }


def ranked(drafts: Sequence[dict[str, Any]], assembled_first: bool) -> list[dict[str, Any]]:
    """The drafts best first, each with its rank (from 1) and its reasons.

    assembled_first: the assembled ones stand before the model's (of a nano, which proves the machinery and no more).
    """
    values = {id(draft): value(draft) for draft in drafts}

    def place(draft: Mapping[str, Any]) -> tuple[bool, float, int]:
        behind = assembled_first and draft["kind"] == "model"
        return behind, -values[id(draft)], draft["variant"]

    order = sorted(drafts, key=place)
    measures = [measured(draft) for draft in order]
    for rank, (draft, own) in enumerate(zip(order, measures, strict=True), start=1):
        others = [each for each in measures if each is not own]
        draft["rank"], draft["reasons"] = rank, _reasons(draft, own, others, assembled_first)
    return order


def _reasons(
    draft: Mapping[str, Any], own: Mapping[str, float], others: Sequence[Mapping[str, float]], assembled_first: bool
) -> list[str]:
    """Why a draft stands where it does: what sets it apart from the others, then what it failed at."""
    if draft["kind"] == "model" and assembled_first:
        return ["It is the nano model's, which proves the machinery and no more."]
    told = [sentence for name in WEIGHTS if (sentence := _told(name, draft, own, others))]
    failed = [check["message"] for check in draft["checks"] if not check["passed"]]
    return (told + [message for message in failed if message not in told])[:5]


def _told(
    name: str, draft: Mapping[str, Any], own: Mapping[str, float], others: Sequence[Mapping[str, float]]
) -> str | None:
    best = all(own[name] >= other[name] + TELLING for other in others) and bool(others)
    value = own[name]
    if name == "support" and (value == 1 or best):
        return "Every sentence has its source." if value == 1 else f"{value:.0%} of its sentences have a source."
    if name == "voice" and draft["scores"]["voice"] is not None and (best or value >= 0.75):
        return f"Voice {draft['scores']['voice']:.0f} of 100{', the nearest to yours' if best else ''}."
    if name == "novelty" and best:
        return f"It repeats least of what is published (novelty {value:.2f})."
    if name == "length" and best:
        return "It has the length that was asked for."
    return None
