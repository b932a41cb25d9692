"""Writing: the text of an assembled draft together with the receipt of each sentence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from twin_serving.assembling.leaning import is_english, manner
from twin_serving.assembling.passages import OwnText, Passage, Sentence
from twin_serving.assembling.quotations import Quotation
from twin_serving.assembling.runs import Run
from twin_serving.composing.formats import fits
from twin_serving.receipts.evidence import DraftSentence, Support


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


class Writer:
    """Collects the text of a draft, its sentences' receipts and, of a thread, where its posts begin.

    longest: characters of a post of a thread, as X counts them; None where the draft is one text.
    """

    def __init__(self, english: bool, longest: int | None = None) -> None:
        self.text = ""
        self.sentences: list[DraftSentence] = []
        self.english = english
        self.longest = longest
        self._begins = [0]

    @property
    def parts(self) -> list[str]:
        """The posts of the thread, or the text as a whole."""
        bounds = [*self._begins, len(self.text)]
        return [text for start, end in pairwise(bounds) if (text := self.text[start:end].strip())]

    def gap(self, space: str = "\n\n") -> None:
        """Begin a new paragraph (or line), if anything stands before it."""
        if self.text:
            self.text = self.text.rstrip() + space

    def room(self, text: str, apart: bool = False) -> None:
        """Begin a paragraph for this text: in a thread a new post, where the present one has no room for it."""
        self.gap()
        over = not self._fits(self.text[self._begins[-1] :] + text)
        if self.longest is not None and (over or apart) and self.text:
            self._begins.append(len(self.text))

    def _fits(self, text: str) -> bool:
        return self.longest is None or fits(text.strip(), self.longest)

    def add(self, text: str, status: Any, support: Support | None = None) -> None:
        """A sentence with what supports it."""
        start = len(self.text)
        self.text += text
        self.sentences.append(DraftSentence(text, start, len(self.text), status, [support] if support else []))

    def joint(self, words: str) -> None:
        """Words that are from no source."""
        self.add(words, "joining")

    def run(self, run: Run, joint: str = "") -> None:
        """A run of the author's, each passage a paragraph, after words that lead to it."""
        for position, part in enumerate(run.passages):
            lead = f"{joint}\n\n" if joint and position == 0 and self._fits(f"{joint}\n\n{part.text}") else ""
            self.room(f"{lead}{part.text}", apart=position == 0)
            if lead:
                self.joint(joint)
                self.gap()
            self._passage(part)

    def _passage(self, part: Passage) -> None:
        for number, line in enumerate(part.lines):
            if number:
                self.gap("\n")
            for position, sentence in enumerate(line):
                self.text += " " if position else ""
                self.own(sentence, part.document)

    def own(self, sentence: Sentence, document: OwnText) -> None:
        """A sentence of the author's."""
        self.add(sentence.text, "verbatim", support("own", document, sentence.quote, document.document_id))

    def heading(self, sentence: Sentence, document: OwnText) -> None:
        """A heading of the author's."""
        self.gap()
        self.text += "## "
        self.own(sentence, document)

    def quotation(self, quotation: Quotation) -> None:
        """What a page says, after who says it; in a thread a post with its address."""
        page = quotation.page
        whole = f" “{' '.join(quotation.shown)}”"
        # A post that has no room for a long title names the site.
        words = introduction(quotation, self.english)
        if not self._fits(f"{words}{whole}"):
            words = introduction(quotation, self.english, titled=False)
        self.room(f"{words}{whole}", apart=True)
        self.add(words, "joining", support("link", page, page.title or page.url))
        self.text += " "
        last = len(quotation.sentences) - 1
        for position, sentence in enumerate(quotation.sentences):
            shown = f"{'“' * (position == 0)}{quotation.shown[position]}{'”' * (position == last)}"
            self.text += " " if position else ""
            self.add(shown, "verbatim", support("link", page, sentence))
        if self.longest is not None:
            self.room(page.url)
            self.add(page.url, "joining", support("link", page, page.url))

    def sources(self, quotations: Sequence[Quotation]) -> None:
        """The addresses of the pages that were quoted, where they do not stand beside the quotations."""
        for number, quotation in enumerate(quotations if self.longest is None else []):
            self.gap("\n" if number else "\n\n")
            page = quotation.page
            self.add(f"Source: {page.url}", "joining", support("link", page, page.url))

    def tags(self, tags: Sequence[tuple[str, OwnText]]) -> None:
        """Hashtags in a row."""
        if not tags:
            return
        self.room(" ".join(tag for tag, _ in tags))
        for position, (tag, document) in enumerate(tags):
            self.text += " " if position else ""
            self.add(tag, "verbatim", support("own", document, tag, document.document_id))


def support(kind: Any, source: Any, quote: str, document_id: str | None = None) -> Support:
    """A source that has the very words."""
    return Support(kind, source.title, source.url, quote, 1.0, document_id)


def introduction(quotation: Quotation, english: bool, titled: bool = True) -> str:
    """Who says what is quoted: the page's title, without its site's name, and the site."""
    page = quotation.page
    host = (urlsplit(page.url).hostname or "").removeprefix("www.")
    title = re.split(r"\s+[|–—]\s+", page.title)[0].strip().translate(str.maketrans("“”", "''"))
    if not title or (not titled and host):
        return f"From {host}:" if english else f"{host}:"
    words = f"“{title}” ({host})" if host else f"“{title}”"
    return f"From {words}:" if english else f"{words}:"


def joint_of(run: Run, spine: Run, after_quotation: bool) -> str:
    """The words that lead to a second run of the author's, "" where none are needed.

    They say only that another thought follows: another story after a story, or a short one at the end.
    """
    if not is_english(run.text) or run.passages[0].text.endswith("?"):
        return ""
    person, tense = manner(run.text)
    if person in ("I", "we") and after_quotation:
        return "Closer to home:"
    if person in ("I", "we") and tense == "past":
        return "Another example:" if manner(spine.text) == (person, tense) else ""
    return "One more thing:" if len(run.text) <= 0.6 * len(spine.text) else ""
