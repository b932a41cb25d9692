"""A filtered hybrid query of Qdrant Edge against exact search and against `QdrantClient(path=…)`: the same passages."""

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient
from rich.console import Console
from rich.table import Table

from twin_assets.core.documents import content_hash
from twin_assets.core.embedding import SparseVector
from twin_assets.core.index import Hit, Index, Point, SearchFilter
from twin_assets.core.index_edge import EdgeIndex
from twin_assets.core.index_server import ServerIndex

AUTHOR, DIMENSION, TERMS, LIMIT = "bench", 384, 20_000, 10
TOPICS = 500
START, DAYS = datetime(2014, 1, 1, tzinfo=UTC), 12 * 365
PLATFORMS, SHARES = ("medium", "x", "linkedin", "github"), (0.4, 0.3, 0.2, 0.1)
FILTERS = {
    # About one passage in sixteen, as a question with a platform and dates in it asks.
    "author, platform, two years": SearchFilter(
        ["medium"], START + timedelta(days=8 * 365), START + timedelta(days=10 * 365)
    ),
    "author, half of the years": SearchFilter(published_from=START + timedelta(days=6 * 365)),
    "author": None,
}


@dataclass
class Passages:
    """Made-up passages: their vectors lie around topics, and their terms' frequencies fall as words' do.

    The vectors' variance falls with the dimension, and they lie about their topics, as those of a real author's 5,901
    passages do: there a question's nearest passage is at cosine 0.54 and its tenth at 0.41, here at 0.52 and 0.43.
    """

    vectors: npt.NDArray[np.float32]
    terms: list[SparseVector]

    @classmethod
    def make(cls, count: int, seed: int) -> "Passages":
        """`count` passages; those of another seed are about the same topics."""
        spread = np.arange(1, DIMENSION + 1) ** -0.4
        topics = np.random.default_rng(0).normal(size=(TOPICS, DIMENSION)) * spread
        random = np.random.default_rng(seed)
        vectors = topics[random.zipf(1.3, count) % TOPICS] + 1.3 * random.normal(size=(count, DIMENSION)) * spread
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        terms = []
        for _ in range(count):
            found = np.unique(random.zipf(1.3, 60) % TERMS)
            terms.append((found.tolist(), random.random(len(found)).tolist()))
        return cls(vectors.astype(np.float32), terms)

    def points(self) -> Iterator[Point]:
        """The passages as points of one collection, with a platform and a date each."""
        random = np.random.default_rng(3)
        platforms = random.choice(PLATFORMS, size=len(self.terms), p=SHARES).tolist()
        days = random.integers(DAYS, size=len(self.terms)).tolist()
        for number, sparse in enumerate(self.terms):
            payload = {
                "document_id": str(number // 3), "category": "post", "platform": platforms[number], "title": "",
                "url": "", "heading": "", "text": "text " * 60, "start": 0, "end": 300, "language": "en",
                "position": number % 3, "published_at": (START + timedelta(days=days[number])).isoformat(),
            }  # fmt: skip
            yield Point(content_hash(number), "1", "posts", self.vectors[number], sparse, payload)


def ask(index: Index, questions: Passages, number: int, where: SearchFilter | None, exact: bool = False) -> list[Hit]:
    """The answer to one question: its vector, and six of its terms."""
    terms = questions.terms[number][0][-6:]
    sparse = terms, [1.0] * len(terms)
    return index.query(AUTHOR, ["posts"], questions.vectors[number], sparse, LIMIT, where, exact=exact)


def measure(
    index: Index, questions: Passages, count: int, where: SearchFilter | None, exact: bool = False
) -> tuple[list[float], list[set[str]]]:
    """Milliseconds of every query, in order of size, and what each found."""
    ask(index, questions, 0, where)
    times, found = [], []
    for number in range(count):
        started = time.perf_counter()
        hits = ask(index, questions, number, where, exact)
        times.append((time.perf_counter() - started) * 1000)
        found.append({hit.chunk_id for hit in hits})
    return sorted(times), found


def recall(found: list[set[str]], expected: list[set[str]]) -> float:
    """Share of what was expected that was found."""
    return float(np.mean([len(a & b) / max(len(b), 1) for a, b in zip(found, expected, strict=False)]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 passages")
    parser.add_argument("--skip-client", action="store_true", help="without QdrantClient(path=…), which takes minutes")
    options = parser.parse_args()
    count, asked, slow_asked = (2000, 20, 5) if options.quick else (100_000, 500, 20)
    warnings.filterwarnings("ignore", message="Payload indexes have no effect")
    warnings.filterwarnings("ignore", message="Local mode performs exact")
    passages, questions = Passages.make(count, seed=1), Passages.make(asked, seed=2)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        backends: dict[str, Index] = {
            f"Edge, quantisation {name}": EdgeIndex(Path(folder) / name, name) for name in ("none", "scalar")
        }
        if not options.skip_client:
            backends["QdrantClient(path=…)"] = ServerIndex(QdrantClient(path=str(Path(folder) / "client")))
        expected: dict[str, list[set[str]]] = {}
        for name, index in backends.items():
            started = time.perf_counter()
            index.publish(AUTHOR, passages.points(), [], schema="bench")
            seconds = time.perf_counter() - started
            for label, where in FILTERS.items():
                if label not in expected:
                    expected[label] = measure(index, questions, asked, where, exact=True)[1]
                times, found = measure(index, questions, asked if "Edge" in name else slow_asked, where)
                rows.append(Row(name, seconds, label, times, recall(found, expected[label])))
    report(rows, count, asked)


@dataclass
class Row:
    """What was measured of one backend under one filter; times in milliseconds, in order of size."""

    name: str
    publish: float
    filter: str
    times: list[float]
    recall: float

    def at(self, share: float) -> float:
        """The time that this share of the queries stays under."""
        return self.times[int(len(self.times) * share)]


def report(rows: list[Row], count: int, asked: int) -> None:
    """Print times, ratios to the last backend's under the same filter, and recall."""
    table = Table(title=f"Hybrid query (dense + BM25, RRF) over {count:,} passages, {asked} questions")
    for column in ("", "filter", "publish s", "p50 ms", "p99 ms", "p50 ratio", "p99 ratio", f"recall@{LIMIT} to exact"):
        table.add_column(column, justify="left" if column in ("", "filter") else "right")
    slowest = {row.filter: row for row in rows}
    for row in rows:
        ratios = (slowest[row.filter].at(share) / row.at(share) for share in (0.5, 0.99))
        table.add_row(
            row.name, row.filter, f"{row.publish:.1f}", f"{row.at(0.5):.2f}", f"{row.at(0.99):.2f}",
            *(f"{ratio:.0f}" for ratio in ratios), f"{row.recall:.4f}",
        )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
