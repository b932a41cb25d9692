"""EdgeIndex: Qdrant Edge, embedded. A publication is immutable; readers open private copies of it.

    <folder>/published/<author>/pointer.json          names the folders of the publication; replaced atomically
                               /<collection>-<id>/    a shard, never written again once the pointer names it
                               /state-<id>.parquet    chunk_id, point_hash, collection of every point
    <folder>/readers/<id>/                            private copies of one process, under a lock that dies with it

Loading a shard writes to it, and loading one that another process writes corrupts it: so a writer works on a copy of
its own, a reader on one of its own, and what is published is only ever copied.
"""

import atexit
import os
import threading
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import qdrant_edge as edge

from twin_assets.core import index as shared
from twin_assets.core import publication as files
from twin_assets.core.embedding import SparseVector
from twin_assets.core.errors import IndexMissingError, VectorIndexError
from twin_assets.core.index import Candidates, Hit, Point, SearchFilter
from twin_assets.core.publication import Publication

UPSERT_BATCH = 1000
# Authors whose private copies one process keeps open.
OPEN_AUTHORS = 64
STATE_SCHEMA = {"chunk_id": pl.String, "point_hash": pl.String, "collection": pl.String}
PAYLOAD_INDEXES = {
    "platform": edge.PayloadSchemaType.Keyword,
    "document_id": edge.PayloadSchemaType.Keyword,
    "published_at": edge.PayloadSchemaType.Datetime,
}


class EdgeIndex:
    """The embedded index in a folder; safe for several processes and threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._readers: dict[str, _Reader] = {}
        self._private: files.PrivateFolder | None = None
        self._lock = threading.Lock()

    def publish(self, author: str, points: Iterable[Point], removed: Sequence[str], *, schema: str) -> str:
        """See Index.publish. Another writer of the same author is waited for."""
        folder = self._folder(author)
        with files.writer_lock(folder):
            current = files.read_pointer(folder)
            files.remove_unnamed(folder, current)
            base = current if current is not None and current.schema == schema else None
            with _Writer(folder, base) as writer:
                writer.drop(removed)
                iterator = iter(points)
                while batch := list(islice(iterator, UPSERT_BATCH)):
                    writer.add(author, batch)
                if base is not None and not writer.touched:
                    return base.version
                published = writer.finish(schema)
            files.swap_pointer(folder, published)
            files.remove_unnamed(folder, published)
            return published.version

    def state(self, author: str, schema: str | None = None) -> dict[str, str]:
        """See Index.state."""
        folder = self._folder(author)
        for _ in range(files.COPY_ATTEMPTS):
            current = files.read_pointer(folder)
            if current is None or schema not in (None, current.schema):
                return {}
            try:
                frame = pl.read_parquet(folder / current.state, columns=["chunk_id", "point_hash"])
            except FileNotFoundError:  # a writer has just published the next one
                continue
            return dict(frame.iter_rows())
        raise VectorIndexError(f"The index state in {folder} cannot be read: {current} names a file that is not there.")

    def version(self, author: str) -> str | None:
        """See Index.version."""
        current = files.read_pointer(self._folder(author))
        return current.version if current is not None else None

    def query(
        self,
        author: str,
        collections: Sequence[str],
        dense: npt.NDArray[np.float32],
        sparse: SparseVector,
        limit: int,
        where: SearchFilter | None = None,
    ) -> list[Hit]:
        """See Index.query. A publication that is newer than the copy in use is opened first."""
        wanted = shared.check_collections(collections)
        copies = self._reader(author).copies()
        found, asked = Candidates(), shared.candidates_for(limit)
        for name in wanted:
            if name in copies:
                found.add(name, *_search(copies[name].shard, dense, sparse, asked, where))
        fused = found.fuse(limit, asked)
        payloads: dict[str, Mapping[str, Any]] = {}
        for name in wanted:
            ids: list[Any] = [shared.point_id(key) for key, _ in fused if found.collection[key] == name]
            if ids:
                records = copies[name].shard.retrieve(ids, True, False)
                payloads |= {shared.chunk_id_of(record.id): record.payload or {} for record in records}
        return found.hits(fused, payloads)

    def _folder(self, author: str) -> Path:
        return self.folder / "published" / author

    def _reader(self, author: str) -> "_Reader":
        with self._lock:
            if self._private is None or self._private.process != os.getpid():
                self._private = files.PrivateFolder(self.folder / "readers")
                self._readers = {}
                atexit.register(self._private.close)
            reader = self._readers.pop(author, None) or _Reader(
                self._folder(author), self._private.path / author, author
            )
            self._readers[author] = reader  # the last one is the one used last
            if len(self._readers) > OPEN_AUTHORS:
                del self._readers[next(iter(self._readers))]
            return reader


class _Copy:
    """A private copy of a shard; its folder goes when the last query that uses it is done."""

    def __init__(self, path: Path) -> None:
        self.shard = edge.EdgeShard.load(str(path))
        weakref.finalize(self, files.remove, path)


class _Reader:
    """One author's private copies in this process; a new publication takes their place between two queries."""

    def __init__(self, folder: Path, place: Path, author: str) -> None:
        self.folder, self.place, self.author = folder, place, author
        self._mark: tuple[int, int] | None = None
        self._copies: dict[str, _Copy] = {}
        self._names: dict[str, str] = {}
        self._swapping = threading.Lock()

    def copies(self) -> dict[str, _Copy]:
        """The shards by collection, as now published; who still uses older ones goes on until done."""
        mark = files.pointer_mark(self.folder)
        if mark is None:
            raise IndexMissingError(f"Nothing is indexed for {self.author!r} yet; run `twin run {self.author}` first.")
        # While one thread opens the new publication the others answer from the old one, if there is one.
        if mark != self._mark and self._swapping.acquire(blocking=self._mark is None):
            try:
                if mark != self._mark:
                    self._swap(mark)
            finally:
                self._swapping.release()
        return self._copies

    def _swap(self, mark: tuple[int, int]) -> None:
        for _ in range(files.COPY_ATTEMPTS):
            current = files.read_pointer(self.folder)
            opened = self._open(current) if current is not None else None
            if current is not None and opened is not None:
                self._copies, self._names, self._mark = opened, dict(current.collections), mark
                return
            mark = files.pointer_mark(self.folder) or mark
        raise VectorIndexError(
            f"The index of {self.author!r} in {self.folder} cannot be opened; its folders are missing."
        )

    def _open(self, current: Publication) -> dict[str, _Copy] | None:
        opened: dict[str, _Copy] = {}
        for name, folder in current.collections.items():
            if self._names.get(name) == folder:
                opened[name] = self._copies[name]
                continue
            copy = self.place / f"{folder}-{uuid.uuid4().hex[:8]}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not files.copy_published(self.folder / folder, copy):
                return None
            opened[name] = _Copy(copy)
        return opened


class _Writer:
    """Builds the next publication: its own copies of the shards it touches, the state, and what the pointer names."""

    def __init__(self, folder: Path, base: Publication | None) -> None:
        self.folder, self.base = folder, base
        self.touched: dict[str, edge.EdgeShard] = {}
        self._names: dict[str, str] = {}
        state = pl.read_parquet(folder / base.state) if base else pl.DataFrame(schema=STATE_SCHEMA)
        self.state = {row[0]: (row[1], row[2]) for row in state.iter_rows()}

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        for shard in self.touched.values():
            shard.close()
        self.touched = {}

    def drop(self, chunk_ids: Iterable[str]) -> None:
        """Delete these chunks wherever they are."""
        by_collection: dict[str, list[str]] = {}
        for chunk_id in chunk_ids:
            if known := self.state.pop(chunk_id, None):
                by_collection.setdefault(known[1], []).append(shared.point_id(chunk_id))
        for collection, ids in by_collection.items():
            self._shard(collection).update(edge.UpdateOperation.delete_points(list(ids)))

    def add(self, author: str, points: Sequence[Point]) -> None:
        """Add or replace points; one that was in another collection leaves it."""
        self.drop(p.chunk_id for p in points if self.state.get(p.chunk_id, ("", p.collection))[1] != p.collection)
        for collection in shared.check_collections(point.collection for point in points):
            chosen = [point for point in points if point.collection == collection]
            rows = [
                edge.Point(
                    shared.point_id(point.chunk_id),
                    {"dense": point.dense.tolist(), "sparse": edge.SparseVector(*point.sparse)},
                    shared.make_payload(author, point),
                )
                for point in chosen
            ]
            self._shard(collection, len(chosen[0].dense)).update(edge.UpdateOperation.upsert_points(rows))
        self.state |= {point.chunk_id: (point.point_hash, point.collection) for point in points}

    def finish(self, schema: str) -> Publication:
        """Optimise and flush what was touched, write the state, and say what the pointer has to name."""
        collections = dict(self.base.collections) if self.base else {}
        left = {collection for _, collection in self.state.values()}
        for collection, shard in self.touched.items():
            shard.optimize()
            shard.flush()
            shard.close()
            collections[collection] = self._names[collection]
        self.touched = {}
        rows = sorted((chunk_id, *known) for chunk_id, known in self.state.items())
        name = f"state-{uuid.uuid4().hex[:12]}.parquet"
        pl.DataFrame(rows, schema=STATE_SCHEMA, orient="row").write_parquet(self.folder / name)
        version = shared.state_version(schema, {row[0]: row[1] for row in rows})
        return Publication(version, schema, name, {key: value for key, value in collections.items() if key in left})

    def _shard(self, collection: str, dimension: int = 0) -> edge.EdgeShard:
        if collection not in self.touched:
            self._names[collection] = f"{collection}-{uuid.uuid4().hex[:12]}"
            place = self.folder / self._names[collection]
            if self.base and collection in self.base.collections:
                files.copy_sparse(self.folder / self.base.collections[collection], place)
                self.touched[collection] = edge.EdgeShard.load(str(place))
            else:
                place.mkdir()
                self.touched[collection] = _create(place, dimension)
        return self.touched[collection]


def _create(place: Path, dimension: int) -> edge.EdgeShard:
    """A new shard. No write-ahead log: what is half written is thrown away, and the log would be most of the bytes."""
    config = edge.EdgeConfig(
        vectors={"dense": edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)},
        sparse_vectors={"sparse": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        wal_enabled=False,
    )
    shard = edge.EdgeShard.create(str(place), config)
    for name, kind in PAYLOAD_INDEXES.items():
        shard.update(edge.UpdateOperation.create_field_index(name, kind))
    return shard


def _search(
    shard: edge.EdgeShard,
    dense: npt.NDArray[np.float32],
    sparse: SparseVector,
    limit: int,
    where: SearchFilter | None,
) -> Iterator[list[tuple[str, float]]]:
    """The dense results and then the BM25 results, as (chunk_id, score)."""
    condition = _condition(where)
    vectors = {"dense": dense.tolist(), "sparse": edge.SparseVector(*sparse) if sparse[0] else None}
    for name, vector in vectors.items():
        if vector is None:
            yield []
            continue
        request = edge.QueryRequest(limit=limit, query=edge.Query.Nearest(vector, using=name), filter=condition)
        yield [(shared.chunk_id_of(point.id), point.score) for point in shard.query(request)]


def _condition(where: SearchFilter | None) -> edge.Filter | None:
    if where is None:
        return None
    must: list[Any] = []
    if where.platforms:
        must.append(edge.FieldCondition("platform", match=edge.MatchAny(list(where.platforms))))
    if where.published_from or where.published_until:
        bounds = edge.RangeDateTime(
            gte=where.published_from.isoformat() if where.published_from else None,
            lt=where.published_until.isoformat() if where.published_until else None,
        )
        must.append(edge.FieldCondition("published_at", range=bounds))
    return edge.Filter(must=must)
