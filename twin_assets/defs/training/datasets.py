"""instruct_dataset and preference_dataset, and the gates that hold training back behind them."""

from collections import Counter
from typing import Any

import dagster as dg
import polars as pl

from twin_assets.core.errors import TwinError
from twin_assets.defs.automation import on_new_data
from twin_assets.defs.features.assets import chunks, cleaned_corpus
from twin_assets.defs.partitions import authors
from twin_assets.defs.reporting import (
    OWNERS,
    as_failure,
    bar_plot,
    derivation_metadata,
    histogram,
    progress_to_log,
    say,
)
from twin_assets.resources.workspace import WorkspaceResource

DATASET: dict[str, Any] = {
    "group_name": "features",
    "partitions_def": authors,
    "owners": OWNERS,
    "automation_condition": on_new_data,
    "kinds": {"polars", "deltalake"},
}
GATE: dict[str, Any] = {"blocking": True, "partitions_def": authors}


@dg.asset(
    **DATASET,
    deps=[cleaned_corpus, chunks],
    description="Instructions with the author's own words as answers, split by document and near-duplicate group.",
)
def instruct_dataset(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    from twin_assets.core import datasets

    stores, author = workspace.open(), context.partition_key
    try:
        update = datasets.update_samples(stores, author, progress_to_log(context, "samples"), say(context))
        dataset = datasets.load_dataset(stores.lake, author)
    except TwinError as error:
        raise as_failure(error) from error
    used = dataset.samples.filter(pl.col("excluded").is_null())
    lengths = used["target"].str.split(" ").list.len().to_list()
    teaching = update.teaching
    return dg.MaterializeResult(
        data_version=dg.DataVersion(dataset.version),
        metadata={
            **derivation_metadata(update.derivation),
            "dataset version": dataset.version,
            "samples": used.height,
            "with context": used.filter(pl.col("context") != "").height,
            "instructions by a teacher": used["instructed_by"].count(),
            "teacher": dg.MetadataValue.json(
                {
                    "wanted": teaching.wanted,
                    "written": teaching.written,
                    "made by rules instead": teaching.fallen_back,
                    "cost estimated": teaching.estimated,
                    "cost": teaching.cost,
                    "tokens read": teaching.usage.input_tokens,
                    "tokens written": teaching.usage.output_tokens,
                }
            ),
            "splits": bar_plot(dataset.counts, "samples by split"),
            "forms": bar_plot(_counts(used, "form"), "samples by form"),
            "left out": bar_plot(_reasons(dataset.samples), "left out, by reason"),
            "left out, by reason": dg.MetadataValue.json(_reasons(dataset.samples)),
            "lengths": histogram(lengths, "length of targets", "words"),
        },
    )


@dg.asset_check(asset=instruct_dataset, **GATE, description="No test document, nor a near-duplicate, is in training.")
def no_leakage(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    from twin_assets.core import datasets

    return _verdict(datasets.leakage(datasets.load_dataset(workspace.open().lake, context.partition_key)))


@dg.asset_check(asset=instruct_dataset, **GATE, description="Every answer to be learned is the author's own, verbatim.")
def targets_are_verbatim(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    from twin_assets.core import features

    stores, author = workspace.open(), context.partition_key
    samples = stores.lake.read("samples", author, columns=["document_id", "target"], where=pl.col("excluded").is_null())
    texts = features.corpus(stores.lake, author).select("document_id", "text")
    joined = samples.join(texts, on="document_id", how="left")
    wrong = [row for row in joined.to_dicts() if row["text"] is None or row["target"] not in row["text"]]
    return dg.AssetCheckResult(
        passed=not wrong,
        description=f"{len(wrong)} targets are not text of their document" if wrong else None,
        metadata={"samples": samples.height, "not verbatim": len(wrong)},
    )


@dg.asset_check(
    asset=instruct_dataset,
    **GATE,
    description="Every split has samples, most of the text is for training, no one document is most of it, no target "
    "is empty or longer than its form may be.",
)
def is_balanced(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    from twin_assets.core import datasets

    dataset = datasets.load_dataset(workspace.open().lake, context.partition_key)
    return _verdict([*datasets.size(dataset), *datasets.balance(dataset), *datasets.lengths(dataset)])


@dg.asset_check(asset=instruct_dataset, **GATE, description="No secret and nobody's private data is to be learned.")
def no_personal_data(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    from twin_assets.core import datasets

    stores, author = workspace.open(), context.partition_key
    urls = dict(stores.lake.read("documents", author, columns=["document_id", "url"]).iter_rows())
    contacts = stores.authors.get(author).contacts
    return _verdict(datasets.personal_data(datasets.load_dataset(stores.lake, author), urls, contacts))


@dg.asset(
    **DATASET,
    deps=[instruct_dataset],
    description="Pairs of what the author prefers: their edits, the draft they rated higher, their words against what "
    "the base model wrote.",
)
def preference_dataset(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    from twin_assets.core import datasets

    try:
        preferences = datasets.update_preferences(
            workspace.open(), context.partition_key, progress_to_log(context, "answers of the base model")
        )
    except TwinError as error:
        raise as_failure(error) from error
    return dg.MaterializeResult(
        data_version=dg.DataVersion(preferences.version),
        metadata={
            "dataset version": preferences.version,
            "pairs": preferences.pairs.height,
            "by source": dg.MetadataValue.json(preferences.counts),
            "left out": preferences.left_out,
            "why none": preferences.reason or "",
            "notes": dg.MetadataValue.json(list(preferences.notes)),
        },
    )


@dg.asset_check(
    asset=preference_dataset, **GATE, description="No preferred text is one of the validation or test split."
)
def preferences_do_not_leak(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    from twin_assets.core import datasets

    lake, author = workspace.open().lake, context.partition_key
    found = datasets.load_preferences(lake, author)
    return _verdict(datasets.preference_leakage(found, datasets.load_dataset(lake, author)))


def _verdict(problems: list[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not problems, description="; ".join(problems[:3]) or None, metadata={"problems": len(problems)}
    )


def _counts(frame: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(frame.group_by(column).len().sort(column).iter_rows())


def _reasons(samples: pl.DataFrame) -> dict[str, int]:
    """Samples left out by reason; which document a copy repeats is in the table."""
    reasons = samples["excluded"].drop_nulls().str.replace("^(near-duplicate of).*$", "$1 another document")
    return dict(sorted(Counter(reasons).items()))
