"""Shards of Qdrant Edge: making one, and asking one. What a publication is made of; index_edge.py publishes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from twin_assets.core import index as shared
from twin_assets.core.embedding import SparseVector
from twin_assets.core.index import DATE_FIELD, KEYWORD_FIELDS, Hit, Quantization, SearchFilter, make_hit

Scored = list[tuple[str, float]]
# Payload and, where it was asked for, dense vector by chunk_id.
Records = dict[str, tuple[dict[str, Any], npt.NDArray[np.float32] | None]]

QUANTIZATIONS: Mapping[Quantization, Callable[[], Any]] = {
    "none": lambda: None,
    "scalar": lambda: edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, memory=edge.Memory.Pinned),
    "turbo": lambda: edge.TurboQuantQuantizationConfig(memory=edge.Memory.Pinned),
}


def create_shard(place: str, dimension: int, quantization: Quantization) -> edge.EdgeShard:
    """A new shard. No write-ahead log: what is half written is thrown away, and the log would be most of the bytes."""
    config = edge.EdgeConfig(
        vectors={"dense": edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)},
        sparse_vectors={"sparse": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        quantization_config=QUANTIZATIONS[quantization](),
        wal_enabled=False,
    )
    shard = edge.EdgeShard.create(place, config)
    for name in KEYWORD_FIELDS:
        kind = edge.KeywordIndexParams(is_tenant=True) if name == "author" else edge.PayloadSchemaType.Keyword
        shard.update(edge.UpdateOperation.create_field_index(name, kind))
    shard.update(edge.UpdateOperation.create_field_index(DATE_FIELD, edge.PayloadSchemaType.Datetime))
    return shard


def search_shard(
    shard: edge.EdgeShard,
    dense: npt.NDArray[np.float32] | None,
    sparse: SparseVector,
    limit: int,
    where: SearchFilter | None,
    exact: bool,
) -> tuple[Scored, Scored]:
    """The dense results and the BM25 results, as (chunk_id, score)."""
    condition = _condition(where)
    rescored = edge.QuantizationSearchParams(rescore=True, oversampling=shared.OVERSAMPLING)
    params = edge.SearchParams(hnsw_ef=shared.SEARCH_WIDTH, exact=exact, quantization=rescored)
    near: Scored = []
    if dense is not None:
        query = edge.Query.Nearest(dense.tolist(), using="dense")
        near = _scored(shard.query(edge.QueryRequest(limit=limit, query=query, filter=condition, params=params)))
    if not sparse[0]:
        return near, []
    query = edge.Query.Nearest(edge.SparseVector(*sparse), using="sparse")
    return near, _scored(shard.query(edge.QueryRequest(limit=limit, query=query, filter=condition)))


def _scored(points: Sequence[edge.ScoredPoint]) -> Scored:
    return [(shared.chunk_id_of(point.id), point.score) for point in points]


def fetch(shard: edge.EdgeShard, chunk_ids: Sequence[str], vectors: bool) -> Records:
    """The records of these chunks."""
    ids: list[Any] = [shared.point_id(chunk_id) for chunk_id in chunk_ids]
    records = shard.retrieve(ids, True, ["dense"] if vectors else False)
    return {shared.chunk_id_of(record.id): (record.payload or {}, _dense(record.vector)) for record in records}


def passages_of(shard: edge.EdgeShard, collection: str, wanted: Mapping[str, Sequence[int] | None]) -> list[Hit]:
    """The passages at these positions (None: all) of these documents that the shard holds, in no order."""
    places: list[Any] = []
    for document_id, positions in wanted.items():
        conditions = [edge.FieldCondition("document_id", match=edge.MatchValue(document_id))]
        if positions is not None:
            conditions.append(edge.FieldCondition("position", match=edge.MatchAny(list(positions))))
        places.append(edge.Filter(must=list(conditions)))
    condition = edge.Filter(should=places)
    found: list[Hit] = []
    offset = None
    while True:
        request = edge.ScrollRequest(offset=offset, limit=1000, filter=condition, with_payload=True, with_vector=False)
        records, offset = shard.scroll(request)
        found += [make_hit(shared.chunk_id_of(record.id), collection, record.payload or {}) for record in records]
        if offset is None:
            return found


def _dense(vector: Any) -> npt.NDArray[np.float32] | None:
    return np.array(vector["dense"], dtype=np.float32) if vector else None


def _condition(where: SearchFilter | None) -> edge.Filter | None:
    if where is None:
        return None
    must: list[Any] = [
        edge.Filter(should=[edge.FieldCondition(name, match=edge.MatchAny(values)) for name in names])
        for names, values in where.keywords
    ]
    if where.published_from or where.published_until:
        bounds = edge.RangeDateTime(
            gte=where.published_from.isoformat() if where.published_from else None,
            lt=where.published_until.isoformat() if where.published_until else None,
        )
        must.append(edge.FieldCondition(DATE_FIELD, range=bounds))
    return edge.Filter(must=must)
