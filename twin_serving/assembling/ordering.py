"""Ordering: which of the author's passages make one thread of thought, and in what order.

A draft has a spine: the beginning of one of the author's posts or of a section of an article, which opens it and sets
the thread. A second run of passages from another document may carry the thought on, and an ending closes it: the second
document's own, the spine's, or another of the author's that stands alone. Every such plan within the bounds is scored
on likeness to the subject, likeness of neighbours, and what it costs the reader: text that leans on what was left out,
thoughts cut off, repetition, a jump of person or tense, a length that is not the author's. The best plan of each spine
is kept, so that variants differ in opening.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from twin_serving.assembling.leaning import is_list_item, manner, names, plain, stems
from twin_serving.assembling.runs import Run
from twin_serving.assembling.scoring import EXCERPT, LEAST_LIKENESS, LEAST_OPENING, Scored
from twin_serving.assembling.sharing import largest_share

Vectors = npt.NDArray[np.float32]

# Above this share of one document a plan pays for it, and above the largest share this much more.
USUAL_SHARE, TOO_MUCH = 0.6, 0.3
SPINES, SPINE_RUNS, SUPPORTS, ENDINGS = 6, 3, 6, 3
# Openings less like the subject than this share of the best one are not tried.
NEAR_TOP = 0.75
LONGEST_ENDING = 260
# The first passage of a reply, and all of it, must be this like what is answered.
LEAST_ANSWER, LEAST_REPLY = 0.4, 0.42
SHORTEST, LONGEST = 0.3, 1.5
# A second run must be this near to the spine (unrelated posts of one author: 0.15; two takes of one thing: 0.8).
NEAR_SUPPORT, TOO_NEAR = 0.53, 0.8
# An ending of a third document must be this near to what it closes.
NEAR_ENDING, NEAR_OWN_ENDING = 0.6, 0.45

_NUMBER = re.compile(r"\d[\d.,]*\d")
_OPINION = re.compile(
    r"\b(?:I (?:think|believe|find|prefer|recommend|love|like|would)|I['’]d (?!like)|should|best|worst|"
    r"if you|when you)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b[a-z]*[A-Z]\w*[A-Z]\w*\b|(?<=[a-z,] )[A-Z][a-z]{2,}")


@dataclass(frozen=True, slots=True)
class Bounds:
    """target: the length aimed at, quoted: what links take of it (characters); single: one document alone will do;
    strict: keep to the length; answers: the first words have to be on the subject, wherever they stand."""

    target: int
    quoted: int = 0
    single: bool = False
    strict: bool = True
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of a draft in order, and its score."""

    spine: Run
    support: Run | None
    ending: Run | None
    score: float

    @property
    def parts(self) -> list[Run]:
        """The runs that are there, in order."""
        return [run for run in (self.spine, self.support, self.ending) if run is not None]


def plan(scored: Sequence[Scored], bounds: Bounds) -> list[Plan]:
    """The best plan of each spine, best first.

    Keeps to the length unless nothing at all fits it; empty where no beginning is like enough
    to the subject.
    """
    spines = _spines(scored, bounds)
    for strict in (True, False):
        held = replace(bounds, strict=strict)
        plans = [best for group in spines if (best := _best(group, scored, held)) is not None]
        if plans:
            return sorted(plans, key=lambda item: -item.score)
    return []


def _spines(scored: Sequence[Scored], bounds: Bounds) -> list[list[Scored]]:
    """Beginnings by document and section: those most like the subject."""
    near = [item for item in scored if _can_begin(item, bounds)]
    # A short beginning is better than none.
    fits = [item for item in near if item.length >= SHORTEST * bounds.target] or near
    groups: dict[tuple[str, int, int], list[Scored]] = {}
    for item in fits:
        first = item.run.passages[0]
        groups.setdefault((item.run.document.document_id, first.section, first.position), []).append(item)

    def worth(group: Sequence[Scored]) -> float:
        return max(_as_spine(item, bounds) for item in group)

    ranked = sorted(groups.values(), key=lambda group: -worth(group))[:SPINES]
    return [
        sorted(group, key=lambda item: -_fit(item, bounds))[:SPINE_RUNS]
        for group in ranked
        if worth(group) >= NEAR_TOP * worth(ranked[0])
    ]


def _can_begin(item: Scored, bounds: Bounds) -> bool:
    """Whether a draft may begin with a run: it stands alone, is on the subject, and is not too long."""
    run = item.run
    if item.likeness < LEAST_OPENING or item.length > 1.35 * bounds.target or run.leans > 0.3 or _weak_opening(run):
        return False
    if bounds.answers:
        return item.first >= LEAST_ANSWER and item.likeness >= LEAST_REPLY
    # A post is begun at its beginning, an article at any section or paragraph.
    return run.document.category != "post" or run.starts


def _fit(item: Scored, bounds: Bounds) -> float:
    """Which runs of one beginning to try: those that leave room or fill it, and do not break off."""
    filled = item.length / max(1, bounds.target - bounds.quoted)
    return -abs(filled - (0.9 if bounds.single or item.excerpt else 0.55)) - 0.3 * item.run.cut + 0.3 * item.run.ends


def _as_spine(item: Scored, bounds: Bounds) -> float:
    """How good a beginning a run is."""
    first = item.run.passages[0]
    start = 0.0 if item.run.opens else 0.03 if item.run.starts else 0.2
    # A story begins at its beginning.
    start += 0.1 * (not item.run.opens and manner(item.run.text)[1] == "past")
    long = 0.05 * (len(first.lines[0][0].text) > 180)
    begins = 0.5 if bounds.answers else 0.3
    if bounds.answers:  # a question is no answer, nor is a story or a list; what somebody thinks is
        begins_with = first.lines[0][0].text
        start = 0.2 * begins_with.endswith("?") + 0.1 * (len(first.lines) > 1)
        start += 0.08 * (manner(item.run.text)[1] == "past") - 0.05 * bool(_OPINION.search(begins_with))
    return (1 - begins) * item.likeness + begins * item.first - 0.3 * first.flaw - 0.3 * item.run.leans - start - long


def _weak_opening(run: Run) -> bool:
    first = run.passages[0]
    return is_list_item(first.lines[0][0].text) or (len(run.passages) == 1 and first.text.endswith("?"))


def _best(group: Sequence[Scored], scored: Sequence[Scored], bounds: Bounds) -> Plan | None:
    best: Plan | None = None
    document = group[0].run.document.document_id
    likeness = max(item.likeness for item in scored if item.run.document.document_id == document)
    floor = max(LEAST_LIKENESS, 0.72 * likeness)
    longest = max((item.run for item in group), key=lambda run: len(run.text))
    openings = [stems(part.text.split(".")[0]) for part in longest.passages]
    section = group[0].run.passages[0].section
    others = [
        item for item in scored
        if _can_support(item)
        and (item.likeness >= floor if item.run.document.document_id != document else _follows(item, section))
    ] if not bounds.single else []  # fmt: skip
    ranked = sorted(others, key=lambda item: -_as_support(item, group[0]))[: 4 * SUPPORTS]
    supports = [item for item in ranked if _is_next(group[0].run, item.run)][: SUPPORTS // 2]
    supports += [
        item for item in ranked
        if item not in supports and NEAR_SUPPORT <= float(item.vector @ group[0].vector) <= TOO_NEAR
        and not _same_formula(openings, item.run) and not _same_facts(longest.text, item.run.text)
    ][: SUPPORTS - len(supports)]  # fmt: skip
    # A reply answers and is done.
    closing = [] if bounds.answers else [item for item in scored if _can_end(item)]
    endings = sorted(closing, key=_as_ending, reverse=True)
    own = [item for item in endings if item.run.document.document_id == document][:ENDINGS]
    foreign = [item for item in endings if item.run.document.document_id != document and item.likeness >= floor]
    for spine in group:
        for support in [None, *supports]:
            closed = support.run.ends if support else spine.run.ends
            for ending in [None] if closed else [None, *own, *foreign[:ENDINGS]]:
                score = _score(spine, support, ending, bounds, likeness)
                if score is not None and (best is None or score > best.score):
                    best = Plan(spine.run, support.run if support else None, ending.run if ending else None, score)
    return best


def _follows(item: Scored, section: int) -> bool:
    """Whether a run begins a later section of the article that the spine is from: the same thread, further on."""
    run = item.run
    return run.starts and run.passages[0].section > section and run.leans <= 0.2 and item.excerpt


def _is_next(spine: Run, support: Run) -> bool:
    """Whether a run begins the section after the spine's: the author went on like this."""
    after = support.passages[0].section == spine.passages[-1].section + 1
    return support.document.document_id == spine.document.document_id and after and support.starts


def _can_support(item: Scored) -> bool:
    run = item.run
    stands = run.leans < (0.4 if run.document.category != "post" or run.starts else 0.15)
    return item.likeness >= LEAST_LIKENESS and stands and item.length >= 80 and not _weak_opening(run)


def _same_formula(openings: Sequence[frozenset[str]], run: Run) -> bool:
    """Whether a run begins like a passage of the spine ("The best book was …"): two of a kind are no thread."""
    own = stems(run.passages[0].text.split(".")[0])
    return any(len(words & own) >= 2 and len(words & own) > 0.5 * min(len(words), len(own)) for words in openings)


def _same_facts(one: str, other: str) -> bool:
    """Whether two texts tell the same facts: a number and a name that both have."""
    numbers = set(_NUMBER.findall(one)) & set(_NUMBER.findall(other))
    return bool(numbers and set(_NAME.findall(one)) & set(_NAME.findall(other)))


def _as_support(item: Scored, spine: Scored) -> float:
    return item.likeness + 0.7 * float(item.vector @ spine.vector) - 0.5 * item.run.leans - 0.15 * item.run.cut


def _can_end(item: Scored) -> bool:
    run = item.run
    return (
        run.ends and not run.starts and len(run.passages) == 1 and run.leans < 0.7 and item.length <= LONGEST_ENDING
        and not run.passages[0].is_list
    )  # fmt: skip


def _as_ending(item: Scored) -> float:
    """Endings that ask, or state something general, before those that finish a story."""
    text = plain(item.run.text)
    general = 0.08 * text.rstrip().endswith("?") - 0.06 * bool(names(text)) - 0.04 * any(map(str.isdigit, text))
    return item.likeness + general - 0.4 * item.run.leans - 0.5 * item.run.passages[0].flaw


def _score(spine: Scored, support: Scored | None, ending: Scored | None, bounds: Bounds, best: float) -> float | None:
    """How well the runs make one post; None where they break a bound."""
    chosen = [item for item in (spine, support, ending) if item is not None]
    owners = [item.run.document.document_id for item in chosen]
    if ending is not None and _overlaps(ending.run, [item.run for item in chosen[:-1]]):
        return None
    target = bounds.target
    total = bounds.quoted + sum(item.length for item in chosen)
    taken = {key: sum(i.length for i, owner in zip(chosen, owners, strict=True) if owner == key) for key in owners}
    whole = {item.run.document.document_id: len(item.run.document.text) for item in chosen}
    share = max((taken[key] for key in taken if taken[key] > EXCERPT * whole[key]), default=0)
    if bounds.strict and total > LONGEST * target:
        return None
    score = 3.5 * (_as_spine(spine, bounds) if bounds.answers else 0.65 * _as_spine(spine, bounds) + 0.35 * best)
    score -= 0.8 * max(item.flaw for item in chosen)
    score -= abs(math.log(total / target)) * (0.6 if total < target else 0.35)
    if not bounds.single:
        score -= 1.0 * max(0.0, share / total - USUAL_SHARE)
        score -= TOO_MUCH * (share > largest_share(bounds.quoted > 0) * total)
    if support is not None:
        score += _score_support(spine, support, best)
    if ending is not None:
        near = _near_ending(chosen, owners)
        if near is None:
            return None
        score += near
    continued = ending is not None and owners[-1] == owners[0] and support is None
    score -= 0.35 * spine.run.cut * (not continued)
    # A spine that has closed already, most of all with a question, is a whole post: what follows would be a second.
    over = spine.run.ends and len(chosen) > 1 and not (support and _is_next(spine.run, support.run))
    score -= 0.2 * over * (2.0 if spine.run.text.endswith("?") else 1.0)
    return score - 0.3 * (ending is None and not chosen[-1].run.ends)


def _near_ending(chosen: Sequence[Scored], owners: Sequence[str]) -> float | None:
    """What the ending adds; None where it does not belong to what it closes."""
    *before, ending = chosen
    near = float(sum((item.vector for item in before), np.zeros_like(ending.vector)) @ ending.vector) / len(before)
    foreign = owners[-1] not in owners[:-1]
    if foreign and (near < NEAR_ENDING or ending.length > 120 or ending.run.leans >= 0.3):
        return None
    # An ending from further down its own document leans on what lies between.
    last = ending.run.passages[-1]
    within = any(
        last.section == item.run.passages[-1].section for item in before if item.run.document == ending.run.document
    )
    if not foreign and (ending.run.leans >= 0.35 or not (within or (last.last and near >= NEAR_OWN_ENDING))):
        return None
    value = _as_ending(ending) - 0.7 * ending.likeness + 0.4 * near
    return value + (0.15 if owners[-1] == owners[0] else 0.0 if not foreign else -0.25)


def _score_support(spine: Scored, support: Scored, best: float) -> float:
    near = float(spine.vector @ support.vector)
    score = 0.8 * min(support.likeness, best) + 0.9 * min(near, 0.7) - 4.0 * max(0.0, near - 0.7)
    score += (
        0.02 * min(len(stems(spine.run.text) & stems(support.run.text)), 6)
        - 0.5 * support.run.leans
        - 0.2 * support.run.cut
    )
    score += 0.5 * (spine.run.ends and _is_next(spine.run, support.run))
    # The beginning of another post stands alone for certain, a passage from its middle only as far as `leaning` tells.
    score -= 0.1 * (not support.run.starts) + 0.12 * (support.run.opens and support.run.ends)
    score -= 0.12 * sum(
        one != other for one, other in zip(manner(spine.run.text), manner(support.run.text), strict=True)
    )
    # An excerpt of a long text has its thread already: only what fits well is worth the jump.
    score -= 0.75 if spine.excerpt else 0.55
    return score - 0.15 * support.run.passages[0].text.endswith("?")


def _overlaps(run: Run, others: Sequence[Run]) -> bool:
    mine = {(part.section, part.position) for part in run.passages}
    return any(
        other.document.document_id == run.document.document_id
        and mine & {(part.section, part.position) for part in other.passages}
        for other in others
    )
