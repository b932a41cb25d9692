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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import qdrant_edge as edge

from twin_assets.core import index as shared
from twin_assets.core import publication as files
from twin_assets.core.embedding import SparseVector
from twin_assets.core.errors import IndexMissingError, VectorIndexError
from twin_assets.core.index import Candidates, Hit, Point, Quantization, SchemaChangedError, SearchFilter
from twin_assets.core.index_shards import Records, create_shard, fetch, passages_of, search_shard
from twin_assets.core.publication import Publication

UPSERT_BATCH = 1000
# Authors whose private copies one process keeps open.
OPEN_AUTHORS = 64
STATE_SCHEMA = {"chunk_id": pl.String, "point_hash": pl.String, "collection": pl.String}


class EdgeIndex:
    """The embedded index in a folder; safe for several processes and threads."""

    def __init__(self, folder: Path, quantization: Quantization = "none") -> None:
        self.folder = folder
        self.quantization = quantization
        self._readers: dict[str, _Reader] = {}
        self._private: files.PrivateFolder | None = None
        self._lock = threading.Lock()

    def publish(
        self, author: str, points: Iterable[Point], removed: Sequence[str], *, schema: str, anew: bool = False
    ) -> str:
        """See Index.publish. Another writer of the same author is waited for."""
        folder = self._folder(author)
        with files.writer_lock(folder):
            current = files.read_pointer(folder)
            files.remove_unnamed(folder, current)
            base = current if current is not None and self._is_of(current, schema) and not anew else None
            with _Writer(folder, base, self.quantization) as writer:
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

    def remove(self, author: str) -> None:
        """See Index.remove."""
        folder = self._folder(author)
        if folder.is_dir():
            with files.writer_lock(folder):
                (folder / files.POINTER).unlink(missing_ok=True)
                files.remove_unnamed(folder, None)
            files.remove(folder)

    def state(self, author: str, schema: str | None = None) -> dict[str, str]:
        """See Index.state."""
        folder = self._folder(author)
        for _ in range(files.COPY_ATTEMPTS):
            current = files.read_pointer(folder)
            if current is None or not self._is_of(current, schema):
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

    def schema(self, author: str) -> str | None:
        """See Index.schema."""
        current = files.read_pointer(self._folder(author))
        return current.schema if current is not None else None

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
        """See Index.query. A publication that is newer than the copy in use is opened first."""
        wanted = shared.check_collections(collections)
        opened = self._reader(author).opened()
        if schema not in (None, opened.schema):
            raise SchemaChangedError(f"The index of {author!r} is of schema {opened.schema}, not {schema}.")
        found, asked = Candidates(), shared.candidates_for(limit)
        for name in wanted:
            if name in opened.copies:
                found.add(name, *search_shard(opened.copies[name].shard, dense, sparse, asked, where, exact))
        fused = found.fuse(limit, asked)
        records: Records = {}
        for name in wanted:
            if ids := [key for key, _ in fused if found.collection[key] == name]:
                records |= fetch(opened.copies[name].shard, ids, vectors)
        payloads = {key: payload for key, (payload, _) in records.items()}
        return found.hits(fused, payloads, {key: vector for key, (_, vector) in records.items() if vector is not None})

    def passages(self, author: str, wanted: Mapping[str, Sequence[int] | None]) -> list[Hit]:
        """See Index.passages."""
        copies = self._reader(author).opened().copies
        found = (
            [hit for name, copy in copies.items() for hit in passages_of(copy.shard, name, wanted)] if wanted else []
        )
        return shared.in_document_order(found, wanted)

    def _is_of(self, publication: Publication, schema: str | None) -> bool:
        """Whether this is a publication of that schema (None: of any), its vectors kept as they now should be."""
        return schema is None or (publication.schema, publication.quantization) == (schema, self.quantization)

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


@dataclass(frozen=True)
class _Opened:
    """One publication as a process has it open; whoever got it reads on in it, whatever is published meanwhile."""

    mark: tuple[int, int]
    schema: str
    copies: dict[str, _Copy]
    names: dict[str, str]


class _Reader:
    """One author's private copies in this process; a new publication takes their place between two queries."""

    def __init__(self, folder: Path, place: Path, author: str) -> None:
        self.folder, self.place, self.author = folder, place, author
        self._opened: _Opened | None = None
        self._swapping = threading.Lock()

    def opened(self) -> _Opened:
        """What is now published, opened; who still uses an older publication goes on until done."""
        mark = files.pointer_mark(self.folder)
        if mark is None:
            raise IndexMissingError(self.author)
        opened = self._opened
        # While one thread opens the new publication the others answer from the old one, if there is one.
        if opened is not None and (opened.mark == mark or self._swapping.locked()):
            return opened
        with self._swapping:
            if self._opened is None or self._opened.mark != mark:
                self._opened = self._swap(mark)
            return self._opened

    def _swap(self, mark: tuple[int, int]) -> _Opened:
        for _ in range(files.COPY_ATTEMPTS):
            current = files.read_pointer(self.folder)
            copies = self._open(current) if current is not None else None
            if current is not None and copies is not None:
                return _Opened(mark, current.schema, copies, dict(current.collections))
            mark = files.pointer_mark(self.folder) or mark
        raise VectorIndexError(
            f"The index of {self.author!r} in {self.folder} cannot be opened; its folders are missing."
        )

    def _open(self, current: Publication) -> dict[str, _Copy] | None:
        copies: dict[str, _Copy] = {}
        for name, folder in current.collections.items():
            if self._opened is not None and self._opened.names.get(name) == folder:
                copies[name] = self._opened.copies[name]
                continue
            copy = self.place / f"{folder}-{uuid.uuid4().hex[:8]}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not files.copy_published(self.folder / folder, copy):
                return None
            copies[name] = _Copy(copy)
        return copies


class _Writer:
    """Builds the next publication: its own copies of the shards it touches, the state, and what the pointer names."""

    def __init__(self, folder: Path, base: Publication | None, quantization: Quantization) -> None:
        self.folder, self.base, self.quantization = folder, base, quantization
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
        named = {key: value for key, value in collections.items() if key in left}
        return Publication(version, schema, name, named, self.quantization)

    def _shard(self, collection: str, dimension: int = 0) -> edge.EdgeShard:
        if collection not in self.touched:
            self._names[collection] = f"{collection}-{uuid.uuid4().hex[:12]}"
            place = self.folder / self._names[collection]
            if self.base and collection in self.base.collections:
                files.copy_sparse(self.folder / self.base.collections[collection], place)
                self.touched[collection] = edge.EdgeShard.load(str(place))
            else:
                place.mkdir()
                self.touched[collection] = create_shard(str(place), dimension, self.quantization)
        return self.touched[collection]
