"""The feature pipeline as functions: raw documents → corpus → chunks → embeddings → index; what the assets call.

Every step derives only what is new (lake.derive), so each may be killed anywhere and the next run does the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from twin_assets.core.chunking import CHUNKER_VERSION, chunk_documents
from twin_assets.core.corpus import update_corpus as update_corpus
from twin_assets.core.documents import COLLECTIONS, content_hash
from twin_assets.core.embedding import Progress, Vectors
from twin_assets.core.errors import LakeError
from twin_assets.core.index import Point, state_version
from twin_assets.core.lake import Derivation, Lake, derive

if TYPE_CHECKING:
    from twin_assets.core.embedding import Embedder
    from twin_assets.core.workspace import Workspace

# Changes when the payload or the sparse vectors of a point would; the embedding model is named beside it.
INDEX_LAYOUT = "3"
CHUNK_FIELDS = (
    "chunk_id", "chunk_hash", "text_hash", "document_id", "position", "category", "platform", "url", "title", "heading",
    "text", "start", "end", "published_at", "language", "addresses",
)  # fmt: skip
EMBEDDING_BATCH = 512
INDEX_BATCH = 2000
_IDENTITY = {"chunk_id": pl.String, "chunk_hash": pl.String}


@dataclass(frozen=True, slots=True)
class IndexUpdate:
    """What one update_index() did, in chunks; version: of the index now published."""

    version: str
    upserted: int
    removed: int
    unchanged: int


def update_chunks(workspace: "Workspace", author: str, progress: Progress | None = None) -> Derivation:
    """Cut new and changed documents of the corpus into passages, and drop those of documents that left it."""
    embedder = workspace.embedder
    return derive(
        workspace.lake, author=author, upstream="documents", downstream="chunks", key="document_id",
        hash_column="document_hash", where=pl.col("rejected").is_null(),
        function=partial(chunk_documents, embedder=embedder),
        version=f"{CHUNKER_VERSION}/{embedder.model.identity_of_tokens}", progress=progress,
    )  # fmt: skip


def update_embeddings(workspace: "Workspace", author: str, progress: Progress | None = None) -> Derivation:
    """Embed passages whose text the model that is set has not embedded yet.

    An embedding is kept under its text's hash beside those of other models, so that the same text is not embedded
    twice, not after a deletion, nor when a model is set that was set before; housekeeping.tidy() removes what is old.
    """
    embedder = workspace.embedder

    def embed(rows: pl.DataFrame) -> pl.DataFrame:
        texts = rows.unique("text_hash", maintain_order=True)
        vectors = embedder.embed(texts["text"].to_list())
        return pl.DataFrame({"text_hash": texts["text_hash"], "vector": vectors}).cast({"vector": pl.List(pl.Float32)})

    return derive(
        workspace.lake, author=author, upstream="chunks", downstream="embeddings", key="text_hash",
        hash_column="text_hash", function=embed, version=embedder.model_id, keep_gone=True, beside=True,
        batch_size=EMBEDDING_BATCH, progress=progress,
    )  # fmt: skip


def update_index(
    workspace: "Workspace", author: str, progress: Progress | None = None, *, anew: bool = False
) -> IndexUpdate:
    """Publish the chunks with their embeddings: what the index lacks, less what is gone; nothing if it is the same.

    anew: publish all of them, so that no byte of what was dropped stays.
    Raises LakeError where a chunk has no embedding: update_embeddings() comes first.
    """
    lake, index, embedder = workspace.lake, workspace.index, workspace.embedder
    schema = f"{INDEX_LAYOUT}/{embedder.model_id}"
    chunks = lake.read("chunks", author, columns=["chunk_id", "chunk_hash", "text_hash"])
    state = index.state(author, schema)
    published = pl.DataFrame({"chunk_id": list(state), "chunk_hash": list(state.values())}, schema=_IDENTITY)
    fresh = chunks if anew else chunks.join(published, on=["chunk_id", "chunk_hash"], how="anti")
    fresh = fresh.sort("chunk_id")
    removed = published.join(chunks, on="chunk_id", how="anti")["chunk_id"].sort().to_list()
    version = index.version(author)
    # A publish that was killed may have left all points and the version of the time before.
    if anew or fresh.height or removed or version is None or version != state_version(schema, state):
        points = index_points(lake, author, fresh, embedder, progress)
        version = index.publish(author, points, removed, schema=schema, anew=anew)
    return IndexUpdate(version, fresh.height, len(removed), chunks.height - fresh.height)


def embeddings(lake: Lake, author: str, text_hashes: Sequence[str], model_id: str) -> dict[str, Vectors]:
    """Vectors, float32 [dimension], by text hash; raises LakeError where one is missing."""
    wanted = pl.col("text_hash").is_in(list(text_hashes)) & (pl.col("derived_version") == model_id)
    frame = lake.read("embeddings", author, columns=["text_hash", "vector"], where=wanted)
    lost = set(text_hashes) - set(frame["text_hash"])
    if lost:
        raise LakeError(f"{len(lost)} passages of {author!r} have no embedding yet; run update_embeddings() first.")
    vectors = np.array(frame["vector"].to_list(), dtype=np.float32)
    return dict(zip(frame["text_hash"], vectors, strict=True))


def corpus(lake: Lake, author: str, version: int | None = None) -> pl.DataFrame:
    """The author's documents that are not rejected, oldest first, as of a Delta version of table `documents`."""
    documents = lake.read("documents", author, where=pl.col("rejected").is_null(), version=version)
    return documents.sort("published_at", "document_id", nulls_last=False)


def corpus_version(lake: Lake, author: str, version: int | None = None) -> str:
    """Content hash of the corpus: the same documents give the same version, whenever they came.

    version: as of this Delta version of table `documents`.
    """
    columns = ["document_id", "document_hash"]
    documents = lake.read("documents", author, columns=columns, where=pl.col("rejected").is_null(), version=version)
    return content_hash(documents.sort(columns).rows())


def index_points(
    lake: Lake, author: str, fresh: pl.DataFrame, embedder: "Embedder", progress: Progress | None
) -> Iterator[Point]:
    """Points of these chunks, a batch at a time, so that a large index never is in memory as a whole."""
    for start in range(0, fresh.height, INDEX_BATCH):
        batch = fresh.slice(start, INDEX_BATCH)
        wanted = pl.col("chunk_id").is_in(batch["chunk_id"].to_list())
        rows = lake.read("chunks", author, columns=CHUNK_FIELDS, where=wanted).sort("chunk_id")
        vectors = embeddings(lake, author, rows["text_hash"].to_list(), embedder.model_id)
        sparse = embedder.sparse([f"{row['title']}\n{row['text']}" for row in rows.iter_rows(named=True)])
        for row, weights in zip(rows.iter_rows(named=True), sparse, strict=True):
            published = row["published_at"]
            yield Point(
                chunk_id=row["chunk_id"], point_hash=row["chunk_hash"], collection=COLLECTIONS[row["category"]],
                dense=vectors[row["text_hash"]], sparse=weights,
                payload={name: row[name] for name in CHUNK_FIELDS[3:]}
                | {"published_at": published.isoformat() if published else None},
            )  # fmt: skip
        if progress is not None:
            progress(start + batch.height, fresh.height)
