"""Quotations: the sentences of a linked page that carry its facts on a subject."""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import numpy as np
import numpy.typing as npt

from twin_assets.core.sentences import split_sentences
from twin_serving.assembling.leaning import leaning, plain, stems
from twin_serving.assembling.markup import read_blocks, render


class LinkedPage(Protocol):
    """A page that was read: its address, title and main text."""

    @property
    def url(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...


Vectors = npt.NDArray[np.float32]
# A page this little like the subject is not quoted: unrelated pages of the article benchmark reach 0.15.
LEAST_LIKENESS, VERY_LIKE = 0.25, 0.6
LONGEST_QUOTATION = 330
CANDIDATES = 40
_FACT = re.compile(
    r"\d|%|\b(?:percent|per cent|half|third|quarter|million|billion|double[ds]?|study|survey|found|shows?)\b", re.I
)
_NOISE = re.compile(
    r"\b(?:cookies?|subscribe|newsletter|sign\s*up|click|copyright|all rights reserved|advertis\w+|read more|follow us|"
    r"privacy policy|terms of|image credit|getty|photo(?:graph)?\s*(?:by|:)|ignore (?:all|any|previous)|"
    r"(?:previous|above|system) (?:instructions?|prompt)|you are (?:an?|now) )\b|https?://|[{}<>|©]",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:I|I['’]m|my|you|your)\b")
# What stands inside quotation marks has single ones.
_INNER_QUOTES = str.maketrans({"“": "‘", "”": "’", '"': "'"})
_PRONOUN = re.compile(r"\b(?:it|they|them|their|this|these|those|he|she)\b")


@dataclass(frozen=True, slots=True)
class Quotation:
    """What can be quoted of a page: one sentence or two in a row; `leans`: how much on what stands before them;
    names_subject: whether they have words of the subject, two where it has three or more."""

    page: LinkedPage
    sentences: tuple[str, ...]
    leans: float
    names_subject: bool = True

    @property
    def shown(self) -> tuple[str, ...]:
        """The sentences as a reader sees them, their own quotation marks single."""
        return tuple(render(sentence).translate(_INNER_QUOTES) for sentence in self.sentences)

    @property
    def text(self) -> str:
        """The sentences in a row."""
        return " ".join(self.shown)

    @property
    def in_context(self) -> str:
        """The sentences under the page's title, which says what they are about: the text to embed."""
        return f"{self.page.title}. {self.text}"


def quotable(page: LinkedPage, subject: str, longest: int = LONGEST_QUOTATION) -> list[Quotation]:
    """At most 40 quotations of a page, those that share most words with the subject and carry facts, in page order."""
    found: list[tuple[float, tuple[str, ...], str]] = []
    wanted = stems(subject)
    before = ""
    for sentences in _paragraphs(page):
        for raw, following in zip_longest(sentences, sentences[1:], fillvalue=""):
            text = render(raw)
            if _usable(text) and len(text) <= longest:
                worth = len(wanted & stems(text)) + _facts([text])
                found.append((worth, (raw,), before))
                after = render(following)
                if _usable(after) and len(text) + len(after) < longest:
                    both = len(wanted & stems(f"{text} {after}")) + _facts([text, after])
                    found.append((both, (raw, following), before))
            before = f"{before} {text}"[-600:]
    best = sorted(range(len(found)), key=lambda index: (-found[index][0], index))[:CANDIDATES]
    return [_quotation(page, wanted, *found[index][1:]) for index in sorted(best)]


def _paragraphs(page: LinkedPage) -> Iterator[list[str]]:
    """The sentences of each paragraph of prose, as they stand in the page."""
    title = plain(page.title).strip()
    for block in read_blocks(page.text, wrapped=True):
        for piece in block.pieces if block.kind == "text" else ():
            for line in piece.split("\n"):
                if plain(line).strip() != title:
                    yield [span.text for span in split_sentences(line)]


def _quotation(page: LinkedPage, wanted: Set[str], sentences: tuple[str, ...], before: str) -> Quotation:
    text = render(sentences[0])
    leans = max(leaning(text, before), 0.4 * bool(before and _PRONOUN.search(text)))
    shared = len(wanted & stems(" ".join(sentences)))
    return Quotation(page, sentences, leans, shared >= (2 if len(wanted) > 2 else 1))


def _usable(text: str) -> bool:
    return 40 <= len(text) <= 280 and text.endswith((".", "!", ".”", '."')) and not _NOISE.search(text)


def _facts(sentences: Sequence[str]) -> int:
    return sum(bool(_FACT.search(sentence)) for sentence in sentences)


def choose_quotation(
    candidates: Sequence[Quotation], vectors: Vectors, subject: Vectors, thread: Vectors
) -> Quotation | None:
    """The quotation nearest the subject and the thread that carries facts and stands alone; None if none is near.

    vectors: float32 [n, d] of the candidates in context; subject, thread: [d].
    """
    if not len(candidates):
        return None
    likeness = 0.6 * (vectors @ subject) + 0.4 * (vectors @ thread)
    # The title is in the vectors: the sentences themselves have to name the subject, or be very near to it.
    near = np.array([item.names_subject or like >= VERY_LIKE for item, like in zip(candidates, likeness, strict=True)])
    if not near.any() or likeness[near].max() < LEAST_LIKENESS:
        return None
    scores = [
        float(like) + 0.14 * _facts(item.shown) - 0.4 * item.leans - 0.08 * len(item.sentences)
        - 0.08 * bool(_FIRST_PERSON.search(item.text)) - 0.1 * ('"' in "".join(item.sentences))
        for item, like in zip(candidates, likeness, strict=True)
    ]  # fmt: skip
    return candidates[int(np.argmax(np.where(near, scores, -np.inf)))]
