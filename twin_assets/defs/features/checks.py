"""Gates of the feature pipeline: what fails here holds everything downstream back."""

from typing import Any

import dagster as dg
import polars as pl

from twin_assets.core import features
from twin_assets.defs.features.assets import chunks, cleaned_corpus, qdrant_collections
from twin_assets.defs.partitions import authors
from twin_assets.resources.workspace import WorkspaceResource

GATE: dict[str, Any] = {"blocking": True, "partitions_def": authors}


@dg.asset_check(asset=cleaned_corpus, **GATE, description="Nothing in quarantine and nothing removed is in the corpus.")
def only_clean_documents(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    stores, author = workspace.open(), context.partition_key
    raw = stores.lake.read("raw_documents", author, columns=["document_id", "quarantine", "removed_at"])
    barred = raw.filter(pl.col("quarantine").is_not_null() | pl.col("removed_at").is_not_null())
    corpus = features.corpus(stores.lake, author)
    wrong = corpus.join(barred, on="document_id", how="semi")
    return dg.AssetCheckResult(
        passed=wrong.is_empty(),
        description=f"{wrong.height} documents of the corpus should not be in it" if wrong.height else None,
        metadata={"documents": corpus.height, "barred": barred.height, "wrong": wrong.height},
    )


@dg.asset_check(
    asset=cleaned_corpus,
    partitions_def=authors,
    description="Plain-text posts have every visible character they were published with, less what was redacted or is "
    "boilerplate of many of them.",
)
def voice_survives(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    stores, author = workspace.open(), context.partition_key
    plain = (pl.col("content_type") == "text/plain") & pl.col("removed_at").is_null()
    raw = stores.lake.read("raw_documents", author, columns=["document_id", "content"], where=plain)
    corpus = features.corpus(stores.lake, author).filter(pl.col("redactions") == 0, pl.col("left_out").list.len() == 0)
    joined = corpus.join(raw, on="document_id").select("url", "text", "content")
    changed = [
        row["url"] for row in joined.to_dicts() if "".join(row["text"].split()) != "".join(row["content"].split())
    ]
    return dg.AssetCheckResult(
        passed=not changed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(changed)} posts lost or gained characters, first {changed[0]}" if changed else None,
        metadata={"compared": joined.height, "changed": len(changed)},
    )


@dg.asset_check(asset=chunks, **GATE, description="Every chunk is exactly the stretch of its document it claims to be.")
def spans_are_exact(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    stores, author = workspace.open(), context.partition_key
    texts = features.corpus(stores.lake, author).select("document_id", document="text")
    rows = stores.lake.read("chunks", author, columns=["document_id", "text", "start", "end"])
    joined = rows.join(texts, on="document_id", how="left")
    wrong = joined.filter(
        pl.col("document").is_null()
        | (pl.col("document").str.slice(pl.col("start"), pl.col("end") - pl.col("start")) != pl.col("text"))
    )
    bare = texts.join(rows, on="document_id", how="anti")
    return dg.AssetCheckResult(
        passed=wrong.is_empty() and bare.is_empty(),
        description=f"{wrong.height} chunks are not where they say, {bare.height} documents have none",
        metadata={"chunks": rows.height, "wrong": wrong.height, "documents without chunks": bare.height},
    )


@dg.asset_check(
    asset=qdrant_collections,
    **GATE,
    description="The published index holds exactly the chunks of the corpus.",
)
def index_is_complete(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    stores, author = workspace.open(), context.partition_key
    wanted = set(stores.lake.read("chunks", author, columns=["chunk_id"])["chunk_id"].to_list())
    published = set(stores.index.state(author))
    missing, stale = wanted - published, published - wanted
    return dg.AssetCheckResult(
        passed=not missing and not stale,
        description=f"{len(missing)} chunks are missing from the index, {len(stale)} in it have gone",
        metadata={"points": len(published), "missing": len(missing), "stale": len(stale)},
    )
