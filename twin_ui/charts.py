"""Charts: plain functions from figures to altair, coloured by the page's theme."""

from collections.abc import Mapping, Sequence

import altair as alt

from twin_ui import parts

BAR_HEIGHT = 26
AXES_HEIGHT = 130


def documents_by_platform(counts: Mapping[str, int]) -> alt.Chart:
    """Documents of each platform, most first; the number stands in the label, where every theme can be read."""
    rows = [
        {"platform": f"{parts.platform_title(name)}  {number:,}", "documents": number}
        for name, number in counts.items()
    ]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(cornerRadiusEnd=4, height=16)
        .encode(
            y=alt.Y("platform:N", sort="-x", title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=8)),
            x=alt.X("documents:Q", title=None, axis=None),
            tooltip=["platform:N"],
        )
        .properties(height=max(1, len(rows)) * BAR_HEIGHT)
    )
    return chart


def losses(versions: Sequence[Mapping[str, float | str]]) -> alt.Chart:
    """Held-out loss of each version beside its base, nats per token; rows of {"version", "model", "loss"}."""
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(versions)))
        .mark_bar(cornerRadiusEnd=4)
        .encode(
            y=alt.Y("version:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False)),
            yOffset=alt.YOffset("model:N", sort=["Tuned", "Base"]),
            x=alt.X("loss:Q", title="Loss on held-out writing (lower is better)"),
            color=alt.Color("model:N", title=None, sort=["Tuned", "Base"], legend=alt.Legend(orient="top")),
            tooltip=["version:N", "model:N", alt.Tooltip("loss:Q", format=".3f")],
        )
        .properties(height=len(versions) * BAR_HEIGHT + AXES_HEIGHT)
    )
    return chart
