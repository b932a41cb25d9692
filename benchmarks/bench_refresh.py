"""A refresh of the features against a full rebuild: nothing changed, and one document edited."""

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_raw_documents
from twin_assets.core.features import update_chunks, update_corpus, update_embeddings, update_index
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

AUTHOR = "bench"


def refresh(workspace: Workspace) -> tuple[float, int, int]:
    """Bring everything up to date; (seconds, passages embedded, points written)."""
    started = time.perf_counter()
    update_corpus(workspace, AUTHOR)
    update_chunks(workspace, AUTHOR)
    embedded = update_embeddings(workspace, AUTHOR).written
    written = update_index(workspace, AUTHOR).upserted
    return time.perf_counter() - started, embedded, written


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 documents only")
    sizes = [200] if parser.parse_args().quick else [1000, 10_000]
    table = Table(title="Refresh of corpus, chunks, embeddings and index")
    for column in ("documents", "what", "seconds", "embedded", "points written", "share of full build"):
        table.add_column(column, justify="right")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(Settings(home=Path(folder)))
            workspace.embedder.embed(["warm"])
            workspace.lake.append("raw_documents", make_raw_documents(size))
            full, *counts = refresh(workspace)
            table.add_row(f"{size:,}", "full build", f"{full:.2f}", *map(str, counts), "100 %")
            unchanged, *counts = refresh(workspace)
            table.add_row("", "nothing changed", f"{unchanged:.2f}", *map(str, counts), f"{unchanged / full:.2%}")
            edited = make_raw_documents(2, edited=frozenset({1}))[1:]
            workspace.lake.replace("raw_documents", AUTHOR, "document_id", edited["document_id"].to_list(), edited)
            changed, *counts = refresh(workspace)
            table.add_row("", "one edited", f"{changed:.2f}", *map(str, counts), f"{changed / full:.2%}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
