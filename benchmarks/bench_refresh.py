"""A refresh of the features against a full build: nothing changed, one document edited; its growth, and peak memory.

Each size is measured in a process of its own. From 100,000 documents on the embedding model is a lookup of words of
the same dimension (tests/embedding_models.py), since the built-in one would take a quarter of an hour for the full
build and the refresh embeds one text at most: what is measured there is everything else.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_raw_documents
from benchmarks.memory import peak_megabytes
from tests.embedding_models import make_tiny_model
from twin_assets.core.documents import TABLES
from twin_assets.core.features import update_chunks, update_corpus, update_embeddings, update_index
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

AUTHOR, SIZES, LOOKUP_FROM, RUNS = "bench", (1000, 10_000, 100_000), 100_000, 3
STEPS = ("corpus", "chunks", "embeddings", "index")


def refresh(workspace: Workspace) -> dict:
    """Bring everything up to date: seconds of each step, passages embedded, points and Delta commits written."""
    before = commits(workspace)
    seconds, results = {}, {}
    for name, step in zip(STEPS, (update_corpus, update_chunks, update_embeddings, update_index), strict=True):
        started = time.perf_counter()
        results[name] = step(workspace, AUTHOR)
        seconds[name] = time.perf_counter() - started
    counts = {"embedded": results["embeddings"].written, "points": results["index"].upserted}
    return counts | {"steps": seconds, "seconds": sum(seconds.values()), "commits": commits(workspace) - before}


def commits(workspace: Workspace) -> int:
    """Transactions of all tables so far."""
    versions = [workspace.lake.version(table) for table in TABLES]
    return sum(version + 1 for version in versions if version is not None)


def measure(size: int, lookup: bool) -> dict:
    """Full build, no change (the quickest of three), one edit; and the peak of memory after each."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        if lookup:
            model = make_tiny_model(Path(folder, "lookup"), dimension=384, seed=1)
            settings = Settings(home=Path(folder), embedding_model=str(model))
        workspace = Workspace(settings)
        workspace.embedder.embed(["warm"])
        for start in range(0, size, 10_000):
            workspace.lake.append("raw_documents", make_raw_documents(min(size, start + 10_000), first=start))
        full = refresh(workspace) | {"peak": peak_megabytes()}
        unchanged = min((refresh(workspace) for _ in range(RUNS)), key=lambda one: one["seconds"])
        edited = make_raw_documents(2, edited=frozenset({1}), first=1)
        workspace.lake.replace("raw_documents", AUTHOR, "document_id", edited["document_id"].to_list(), edited)
        return {"full": full, "unchanged": unchanged, "edited": refresh(workspace), "peak": peak_megabytes()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 and 2,000 documents only")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.measure >= LOOKUP_FROM)))
        return
    table = Table(title="Refresh of corpus, chunks, embeddings and index", title_justify="left")
    columns = ("documents", "what", "seconds", *STEPS, "embedded", "points", "commits", "of full build", "peak MB")
    for column in columns:
        table.add_column(column, justify="right")
    for size in (200, 2000) if arguments.quick else SIZES:
        command = [sys.executable, "-m", "benchmarks.bench_refresh", "--measure", str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        for name, what in (("full", "full build"), ("unchanged", "nothing changed"), ("edited", "one edited")):
            row = found[name]
            table.add_row(
                f"{size:,}" if name == "full" else "", what, f"{row['seconds']:.2f}",
                *(f"{row['steps'][step]:.2f}" for step in STEPS), f"{row['embedded']:,}", f"{row['points']:,}",
                f"{row['commits']}", f"{row['seconds'] / found['full']['seconds']:.2%}",
                f"{found['peak']:.0f}" if name == "edited" else "",
            )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
