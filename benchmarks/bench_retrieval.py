"""Quality of retrieval, stage by stage, on questions whose answers are known, and what reranking costs.

Two question sets (benchmarks/questions.py): questions about papers, of the half that no weight was learned from; and an
author's own sentences, each looked for without itself. Recall counts a question as found where a passage that answers
it is among the first ten; MRR@10 is the mean of 1 / its place.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.questions import AUTHOR, Asked, QuestionSet, held_out, own_sentences, paper_questions
from twin_assets.core.embedding import Embedder, Vectors
from twin_assets.core.index_edge import EdgeIndex
from twin_assets.core.retrieval import Retriever, SearchOptions

LIMIT = 10
# Questions asked with sentence vectors: each embeds some 250 sentences.
SENTENCE_QUESTIONS = 50
PLAIN = SearchOptions(filters=False, reranker="none", diversity=0, recency=0)
RERANKED = replace(PLAIN, reranker="features")
STAGES: dict[str, SearchOptions] = {
    "BM25": replace(PLAIN, dense=False),
    "dense": replace(PLAIN, bm25=False),
    "hybrid": PLAIN,
    "hybrid + rerank": RERANKED,
    "… 96 candidates": replace(RERANKED, candidates=96),
    "… and feedback": replace(RERANKED, expansion="feedback"),
    "… and diversity": replace(RERANKED, diversity=SearchOptions().diversity),
    "… and recency": replace(RERANKED, recency=SearchOptions().recency),
    "the default": SearchOptions(),
}


class RememberingEmbedder(Embedder):
    """Embeds a question once for all stages, so that what is timed is the search."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kept: dict[str, Vectors] = {}

    def embed_query(self, text: str) -> Vectors:
        """See Embedder.embed_query."""
        if text not in self.kept:
            self.kept[text] = super().embed_query(text)
        return self.kept[text]


@dataclass
class Measured:
    """What one stage did: places of the first answers (None: not among the first ten), milliseconds, documents."""

    places: list[int | None]
    milliseconds: list[float]
    documents: float

    @property
    def figures(self) -> list[str]:
        """MRR@10, recall@10, documents among the ten, median and 99th percentile of the time."""
        mrr = np.mean([1 / place if place else 0.0 for place in self.places])
        recall = np.mean([place is not None for place in self.places])
        p50, p99 = np.percentile(self.milliseconds, [50, 99])
        return [f"{mrr:.4f}", f"{recall:.4f}", f"{self.documents:.1f}", f"{p50:.1f}", f"{p99:.1f}"]


def measure(retriever: Retriever, asked: Sequence[Asked], options: SearchOptions) -> Measured:
    """Ask every question; the first few are asked once before, so that nothing is measured cold."""
    for question in asked[:5]:
        retriever.search(AUTHOR, question.text, LIMIT, options=options)
    places, times, documents = [], [], []
    for question in asked:
        started = time.perf_counter()
        hits = retriever.search(AUTHOR, question.text, LIMIT, options=options)
        times.append((time.perf_counter() - started) * 1000)
        places.append(next((n for n, hit in enumerate(hits, 1) if hit.chunk_id in question.answers), None))
        documents.append(len({hit.document_id for hit in hits}))
    return Measured(places, times, float(np.mean(documents)))


def dated(questions: QuestionSet, asked: Sequence[Asked]) -> list[Asked]:
    """The same questions with the year of the passage's document, as a person remembers it: "… in 2019"."""
    years = dict(questions.passages.select("document_id", "published_at").unique().iter_rows())
    return [
        replace(question, text=f"{question.text.rstrip('.!?')} in {years[question.document_id].year}")
        for question in asked
        if years[question.document_id]
    ]


def report(questions: QuestionSet, asked: Sequence[Asked], embedder: Embedder, folder: Path, console: Console) -> None:
    """Publish one set, measure every stage on it and print the table."""
    index = EdgeIndex(folder)
    questions.publish(index, embedder)
    retriever = Retriever(index, embedder)
    for question in asked:
        embedder.embed_query(question.text)
    table = Table(title=f"{questions.name}: {questions.passages.height:,} passages, {len(asked)} questions")
    for column in ("", "MRR@10", "recall@10", "documents", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if not column else "right")
    for name, options in STAGES.items():
        table.add_row(name, *measure(retriever, asked, options).figures)
    some = asked[:: max(len(asked) // SENTENCE_QUESTIONS, 1)]
    for name, options in (("hybrid + rerank", RERANKED), ("… with sentences", replace(RERANKED, reranker="sentences"))):
        table.add_row(f"{name}, {len(some)} of them", *measure(retriever, some, options).figures)
    if with_years := dated(questions, asked):
        for name, options in (("no filters", RERANKED), ("filters", replace(RERANKED, filters=True))):
            for question in with_years:
                embedder.embed_query(question.text)
            table.add_row(f"with the year, {name}", *measure(retriever, with_years, options).figures)
    console.print(table)


def main() -> None:
    """Print a table for each question set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few documents only: what it finds means little")
    quick = parser.parse_args().quick
    papers = paper_questions(12 if quick else None)
    author = own_sentences("voice_mtlynch", "*.md", 24 if quick else None)
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        embedder = RememberingEmbedder(Path(folder) / "embedder")
        report(papers, papers.part(held_out), embedder, Path(folder) / "papers", console)
        report(author, author.questions, embedder, Path(folder) / "author", console)


if __name__ == "__main__":
    main()
