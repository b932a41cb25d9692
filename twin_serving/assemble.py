"""The assembled draft: a post on a prompt made of the author's own sentences and of what a linked page says.

It needs no model and writes no sentence: every one is verbatim from a document or a link, except for the few words
that introduce a quotation, which are marked `joining`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from statistics import median
from typing import Any

from twin_assets.core.sentences import split_sentences
from twin_serving.evidence import DraftSentence, Embed, Support
from twin_serving.leaning import is_english, stems
from twin_serving.ordering import Plan, Scored, largest_share, plan, score_runs
from twin_serving.passages import OwnText, Passage, Run, hashtags, passages
from twin_serving.quotations import LinkedPage, Quotation, Vectors, choose_quotation, quotable

LONGEST_POST = 3000
LONGEST_THREAD_POST = 280
MOST_DOCUMENTS = 24
# Passages embedded for one draft: at about 400 short texts a second on two cores, less than a second.
MOST_PASSAGES = 140
# Documents whose words are counted to tell rare ones from common ones.
MOST_COUNTED = 400
_FIRST_PERSON = re.compile(r"\b(?:we|our|us|I|my|me)\b")
_INSTRUCTION = re.compile(
    r"^\s*(?:please\s+)?(?:can you\s+|i want (?:you )?to\s+)?"
    r"(?:write|draft|compose|create|make|give me|do|share|post)\s+"
    r"(?:me\s+)?(?:an?\s+|another\s+|my\s+|some\s+)?(?:short\s+|long\s+|quick\s+|linkedin\s+|new\s+|opinionated\s+)*"
    r"(?:post|draft|text|piece|update|article|thoughts?|take|something)?\s*"
    r"(?:about|on|regarding|explaining|arguing|saying|that|how)?\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PostStyle:
    """What a draft takes from how the author posts: usual length in characters, and hashtags on a line at the end."""

    length: int = 700
    hashtag_share: float = 0.0
    hashtag_count: int = 0

    @classmethod
    def of(cls, documents: Sequence[OwnText]) -> "PostStyle":
        """The style of the author's posts; the defaults where there is none."""
        posts = [document.text for document in documents if document.category == "post"]
        if not posts:
            return cls()
        tags = [len(found) for text in posts if (found := hashtags(text))]
        return cls(round(median(map(len, posts))), len(tags) / len(posts), round(median(tags)) if tags else 0)


@dataclass(frozen=True, slots=True)
class AssembledDraft:
    """A draft with the receipt of every sentence.

    shares: the share of the draft that each document gives, largest first; problems: what a reader must know
    (no relevant writing, a link that could not be used, all of it from one document), a sentence each; parts: the posts
    of a thread, for every other form the whole text; none where there is no draft.
    """

    text: str
    sentences: list[DraftSentence] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "text": self.text,
            "parts": self.parts,
            "sentences": [sentence.to_dict() for sentence in self.sentences],
            "shares": self.shares,
            "problems": self.problems,
        }


def subject_of(prompt: str) -> str:
    """The subject of a prompt: what remains without "Write a post about"."""
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
    subject = subject_of(f"{prompt} {reply_to[:500]}".strip())
    style = style or PostStyle.of(documents)
    if language:
        documents = [each for each in documents if getattr(each, "language", None) in (language, None)]
    kept = _passages(documents)
    candidates = [quotable(page, subject) for page in links]
    texts = [[part.text[:500] for part in own] for own in kept]
    texts += [[item.in_context for item in page] for page in candidates]
    vectors = embed([subject, *(text for group in texts for text in group)])
    bounds = [1, *(1 + end for end in accumulate(map(len, texts)))]
    rows = [vectors[start:end] for start, end in pairwise(bounds)]
    own_rows, page_rows = rows[: len(kept)], rows[len(kept) :]

    usual = {"article": 4 * LONGEST_POST, "section": LONGEST_POST, "reply": 300, "instagram_caption": 500}
    target = round(length * usual.get(form, 1.1 * min(max(style.length, 300), LONGEST_POST // 2)))
    corpus = [document.text for document in documents[:MOST_COUNTED]]
    scored = score_runs(kept, own_rows, subject, vectors[0], round(1.3 * target), corpus)
    thread = _thread(scored, vectors[0])
    quotations, problems = [], []
    for page, found, page_vectors in zip(links, candidates, page_rows, strict=True):
        quotation = choose_quotation(found, page_vectors, vectors[0], thread)
        if quotation is None:
            problems.append(f"“{page.title or page.url}” has no sentence on this subject, so it is not quoted.")
        else:
            quotations.append(quotation)
    plans = plan(scored, target, sum(len(quotation.text) for quotation in quotations))
    if not plans:
        return AssembledDraft("", problems=[_nothing(subject, scored, len(documents)), *problems])
    chosen = plans[seed % len(plans)]
    draft = _compose(chosen, quotations, _tags(chosen, style), problems, call_to_action)
    return replace(draft, parts=_posts(draft.text) if form == "thread" else [draft.text])


def _posts(text: str) -> list[str]:
    """The text as posts of a thread: sentences in a row, as many as fit 280 characters."""
    posts: list[str] = []
    for span in split_sentences(text):
        joined = f"{posts[-1]} {span.text}" if posts else span.text
        if posts and len(joined) <= LONGEST_THREAD_POST:
            posts[-1] = joined
        else:
            posts.append(span.text)
    return posts


def _thread(scored: Sequence[Scored], subject: Vectors) -> Vectors:
    """What the author's nearest writing is about: the vector of the run most like the subject."""
    nearest = max(scored, key=lambda item: item.likeness, default=None)
    return subject if nearest is None else nearest.vector


def _passages(documents: Sequence[OwnText]) -> list[list[Passage]]:
    """The passages of the first documents that are prose, the first 24 of each."""
    kept: list[list[Passage]] = []
    for document in [item for item in documents if item.category != "code"][:MOST_DOCUMENTS]:
        room = MOST_PASSAGES - sum(map(len, kept))
        kept.append(passages(document)[: min(room, 24)])
    return [parts for parts in kept if parts]


def _nothing(subject: str, scored: Sequence[Scored], count: int) -> str:
    if not count:
        return f"There is no writing to assemble a draft on “{subject}” from: collect this author's sources first."
    nearest = max(scored, key=lambda item: item.likeness, default=None)
    closest = f" The nearest is “{nearest.run.text.splitlines()[0][:80]}”." if nearest else ""
    return (
        f"None of the {count} documents found is about “{subject}”, so no draft was assembled.{closest} "
        "Ask for something this author has written about, or add a source."
    )


def _tags(chosen: Plan, style: PostStyle) -> list[tuple[str, OwnText]]:
    """Hashtags as the author sets them: those of the spine's post, as many as usual; none where they seldom set any."""
    if style.hashtag_share < 0.2:
        return []
    document = chosen.spine.document
    return [(tag, document) for tag in dict.fromkeys(hashtags(document.text))][: style.hashtag_count]


class _Writer:
    """Collects the text of a draft together with the receipt of each sentence."""

    def __init__(self) -> None:
        self.text = ""
        self.sentences: list[DraftSentence] = []

    def add(self, text: str, status: Any, support: Support | None = None) -> None:
        start = len(self.text)
        self.text += text
        supports = [support] if support else []
        self.sentences.append(DraftSentence(text, start, len(self.text), status, supports))

    def own(self, line: str, document: OwnText) -> None:
        """A line of a document, sentence by sentence, with the spaces between them as they were."""
        position = 0
        for span in split_sentences(line):
            self.text += line[position : span.start]
            quote = line[span.start : span.end]
            self.add(quote, "verbatim", _support("own", document, quote, document.document_id))
            position = span.end
        self.text += line[position:]

    def gap(self, space: str = "\n\n") -> None:
        if self.text:
            self.text = self.text.rstrip() + space


def _support(kind: Any, source: Any, quote: str, document_id: str | None = None) -> Support:
    return Support(kind, source.title, source.url, quote, 1.0, document_id)


def _compose(
    chosen: Plan,
    quotations: Sequence[Quotation],
    tags: Sequence[tuple[str, OwnText]],
    problems: list[str],
    call_to_action: str = "",
) -> AssembledDraft:
    writer = _Writer()
    english = is_english(chosen.spine.text)
    for position, run in enumerate(chosen.parts):
        if run is chosen.support and english and (joint := _joint(run, bool(quotations))):
            writer.gap()
            writer.add(joint, "joining")
        _write_run(writer, run)
        if position == 0:
            for quotation in quotations:
                _write_quotation(writer, quotation, english)
    if call_to_action:
        writer.gap()
        writer.add(call_to_action, "joining")
    if quotations:
        writer.gap()
        for quotation in quotations:
            writer.gap("\n" if quotation is not quotations[0] else "\n\n")
            writer.add(f"Source: {quotation.page.url}", "joining", _support("link", quotation.page, quotation.page.url))
    if tags:
        writer.gap()
        for position, (tag, document) in enumerate(tags):
            writer.text += " " if position else ""
            writer.add(tag, "verbatim", _support("own", document, tag, document.document_id))
    shares = chosen.shares(sum(len(quotation.text) for quotation in quotations))
    if len(shares) == 1 or max(shares.values()) > largest_share(bool(quotations)):
        problems.append(
            f"{max(shares.values()):.0%} of this draft is from one document: it is close to a republication."
        )
    return AssembledDraft(writer.text, writer.sentences, shares, problems)


def _joint(run: Run, after_quotation: bool) -> str:
    """The words that lead to a second run of the author's: none where it is no story of their own."""
    if not _FIRST_PERSON.search(run.text) or not run.opens or run.passages[0].text.endswith("?"):
        return ""
    return "Closer to home:" if after_quotation else "Another example:"


def _write_run(writer: _Writer, run: Run) -> None:
    for part in run.passages:
        writer.gap()
        for position, line in enumerate(part.lines):
            writer.gap("\n" if position else "\n\n")
            writer.own(line, part.document)


def _write_quotation(writer: _Writer, quotation: Quotation, english: bool) -> None:
    writer.gap()
    title = re.split(r"\s+[|–—]\s+", quotation.page.title)[0] or re.sub(
        r"^https?://([^/]+).*", r"\1", quotation.page.url
    )
    writer.add(f"From “{title}”:" if english else f"“{title}”:", "joining", _support("link", quotation.page, title))
    writer.text += " "
    for position, sentence in enumerate(quotation.sentences):
        opening = "“" if position == 0 else ""
        closing = "”" if position == len(quotation.sentences) - 1 else ""
        writer.text += " " if position else ""
        writer.add(f"{opening}{sentence}{closing}", "verbatim", _support("link", quotation.page, sentence))
