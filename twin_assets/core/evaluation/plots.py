"""Plots of a report, as PNG bytes for asset metadata and MLflow."""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

from twin_assets.core.evaluation.intervals import Interval
from twin_assets.core.evaluation.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, OTHERS = "#3366aa", "#b0b0b0"
# What is shown where there are figures of it, with the ends of its scale.
SCALES = {
    "voice": ("voice score (0 strangers, 100 author)", (0.0, 100.0)),
    "semantic_similarity": ("nearness in meaning to the author's text", (0.0, 1.0)),
    "style_rubric": ("style, as the judge reads it", (1.0, 5.0)),
}


def report_plot(report: Report) -> bytes:
    """Held-out loss of base, tuned model and champion, and what each wrote, side by side with 95% intervals."""
    from matplotlib.figure import Figure

    shown = [name for name in SCALES if any(name in texts.intervals for texts in report.systems.values())]
    figure = Figure(figsize=(4.5 * (1 + len(shown)), 3.4), layout="constrained")
    axes = figure.subplots(1, 1 + len(shown), squeeze=False)[0]
    _loss(axes[0], report)
    for ax, name in zip(axes[1:], shown, strict=True):
        label, scale = SCALES[name]
        found = {who: t.intervals[name] for who, t in report.systems.items() if name in t.intervals}
        _with_intervals(ax, found)
        ax.set_ylim(scale[0], scale[1] * 1.15)
        ax.set_ylabel(label)
        ax.set_title(f"{max(each.samples for each in found.values())} texts, 95% intervals", fontsize="medium")
    figure.suptitle(f"version {report.version} of {report.author} on {report.base_model}", fontsize="medium")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _loss(ax: "Axes", report: Report) -> None:
    held_out = report.held_out
    values = {"base": held_out.loss_base, "tuned": held_out.loss}
    ends = held_out.loss_interval
    errors = None
    if ends is not None:
        errors = [[0.0, held_out.loss - ends.low], [0.0, ends.high - held_out.loss]]
    bars = ax.bar(list(values), list(values.values()), color=[OTHERS, OURS], yerr=errors, capsize=4)
    ax.bar_label(bars, fmt="%.3f", padding=3)
    ax.set_ylabel("held-out loss (nats per token)")
    ax.set_title(f"{held_out.samples} held-out texts, {held_out.improvement:+.1%}", fontsize="medium")
    ax.margins(y=0.2)


def _with_intervals(ax: "Axes", found: Mapping[str, Interval]) -> None:
    values = [each.value for each in found.values()]
    errors = [[e.value - e.low for e in found.values()], [e.high - e.value for e in found.values()]]
    # A percentile interval of few texts may lie to one side of the figure.
    errors = [[max(0.0, each) for each in side] for side in errors]
    colours = [OURS if name == "candidate" else OTHERS for name in found]
    bars = ax.bar(list(found), values, color=colours, yerr=errors, capsize=4)
    ax.bar_label(bars, fmt="%.2g" if max(values) < 10 else "%.0f", padding=3)
