"""Embedding throughput against sentence-transformers: the same model, the same texts, in the same run."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_text
from twin_assets.core.embedding import Embedder, weights_folder


def best_of(runs: int, function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Median seconds of several calls, and what the last one gave."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few texts")
    count = 128 if parser.parse_args().quick else 1024
    from sentence_transformers import SentenceTransformer

    texts = [make_text(number, words=8 + (number * 37) % 160) for number in range(count)]
    reference = SentenceTransformer(str(weights_folder()), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(Path(folder))
        embedder.embed(texts[:8])
        reference.encode(texts[:8])
        theirs, expected = best_of(3, lambda: reference.encode(texts, normalize_embeddings=True, batch_size=32))
        ours, vectors = best_of(3, lambda: embedder.embed(texts))
    cosine = (vectors * expected).sum(axis=1)
    table = Table(title=f"Embedding {count} texts of 8 to 167 words, all-MiniLM-L6-v2, {embedder.threads} threads")
    for column in ("", "seconds", "texts/s", "ratio"):
        table.add_column(column, justify="right")
    table.add_row("sentence-transformers", f"{theirs:.2f}", f"{count / theirs:.0f}", "1.00")
    table.add_row("Embedder", f"{ours:.2f}", f"{count / ours:.0f}", f"{theirs / ours:.2f}")
    console = Console(width=120)
    console.print(table)
    console.print(f"cosine between both: mean {cosine.mean():.7f}, least {cosine.min():.7f}")


if __name__ == "__main__":
    main()
