"""Plots of a report, as PNG bytes for asset metadata and MLflow."""

from io import BytesIO

from twin_assets.core.evaluation.report import Report


def report_plot(report: Report) -> bytes:
    """Held-out loss of base and tuned model, and voice scores of what was written, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    loss, voice = figure.subplots(1, 2)
    bars = loss.bar(["base", "tuned"], [report.held_out.loss_base, report.held_out.loss], color=["#b0b0b0", "#3366aa"])
    loss.bar_label(bars, fmt="%.3f")
    loss.set_ylabel("held-out loss (nats per token)")
    loss.set_title(f"{report.held_out.samples} held-out texts, {report.held_out.improvement:+.1%}")
    loss.margins(y=0.15)
    scores = {
        name: texts.voice
        for name, texts in (("author", report.own), ("assembled", report.assembled), ("model", report.generated))
        if texts is not None and texts.voice is not None
    }
    bars = voice.bar(list(scores), list(scores.values()), color="#3366aa")
    voice.bar_label(bars, fmt="%.0f")
    voice.set_ylim(0, 115)
    voice.set_ylabel("voice score (0 strangers, 100 author)")
    voice.set_title(f"version {report.version} of {report.author} on {report.base_model}")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
