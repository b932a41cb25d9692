"""Ordering: which of the author's passages make one thread of thought, and in what order.

A draft has a spine: the beginning of one of the author's posts, which opens it and sets the thread. A second run of
passages from another document carries the thought on, and an ending closes it: the second document's own, the
spine's, or another of the author's that stands alone. Every such plan within the bounds is scored on likeness to the
subject, likeness of neighbours, and what it costs the reader: text that leans on what was left out, thoughts cut off,
repetition, a length that is not the author's. The best plan of each spine is kept, so that variants differ in opening.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin_serving.leaning import is_list_item, names, plain, stems
from twin_serving.passages import Passage, Run, runs

Vectors = npt.NDArray[np.float32]

# No document gives more than this share of a draft (its own words and what it quotes), where there is another one to
# take from: of one that quotes a link, and of one that does not. Above the usual share a plan pays for it.
LARGEST_SHARE_WITH_LINK, LARGEST_SHARE, USUAL_SHARE = 0.8, 0.7, 0.6
# A run this little like the subject is not used: MiniLM's mean between unrelated posts of one author is about 0.15.
LEAST_LIKENESS = 0.25
SPINES, SUPPORTS, ENDINGS = 6, 30, 6
# Openings less like the subject than this share of the best one are not tried.
NEAR_TOP = 0.75
LONGEST_ENDING = 260
LONGEST = 2.0
# A second run must be this near to the spine (unrelated posts of one author: 0.15; two takes of one thing: 0.8).
NEAR_SUPPORT = 0.33
# An ending of a third document must be this near to what it closes.
NEAR_ENDING = 0.5


@dataclass(frozen=True, slots=True)
class Scored:
    """A run with its vector (float32 [d]), its likeness to the subject, its length and its content words."""

    run: Run
    vector: Vectors
    likeness: float
    length: int
    stems: frozenset[str]


@dataclass(frozen=True, slots=True)
class Bounds:
    """target: the length aimed at, quoted: what links take of it (characters); strict: keep to share and length."""

    target: int
    quoted: int
    strict: bool


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

    def shares(self, quoted: int = 0) -> dict[str, float]:
        """The share of the draft that each document gives, largest first; quoted: characters quoted of links."""
        lengths: dict[str, int] = {}
        for run in self.parts:
            lengths[run.document.document_id] = lengths.get(run.document.document_id, 0) + len(run.text)
        total = quoted + sum(lengths.values())
        return {key: value / total for key, value in sorted(lengths.items(), key=lambda item: -item[1])}


def score_runs(
    parts: Sequence[Sequence[Passage]],
    vectors: Sequence[Vectors],
    subject: str,
    subject_vector: Vectors,
    longest: int,
    corpus: Sequence[str] = (),
) -> list[Scored]:
    """Every usable run of the documents.

    vectors: one float32 [n, d] per document, a row per passage; corpus: texts that tell which words are rare.
    """
    document_stems = [stems(own[0].document.text) for own in parts]
    corpus_stems = [stems(text) for text in corpus] or document_stems
    wanted = stems(subject)
    # A word of the subject that few of the documents have says more (inverse document frequency).
    found_in = {word: sum(word in words for words in corpus_stems) for word in wanted}
    weight = {word: math.log((len(corpus_stems) + 1) / (count + 0.5)) ** 2 for word, count in found_in.items() if count}
    total = sum(weight.values()) or 1.0
    found = []
    for own, rows, own_stems in zip(parts, vectors, document_stems, strict=True):
        document_covers = sum(weight.get(word, 0.0) for word in wanted & own_stems) / total
        whole = float(_blend(own, rows) @ subject_vector)
        for run in runs(own, longest):
            vector = _blend(run.passages, rows[[part.position for part in run.passages]])
            words = frozenset(stems(run.text))
            covers = sum(weight.get(word, 0.0) for word in wanted & words) / total
            likeness = 0.75 * float(vector @ subject_vector) + 0.25 * whole + 0.2 * covers + 0.1 * document_covers
            found.append(Scored(run, vector, likeness, len(run.text), words))
    return found


def _blend(parts: Sequence[Passage], rows: Vectors) -> Vectors:
    weights = np.array([math.sqrt(len(part.text)) for part in parts], dtype=np.float32)
    vector = weights @ rows
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def largest_share(quotes: bool) -> float:
    """The most one document may give of a draft, by whether the draft quotes a link."""
    return LARGEST_SHARE_WITH_LINK if quotes else LARGEST_SHARE


def plan(scored: Sequence[Scored], target: int, quoted: int = 0) -> list[Plan]:
    """The best plan of each spine, best first.

    target: length of a usual post of the author, quoted: length of what is quoted of links, both in characters. Keeps
    to the largest share unless nothing at all fits that; empty where no beginning is like enough to the subject.
    """
    spines = _spines(scored, target)
    for bounded in (True, False):
        plans = [
            best for group in spines if (best := _best(group, scored, Bounds(target, quoted, bounded))) is not None
        ]
        if plans:
            return sorted(plans, key=lambda item: -item.score)
    return []


def _spines(scored: Sequence[Scored], target: int) -> list[list[Scored]]:
    """Beginnings by document: the documents most like the subject, posts before articles."""
    groups: dict[str, list[Scored]] = {}
    for item in scored:
        fits = 0.25 * target <= item.length <= 1.3 * target and item.likeness >= LEAST_LIKENESS
        if item.run.opens and fits and not _weak_opening(item.run):
            groups.setdefault(item.run.document.document_id, []).append(item)
    ranked = sorted(groups.values(), key=lambda group: -max(map(_as_spine, group)))
    if not ranked:
        return []
    top = max(map(_as_spine, ranked[0]))
    return [group for group in ranked[:SPINES] if max(map(_as_spine, group)) >= NEAR_TOP * top]


def _as_spine(item: Scored) -> float:
    return item.likeness - 0.3 * item.run.passages[0].flaw - 0.08 * (item.run.document.category != "post")


def _weak_opening(run: Run) -> bool:
    first = run.passages[0]
    return is_list_item(first.lines[0]) or (len(run.passages) == 1 and first.text.endswith("?"))


def _best(group: Sequence[Scored], scored: Sequence[Scored], bounds: "Bounds") -> Plan | None:
    best: Plan | None = None
    document = group[0].run.document.document_id
    likeness = max(item.likeness for item in scored if item.run.document.document_id == document)
    floor = max(LEAST_LIKENESS, 0.5 * likeness)
    thread = group[0].vector
    longest = max(group, key=lambda item: item.length).run
    openings = [stems(part.text.split(".")[0]) for part in longest.passages]
    supports = [
        item for item in scored
        if item.run.document.document_id != document and item.likeness >= floor and _can_support(item)
        and float(item.vector @ thread) >= NEAR_SUPPORT and not _same_formula(openings, item.run)
    ]  # fmt: skip
    supports = sorted(supports, key=lambda item: -_as_support(item, group[0]))[:SUPPORTS]
    endings = sorted(filter(_can_end, scored), key=_as_ending, reverse=True)
    own_endings = [item for item in endings if item.run.document.document_id == document]
    foreign = [item for item in endings if item.run.document.document_id != document and item.likeness >= floor][
        :ENDINGS
    ]
    for spine in group:
        for support in [None, *supports]:
            closed = support.run.ends if support else spine.run.ends
            for ending in [None] if closed else [None, *own_endings, *foreign]:
                score = _score(spine, support, ending, bounds, likeness)
                if score is not None and (best is None or score > best.score):
                    best = Plan(spine.run, support.run if support else None, ending.run if ending else None, score)
    return best


def _can_support(item: Scored) -> bool:
    run = item.run
    return (
        item.likeness >= LEAST_LIKENESS
        and run.leans < 0.6
        and item.length >= 80
        and not _weak_opening(run)
        and not _bare_list(run)
    )


def _same_formula(openings: Sequence[set[str]], run: Run) -> bool:
    """Whether a run begins like a passage of the spine ("The best book was …"): two of a kind are no thread."""
    own = stems(run.passages[0].text.split(".")[0])
    return any(len(words & own) >= 2 and len(words & own) > 0.5 * min(len(words), len(own)) for words in openings)


def _bare_list(run: Run) -> bool:
    """Whether it begins with lines of a list whose announcement was left out."""
    first = run.passages[0]
    return not run.opens and len(first.lines) > 1 and not first.lines[0].endswith(":")


def _as_support(item: Scored, spine: Scored) -> float:
    return item.likeness + 0.7 * float(item.vector @ spine.vector) - 0.5 * item.run.leans - 0.15 * item.run.cut


def _can_end(item: Scored) -> bool:
    run = item.run
    return (
        run.ends and not run.opens and len(run.passages) == 1 and run.leans < 0.7 and item.length <= LONGEST_ENDING
        and not run.passages[0].is_list
    )  # fmt: skip


def _as_ending(item: Scored) -> float:
    """Endings that ask, or state something general, before those that finish a story."""
    text = plain(item.run.text)
    general = 0.08 * text.rstrip().endswith("?") - 0.06 * bool(names(text)) - 0.04 * any(map(str.isdigit, text))
    return item.likeness + general - 0.4 * item.run.leans - 0.5 * item.run.passages[0].flaw


def _score(spine: Scored, support: Scored | None, ending: Scored | None, bounds: "Bounds", best: float) -> float | None:
    """How well the runs make one post; None where they break a bound."""
    chosen = [item for item in (spine, support, ending) if item is not None]
    owners = [item.run.document.document_id for item in chosen]
    if ending is not None and _overlaps(ending.run, [item.run for item in chosen[:-1]]):
        return None
    target = bounds.target
    total = bounds.quoted + sum(item.length for item in chosen)
    share = max(
        sum(item.length for item, owner in zip(chosen, owners, strict=True) if owner == identity)
        for identity in set(owners)
    )
    if bounds.strict and (share > largest_share(bounds.quoted > 0) * total or total > LONGEST * target):
        return None
    score = 3.5 * (0.5 * spine.likeness + 0.5 * best) - 0.08 * (spine.run.document.category != "post")
    score -= 0.8 * max(part.flaw for item in chosen for part in item.run.passages)
    score -= 0.45 * abs(math.log(total / target)) * (1.0 if total < target else 0.7)
    score -= 1.0 * max(0.0, share / total - USUAL_SHARE)
    if support is not None:
        score += _score_support(spine, support, best)
    if ending is not None:
        score += 0.3 * ending.likeness + _as_ending(ending) - ending.likeness
        thread = spine.vector if support is None else 0.5 * (spine.vector + support.vector)
        near = float(thread @ ending.vector)
        if owners[-1] not in owners[:-1] and (near < NEAR_ENDING or ending.length > 120 or ending.run.leans >= 0.5):
            return None
        score += 0.4 * near
        score += 0.15 if owners[-1] == owners[0] else (0.0 if owners[-1] in owners[:-1] else -0.25)
    continued = ending is not None and owners[-1] == owners[0] and support is None
    score -= 0.2 * spine.run.cut * (not continued)
    # A spine that has closed already, most of all with a question, is a whole post: what follows would be a second.
    score -= 0.2 * (spine.run.ends and len(chosen) > 1) * (2.0 if spine.run.text.endswith("?") else 1.0)
    return score - 0.15 * (ending is None and not chosen[-1].run.ends)


def _score_support(spine: Scored, support: Scored, best: float) -> float:
    near = float(spine.vector @ support.vector)
    score = 0.8 * min(support.likeness, best) + 0.9 * min(near, 0.7) - 4.0 * max(0.0, near - 0.7)
    score += (
        0.02 * min(len(spine.stems & support.stems), 6)
        - 0.5 * support.run.leans
        - 0.2 * max(support.run.cut, support.run.trails_off)
    )
    # The beginning of another post stands alone for certain, a passage from its middle only as far as `leaning` tells.
    score -= 0.1 * (not support.run.opens) + 0.12 * (support.run.opens and support.run.ends)
    return score - 0.15 * support.run.passages[0].text.endswith("?") - 0.5


def _overlaps(run: Run, others: Sequence[Run]) -> bool:
    positions = {part.position for part in run.passages}
    return any(
        other.document.document_id == run.document.document_id
        and positions & {part.position for part in other.passages}
        for other in others
    )
