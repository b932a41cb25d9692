"""Quotations: the sentences of a linked page that carry its facts on a subject."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import numpy as np
import numpy.typing as npt

from twin_assets.core.sentences import split_sentences
from twin_serving.leaning import leaning, plain, stems


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
LEAST_LIKENESS = 0.25
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
_PRONOUN = re.compile(r"\b(?:it|they|them|their|this|these|those|he|she)\b")


@dataclass(frozen=True, slots=True)
class Quotation:
    """What can be quoted of a page: one sentence or two in a row; `leans`: how much on what stands before them."""

    page: LinkedPage
    sentences: tuple[str, ...]
    leans: float

    @property
    def text(self) -> str:
        """The sentences in a row."""
        return " ".join(self.sentences)

    @property
    def in_context(self) -> str:
        """The sentences under the page's title, which says what they are about: the text to embed."""
        return f"{self.page.title}. {self.text}"


def quotable(page: LinkedPage, subject: str) -> list[Quotation]:
    """At most 40 quotations of a page, those that share most words with the subject and carry facts, in page order."""
    found: list[Quotation] = []
    before = ""
    for line in page.text.split("\n"):
        if plain(line).strip() == plain(page.title).strip():
            continue
        spans = [line[span.start : span.end].strip() for span in split_sentences(line)]
        for text, following in zip_longest(spans, spans[1:], fillvalue=""):
            if _usable(text):
                leans = max(leaning(text, before), 0.4 * bool(before and _PRONOUN.search(text)))
                found.append(Quotation(page, (text,), leans))
                if _usable(following) and len(text) + len(following) < LONGEST_QUOTATION:
                    found.append(Quotation(page, (text, following), leans))
            before = f"{before} {text}"[-600:]
    wanted = stems(subject)
    weight = [len(wanted & stems(item.text)) + _facts(item) - 2 * item.leans for item in found]
    best = sorted(range(len(found)), key=lambda index: (-weight[index], index))[:CANDIDATES]
    return [found[index] for index in sorted(best)]


def _usable(text: str) -> bool:
    return 40 <= len(text) <= 280 and text.endswith((".", "!", ".”", '."')) and not _NOISE.search(text)


def _facts(item: Quotation) -> int:
    return sum(bool(_FACT.search(sentence)) for sentence in item.sentences)


def choose_quotation(
    candidates: Sequence[Quotation], vectors: Vectors, subject: Vectors, thread: Vectors
) -> Quotation | None:
    """The quotation nearest the subject and the thread that carries facts and stands alone; None if none is near.

    vectors: float32 [n, d] of the candidates in context; subject, thread: [d].
    """
    if not len(candidates):
        return None
    likeness = 0.6 * (vectors @ subject) + 0.4 * (vectors @ thread)
    if likeness.max() < LEAST_LIKENESS:
        return None
    scores = [
        float(like) + 0.14 * _facts(item) - 0.4 * item.leans - 0.08 * len(item.sentences)
        - 0.08 * bool(_FIRST_PERSON.search(item.text)) - 0.1 * ('"' in item.text)
        for item, like in zip(candidates, likeness, strict=True)
    ]  # fmt: skip
    return candidates[int(np.argmax(scores))]
