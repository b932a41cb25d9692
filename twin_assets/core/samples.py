"""Samples of a document: passages of the author's own words and the instruction that could have asked for each."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from twin_assets.core.cleaning.quotes import own_spans
from twin_assets.core.documents import Sample, content_hash
from twin_assets.core.lake import rows_frame
from twin_assets.core.prompts import FORMS, form_of

SAMPLES_VERSION = "2"
DUPLICATE = "near-duplicate of document "
MINIMUM_WORDS = 3
PASSAGE_CHARACTERS = 2_400
PASSAGES_PER_CODE_DOCUMENT = 20

_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$")
_NOT_OWN_WORDS = re.compile(r"https?://\S+|www\.\S+|[#@][\w-]+")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")

# Ways to ask; the fields are filled from the document, and which one is used is drawn by its hash. Forms whose field
# the document has not got are left out of the draw.
_REQUESTS = (
    "Write {noun} about {phrases}.",
    "Write {noun} on {phrase}.",
    "I want to say something about {phrases}. Draft {noun}.",
    "What do you think about {phrase}? Answer with {noun}.",
    "Draft {noun} that mentions {phrases}.",
    'Write {noun} that opens with: "{opening}"',
    "Write {noun} titled “{title}”.",
    "Draft {noun} under the title “{title}”, touching on {phrases}.",
    "Continue “{title}” with the section “{heading}”.",
    "Write the section “{heading}” of “{title}”, about {phrases}.",
)


def build_samples(documents: pl.DataFrame) -> pl.DataFrame:
    """Rows of table `samples` for these documents, at least one each; what is left out says why in `excluded`.

    documents: rows of `documents` with group_id, split and duplicate_of (the document it repeats, or null).
    """
    rows = [sample.row() for document in documents.iter_rows(named=True) for sample in _samples(document)]
    return rows_frame("samples", rows)


def key_phrases(text: str, limit: int = 3) -> list[str]:
    """The phrases a text is about, as it spells them (RAKE: runs of words between stop words and punctuation, scored by
    their words' degree over frequency; Rose et al. 2010), weighted by how often they come."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    runs: list[list[str]] = []
    for clause in re.split(r"[^\w\s’'-]+|\n+", _NOT_OWN_WORDS.sub("\n", text)):
        run: list[str] = []
        for word in [*clause.split(), ""]:
            plain = word.lower().replace("’", "'")
            if not _WORD.fullmatch(word) or plain in ENGLISH_STOP_WORDS or "'" in plain or len(word) < 3:
                runs.extend([run[:3]] if run else [])
                run = []
            else:
                run.append(word)
    frequency = Counter(word.lower() for run in runs for word in run)
    degree: Counter[str] = Counter()
    for run in runs:
        for word in run:
            degree[word.lower()] += len(run)
    spelling: dict[str, str] = {}
    score: Counter[str] = Counter()
    for run in runs:
        name = " ".join(run).lower()
        spelling.setdefault(name, " ".join(run))
        score[name] += sum(degree[word.lower()] / frequency[word.lower()] for word in run)  # type: ignore[assignment]
    ranked = sorted(score, key=lambda name: (-score[name], name))
    return [spelling[name] for name in ranked[:limit]]


def instruction(form: str, title: str, heading: str, target: str, seed: str) -> str:
    """A request that the target answers, from title, heading, opening and key phrases; the wording is drawn by seed."""
    fields = {"noun": FORMS[form].noun, "title": title, "heading": heading, "opening": _opening(target)}
    phrases = key_phrases(f"{target}\n{heading}")
    if phrases:
        fields["phrase"] = phrases[0]
        fields["phrases"] = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    available = {name for name, value in fields.items() if value}
    usable = [r for r in _REQUESTS if set(re.findall(r"{(\w+)}", r)) <= available]
    if heading and title:  # a section is asked for as one
        usable = [r for r in usable if "{heading}" in r] or usable
    if not usable:
        return f"Write {fields['noun']}."
    return usable[int(content_hash("request", seed), 16) % len(usable)].format(**fields)


def passages(
    text: str, limit: int = PASSAGE_CHARACTERS, own: Sequence[tuple[int, int]] | None = None
) -> Iterator[tuple[str, str]]:
    """(heading, passage) pairs: every passage is verbatim a part of the text, of whole paragraphs, at most about
    `limit` characters, and does not run across a heading, nor across words of somebody else's.

    own: spans of the text that are the author's own (cleaning.own_spans; None: all of it).
    """
    heading, start, end = "", None, 0
    for first, last, title in _own_paragraphs(text, own):
        if start is not None and (title is not None or last - start > limit or not _adjoin(own, start, last)):
            yield heading, text[start:end]
            start = None
        if title is not None:
            heading = title
            continue
        start = first if start is None else start
        end = last
    if start is not None:
        yield heading, text[start:end]


def _samples(document: dict[str, Any]) -> Iterator[Sample]:
    text, title = document["text"], document["title"] or ""
    if text.startswith(title.rstrip("….")):  # platforms without titles give the opening as one
        title = ""
    form = form_of(document["category"], document["platform"])
    whole = len(text) <= (FORMS[form].characters if form.endswith("post") else PASSAGE_CHARACTERS)
    own = own_spans(document)
    if whole and own == [(0, len(text))]:
        pieces = [("", text.strip())]
    else:
        # A text that is nothing but a quotation gives a sample without a word, which is left out with its reason.
        pieces = list(passages(text, FORMS[form].characters if whole else PASSAGE_CHARACTERS, own)) or [("", "")]
    for position, (heading, target) in enumerate(pieces):
        piece_form = "section" if form == "article" and len(pieces) > 1 else form
        seed = f"{document['document_id']}:{position}"
        yield Sample(
            document_id=document["document_id"],
            position=position,
            form=piece_form,
            instruction=instruction(piece_form, title, heading, target, seed),
            context="",
            target=target,
            group_id=document["group_id"],
            split=document["split"],
            excluded=_exclusion(document, form, position, target),
        )


def _own_paragraphs(text: str, own: Sequence[tuple[int, int]] | None) -> Iterator[tuple[int, int, str | None]]:
    """_paragraphs(), less what of them is not the author's own."""
    for first, last, title in _paragraphs(text):
        for start, end in [(first, last)] if own is None else own:
            inside = text[max(first, start) : min(last, end)]
            if inside.strip():
                begin = max(first, start) + len(inside) - len(inside.lstrip("\n"))
                yield begin, max(first, start) + len(inside.rstrip()), title


def _adjoin(own: Sequence[tuple[int, int]] | None, start: int, end: int) -> bool:
    """Whether nothing of somebody else's stands between the two places."""
    return own is None or any(first <= start and end <= last for first, last in own)


def _exclusion(document: dict[str, Any], form: str, position: int, target: str) -> str | None:
    if document["duplicate_of"]:
        return f"{DUPLICATE}{document['duplicate_of']}"
    if len(_WORD.findall(_NOT_OWN_WORDS.sub(" ", target))) < MINIMUM_WORDS:
        return f"fewer than {MINIMUM_WORDS} words of its own (links, mentions and hashtags do not count)"
    if form == "code" and position >= PASSAGES_PER_CODE_DOCUMENT:
        return f"beyond the first {PASSAGES_PER_CODE_DOCUMENT} passages of a long code document"
    return None


def _opening(target: str) -> str:
    first = target.split("\n", 1)[0].strip()
    return first if 4 <= len(first.split()) <= 16 else ""


def _paragraphs(text: str) -> Iterator[tuple[int, int, str | None]]:
    """(start, end, heading): runs of lines between blank lines, fenced blocks whole; heading is set for a heading."""
    start: int | None = None
    end = at = 0
    fenced = False
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        heading = None if fenced else _HEADING.match(bare)
        if (heading or (not bare and not fenced)) and start is not None:
            yield start, end, None
            start = None
        if heading:
            yield at, at + len(line.rstrip()), heading.group(1)
        elif bare or fenced:
            start = at if start is None else start
            end = at + len(line.rstrip())
        if bare.startswith(("```", "~~~")):
            fenced = not fenced
        at += len(line)
    if start is not None:
        yield start, end, None
