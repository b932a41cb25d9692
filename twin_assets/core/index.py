"""Index: the vector index behind one interface, with the same results from both of its backends.

Per category a collection (posts, articles, code) of dense and BM25 vectors. Each collection is searched both ways and
the lists are fused by reciprocal rank here, over all collections asked for, because an engine fuses within one only.
Qdrant Edge (index_edge.py) is embedded and the default; a Qdrant server (index_server.py) is used where one is set.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt

from twin_assets.core.documents import COLLECTIONS, content_hash
from twin_assets.core.embedding import SparseVector
from twin_assets.core.errors import VectorIndexError

# How dense vectors are kept for searching; whatever is found is scored again with the exact ones.
Quantization = Literal["none", "scalar", "turbo"]
# With quantised vectors this many times the candidates are drawn before the exact scores decide.
OVERSAMPLING = 2.0
# Width of the search through the graph of neighbours: more than the engines' default of 100, since recall@10 is wanted
# at 100,000 passages and the whole query stays under 3 ms there (benchmarks/bench_query.py).
SEARCH_WIDTH = 256
# Payload fields that filters may use, beside the collection; the author is the tenant key.
# A text that was published on several platforms is kept under one; it is found by each.
PLATFORM_FIELDS = ("platform", "addresses[].platform")
KEYWORD_FIELDS = ("author", "category", *PLATFORM_FIELDS, "language", "document_id")
DATE_FIELD = "published_at"

# Reciprocal rank fusion (Cormack, Clarke, Büttcher 2009); ranks count from 0, as Qdrant's own fusion does.
RRF_K = 60
# Each search gives this many candidates for every hit wanted, and at least the second number.
CANDIDATES_PER_HIT, FEWEST_CANDIDATES = 2, 64


@dataclass(frozen=True, slots=True)
class Point:
    """One passage as the index keeps it.

    point_hash: changes when anything about the point does; dense: float32 [dimension], L2-normed; sparse: BM25 term
    weights; payload: what a Hit shows.
    """

    chunk_id: str
    point_hash: str
    collection: str
    dense: npt.NDArray[np.float32]
    sparse: SparseVector
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found: `text` is `document.text[start:end]`, the document's passage number `position`.

    score: what the hits are ordered by; similarity: cosine with the question; bm25: its BM25 score, each None where
    that search did not find the passage; addresses: (platform, url) of every place it was published, its own first;
    vector: float32 [dimension], L2-normed, where it was asked for.
    """

    chunk_id: str
    document_id: str
    collection: str
    category: str
    platform: str
    title: str
    url: str
    heading: str
    text: str
    start: int
    end: int
    published_at: datetime | None
    score: float
    similarity: float | None = None
    bm25: float | None = None
    position: int = 0
    language: str | None = None
    addresses: tuple[tuple[str, str], ...] = ()
    vector: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The hit as JSON-ready values, less its vector; `published_at` in ISO 8601."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "vector"}
        published = self.published_at.isoformat() if self.published_at else None
        addresses = [{"platform": platform, "url": url} for platform, url in self.addresses]
        return values | {"published_at": published, "addresses": addresses}


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Restricts a search: only these platforms and languages, only published in [published_from, published_until).

    platforms and languages: names as the payload has them, none for all.
    """

    platforms: Sequence[str] = ()
    published_from: datetime | None = None
    published_until: datetime | None = None
    languages: Sequence[str] = ()

    @property
    def keywords(self) -> list[tuple[tuple[str, ...], list[str]]]:
        """Payload fields with wanted values: in one of the fields one of the values must stand."""
        wanted = [(PLATFORM_FIELDS, list(self.platforms)), (("language",), list(self.languages))]
        return [(names, values) for names, values in wanted if values]


class SchemaChangedError(VectorIndexError):
    """What is published is of another schema than the query was made for; ask schema() again."""


class Index(Protocol):
    """A vector index. Every method is about one author; authors never see each other's points."""

    def publish(
        self, author: str, points: Iterable[Point], removed: Sequence[str], *, schema: str, anew: bool = False
    ) -> str:
        """Add or replace `points`, drop the chunks `removed`, and return the new version (see version()).

        schema: names the embedding model and the layout; where it is not the published one the index is built anew
        beside the old, which readers go on using until it is complete. anew: so it is also where it is the same, and
        `points` are all of them: an embedded shard keeps the bytes of points that were dropped from it.
        """

    def remove(self, author: str) -> None:
        """Take away all that is published for the author, there or not."""

    def state(self, author: str, schema: str | None = None) -> dict[str, str]:
        """point_hash by chunk_id, as published; empty where nothing is published or it is of another schema."""

    def version(self, author: str) -> str | None:
        """Content hash of what is published, the same for the same points; None where nothing is."""

    def schema(self, author: str) -> str | None:
        """The schema of what is published, which names the embedding model; None where nothing is."""

    def query(
        self,
        author: str,
        collections: Sequence[str],
        dense: npt.NDArray[np.float32] | None,
        sparse: SparseVector,
        limit: int,
        where: SearchFilter | None = None,
        *,
        schema: str | None = None,
        vectors: bool = False,
        exact: bool = False,
    ) -> list[Hit]:
        """The best passages of these collections by both searches, best first.

        dense: the question's vector (None: search by words alone); sparse: its terms (empty: by meaning alone);
        schema: the one `dense` was made for (None: not checked); vectors: hits carry their vectors; exact: compare with
        every vector instead of walking the graph. Raises IndexMissingError where nothing is published,
        SchemaChangedError where what is published is of another schema.
        """

    def passages(self, author: str, wanted: Mapping[str, Sequence[int] | None]) -> list[Hit]:
        """Passages by their place: positions by document_id (None: all of it), in the order of the documents.

        Their score is 0. What is not there is left out. Raises IndexMissingError where nothing is published.
        """


def open_index(
    folder: Path, url: str | None = None, api_key: str | None = None, quantization: Quantization = "none"
) -> Index:
    """The index of a deployment: a Qdrant server where `url` is given, else Qdrant Edge in `folder`.

    quantization: how vectors are kept for searching; another one than is published counts as another schema, so the
    next publication builds the index anew beside the old.
    """
    if url:
        from qdrant_client import QdrantClient

        from twin_assets.core.index_server import ServerIndex

        client = QdrantClient(url=url, api_key=api_key, timeout=30, check_compatibility=False)
        return ServerIndex(client, quantization)
    from twin_assets.core.index_edge import EdgeIndex

    return EdgeIndex(folder, quantization)


def model_of(schema: str) -> str | None:
    """The embedding model that a schema `<layout>/<model>` names; None where it names none."""
    return schema.partition("/")[2] or None


def state_version(schema: str, state: Mapping[str, str]) -> str:
    """Version of an index that holds this state: a content hash."""
    return content_hash(schema, sorted(state.items()))


def point_id(chunk_id: str) -> str:
    """A chunk's point id: its hash, written as a UUID."""
    return str(UUID(hex=chunk_id))


def chunk_id_of(point: object) -> str:
    """The chunk whose point id this is."""
    return str(point).replace("-", "")


@dataclass(slots=True)
class Candidates:
    """What the searches of one query found: scores by chunk_id, over all collections."""

    dense: dict[str, float] = field(default_factory=dict)
    sparse: dict[str, float] = field(default_factory=dict)
    collection: dict[str, str] = field(default_factory=dict)

    def add(self, collection: str, dense: Iterable[tuple[str, float]], sparse: Iterable[tuple[str, float]]) -> None:
        """Add the results of one collection."""
        for scores, found in ((self.dense, dense), (self.sparse, sparse)):
            for chunk_id, score in found:
                scores[chunk_id] = score
                self.collection[chunk_id] = collection

    def fuse(self, limit: int, candidates: int) -> list[tuple[str, float]]:
        """The best `limit` chunks with their fused scores; equal scores are ordered by chunk_id.

        Scores are rounded to a millionth first: engines differ in the last bits, and must not in the order.
        """
        fused: dict[str, float] = defaultdict(float)
        for scores in (self.dense, self.sparse):
            ranked = sorted(scores, key=lambda chunk_id: (-round(scores[chunk_id], 6), chunk_id))[:candidates]
            for rank, chunk_id in enumerate(ranked):
                fused[chunk_id] += 1 / (RRF_K + rank)
        return sorted(fused.items(), key=lambda item: (-item[1], item[0]))[:limit]

    def hits(
        self,
        fused: Sequence[tuple[str, float]],
        payloads: Mapping[str, Mapping[str, Any]],
        vectors: Mapping[str, npt.NDArray[np.float32]],
    ) -> list[Hit]:
        """Hits in the order of `fused`, from the payloads and vectors by chunk_id."""
        return [
            make_hit(
                chunk_id, self.collection[chunk_id], payloads[chunk_id], score, self.dense.get(chunk_id),
                self.sparse.get(chunk_id), vectors.get(chunk_id),
            )
            for chunk_id, score in fused
        ]  # fmt: skip


def candidates_for(limit: int) -> int:
    """How many candidates each search is asked for."""
    return max(FEWEST_CANDIDATES, CANDIDATES_PER_HIT * limit)


def make_payload(author: str, point: Point) -> dict[str, Any]:
    """The stored payload: the point's own, its author and its hash."""
    return {**point.payload, "author": author, "point_hash": point.point_hash}


def make_hit(
    chunk_id: str,
    collection: str,
    payload: Mapping[str, Any],
    score: float = 0.0,
    similarity: float | None = None,
    bm25: float | None = None,
    vector: npt.NDArray[np.float32] | None = None,
) -> Hit:
    """A Hit from a stored payload; payloads of older layouts lack the fields named last."""
    published = payload["published_at"]
    names = ("document_id", "category", "platform", "title", "url", "heading", "text", "start", "end")
    return Hit(
        chunk_id=chunk_id, collection=collection, score=score, similarity=similarity, bm25=bm25, vector=vector,
        published_at=datetime.fromisoformat(published) if published else None,
        **{name: payload[name] for name in names}, position=payload.get("position", 0),
        language=payload.get("language"),
        addresses=tuple((address["platform"], address["url"]) for address in payload.get("addresses") or ()),
    )  # fmt: skip


def in_document_order(hits: Iterable[Hit], wanted: Mapping[str, Sequence[int] | None]) -> list[Hit]:
    """The hits by the order of their documents in `wanted`, and by position in each."""
    order = {document_id: number for number, document_id in enumerate(wanted)}
    return sorted(hits, key=lambda hit: (order[hit.document_id], hit.position))


def check_collections(collections: Iterable[str]) -> list[str]:
    """The collections, each once, in their order; raises ValueError for one that is none."""
    wanted = list(dict.fromkeys(collections))
    unknown = set(wanted) - set(COLLECTIONS.values())
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]!r} is not a collection; they are {', '.join(COLLECTIONS.values())}.")
    return wanted
