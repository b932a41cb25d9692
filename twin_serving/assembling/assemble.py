"""The assembled draft: a post on a prompt made of the author's own sentences and of what a linked page says.

It needs no model and writes no sentence: every one is verbatim from a document or a link, except for the few words
that introduce a quotation or another thought, and a title or call that was asked for, which are marked `joining`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from twin_assets.core.prompts import FORMS
from twin_serving.assembling.forms import SHAPES, ArticlePlan, Shape, hashtags_for, plan_article
from twin_serving.assembling.leaning import is_english, stems
from twin_serving.assembling.ordering import Bounds, Plan, plan
from twin_serving.assembling.passages import OwnText
from twin_serving.assembling.quotations import (
    LONGEST_QUOTATION,
    LinkedPage,
    Quotation,
    Vectors,
    choose_quotation,
    quotable,
)
from twin_serving.assembling.runs import Run
from twin_serving.assembling.scoring import LOOSELY, Chosen, Scored, Subject, choose, score_runs
from twin_serving.assembling.sharing import republishes, shares
from twin_serving.assembling.style import PostStyle
from twin_serving.assembling.writing import AssembledDraft, Writer, joint_of
from twin_serving.receipts.evidence import Embed

LONGEST_POST = FORMS["linkedin_post"].characters
# Passages embedded for one draft: at about 400 short texts a second on two cores, less than a second.
MOST_PASSAGES = 140
_INSTRUCTION = re.compile(
    r"^\s*(?:please\s+)?(?:can you\s+|i want (?:you )?to\s+)?"
    r"(?:write|draft|compose|create|make|give me|do|share|post)\s+"
    r"(?:me\s+)?(?:an?\s+|another\s+|my\s+|some\s+)?(?:short\s+|long\s+|quick\s+|linkedin\s+|new\s+|opinionated\s+)*"
    r"(?:post|draft|text|piece|update|article|thoughts?|take|something)?\s*"
    r"(?:about|on|regarding|explaining|arguing|saying|that|how)?\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Material:
    """What a draft is made of: runs of the author's with their scores, and one quotation of each page that has one."""

    subject: Subject
    chosen: list[Chosen]
    scored: list[Scored]
    quotations: list[Quotation]
    problems: list[str]

    @property
    def quoted(self) -> int:
        """Characters quoted of links."""
        return sum(len(quotation.text) for quotation in self.quotations)


def subject_of(prompt: str, reply_to: str = "") -> str:
    """The subject of a prompt: what remains without "Write a post about", and what is answered."""
    answered = " ".join(reply_to.split())[:500]
    if answered:
        return f"{answered} {prompt.strip()}".strip()
    subject = _INSTRUCTION.sub("", prompt, count=1).strip()
    return subject if stems(subject) else prompt.strip()


def assemble(
    prompt: str,
    documents: Sequence[OwnText],
    links: Sequence[LinkedPage],
    embed: Embed,
    *,
    style: PostStyle | None = None,
    seed: int = 0,
    form: str = "linkedin_post",
    length: float = 1.0,
    reply_to: str = "",
    language: str | None = None,
    call_to_action: str = "",
) -> AssembledDraft:
    """A draft on the prompt from the author's documents, most relevant first, and the links.

    documents: the first 24 are drawn from; all count for the author's style, so give what there is.

    links: pages that were read, each quoted once if it has something to say on the subject; embed: texts to
    L2-normed float32 [n, d]; style: by default that of `documents`; seed: 0 is the
    best draft, each further number another opening; form: a name of prompts.FORMS; length: factor of the usual length;
    reply_to: the text that a reply answers; language: ISO 639-1, leaves documents out that are known to be in another;
    call_to_action: a line that the draft ends with. Same input, same draft.
    """
    subject = Subject.of(subject_of(prompt, reply_to), documents)
    style = style or PostStyle.of(documents)
    if language:
        documents = [each for each in documents if getattr(each, "language", None) in (language, None)]
    shape = SHAPES.get(form, SHAPES["post"])
    target = min(shape.target(style, length), 20_000 if form == "article" else LONGEST_POST)
    material = _material(subject, documents, links, embed, shape, target)
    bounds = Bounds(target, material.quoted, shape.single, answers=form == "reply")
    if form == "article":
        article = plan_article(material.chosen, material.scored, bounds, seed)
        if article is not None:
            return _article(prompt, article, material, call_to_action)
    plans = plan(material.scored, bounds)
    if not plans:
        nothing = _nothing(subject.text, material.scored, len(documents), language)
        return AssembledDraft("", problems=[nothing, *material.problems])
    if form == "article":
        material.problems.append("Too few sections of the author's are on this for an article: this is a short text.")
    chosen = plans[seed % len(plans)]
    likeness = max(item.likeness for item in material.scored if item.run is chosen.spine)
    if likeness < LOOSELY:
        material.problems.append(
            f"The author's nearest writing is only loosely about “{subject.text}”: see whether it says what you want."
        )
    return _post(chosen, material, form, shape, style, call_to_action)


def _material(
    subject: Subject, documents: Sequence[OwnText], links: Sequence[LinkedPage], embed: Embed, shape: Shape, target: int
) -> Material:
    """Embeds what may be used, all at once, and scores it."""
    chosen = choose(documents, subject, MOST_PASSAGES, shape.paragraph)
    longest = LONGEST_QUOTATION if shape.post is None else shape.post - 110
    candidates = [quotable(page, subject.text, longest) for page in links]
    texts = [item.texts for item in chosen] + [[item.in_context for item in page] for page in candidates]
    vectors = embed([subject.text, *(text for group in texts for text in group)])
    bounds = [1, *(1 + end for end in accumulate(map(len, texts)))]
    rows = [vectors[start:end] for start, end in pairwise(bounds)]
    scored = score_runs(chosen, rows[: len(chosen)], subject, vectors[0], min(round(1.35 * target), 2000), shape.limit)
    thread = _thread(scored, vectors[0])
    quotations, problems = [], []
    for page, found, page_vectors in zip(links, candidates, rows[len(chosen) :], strict=True):
        quotation = choose_quotation(found, page_vectors, vectors[0], thread)
        if quotation is None:
            problems.append(f"“{page.title or page.url}” has no sentence on this subject, so it is not quoted.")
        else:
            quotations.append(quotation)
    return Material(subject, chosen, scored, quotations, problems)


def _thread(scored: Sequence[Scored], subject: Vectors) -> Vectors:
    """What the author's nearest writing is about: the vector of the run most like the subject."""
    nearest = max(scored, key=lambda item: item.likeness, default=None)
    return subject if nearest is None else nearest.vector


def _nothing(subject: str, scored: Sequence[Scored], count: int, language: str | None) -> str:
    if not count:
        where = f" in “{language}”" if language else ""
        return (
            f"There is no writing{where} to assemble a draft on “{subject}” from: collect this author's sources first."
        )
    nearest = max(scored, key=lambda item: item.likeness, default=None)
    closest = f" The nearest is “{nearest.run.text.splitlines()[0][:80]}”." if nearest else ""
    return (
        f"None of the {count} documents found is about “{subject}”, so no draft was assembled.{closest} "
        "Ask for something this author has written about, or add a source."
    )


def _post(
    chosen: Plan, material: Material, form: str, shape: Shape, style: PostStyle, call_to_action: str
) -> AssembledDraft:
    english = is_english(chosen.spine.text)
    writer = Writer(english, shape.post)
    for position, run in enumerate(chosen.parts):
        led = run is chosen.support and run.document != chosen.spine.document
        joint = joint_of(run, chosen.spine, bool(material.quotations)) if led else ""
        writer.run(run, joint)
        if position == 0:
            for quotation in material.quotations:
                writer.quotation(quotation)
    _close(writer, material, call_to_action)
    writer.tags(hashtags_for(form, style, chosen.spine, writer.text))
    return _draft(writer, chosen.parts, material)


def _article(prompt: str, article: ArticlePlan, material: Material, call_to_action: str) -> AssembledDraft:
    """Title, introduction, sections, ending; what a link says stands after the first section."""
    writer = Writer(is_english(article.sections[0][1].text))
    title = subject_of(prompt)
    writer.text = "# "
    writer.joint(title[:1].upper() + title[1:])
    if article.introduction is not None:
        writer.run(article.introduction)
    for position, (heading, run) in enumerate(article.sections):
        writer.heading(heading.sentence, heading.document)
        writer.run(run)
        for quotation in material.quotations if position == 0 else ():
            writer.quotation(quotation)
    if article.ending is not None:
        writer.gap()
        writer.text += "---"
        writer.run(article.ending)
    _close(writer, material, call_to_action)
    return _draft(writer, article.parts, material)


def _close(writer: Writer, material: Material, call_to_action: str) -> None:
    if call_to_action:
        writer.room(call_to_action)
        writer.joint(call_to_action)
    writer.sources(material.quotations)


def _draft(writer: Writer, parts: Sequence[Run], material: Material) -> AssembledDraft:
    problems = list(material.problems)
    found = shares(parts, material.quoted)
    if republishes(parts, material.quoted):
        problems.append(
            f"{max(found.values()):.0%} of this draft is from one document: it is close to a republication."
        )
    return AssembledDraft(writer.text, writer.sentences, found, problems, writer.parts)
