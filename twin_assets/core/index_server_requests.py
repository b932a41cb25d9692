"""What ServerIndex (index_server.py) asks a Qdrant server: conditions, and how collections are indexed and kept."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from twin_assets.core.index import DATE_FIELD, KEYWORD_FIELDS, Quantization, SearchFilter, point_id

PAYLOAD_INDEXES: Mapping[str, Any] = {
    **dict.fromkeys(KEYWORD_FIELDS, models.PayloadSchemaType.KEYWORD),
    "author": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    "position": models.PayloadSchemaType.INTEGER,
    DATE_FIELD: models.PayloadSchemaType.DATETIME,
}
QUANTIZATIONS: Mapping[Quantization, Any] = {
    "none": None,
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    ),
    "turbo": models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(always_ram=True)),
}


def point_ids(chunk_ids: Iterable[str]) -> models.PointIdsList:
    """The points of these chunks."""
    return models.PointIdsList(points=[point_id(chunk_id) for chunk_id in chunk_ids])


def dense_vectors(records: Mapping[str, models.Record]) -> dict[str, npt.NDArray[np.float32]]:
    """The records' vectors, in the same order under the same keys."""
    vectors: dict[str, Any] = {key: record.vector for key, record in records.items()}
    return {key: np.array(vector["dense"], dtype=np.float32) for key, vector in vectors.items()}


def places_condition(wanted: Mapping[str, Sequence[int] | None]) -> models.Filter:
    """Passages at these positions (None: at all) of these documents."""
    places: list[Any] = []
    for document_id, positions in wanted.items():
        conditions: list[Any] = [models.FieldCondition(key="document_id", match=models.MatchValue(value=document_id))]
        if positions is not None:
            conditions.append(models.FieldCondition(key="position", match=models.MatchAny(any=list(positions))))
        places.append(models.Filter(must=conditions))
    return models.Filter(should=places)


def tenant_condition(author: str, where: SearchFilter | None = None) -> models.Filter:
    """This author's points, and of those what `where` leaves."""
    must: list[Any] = [models.FieldCondition(key="author", match=models.MatchValue(value=author))]
    if where is not None:
        must += [
            models.Filter(should=[models.FieldCondition(key=name, match=models.MatchAny(any=values)) for name in names])
            for names, values in where.keywords
        ]
        if where.published_from or where.published_until:
            bounds = models.DatetimeRange(gte=where.published_from, lt=where.published_until)
            must.append(models.FieldCondition(key=DATE_FIELD, range=bounds))
    return models.Filter(must=must)
