"""Learn the weights of twin_assets/core/retrieval/reranking.py; prints them, to be put there by hand.

Learned from questions that bench_retrieval.py does not measure: those about one half of the papers (the other half is
measured), and one author's own sentences (another author's are measured). Method: listwise softmax (ListNet, Cao et al.
2007) with L2 on standardised features, over the candidates that hybrid search gives each question.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from scipy.optimize import minimize

from benchmarks.questions import AUTHOR, Asked, QuestionSet, held_out, own_sentences, paper_questions
from twin_assets.core.embedding import Embedder
from twin_assets.core.index_edge import EdgeIndex
from twin_assets.core.retrieval.features import FEATURES, SENTENCE_FEATURE, features
from twin_assets.core.retrieval.reranking import SentenceRanker
from twin_assets.core.search_options import SearchOptions

REGULARISATION = 1e-3
Example = tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]


def examples(
    questions: QuestionSet, asked: Sequence[Asked], embedder: Embedder, folder: Path, sentences: bool
) -> list[Example]:
    """Features of the candidates and which of them answer, for each question that has an answer among them."""
    index = EdgeIndex(folder)
    questions.publish(index, embedder)
    ranker = SentenceRanker(embedder, remembered=200_000)
    vectors = [embedder.embed_query(question.text) for question in asked]
    found = []
    for question, vector in track(list(zip(asked, vectors, strict=True)), questions.name):
        terms = embedder.sparse_query(question.text)
        hits = index.query(AUTHOR, ["articles"], vector, terms, SearchOptions().candidates, vectors=True)
        values = features(question.text, hits, vector)
        if sentences:
            values = np.column_stack([values, ranker.nearest(vector, hits)])
        answers = np.array([hit.chunk_id in question.answers for hit in hits])
        if answers.any():
            found.append((values, answers))
    return found


def fit(found: Sequence[Example]) -> npt.NDArray[np.float64]:
    """Weights that make the answers most probable among their candidates."""
    every = np.vstack([values for values, _ in found])
    spread = every.std(axis=0) + 1e-9
    scaled = [((values - every.mean(axis=0)) / spread, answers) for values, answers in found]

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        total, gradient = 0.0, np.zeros_like(weights)
        for values, answers in scaled:
            scores = values @ weights
            share = np.exp(scores - scores.max())
            share /= share.sum()
            right = np.where(answers, share, 0.0)
            total -= np.log(right.sum() + 1e-12)
            gradient -= values.T @ (right / (right.sum() + 1e-12) - share)
        penalty = REGULARISATION * float(weights @ weights)
        return total / len(scaled) + penalty, gradient / len(scaled) + 2 * REGULARISATION * weights

    weights: npt.NDArray[np.float64] = minimize(loss, np.zeros(every.shape[1]), jac=True, method="L-BFGS-B").x / spread
    return weights


def main() -> None:
    """Print both sets of weights, or only the one without sentence vectors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", action="store_true", help="with sentence vectors too (a quarter of an hour)")
    sentences = parser.parse_args().sentences
    papers, author = paper_questions(), own_sentences("voice_matklad", "*.dj")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        embedder = Embedder(place / "embedder")
        found = [
            *examples(papers, papers.part(lambda name: not held_out(name)), embedder, place / "papers", sentences),
            *examples(author, author.questions, embedder, place / "author", sentences),
        ]
    console = Console()
    plain = [(values[:, : len(FEATURES)], answers) for values, answers in found]
    console.print(f"{len(found)} questions", dict(zip(FEATURES, fit(plain).round(2).tolist(), strict=True)))
    if sentences:
        console.print(dict(zip((*FEATURES, SENTENCE_FEATURE), fit(found).round(2).tolist(), strict=True)))


if __name__ == "__main__":
    main()
