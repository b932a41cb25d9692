"""evaluate(): a model version on held-out documents, beside what it has to beat, through the server that would serve
it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from twin_assets.core.datasets import Dataset, load_dataset
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import TooLittleTextError, TwinError
from twin_assets.core.evaluation.held_out import Progress, held_out_loss, kept_held_out
from twin_assets.core.evaluation.intervals import Interval, share_less
from twin_assets.core.evaluation.judge import NO_JUDGE, NOT_JUDGED, OF_RETRIEVAL, judge
from twin_assets.core.evaluation.measures import Measure, Measured, answer_of, compared
from twin_assets.core.evaluation.plots import report_plot
from twin_assets.core.evaluation.report import (
    EVALUATION_VERSION,
    Answer,
    Champion,
    HeldOut,
    Report,
    System,
)

if TYPE_CHECKING:
    from twin_assets.core.evaluation.judge import Judgement
    from twin_assets.core.registry import ModelVersion
    from twin_assets.core.workspace import Workspace


class Effort(NamedTuple):
    """How many texts to have written and how long."""

    samples: int
    tokens: int


# Nano says nothing, so it says little: with its base the same as many tokens as one real answer has.
NANO_EFFORT, STANDARD_EFFORT = Effort(4, 40), Effort(12, 300)


@dataclass
class Written:
    """What the systems wrote to the same held-out instructions.

    contexts: the passages they were given, by sample id; left_out: systems and the reason they wrote nothing.
    """

    answers: dict[System, list[Answer]]
    contexts: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


# From the samples to what every system writes to them; asked only where something is really evaluated.
Writer = Callable[[pl.DataFrame], Written]


def evaluate(
    workspace: "Workspace",
    author: str,
    version: str,
    write: Writer,
    *,
    progress: Progress | None = None,
) -> Report:
    """Evaluate a version on the author's present dataset, and keep the report with it in the registry.

    The same samples for the candidate, the version that is served (champion), the stock base with retrieval and
    few-shot examples (baseline) and the assembled drafts. A report on the same dataset against the same champion is
    returned as it is, unless a judge that is set now was missing or failed. Recorded as the last step: what is killed
    before leaves no report. progress: told each stage and the share of it that is done.
    Raises UnknownModelError, ServingError where the server does not answer, TooLittleTextError without held-out texts.
    """
    registry = workspace.registry
    found = registry.get(author, version)
    dataset = load_dataset(workspace.lake, author)
    approved = registry.approved(author)
    rival = approved if approved is not None and approved.version != version else None
    cached = _cached(workspace, found, dataset, rival)
    if cached is not None:
        return cached
    samples = evaluation_samples(dataset, found.is_nano)
    written = write(samples)
    left_out = dict(written.left_out)
    held_out = held_out_loss(workspace, found, dataset, progress)
    champion = None if rival is None else _champion_loss(workspace, rival, dataset, left_out, progress)
    judgement = judge(workspace.settings, workspace.embedder, _judged(written), written.contexts)
    report = _report(workspace, found, dataset, samples, written, judgement, held_out, champion, left_out)
    registry.record_report(
        author, version, report.model_dump(mode="json"), report.metrics(), {"report.png": report_plot(report)}
    )
    return report


def evaluation_samples(dataset: Dataset, is_nano: bool) -> pl.DataFrame:
    """The held-out samples that texts are written for: a few, drawn by hash, the same for every version."""
    test = dataset.split("test")
    if test.is_empty():
        raise TooLittleTextError(
            f"There is no held-out text of {dataset.author!r} to evaluate on; add more of their writing."
        )
    effort = effort_of(is_nano)
    drawn = sorted(test["sample_id"].to_list(), key=lambda sample_id: content_hash("evaluation", sample_id))
    return test.filter(pl.col("sample_id").is_in(drawn[: effort.samples]))


def effort_of(is_nano: bool) -> Effort:
    """How many texts a model of this kind writes for its evaluation, and how long."""
    return NANO_EFFORT if is_nano else STANDARD_EFFORT


def _champion_loss(
    workspace: "Workspace",
    rival: "ModelVersion",
    dataset: Dataset,
    left_out: dict[str, str],
    progress: Progress | None,
) -> Champion | None:
    try:
        return Champion(version=rival.version, held_out=kept_held_out(workspace, rival, dataset, progress))
    except TwinError as error:
        left_out["champion_loss"] = f"version {rival.version}, which is served, could not be measured: {error}"
        return None


def _judged(written: Written) -> dict[str, list[Answer]]:
    return {name: answers for name, answers in written.answers.items() if name != "assembled"}


def _report(
    workspace: "Workspace",
    found: "ModelVersion",
    dataset: Dataset,
    samples: pl.DataFrame,
    written: Written,
    judgement: "Judgement",
    held_out: HeldOut,
    champion: Champion | None,
    left_out: dict[str, str],
) -> Report:
    left_out |= judgement.left_out
    measure = Measure(workspace.embedder, dataset, left_out, found.is_nano)
    measured: dict[str, Measured] = {
        name: measure(answers, judgement.values.get(name), generated=name != "assembled")
        for name, answers in written.answers.items()
        if answers
    }
    own = measure([answer_of(row, row["target"]) for row in samples.iter_rows(named=True)], None, generated=False)
    if champion is not None:
        champion.generated = measured["champion"].figures if "champion" in measured else None
    return Report(
        author=found.author,
        version=found.version,
        base_model=found.base_model,
        is_nano=found.is_nano,
        dataset_version=dataset.version,
        dataset_delta_version=dataset.delta_version,
        evaluated_at=datetime.now(UTC),
        held_out=held_out,
        generated=measured["candidate"].figures if "candidate" in measured else None,
        champion=champion,
        baseline=measured["baseline"].figures if "baseline" in measured else None,
        assembled=measured["assembled"].figures if "assembled" in measured else None,
        own=own.figures,
        differences=_differences(measured, held_out, champion),
        retrieval=measure.intervals_of(judgement.values.get("retrieval", {}), OF_RETRIEVAL),
        judge=judgement.usage,
        left_out=left_out,
        answers=written.answers,
    )


def _differences(
    measured: Mapping[str, Measured], held_out: HeldOut, champion: Champion | None
) -> dict[str, dict[str, Interval]]:
    found = {
        name: compared(measured["candidate"], measured[name])
        for name in ("champion", "baseline", "assembled")
        if name in measured and "candidate" in measured
    }
    if champion is not None:
        below = loss_below(held_out, champion.held_out)
        found.setdefault("champion", {})
        if below is not None:
            found["champion"]["loss_below"] = below
    return found


def loss_below(ours: HeldOut, theirs: HeldOut) -> Interval | None:
    """By what share our held-out loss is below theirs, paired by text (negative: above); None for no common text."""
    known = {text.sample_id: text for text in theirs.texts}
    pairs = [(text, known[text.sample_id]) for text in ours.texts if text.sample_id in known]
    # Per character, as the two may cut texts into tokens, and long texts off, at different places.
    return share_less(
        [our.nats / max(1, our.characters) * their.characters for our, their in pairs],
        [their.nats for _, their in pairs],
    )


def _cached(
    workspace: "Workspace", found: "ModelVersion", dataset: Dataset, rival: "ModelVersion | None"
) -> Report | None:
    """The version's report where it still holds: another dataset, code or champion, or a judge that is back, asks for
    a new one; so does a report that cannot be read."""
    from pydantic import ValidationError

    try:
        stored = workspace.registry.report(found.author, found.version)
        if stored is None or stored.get("evaluation_version") != EVALUATION_VERSION:
            return None
        report = Report.model_validate(stored)
    except (ValidationError, ValueError):
        return None
    compared_with = report.champion.version if report.champion else None
    same = report.dataset_version == dataset.version and compared_with == (rival.version if rival else None)
    missing = any(why == NO_JUDGE or why.startswith(NOT_JUDGED) for why in report.left_out.values())
    judged = workspace.settings.judge_url is None or not missing
    return report if same and judged else None
