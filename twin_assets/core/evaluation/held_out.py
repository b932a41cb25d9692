"""Held-out loss of a version, text by text, so that two versions can be compared on the same texts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.datasets import Dataset
from twin_assets.core.documents import content_hash
from twin_assets.core.evaluation.intervals import ratio_interval, share_less
from twin_assets.core.evaluation.report import HeldOut, TextLoss

if TYPE_CHECKING:
    from twin_assets.core.registry import ModelVersion
    from twin_assets.core.workspace import Workspace

Progress = Callable[[str, float], None]

HELD_OUT_SAMPLES = 100


def held_out_loss(
    workspace: "Workspace", version: "ModelVersion", dataset: Dataset, progress: Progress | None = None
) -> HeldOut:
    """Loss of a version, with its adapter and without, on the dataset's test split (at most 100 samples of it)."""
    from twin_assets.core.training.loading import load_version
    from twin_assets.core.training.loss import answer_loss
    from twin_assets.core.training.recipes import recipe_for
    from twin_assets.core.training.threads import fastest_threads

    test = dataset.split("test")
    drawn = sorted(test["sample_id"].to_list(), key=lambda sample_id: content_hash("held-out", sample_id))
    test = test.filter(pl.col("sample_id").is_in(drawn[:HELD_OUT_SAMPLES]))
    length = recipe_for("nano" if version.is_nano else "hub").length
    name = workspace.authors.get(version.author).name

    def loss_of(row: pl.DataFrame) -> Any:
        return answer_loss(model, tokenizer, name, row, max_length=length)

    model, tokenizer = load_version(workspace, version)
    texts = []
    with fastest_threads():
        for done, sample_id in enumerate(test["sample_id"], start=1):
            row = test.filter(pl.col("sample_id") == sample_id)
            tuned = loss_of(row)
            with model.disable_adapter():
                base = loss_of(row)
            texts.append(
                TextLoss(
                    sample_id=sample_id, nats=tuned.nats, nats_base=base.nats, tokens=tuned.tokens,
                    characters=tuned.characters,
                )
            )  # fmt: skip
            if progress is not None:
                progress("measuring held-out loss", done / test.height)
    return of_texts(texts)


def of_texts(texts: list[TextLoss]) -> HeldOut:
    """The figures of all texts together, with their intervals."""
    nats, base = [text.nats for text in texts], [text.nats_base for text in texts]
    tokens, characters = sum(text.tokens for text in texts), sum(text.characters for text in texts)
    return HeldOut(
        samples=len(texts),
        tokens=tokens,
        characters=characters,
        loss=sum(nats) / max(1, tokens),
        loss_base=sum(base) / max(1, tokens),
        loss_per_character=sum(nats) / max(1, characters),
        loss_interval=ratio_interval(nats, [text.tokens for text in texts]),
        below_base=share_less(nats, base),
        texts=texts,
    )


def kept_held_out(
    workspace: "Workspace", version: "ModelVersion", dataset: Dataset, progress: Progress | None = None
) -> HeldOut:
    """held_out_loss(), measured once for a version and a dataset; what cannot be read again is measured again."""
    from pydantic import ValidationError

    name = f"held-out-{dataset.version[:12]}"
    try:
        stored = workspace.registry.report(version.author, version.version, name)
        if stored is not None:
            return HeldOut.model_validate(stored)
    except (ValidationError, ValueError):
        pass
    found = held_out_loss(workspace, version, dataset, progress)
    workspace.registry.record_report(version.author, version.version, found.model_dump(mode="json"), name=name)
    return found
