"""Scoring: which sections of the author's documents are read for a draft, and how like the subject each run of them is.

Nothing is embedded here. Sections are chosen by the subject's words alone, rare ones first, so that what is embedded
afterwards is bounded whatever the corpus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin_serving.assembling.leaning import plain, stems
from twin_serving.assembling.passages import OwnText, Passage, Section, passages, sections
from twin_serving.assembling.runs import Run, runs

Vectors = npt.NDArray[np.float32]

# A run this little like the subject is not used: MiniLM's mean between unrelated posts of one author is about 0.15.
LEAST_LIKENESS = 0.25
# What opens a draft must be more like it; below the second figure most drafts that were read miss the subject.
LEAST_OPENING, LOOSELY = 0.4, 0.55
MOST_DOCUMENTS, MOST_SECTION_PASSAGES = 24, 12
# Documents whose words are counted to tell rare ones from common ones.
MOST_COUNTED = 400
# Runs of a section that are scored.
MOST_RUNS = 40
# A draft that takes no more than this of a document is an excerpt of it, whatever its share of the draft.
EXCERPT = 0.35


@dataclass(frozen=True, slots=True)
class Subject:
    """What a draft is to be about; weights: its stems, the rare ones heavier, together 1."""

    text: str
    weights: dict[str, float]

    @classmethod
    def of(cls, text: str, documents: Sequence[OwnText]) -> "Subject":
        """The words of a subject; one that few of the documents have says more, up to four times as much and no more.

        Documents that were found for the subject have its own words more often than incidental ones.
        """
        corpus = [plain(document.text).lower() for document in documents[:MOST_COUNTED]]
        weights = {}
        for stem in sorted(stems(text)):
            count = sum(stem in words for words in corpus)
            if count:
                weights[stem] = min(max(math.log((len(corpus) + 1) / (count + 0.5)), 0.5), 2.0)
        total = sum(weights.values())
        return cls(text, {stem: weight / total for stem, weight in weights.items()})

    def found(self, text: str) -> npt.NDArray[np.float32]:
        """Which of the stems a text has, as their weights, float32 [stems]."""
        words = plain(text).lower()
        return np.array([weight if stem in words else 0.0 for stem, weight in self.weights.items()], dtype=np.float32)

    def covered(self, words: str) -> float:
        """Share of the subject's weight whose words a text in small letters has, 0 to 1."""
        return sum(weight for stem, weight in self.weights.items() if stem in words)


@dataclass(frozen=True, slots=True)
class Scored:
    """A run with its vector (float32 [d]), its likeness to the subject and that of its first passage, and its length.

    flaw: the worst of its passages; excerpt: whether its document is so long that the run is a small part of it.
    """

    run: Run
    vector: Vectors
    likeness: float
    first: float
    length: int
    flaw: float
    excerpt: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """A section that is read for a draft, with its passages."""

    section: Section
    passages: tuple[Passage, ...]

    @property
    def texts(self) -> list[str]:
        """The passages as they are embedded: under what their section is about."""
        label = self.section.label[-120:]
        return [f"{label}. {part.text[:300]}" if label else part.text[:400] for part in self.passages]


def choose(documents: Sequence[OwnText], subject: Subject, most: int, longest: int) -> list[Chosen]:
    """The sections that share most with the subject, at most `most` passages in all, in the order of the documents.

    longest: paragraphs of more characters are cut between sentences.
    """
    ranked = []
    for rank, document in enumerate([item for item in documents if item.category != "code"][:MOST_DOCUMENTS]):
        for section in sections(document):
            score = subject.covered(section.words) + 0.8 * subject.covered(section.label.lower()) + 0.6 / (1 + rank / 6)
            ranked.append((-score - 0.15 * (section.number == 0), rank, section.number, section))
    chosen, count = [], 0
    for _, rank, number, section in sorted(ranked, key=lambda item: item[:3]):
        parts = passages(section, longest)[:MOST_SECTION_PASSAGES]
        if count + len(parts) > most:
            break
        count += len(parts)
        if parts:
            chosen.append((rank, number, Chosen(section, parts)))
    return [item for _, _, item in sorted(chosen, key=lambda item: item[:2])]


def score_runs(
    chosen: Sequence[Chosen],
    vectors: Sequence[Vectors],
    subject: Subject,
    subject_vector: Vectors,
    longest: int,
    largest: int = 100_000,
) -> list[Scored]:
    """Every usable run of the sections, at most `longest` characters each, `largest` a passage.

    vectors: one float32 [n, d] per section, a row per passage.
    """
    found = []
    for item, rows in zip(chosen, vectors, strict=True):
        weights = np.sqrt([max(1, len(part.text)) for part in item.passages]).astype(np.float32)
        sums = np.concatenate([np.zeros((1, rows.shape[1]), np.float32), np.cumsum(rows * weights[:, None], axis=0)])
        words = np.array([subject.found(part.text) for part in item.passages]).reshape(len(item.passages), -1)
        whole = float(_unit(sums[-1]) @ subject_vector)
        labelled = 0.1 * subject.covered(item.section.words)
        for run in runs(item.section, item.passages, longest, largest)[:MOST_RUNS]:
            first, last = run.passages[0].position, run.passages[-1].position
            vector = _unit(sums[last + 1] - sums[first])
            covers = float(words[first : last + 1].max(axis=0).sum()) if words.size else 0.0
            likeness = 0.75 * float(vector @ subject_vector) + 0.25 * whole + 0.25 * covers + labelled
            begins = float(rows[first] @ subject_vector) + 0.25 * (float(words[first].sum()) if words.size else 0.0)
            flaw = max(part.flaw for part in run.passages)
            excerpt = len(run.text) < EXCERPT * len(run.document.text)
            found.append(Scored(run, vector, likeness, begins, len(run.text), flaw, excerpt))
    return found


def _unit(vector: Vectors) -> Vectors:
    unit: Vectors = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return unit
