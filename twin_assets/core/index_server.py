"""ServerIndex: a Qdrant server through qdrant-client. Authors share collections; the author is the tenant key.

<collection>_<schema key>    the points of all authors under one embedding model and layout
<collection>__<author>       an alias: where this author's points are read. A new schema is built beside the old one
                             and the aliases of all of an author's collections are switched in one request
publications                 version and schema of each author, as one point each
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from twin_assets.core.index import Candidates, Hit, Point, Quantization, SchemaChangedError, SearchFilter, make_hit
from twin_assets.core.index_server_requests import (
    PAYLOAD_INDEXES,
    QUANTIZATIONS,
    dense_vectors,
    places_condition,
    point_ids,
    tenant_condition,
)

PUBLICATIONS = "publications"
UPSERT_BATCH = 256
SCROLL_PAGE = 10_000
# How often a query is made again because another schema was published meanwhile.
QUERY_ATTEMPTS = 3

Answer = TypeVar("Answer")


class ServerIndex:
    """The index on a Qdrant server (or, with QdrantClient(":memory:"), with a server's semantics in this process)."""

    def __init__(self, client: QdrantClient, quantization: Quantization = "none") -> None:
        self.client = client
        self.quantization = quantization

    def publish(
        self, author: str, points: Iterable[Point], removed: Sequence[str], *, schema: str, anew: bool = False
    ) -> str:
        """See Index.publish. Points appear as they are written; the version is recorded when all are there.

        anew: makes no difference, as a server frees the space of dropped points itself.
        """
        places = {name: self._place(name, schema) for name in COLLECTIONS.values()}
        iterator = iter(points)
        while batch := list(islice(iterator, UPSERT_BATCH)):
            for place in places.values():
                self._ensure(place, len(batch[0].dense))
            self._upsert(author, batch, places)
        existing = self._existing()
        present = {name: place for name, place in places.items() if place in existing}
        for place in present.values():
            if removed:
                self._delete(place, point_ids(removed))
        self._switch(author, present)
        version = shared.state_version(schema, self.state(author, schema))
        self._record(author, {"version": version, "schema": schema, "collections": present})
        for place in existing - set(places.values()):
            self._delete(place, models.FilterSelector(filter=tenant_condition(author)))
        return version

    def remove(self, author: str) -> None:
        """See Index.remove."""
        for place in self._existing():
            self._delete(place, models.FilterSelector(filter=tenant_condition(author)))
        aliases = [models.DeleteAlias(alias_name=_alias(name, author)) for name in COLLECTIONS.values()]
        gone = [models.DeleteAliasOperation(delete_alias=alias) for alias in aliases]
        self._call(self.client.update_collection_aliases, gone)
        if self._recorded(author) is not None:
            self._delete(PUBLICATIONS, models.PointIdsList(points=[_record_id(author)]))

    def state(self, author: str, schema: str | None = None) -> dict[str, str]:
        """See Index.state."""
        recorded = self._recorded(author)
        if schema is not None:
            places = [self._place(name, schema) for name in COLLECTIONS.values()]
        else:
            places = list(recorded["collections"].values()) if recorded else []
        existing = self._existing()
        found: dict[str, str] = {}
        for place in places:
            if place in existing:
                found |= self._hashes(place, author)
        return found

    def version(self, author: str) -> str | None:
        """See Index.version."""
        recorded = self._recorded(author)
        return recorded["version"] if recorded else None

    def schema(self, author: str) -> str | None:
        """See Index.schema."""
        recorded = self._recorded(author)
        return recorded["schema"] if recorded else None

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
        """See Index.query."""
        wanted = shared.check_collections(collections)
        for _ in range(QUERY_ATTEMPTS):
            recorded = self._published(author)
            if schema not in (None, recorded["schema"]):
                break
            places = {name: recorded["collections"][name] for name in wanted if name in recorded["collections"]}
            found, asked = Candidates(), shared.candidates_for(limit)
            try:
                for name, place in places.items():
                    found.add(name, *self._search(place, author, dense, sparse, asked, where, exact))
                fused = found.fuse(limit, asked)
                records = self._fetch(places, fused, found, vectors)
            except VectorIndexError:
                # A new schema may have been published, and the old collections be gone.
                if self._recorded(author) == recorded:
                    raise
                continue
            # A publication of another schema takes the author's points out of the places that were read.
            if len(records) == len(fused) and (len(fused) == limit or self._recorded(author) == recorded):
                payloads = {key: record.payload or {} for key, record in records.items()}
                return found.hits(fused, payloads, dense_vectors(records) if vectors else {})
        raise SchemaChangedError(f"The index of {author!r} was published anew while it was asked; ask again.")

    def passages(self, author: str, wanted: Mapping[str, Sequence[int] | None]) -> list[Hit]:
        """See Index.passages."""
        found: list[Hit] = []
        for name, place in self._published(author)["collections"].items() if wanted else []:
            records = self._scroll(
                place, models.Filter(must=[tenant_condition(author), places_condition(wanted)]), True
            )
            found += [make_hit(key, name, record.payload or {}) for key, record in records.items()]
        return shared.in_document_order(found, wanted)

    def _published(self, author: str) -> Mapping[str, Any]:
        recorded = self._recorded(author)
        if recorded is None:
            raise IndexMissingError(author)
        return recorded

    def _search(
        self,
        place: str,
        author: str,
        dense: npt.NDArray[np.float32] | None,
        sparse: SparseVector,
        limit: int,
        where: SearchFilter | None,
        exact: bool,
    ) -> list[list[tuple[str, float]]]:
        """The dense results and the BM25 results, as (chunk_id, score)."""
        condition = tenant_condition(author, where)
        rescored = models.QuantizationSearchParams(rescore=True, oversampling=shared.OVERSAMPLING)
        walk = models.SearchParams(hnsw_ef=shared.SEARCH_WIDTH, exact=exact, quantization=rescored)
        # IDF over this author's passages alone: other tenants must not change what is found, nor show through.
        own = models.SearchParams(idf=models.IdfCorpusParams(corpus=tenant_condition(author)))
        requests: dict[str, models.QueryRequest] = {}
        if dense is not None:
            near: Any = dense.tolist()
            requests["dense"] = models.QueryRequest(
                query=near, using="dense", filter=condition, limit=limit, params=walk
            )
        if sparse[0]:
            terms = models.SparseVector(indices=sparse[0], values=sparse[1])
            requests["sparse"] = models.QueryRequest(
                query=terms, using="sparse", filter=condition, limit=limit, params=own
            )
        answers = self._call(self.client.query_batch_points, place, list(requests.values())) if requests else []
        found = {
            name: [(shared.chunk_id_of(point.id), point.score) for point in answer.points]
            for name, answer in zip(requests, answers, strict=True)
        }
        return [found.get("dense", []), found.get("sparse", [])]

    def _fetch(
        self, places: Mapping[str, str], fused: Sequence[tuple[str, float]], found: Candidates, vectors: bool
    ) -> dict[str, models.Record]:
        """The records of the fused candidates by chunk_id; those that are gone are left out."""
        records: dict[str, models.Record] = {}
        for name, place in places.items():
            ids: list[Any] = [shared.point_id(key) for key, _ in fused if found.collection[key] == name]
            if ids:
                wanted = ["dense"] if vectors else False
                answer = self._call(self.client.retrieve, place, ids, with_payload=True, with_vectors=wanted)
                records |= {shared.chunk_id_of(record.id): record for record in answer}
        return records

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
                self._delete(place, point_ids(elsewhere))

    def _hashes(self, place: str, author: str) -> dict[str, str]:
        records = self._scroll(place, tenant_condition(author), ["point_hash"])
        return {key: (record.payload or {})["point_hash"] for key, record in records.items()}

    def _scroll(self, place: str, condition: models.Filter, payload: bool | list[str]) -> dict[str, models.Record]:
        """Every record that meets the condition, by chunk_id."""
        found: dict[str, models.Record] = {}
        offset = None
        while True:
            records, offset = self._call(
                self.client.scroll, place, scroll_filter=condition, limit=SCROLL_PAGE, offset=offset,
                with_payload=payload,
            )  # fmt: skip
            found |= {shared.chunk_id_of(record.id): record for record in records}
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

    def _place(self, collection: str, schema: str) -> str:
        """The collection's name under this schema, and under how vectors are kept where that is not as they are."""
        kept = () if self.quantization == "none" else (self.quantization,)
        return f"{collection}_{content_hash(schema, *kept)[:12]}"

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
            quantization_config=QUANTIZATIONS[self.quantization],
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


def _alias(collection: str, author: str) -> str:
    return f"{collection}__{author}"


def _record_id(author: str) -> str:
    return str(uuid.UUID(hex=content_hash(author)))
