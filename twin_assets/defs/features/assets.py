"""cleaned_corpus, chunks, qdrant_collections, voice_profile."""

from typing import Any

import dagster as dg
import polars as pl

from twin_assets.core import features
from twin_assets.core.corpus import corpus_summary
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import TooLittleTextError
from twin_assets.core.sources import PLATFORMS
from twin_assets.core.voice_profile import VoiceProfile, build_profile, save_profile
from twin_assets.defs.automation import on_new_data
from twin_assets.defs.collection.assets import raw_asset_name
from twin_assets.defs.partitions import authors
from twin_assets.defs.reporting import (
    OWNERS,
    bar_plot,
    derivation_metadata,
    histogram,
    progress_to_log,
)
from twin_assets.resources.workspace import WorkspaceResource

FEATURE: dict[str, Any] = {
    "group_name": "features",
    "partitions_def": authors,
    "owners": OWNERS,
    "automation_condition": on_new_data,
}


@dg.asset(
    **FEATURE,
    deps=[raw_asset_name(platform) for platform in PLATFORMS],
    kinds={"polars", "deltalake"},
    description="Documents standardised by category (post, article, code), with every character of the author's kept.",
)
def cleaned_corpus(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    stores, author = workspace.open(), context.partition_key
    derivation = features.update_corpus(stores, author, progress_to_log(context, "cleaning"))
    corpus = features.corpus(stores.lake, author)
    words = corpus["text"].str.split(" ").list.len().to_list()
    by_platform = dict(corpus.group_by("platform").len().sort("platform").iter_rows())
    return dg.MaterializeResult(
        data_version=dg.DataVersion(features.corpus_version(stores.lake, author)),
        metadata={
            **derivation_metadata(derivation),
            "documents": corpus.height,
            "words": sum(words),
            "cleaning": dg.MetadataValue.json(corpus_summary(stores.lake, author)),
            "by platform": bar_plot(by_platform, "documents by platform"),
            "lengths": histogram(words, "length of documents", "words"),
        },
    )


@dg.asset(
    **FEATURE,
    deps=[cleaned_corpus],
    kinds={"polars", "deltalake"},
    description="Passages with their exact place in their document: posts whole, articles by heading.",
)
def chunks(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    stores, author = workspace.open(), context.partition_key
    derivation = features.update_chunks(stores, author, progress_to_log(context, "chunking"))
    rows = stores.lake.read("chunks", author, columns=["chunk_id", "chunk_hash", "text"])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(content_hash(sorted(rows["chunk_hash"].to_list()))),
        metadata={
            **derivation_metadata(derivation),
            "chunks": rows.height,
            "lengths": histogram(rows["text"].str.len_chars().to_list(), "length of chunks", "characters"),
        },
    )


@dg.asset(
    **FEATURE,
    deps=[chunks],
    kinds={"qdrant", "onnx"},
    description="The index people's drafts are retrieved from: dense and BM25 vectors in posts, articles and code.",
)
def qdrant_collections(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    stores, author = workspace.open(), context.partition_key
    embedded = features.update_embeddings(stores, author, progress_to_log(context, "embedding"))
    update = features.update_index(stores, author, progress_to_log(context, "indexing"))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(update.version),
        metadata={
            "texts embedded": embedded.touched,
            "points written": update.upserted,
            "points removed": update.removed,
            "points unchanged": update.unchanged,
            "index version": update.version,
            "embedder": stores.embedder.model_id,
        },
    )


@dg.asset(
    **FEATURE,
    deps=[cleaned_corpus],
    kinds={"polars"},
    description="What makes the author sound like themselves: lengths, rhythm, punctuation, openings, vocabulary.",
)
def voice_profile(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    from twin_assets.core.cleaning import with_own_text
    from twin_assets.core.voice import update_voice

    stores, author = workspace.open(), context.partition_key
    corpus = with_own_text(features.corpus(stores.lake, author))
    profile = save_profile(stores, author, build_profile(corpus))
    try:
        update_voice(stores, author, corpus.filter(pl.col("category") != "code")["text"].to_list())
        scorer = "ready"
    except TooLittleTextError as error:
        scorer = str(error)
    summary = profile.model_dump(mode="json")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(content_hash(summary)),
        metadata={"profile": dg.MetadataValue.json(summary), "voice score": scorer, **_voice_plots(profile)},
    )


def _voice_plots(profile: VoiceProfile) -> dict[str, dg.MetadataValue]:
    plots = {}
    for category, found in profile.categories.items():
        plots[f"{category}: rhythm"] = bar_plot(found.sentence_lengths, "share of sentences, by words")
        plots[f"{category}: punctuation"] = bar_plot(found.punctuation, "marks per 1,000 words")
        own = {word.word: word.z for word in found.vocabulary[:15] if word.z is not None}
        if own:
            plots[f"{category}: own words"] = bar_plot(own, "how far above others' use, in standard deviations")
    return plots
