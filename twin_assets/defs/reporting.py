"""What assets say while they run and in their metadata: progress lines, tables and plots."""

import base64
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from twin_assets.core import errors
from twin_assets.core.errors import TwinError
from twin_assets.core.lake import Derivation

OWNERS = ["team:llm-twin"]
PROGRESS_SECONDS = 5.0


def progress_to_log(context: dg.AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """A progress callback (done, total) that logs at most every few seconds."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= PROGRESS_SECONDS:
            last = now
            context.log.info(f"{what}: {done} of {total}")

    return report


def say(context: dg.AssetExecutionContext) -> Callable[[str], None]:
    """A callback that logs a line."""
    return context.log.info


def share_to_log(context: dg.AssetExecutionContext) -> Callable[[str, float], None]:
    """A progress callback (what, share done) that logs at most every few seconds."""
    last = 0.0

    def report(what: str, share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if share >= 1.0 or now - last >= PROGRESS_SECONDS:
            last = now
            context.log.info(f"{what}: {share:.0%}")

    return report


def derivation_metadata(derivation: Derivation) -> dict[str, int]:
    """Counts of a derive() as asset metadata."""
    return {
        "new": derivation.new,
        "changed": derivation.changed,
        "unchanged": derivation.unchanged,
        "removed": derivation.removed,
        "written": derivation.written,
    }


def as_failure(error: TwinError) -> dg.Failure:
    """The step failure that shows an expected error as its one sentence; trying again would not help."""
    return dg.Failure(description=str(error), allow_retries=False)


def own_sentence(error: SerializableErrorInfo | None) -> str | None:
    """The sentence of the first error of this project that a step's error was raised from, None where there is none."""
    own = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    while error is not None:
        if (error.cls_name or "").rpartition(".")[2] in own:
            return error.message.strip().partition(": ")[2]
        error = error.cause
    return None


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Rows as a Markdown table."""
    if not rows:
        return dg.MetadataValue.md("(none)")
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def picture(png: bytes) -> dg.MetadataValue:
    """A PNG shown inline in Dagster's pages."""
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")


def bar_plot(counts: Mapping[str, float], title: str) -> dg.MetadataValue:
    """A horizontal bar plot of named numbers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 0.6 + 0.32 * max(len(counts), 1)), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(counts), list(counts.values()), color="#2f6f8f")
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=10)
    return _drawn(figure, axes)


def histogram(values: Sequence[float], title: str, label: str) -> dg.MetadataValue:
    """A histogram of numbers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=min(30, max(5, len(values) // 4)), color="#2f6f8f")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(label, fontsize=9)
    return _drawn(figure, axes)


def _drawn(figure: Any, axes: Any) -> dg.MetadataValue:
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=96)
    return picture(buffer.getvalue())
