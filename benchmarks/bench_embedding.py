"""Embedding against sentence-transformers: the same model, texts and threads; and whether int8 finds as fp32 does."""

import argparse
import csv
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_text
from benchmarks.questions import DATA, paper_questions
from twin_assets.core.chunking import chunk_documents
from twin_assets.core.documents import Document
from twin_assets.core.embedding import Embedder, weights_folder
from twin_assets.core.embedding_models import BUILT_IN_EXACT
from twin_assets.core.lake import rows_frame


def mixed_texts(count: int, embedder: Embedder) -> tuple[list[str], str]:
    """Texts that sentence-transformers does not cut, as they come: half posts, half passages of articles."""
    if not DATA.is_dir():
        return [make_text(number, words=8 + (number * 37) % 130) for number in range(count)], "made-up texts"
    with (DATA / "linkedin_export_sanand" / "Shares.csv").open(encoding="utf-8", newline="") as file:
        posts = [row["ShareCommentary"].replace('"\n"', "\n") for row in csv.DictReader(file)]
    with (DATA / "linkedin_export_sanand" / "Comments.csv").open(encoding="utf-8", newline="") as file:
        posts += [row["Message"] for row in csv.DictReader(file, escapechar="\\")]
    articles = [
        Document(path.name, "files", path.name, "article", path.name, "", path.read_text(encoding="utf-8")).row()
        for path in sorted((DATA / "voice_mtlynch").rglob("*.md"))[::3]
    ]
    passages = chunk_documents(rows_frame("documents", articles))["text"].to_list()
    chosen = []
    for texts in (posts, passages):
        random.Random(1).shuffle(texts)
        tokens = embedder.count_tokens(texts)
        fitting = [text for text, size in zip(texts, tokens, strict=True) if 0 < size <= embedder.window]
        chosen += fitting[: count // 2]
    return chosen, "real posts and passages of articles"


def best_of(runs: int, functions: dict[str, Callable[[], np.ndarray]]) -> dict[str, tuple[float, float, np.ndarray]]:
    """Least seconds and least processor seconds of each, called in turns so that all meet the same noise."""
    found: dict[str, tuple[float, float, np.ndarray]] = {}
    for _ in range(runs):
        for name, function in functions.items():
            started, processor = time.perf_counter(), time.process_time()
            result = function()
            wall, used = time.perf_counter() - started, time.process_time() - processor
            before = found.get(name, (wall, used, result))
            found[name] = (min(before[0], wall), min(before[1], used), result)
    return found


def compare(count: int, exact: Embedder, embedder: Embedder, console: Console) -> None:
    """Print speed and likeness."""
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(weights_folder()), device="cpu")
    texts, kind = mixed_texts(count, embedder)
    tokens = embedder.count_tokens(texts)
    functions = {
        "sentence-transformers": lambda: reference.encode(texts, normalize_embeddings=True, batch_size=32),
        "Embedder, fp32": lambda: exact.embed(texts),
        "Embedder (int8, the default)": lambda: embedder.embed(texts),
    }
    for embed in (exact.embed, embedder.embed, reference.encode):
        embed(texts[:8])
    rows = best_of(3, functions)
    low, middle, high = np.percentile(tokens, [10, 50, 90]).astype(int)
    title = f"Embedding {len(texts)} {kind} ({low}, {middle}, {high} tokens at 10, 50, 90 %), {embedder.threads} cores"
    table = Table(title=title, title_justify="left")
    for column in ("", "seconds", "texts/s", "tokens/s", "ratio", "ratio of processor time", "cosine mean", "least"):
        table.add_column(column, justify="right")
    theirs, used, expected = rows["sentence-transformers"]
    for name, (seconds, processor, vectors) in rows.items():
        cosine = (vectors * expected).sum(axis=1)
        table.add_row(
            name, f"{seconds:.2f}", f"{len(texts) / seconds:.0f}", f"{sum(tokens) / seconds:.0f}",
            f"{theirs / seconds:.2f}", f"{used / processor:.2f}", f"{cosine.mean():.4f}", f"{cosine.min():.4f}",
        )  # fmt: skip
    console.print(table)


def find(embedder: Embedder, papers: int) -> tuple[float, float, int]:
    """MRR@10 and recall@10 of exact search for the passages that answer questions about papers; and how many."""
    asked = paper_questions(papers)
    names = asked.passages["chunk_id"].to_list()
    vectors = embedder.embed(asked.passages["text"].to_list())
    questions = np.stack([embedder.embed_query(question.text) for question in asked.questions])
    ranked = np.argsort(-(questions @ vectors.T), axis=1)[:, :10]
    ranks = []
    for row, question in zip(ranked, asked.questions, strict=True):
        hits = [place for place, number in enumerate(row, 1) if names[number] in question.answers]
        ranks.append(hits[0] if hits else 0)
    found = [rank for rank in ranks if rank]
    return sum(1 / rank for rank in found) / len(ranks), len(found) / len(ranks), len(ranks)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few texts")
    quick = parser.parse_args().quick
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as folder:
        embedder, exact = Embedder(Path(folder)), Embedder(Path(folder), model=BUILT_IN_EXACT)
        compare(96 if quick else 512, exact, embedder, console)
        if not DATA.is_dir():
            console.print("Finding is not measured: the captured papers are not beside the project.")
            return
        table = Table(title="Dense search alone, exact, for the passages that answer questions", title_justify="left")
        for column in ("", "questions", "MRR@10", "recall@10"):
            table.add_column(column, justify="right")
        for name, one in (("fp32", exact), ("int8", embedder)):
            reciprocal, recall, count = find(one, 4 if quick else 24)
            table.add_row(name, f"{count}", f"{reciprocal:.4f}", f"{recall:.4f}")
        console.print(table)


if __name__ == "__main__":
    main()
