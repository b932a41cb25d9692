"""ServerIndex: a Qdrant server through qdrant-client. Authors share collections; the author is the tenant key.

<collection>_<schema key>    the points of all authors under one embedding model and layout
<collection>__<author>       an alias: where this author's points are read. A new schema is built beside the old one
                             and the aliases of all of an author's collections are switched in one request
publications                 version and schema of each author, as one point each
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from twin_assets.core import index as shared
from twin_assets.core.documents import COLLECTIONS, content_hash
from twin_assets.core.embedding import SparseVector
from twin_assets.core.errors import IndexMissingError, VectorIndexError
from twin_assets.core.index import Candidates, Hit, Point, SearchFilter

PUBLICATIONS = "publications"
UPSERT_BATCH = 256
SCROLL_PAGE = 10_000
PAYLOAD_INDEXES: Mapping[str, Any] = {
    "author": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    "platform": models.PayloadSchemaType.KEYWORD,
    "document_id": models.PayloadSchemaType.KEYWORD,
    "published_at": models.PayloadSchemaType.DATETIME,
}

Answer = TypeVar("Answer")


class ServerIndex:
    """The index on a Qdrant server (or, with QdrantClient(":memory:"), with a server's semantics in this process)."""

    def __init__(self, client: QdrantClient) -> None:
        self.client = client

    def publish(self, author: str, points: Iterable[Point], removed: Sequence[str], *, schema: str) -> str:
        """See Index.publish. Points appear as they are written; the version is recorded when all are there."""
        places = {name: _place(name, schema) for name in COLLECTIONS.values()}
        iterator = iter(points)
        while batch := list(islice(iterator, UPSERT_BATCH)):
            for place in places.values():
                self._ensure(place, len(batch[0].dense))
            self._upsert(author, batch, places)
        existing = self._existing()
        present = {name: place for name, place in places.items() if place in existing}
        for place in present.values():
            if removed:
                self._delete(place, _ids(removed))
        self._switch(author, present)
        version = shared.state_version(schema, self.state(author, schema))
        self._record(author, {"version": version, "schema": schema, "collections": list(present)})
        for place in existing - set(places.values()):
            self._delete(place, models.FilterSelector(filter=_condition(author)))
        return version

    def state(self, author: str, schema: str | None = None) -> dict[str, str]:
        """See Index.state."""
        schema = schema or (self._recorded(author) or {}).get("schema")
        if schema is None:
            return {}
        existing = self._existing()
        found: dict[str, str] = {}
        for place in (_place(name, schema) for name in COLLECTIONS.values()):
            if place in existing:
                found |= self._hashes(place, author)
        return found

    def version(self, author: str) -> str | None:
        """See Index.version."""
        recorded = self._recorded(author)
        return recorded["version"] if recorded else None

    def query(
        self,
        author: str,
        collections: Sequence[str],
        dense: npt.NDArray[np.float32],
        sparse: SparseVector,
        limit: int,
        where: SearchFilter | None = None,
    ) -> list[Hit]:
        """See Index.query."""
        wanted = shared.check_collections(collections)
        recorded = self._recorded(author)
        if recorded is None:
            raise IndexMissingError(f"Nothing is indexed for {author!r} yet; run `twin run {author}` first.")
        found, asked = Candidates(), shared.candidates_for(limit)
        for name in wanted:
            if name in recorded["collections"]:
                found.add(name, *self._search(_alias(name, author), author, dense, sparse, asked, where))
        fused = found.fuse(limit, asked)
        payloads: dict[str, Mapping[str, Any]] = {}
        for name in wanted:
            ids: list[Any] = [shared.point_id(key) for key, _ in fused if found.collection[key] == name]
            if ids:
                records = self._call(self.client.retrieve, _alias(name, author), ids, with_payload=True)
                payloads |= {shared.chunk_id_of(record.id): record.payload or {} for record in records}
        return found.hits([item for item in fused if item[0] in payloads], payloads)

    def _search(
        self,
        alias: str,
        author: str,
        dense: npt.NDArray[np.float32],
        sparse: SparseVector,
        limit: int,
        where: SearchFilter | None,
    ) -> Iterator[list[tuple[str, float]]]:
        condition = _condition(author, where)
        # IDF over this author's passages alone: other tenants must not change what is found, nor show through.
        own = models.SearchParams(idf=models.IdfCorpusParams(corpus=_condition(author)))
        requests = [models.QueryRequest(query=dense.tolist(), using="dense", filter=condition, limit=limit)]
        if sparse[0]:
            vector = models.SparseVector(indices=sparse[0], values=sparse[1])
            requests.append(
                models.QueryRequest(query=vector, using="sparse", filter=condition, limit=limit, params=own)
            )
        answers = self._call(self.client.query_batch_points, alias, requests)
        for answer in answers:
            yield [(shared.chunk_id_of(point.id), point.score) for point in answer.points]
        if not sparse[0]:
            yield []

    def _upsert(self, author: str, batch: Sequence[Point], places: Mapping[str, str]) -> None:
        for name, place in places.items():
            rows = [
                models.PointStruct(
                    id=shared.point_id(point.chunk_id),
                    vector={
                        "dense": point.dense.tolist(),
                        "sparse": models.SparseVector(indices=point.sparse[0], values=point.sparse[1]),
                    },
                    payload=shared.make_payload(author, point),
                )
                for point in batch
                if point.collection == name
            ]
            if rows:
                self._call(self.client.upsert, place, rows, wait=True)
            if elsewhere := [point.chunk_id for point in batch if point.collection != name]:
                self._delete(place, _ids(elsewhere))

    def _hashes(self, place: str, author: str) -> dict[str, str]:
        found: dict[str, str] = {}
        offset = None
        while True:
            records, offset = self._call(
                self.client.scroll, place, scroll_filter=_condition(author), limit=SCROLL_PAGE, offset=offset,
                with_payload=["point_hash"],
            )  # fmt: skip
            found |= {shared.chunk_id_of(record.id): (record.payload or {})["point_hash"] for record in records}
            if offset is None:
                return found

    def _switch(self, author: str, places: Mapping[str, str]) -> None:
        """Point the author's aliases at these collections, all in one request."""
        changes: list[Any] = []
        for name, place in places.items():
            alias = _alias(name, author)
            create = models.CreateAlias(collection_name=place, alias_name=alias)
            changes.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
            changes.append(models.CreateAliasOperation(create_alias=create))
        if changes:
            self._call(self.client.update_collection_aliases, changes)

    def _ensure(self, place: str, dimension: int) -> None:
        if self._call(self.client.collection_exists, place):
            return
        self._call(
            self.client.create_collection,
            place,
            vectors_config={"dense": models.VectorParams(size=dimension, distance=models.Distance.COSINE)},
            sparse_vectors_config={"sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
            # One graph per tenant instead of one over all of them, as Qdrant advises for many tenants.
            hnsw_config=models.HnswConfigDiff(payload_m=16, m=0),
        )
        for field, kind in PAYLOAD_INDEXES.items():
            self._call(self.client.create_payload_index, place, field, kind, wait=True)

    def _record(self, author: str, publication: Mapping[str, Any]) -> None:
        if not self._call(self.client.collection_exists, PUBLICATIONS):
            self._call(self.client.create_collection, PUBLICATIONS, vectors_config={})
        point = models.PointStruct(id=_record_id(author), vector={}, payload={"author": author, **publication})
        self._call(self.client.upsert, PUBLICATIONS, [point], wait=True)

    def _recorded(self, author: str) -> Mapping[str, Any] | None:
        if not self._call(self.client.collection_exists, PUBLICATIONS):
            return None
        records = self._call(self.client.retrieve, PUBLICATIONS, [_record_id(author)])
        return records[0].payload if records else None

    def _existing(self) -> set[str]:
        names = {collection.name for collection in self._call(self.client.get_collections).collections}
        return {name for name in names if name.rpartition("_")[0] in COLLECTIONS.values()}

    def _delete(self, place: str, selector: Any) -> None:
        self._call(self.client.delete, place, points_selector=selector, wait=True)

    def _call(self, request: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
        """Make one request; a server that is away or refuses becomes a VectorIndexError."""
        try:
            return request(*arguments, **options)
        except (ResponseHandlingException, UnexpectedResponse, ApiException) as error:
            raise VectorIndexError(
                f"The Qdrant server did not do what it was asked ({str(error).splitlines()[0]}); "
                "check TWIN_QDRANT_URL and that the server runs."
            ) from error


def _place(collection: str, schema: str) -> str:
    return f"{collection}_{content_hash(schema)[:12]}"


def _alias(collection: str, author: str) -> str:
    return f"{collection}__{author}"


def _record_id(author: str) -> str:
    return str(uuid.UUID(hex=content_hash(author)))


def _ids(chunk_ids: Iterable[str]) -> models.PointIdsList:
    return models.PointIdsList(points=[shared.point_id(chunk_id) for chunk_id in chunk_ids])


def _condition(author: str, where: SearchFilter | None = None) -> models.Filter:
    must: list[Any] = [models.FieldCondition(key="author", match=models.MatchValue(value=author))]
    if where is not None and where.platforms:
        must.append(models.FieldCondition(key="platform", match=models.MatchAny(any=list(where.platforms))))
    if where is not None and (where.published_from or where.published_until):
        bounds = models.DatetimeRange(gte=where.published_from, lt=where.published_until)
        must.append(models.FieldCondition(key="published_at", range=bounds))
    return models.Filter(must=must)
