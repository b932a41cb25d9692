"""Forms: what makes a post of one kind, in figures, and an article, which is put together section by section."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from twin_serving.assembling.leaning import flaws, is_list_item, leaning, plain, stems
from twin_serving.assembling.markup import hashtags
from twin_serving.assembling.ordering import Bounds
from twin_serving.assembling.passages import LONGEST_HEADING, OwnText, Section, Sentence
from twin_serving.assembling.runs import Run
from twin_serving.assembling.scoring import LEAST_OPENING, Chosen, Scored
from twin_serving.assembling.style import PostStyle
from twin_serving.composing.formats import X_POST


@dataclass(frozen=True, slots=True)
class Shape:
    """usual: length in characters, 0 for the author's usual post; paragraph: a longer one is cut between sentences;
    limit: no passage may be longer, as X counts; post: the same of one post of a thread; single: one document will do.
    """

    usual: int
    paragraph: int
    limit: int = 100_000
    post: int | None = None
    single: bool = False

    def target(self, style: PostStyle, length: float) -> int:
        """The length aimed at, by the author's style and a factor."""
        usual = self.usual or 1.1 * min(max(style.length, 500), 1500)
        return round(usual * min(max(length, 0.3), 3.0))


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "linkedin_post": Shape(0, 380),
        "post": Shape(0, 380),
        "thread": Shape(1100, 270, X_POST, X_POST),
        "instagram_caption": Shape(380, 200, 300, single=True),
        "reply": Shape(280, 240, 400, single=True),
        "section": Shape(1800, 900, single=True),
        "article": Shape(5000, 900),
    }
)

LONGEST_INTRODUCTION, SHORTEST_SECTION, LONGEST_SECTION = 700, 220, 1800
MOST_SECTIONS, MOST_OF_ONE = 6, 3
# Sections worth less than this share of the best one are not taken; the lower one where there are no two otherwise.
NEAR_TOP, FARTHER = 0.83, 0.55
# A section more like one that was taken than this says the same again.
TOO_NEAR = 0.82
_EMPTY_HEADING = re.compile(
    r"^\W*(?:introduction|intro|overview|background|conclusions?|summary|wrap(?:ping)?[ -]?up|the end|examples?|notes?|"
    r"misc\w*|other|links?|references?|further reading|acknowledge?ments?|comments?|updates?|highlights|goal grades|"
    r"results?|discussion|details|faq|epilogue|appendix|final thoughts|recap|overall|next steps|questions?|"
    r"(?:\d+|[ivx]+)[.)]?)\W*$",
    re.IGNORECASE,
)
# The place of a section in its own document: "3. ", "Step 2: ".
_PLACE = re.compile(r"^(?:(?:step|part|tip|rule|lesson|option|reason)\s+)?#?\d+\s*[.):–—-]\s*", re.IGNORECASE)
_CLOSING_HEADING = re.compile(
    r"^\W*(?:(?:in )?conclusions?|summary|wrap(?:ping)?[ -]?up|(?:final|closing|parting) (?:thoughts|words|remarks)|"
    r"takeaways?|lessons?(?: learned)?|recap|overall)\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in the author's words: a section's own, or the first line of a post."""

    sentence: Sentence
    document: OwnText


@dataclass(frozen=True, slots=True)
class ArticlePlan:
    """The runs of an article: an introduction, sections under their headings, and an ending."""

    introduction: Run | None
    sections: list[tuple[Heading, Run]]
    ending: Run | None

    @property
    def parts(self) -> list[Run]:
        """The runs that are there, in order."""
        runs = [self.introduction, *(run for _, run in self.sections), self.ending]
        return [run for run in runs if run is not None]


def body_of(run: Run, section: Section) -> tuple[Heading, Run] | None:
    """A run as a section of an article, under a heading that says something; None where there is no such heading."""
    if section.path:
        words = section.heading
        if not any(stem in plain(run.text).lower() for stem in stems(words)):
            return None
        says = len(words) <= LONGEST_HEADING and not _EMPTY_HEADING.match(words) and bool(stems(words))
        heading = Heading(Sentence(_PLACE.sub("", words), section.path[-1]), run.document)
        return (heading, run) if says and not words.endswith(":") and flaws(words) < 0.3 else None
    first = run.passages[0]
    line = first.lines[0][0]
    alone = run.opens and len(run.passages) > 1 and len(first.lines) == 1 and len(first.lines[0]) == 1
    if not alone or len(line.text) > LONGEST_HEADING or line.text.endswith(":") or is_list_item(line.text):
        return None
    # What follows the first line may not lean on it by a pronoun; that it is named in the heading does not help.
    if any(leaning(part.lines[0][0].text, line.text) >= 0.9 for part in run.passages[1:2]):
        return None
    rest = replace(run, passages=run.passages[1:], text="\n\n".join(part.text for part in run.passages[1:]))
    return Heading(Sentence(line.text.removesuffix("."), line.quote), run.document), rest


def plan_article(chosen: Sequence[Chosen], scored: Sequence[Scored], bounds: Bounds, seed: int) -> ArticlePlan | None:
    """The sections most like the subject, those of one document together and in its order; None for fewer than two.

    seed: which of the best sections leads.
    """
    headed = {(item.section.document.document_id, item.section.number): item.section for item in chosen}
    bodies = _bodies(scored, headed)
    for near_top in (NEAR_TOP, FARTHER):
        near = [item for worth, item in bodies if worth >= near_top * bodies[0][0]]
        lead = seed % max(1, len(near))
        picked = _pick([*near[lead:], *near[:lead]], bounds.target - LONGEST_INTRODUCTION)
        if len(picked) > 1:
            break
    else:
        return None
    order = list(dict.fromkeys(each.run.document.document_id for each in picked))
    picked.sort(key=lambda each: (order.index(each.run.document.document_id), each.run.passages[0].section))
    under = [body for each in picked if (body := body_of(each.run, headed[_key(each.run)])) is not None]
    taken = {_key(each.run) for each in picked}
    rest = [item for item in scored if _key(item.run) not in taken]
    return ArticlePlan(_introduction(rest, picked), under, _ending(rest, headed, picked))


def _pick(bodies: Sequence[Scored], room: int) -> list[Scored]:
    """As many as there is room for, no more than a few of one document, none that says again what another says."""
    picked: list[Scored] = []
    for item in bodies:
        owners = [each.run.document.document_id for each in picked]
        if len(picked) >= MOST_SECTIONS or sum(each.length for each in picked) + item.length > room + 400:
            continue
        repeats = any(float(each.vector @ item.vector) > TOO_NEAR for each in picked)
        if owners.count(item.run.document.document_id) < MOST_OF_ONE and not repeats:
            picked.append(item)
    return picked


def _key(run: Run) -> tuple[str, int]:
    return run.document.document_id, run.passages[0].section


def _bodies(scored: Sequence[Scored], headed: Mapping[tuple[str, int], Section]) -> list[tuple[float, Scored]]:
    """The best run of each section that has a heading which says something, most like the subject first."""
    best: dict[tuple[str, int], tuple[float, Scored]] = {}
    for item in scored:
        key = _key(item.run)
        if not SHORTEST_SECTION <= item.length <= LONGEST_SECTION or item.likeness < LEAST_OPENING:
            continue
        if item.run.leans > 0.4 or body_of(item.run, headed[key]) is None:
            continue
        fill = min(item.length, 900) / 900
        worth = item.likeness - 0.4 * item.flaw - 0.3 * item.run.leans
        worth += 0.12 * fill + 0.05 * item.run.ends + 0.08 * item.run.starts - 0.4 * item.run.cut
        if key not in best or worth > best[key][0]:
            best[key] = (worth, item)
    return sorted(best.values(), key=lambda pair: -pair[0])


def _introduction(scored: Sequence[Scored], picked: Sequence[Scored]) -> Run | None:
    """How one of the author's texts on this began."""
    owners = {item.run.document.document_id for item in picked}
    top = max(item.likeness for item in picked)
    fits = [
        item for item in scored
        if item.run.opens and item.length <= LONGEST_INTRODUCTION and item.run.leans < 0.2
        and item.flaw < 0.3
        and item.likeness >= (0.7 if item.run.document.document_id in owners else 1.0) * top
    ]  # fmt: skip
    return (
        max(fits, key=lambda item: item.likeness + 0.1 * min(item.length, 400) / 400 - 0.2 * item.run.cut).run
        if fits
        else None
    )


def _ending(
    scored: Sequence[Scored], headed: Mapping[tuple[str, int], Section], picked: Sequence[Scored]
) -> Run | None:
    """How one of the author's texts on this ended."""
    owners = [item.run.document.document_id for item in picked]
    fits = []
    for item in scored:
        run = item.run
        closing = bool(_CLOSING_HEADING.match(headed[_key(run)].heading))
        if run.passages[-1].last and item.length <= 500 and run.leans < (0.4 if run.starts else 0.2) and not run.opens:
            near = max(float(item.vector @ each.vector) for each in picked)
            own = run.document.document_id == owners[0]
            if not own and not closing:
                continue
            if item.flaw < 0.3 and near > (0.4 if own else 0.55):
                fits.append((near + 0.2 * closing + 0.1 * own, item))
    return max(fits, key=lambda pair: pair[0])[1].run if fits else None


def hashtags_for(form: str, style: PostStyle, spine: Run, text: str) -> list[tuple[str, OwnText]]:
    """Hashtags as the author sets them: those of the spine's post, as many as usual; none where they seldom set any.

    A caption takes those of the author's that name what the draft is about as well.
    """
    if form in ("article", "section", "reply"):
        return []
    own = [(tag, spine.document) for tag in dict.fromkeys(hashtags(spine.document.text))]
    found = own[: style.hashtag_count] if style.hashtag_share >= 0.2 else []
    if form == "instagram_caption":
        words = plain(text).lower()
        fitting = [(tag, document) for tag, document in style.tags if tag[1:].lower() in words and tag not in text]
        found = [*found, *(item for item in fitting if item[0] not in {tag for tag, _ in found})][:5]
    return found
