"""Passages of a document: the author's own words to be learned, and an instruction that could have asked for each."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from twin_assets.core.cleaning.quotes import own_spans
from twin_assets.core.datasets.quality import unfit
from twin_assets.core.documents import content_hash
from twin_assets.core.lake import rows_frame
from twin_assets.core.prompts import FORMS, form_of
from twin_assets.core.sentences import split_sentences

PASSAGES_VERSION = "3"
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


def build_passages(documents: pl.DataFrame, kinds: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Rows of table `passages` of these rows of `documents`, at least one each; what is not fit says why in `unfit`.

    kinds: what a document is beyond its category, by id: "response" or "thread".
    """
    kinds = kinds or {}
    rows = [
        row
        for document in documents.iter_rows(named=True)
        for row in _passages(document, kinds.get(document["document_id"], ""))
    ]
    return rows_frame("passages", rows)


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
    """(heading, passage) pairs: every passage is verbatim a part of the text, of whole paragraphs where these are not
    longer than about `limit` characters (else of whole lines or sentences), and does not run across a heading, nor
    across words of somebody else's.

    own: spans of the text that are the author's own (cleaning.own_spans; None: all of it).
    """
    heading, start, end = "", None, 0
    for first, last, title in _small_enough(text, _own_paragraphs(text, own), limit):
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


def _passages(document: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    text, title = document["text"], document["title"] or ""
    if text.startswith(title.rstrip("….")):  # platforms without titles give the opening as one
        title = ""
    form = form_of(document["category"], document["platform"], kind)
    is_post = document["category"] == "post"
    whole = len(text) <= (FORMS[form].characters if is_post else PASSAGE_CHARACTERS)
    own = own_spans(document)
    if whole and own == [(0, len(text))]:
        pieces = [("", text.strip())]
    else:
        # A text that is nothing but a quotation gives a passage without a word, which is left out with its reason.
        limit = min(FORMS[form].characters, PASSAGE_CHARACTERS)
        pieces = list(passages(text, FORMS[form].characters if whole else limit, own)) or [("", "")]
    for position, (heading, target) in enumerate(pieces):
        piece_form = "section" if form == "article" and len(pieces) > 1 else form
        seed = f"{document['document_id']}:{position}"
        reason = unfit(piece_form, target)
        if reason is None and form == "code" and position >= PASSAGES_PER_CODE_DOCUMENT:
            reason = f"beyond the first {PASSAGES_PER_CODE_DOCUMENT} passages of a long code document"
        yield {
            "document_id": document["document_id"],
            "position": position,
            "form": piece_form,
            "title": title,
            "heading": heading,
            "target": target,
            "instruction": instruction(piece_form, title, heading, target, seed),
            "unfit": reason,
        }


def _own_paragraphs(text: str, own: Sequence[tuple[int, int]] | None) -> Iterator[tuple[int, int, str | None]]:
    """_paragraphs(), less what of them is not the author's own."""
    for first, last, title in _paragraphs(text):
        for start, end in [(first, last)] if own is None else own:
            inside = text[max(first, start) : min(last, end)]
            if inside.strip():
                begin = max(first, start) + len(inside) - len(inside.lstrip("\n"))
                yield begin, max(first, start) + len(inside.rstrip()), title


def _small_enough(
    text: str, paragraphs: Iterable[tuple[int, int, str | None]], limit: int
) -> Iterator[tuple[int, int, str | None]]:
    """The paragraphs, those beyond the limit cut at their lines, and lines beyond it at their sentences."""
    for first, last, title in paragraphs:
        if title is not None or last - first <= limit:
            yield first, last, title
            continue
        for line in re.finditer(r"[^\n]*\S[^\n]*", text[first:last]):
            if len(line[0]) <= limit:
                yield first + line.start(), first + line.end(), None
                continue
            for sentence in split_sentences(line[0]):
                yield first + line.start() + sentence.start, first + line.start() + sentence.end, None


def _adjoin(own: Sequence[tuple[int, int]] | None, start: int, end: int) -> bool:
    """Whether nothing of somebody else's stands between the two places."""
    return own is None or any(first <= start and end <= last for first, last in own)


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
