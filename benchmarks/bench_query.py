"""A hybrid query of Qdrant Edge against `QdrantClient(path=…)`: the same points, the same questions."""

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient
from rich.console import Console
from rich.table import Table

from twin_assets.core.documents import content_hash
from twin_assets.core.index import Index, Point
from twin_assets.core.index_edge import EdgeIndex
from twin_assets.core.index_server import ServerIndex

AUTHOR, DIMENSION, TERMS = "bench", 384, 20_000


def make_points(count: int) -> Iterator[Point]:
    """Points around 200 topics, with 60 terms each whose frequencies fall as words' do."""
    random = np.random.default_rng(1)
    topics = random.normal(size=(200, DIMENSION))
    for number in range(count):
        vector = (topics[number % 200] + random.normal(size=DIMENSION)).astype(np.float32)
        terms = np.unique(random.zipf(1.3, 60) % TERMS)
        payload = {
            "document_id": str(number // 3), "category": "post", "platform": "x", "title": "", "url": "",
            "heading": "", "text": "text " * 60, "start": 0, "end": 300, "published_at": None,
        }  # fmt: skip
        weights = random.random(len(terms)).tolist()
        yield Point(
            content_hash(number), "1", "posts", vector / np.linalg.norm(vector), (terms.tolist(), weights), payload
        )


def measure(index: Index, questions: list[Point]) -> tuple[list[float], list[set[str]]]:
    """Milliseconds of every query, in order of size, and what each found."""
    index.query(AUTHOR, ["posts"], questions[0].dense, questions[0].sparse, 10)
    times, found = [], []
    for question in questions:
        started = time.perf_counter()
        hits = index.query(AUTHOR, ["posts"], question.dense, (question.sparse[0][:6], question.sparse[1][:6]), 10)
        times.append((time.perf_counter() - started) * 1000)
        found.append({hit.chunk_id for hit in hits})
    return sorted(times), found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 points")
    quick = parser.parse_args().quick
    count, asked = (2000, 20) if quick else (20_000, 100)
    warnings.filterwarnings("ignore", message="Payload indexes have no effect")
    points = list(make_points(count))
    questions = [points[number] for number in np.random.default_rng(2).choice(count, asked, replace=False)]
    table = Table(title=f"Hybrid query (dense + BM25, RRF) over {count:,} passages, {asked} questions")
    for column in ("", "publish s", "p50 ms", "p99 ms", "p50 ratio", "p99 ratio", "found in common"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        client = QdrantClient(path=str(Path(folder) / "client"))
        rows = {}
        backends: dict[str, Index] = {
            "QdrantClient(path=…)": ServerIndex(client), "Qdrant Edge": EdgeIndex(Path(folder) / "edge"),
        }  # fmt: skip
        for name, index in backends.items():
            started = time.perf_counter()
            index.publish(AUTHOR, iter(points), [], schema="bench")
            rows[name] = (time.perf_counter() - started, *measure(index, questions))
        _, slow, expected = rows["QdrantClient(path=…)"]
        for name, (seconds, times, found) in rows.items():
            p50, p99 = (times[int(len(times) * share)] for share in (0.5, 0.99))
            base50, base99 = (slow[int(len(slow) * share)] for share in (0.5, 0.99))
            common = np.mean([len(a & b) / max(len(b), 1) for a, b in zip(found, expected, strict=True)])
            table.add_row(
                name, f"{seconds:.1f}", f"{p50:.2f}", f"{p99:.2f}", f"{base50 / p50:.0f}", f"{base99 / p99:.0f}",
                f"{common:.1%}",
            )  # fmt: skip
        client.close()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
