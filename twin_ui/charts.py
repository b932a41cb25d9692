"""Charts: plain functions from figures to altair, coloured by the page's theme."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt

from twin_ui import parts

BAR_HEIGHT = 26
AXES_HEIGHT = 130
TITLE_HEIGHT = 34


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


def losses(versions: Sequence[Mapping[str, float | str]], order: Sequence[str] = ("Tuned", "Base")) -> alt.Chart:
    """Losses side by side, nats per token; rows of {"version", "model" (one of the order), "loss"}."""
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(versions)))
        .mark_bar(cornerRadiusEnd=4)
        .encode(
            y=alt.Y("version:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False)),
            yOffset=alt.YOffset("model:N", sort=list(order)),
            x=alt.X("loss:Q", title="Loss (lower is better)"),
            color=alt.Color("model:N", title=None, sort=list(order), legend=alt.Legend(orient="top")),
            tooltip=["version:N", "model:N", alt.Tooltip("loss:Q", format=".3f")],
        )
        .properties(height=len(versions) * BAR_HEIGHT + AXES_HEIGHT)
    )
    return chart


def with_intervals(rows: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """A figure of several systems with its interval; rows of {"who", "value", "low", "high", "samples"}."""
    who = alt.Y("who:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=220))
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(y=who)
    value = alt.X("value:Q", title=None, axis=alt.Axis(tickCount=5))
    tooltip = ["who:N", *(alt.Tooltip(f"{name}:Q", format=".3g") for name in ("value", "low", "high")), "samples:Q"]
    lines = base.mark_rule(strokeWidth=2, opacity=0.5).encode(x=alt.X("low:Q", title=None), x2="high:Q")
    points = base.mark_point(size=110, filled=True, opacity=1).encode(x=value, tooltip=tooltip)
    chart: alt.LayerChart = (lines + points).properties(height=len(rows) * BAR_HEIGHT + 30)
    return chart


def shares(found: Mapping[str, float], title: str) -> alt.Chart:
    """Shares (0 to 1) of ordered bins, as columns."""
    last = max((i for i, share in enumerate(found.values()) if share), default=0)
    rows = [{"bin": name, "share": share} for name, share in list(found.items())[: last + 1]]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(cornerRadiusEnd=4)
        .encode(
            x=alt.X("bin:N", sort=None, title=title, axis=alt.Axis(labelAngle=-40, labelOverlap=False)),
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", tickCount=4)),
            tooltip=["bin:N", alt.Tooltip("share:Q", format=".0%")],
        )
        .properties(height=240)
    )
    return chart


def ranked_shares(found: Mapping[str, float], title: str) -> alt.Chart:
    """Shares (0 to 1) of named habits, the most common first; the number stands in the label."""
    rows = [{"habit": f"{name}  {share:.0%}", "share": share} for name, share in found.items()]
    return _ranked(rows, "habit", "share", title)


def word_counts(words: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Words by how many texts they are found in; rows of {"word", "documents"}."""
    rows = [{"word": f"{word['word']}  {word['documents']}", "documents": word["documents"]} for word in words]
    return _ranked(rows, "word", "documents", "Texts with the word")


def _ranked(rows: Sequence[Mapping[str, Any]], name: str, value: str, title: str) -> alt.Chart:
    axis = alt.Axis(ticks=False, domain=False, labelPadding=8, labelLimit=260, labelOverlap=False)
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(rows)), title=alt.Title(title, anchor="start", fontWeight="normal"))
        .mark_bar(cornerRadiusEnd=4, height=16)
        .encode(
            y=alt.Y(f"{name}:N", sort="-x", title=None, axis=axis),
            x=alt.X(f"{value}:Q", title=None, axis=None),
            tooltip=[f"{name}:N"],
        )
        .properties(height=max(1, len(rows)) * BAR_HEIGHT + TITLE_HEIGHT)
    )
    return chart


def against_others(rates: Mapping[str, float], others: Mapping[str, float]) -> alt.Chart:
    """Marks per 1,000 words beside those of other writers."""
    rows = [
        {"name": name, "who": who, "rate": values[name]}
        for name in sorted(rates, key=lambda name: -rates[name])
        for who, values in (("You", rates), ("Others", others))
    ]
    return _beside_others(rows, "Per 1,000 words", "linear")


def words_against_others(words: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Rates of words beside others' use of them; rows of {"word", "rate", "others"}, in their order."""
    rows = [
        {"name": word["word"], "who": who, "rate": max(word[field], 0.001)}
        for word in words
        for who, field in (("You", "rate"), ("Others", "others"))
    ]
    return _beside_others(rows, "Per 1,000 words, each step ten times as often", "log")


def _beside_others(rows: Sequence[Mapping[str, Any]], title: str, scale: Literal["linear", "log"]) -> alt.Chart:
    axis = alt.Axis(ticks=False, domain=False, labelPadding=8, labelOverlap=False)
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(rows)))
        .mark_point(size=90, opacity=1, filled=True)
        .encode(
            y=alt.Y("name:N", sort=None, title=None, axis=axis),
            x=alt.X(
                "rate:Q", title=title, scale=alt.Scale(type=scale, nice=scale == "linear"), axis=alt.Axis(tickCount=5)
            ),
            color=alt.Color("who:N", title=None, sort=["You", "Others"], legend=alt.Legend(orient="top")),
            shape=alt.Shape("who:N", sort=["You", "Others"], legend=None),
            tooltip=["name:N", "who:N", alt.Tooltip("rate:Q", format=".2f")],
        )
        .properties(height=len(rows) // 2 * BAR_HEIGHT + AXES_HEIGHT // 2)
    )
    return chart


def by_day(rows: Sequence[Mapping[str, Any]], title: str, *, counted: bool) -> alt.Chart:
    """A figure day by day, columns where it is counted, else a line; rows of {"day" (ISO date), "value"}."""
    base = alt.Chart(alt.InlineData(values=list(rows)))
    point = alt.OverlayMarkDef(size=60, filled=True)
    marked = base.mark_bar(cornerRadiusEnd=2) if counted else base.mark_line(point=point, strokeWidth=2)
    chart: alt.Chart = marked.encode(
        x=alt.X("yearmonthdate(day):T", title=None, axis=alt.Axis(format="%-d %b", tickCount=4, grid=False)),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=counted), axis=alt.Axis(tickCount=4, format=",.3~r")),
        tooltip=[
            alt.Tooltip("yearmonthdate(day):T", title="day", format="%-d %b %Y"),
            alt.Tooltip("value:Q", title=title, format=",.3~f"),
        ],
    ).properties(height=150)
    return chart


def step_times(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Milliseconds of each step, usual and slow; rows of {"step", "which", "milliseconds"}."""
    names = len({row["step"] for row in rows})
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(rows)))
        .mark_bar(cornerRadiusEnd=4)
        .encode(
            y=alt.Y("step:N", title=None, sort=None,
                    axis=alt.Axis(ticks=False, domain=False, labelPadding=8, labelLimit=220)),
            yOffset=alt.YOffset("which:N", sort=None),
            x=alt.X("milliseconds:Q", title="Milliseconds", axis=alt.Axis(tickCount=5)),
            color=alt.Color("which:N", title=None, sort=None, legend=alt.Legend(orient="top")),
            tooltip=["step:N", "which:N", alt.Tooltip("milliseconds:Q", format=",.0f")],
        )
        .properties(height=names * 2 * BAR_HEIGHT + AXES_HEIGHT // 2)
    )  # fmt: skip
    return chart


def over_time(months: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Documents of each month by platform; rows of {"month" ("2026-05"), "platform", "documents", "words"}."""
    rows = [{**row, "platform": parts.platform_title(row["platform"]), "month": f"{row['month']}-01"} for row in months]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("yearmonth(month):T", title=None, axis=alt.Axis(format="%b %Y", tickCount=8, grid=False)),
            y=alt.Y("sum(documents):Q", title=None, axis=alt.Axis(tickCount=4, tickMinStep=1)),
            color=alt.Color("platform:N", title=None, legend=alt.Legend(orient="top", columns=4)),
            tooltip=["platform:N", alt.Tooltip("yearmonth(month):T", title="month"), "documents:Q", "words:Q"],
        )
        .properties(height=220)
    )
    return chart


def lengths(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Documents by how many words they have; rows of {"category", "bin", "documents"}, the bins in order."""
    order = list(dict.fromkeys(row["bin"] for row in rows))
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(rows)))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=alt.X("bin:N", sort=order, title="Words", axis=alt.Axis(labelAngle=-40)),
            y=alt.Y("documents:Q", title=None, axis=alt.Axis(tickCount=4, tickMinStep=1)),
            color=alt.Color("category:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=["category:N", "bin:N", "documents:Q"],
        )
        .properties(height=220)
    )
    return chart


def vocabulary(years: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """Different words used so far and those new in each year; rows of {"year", "words", "distinct", "new"}."""
    base = alt.Chart(alt.InlineData(values=[{**row, "year": str(row["year"])} for row in years]))
    tooltip = ["year:O", *(alt.Tooltip(f"{name}:Q", format=",") for name in ("words", "distinct", "new"))]
    year = alt.X("year:O", title=None, axis=alt.Axis(labelAngle=0))
    known = base.mark_bar(cornerRadiusEnd=3).encode(
        x=year, y=alt.Y("distinct:Q", title=None, axis=alt.Axis(tickCount=4)), tooltip=tooltip
    )
    new = base.mark_tick(thickness=3, color="#b4572a").encode(x=year, y="new:Q", tooltip=tooltip)
    chart: alt.LayerChart = (known + new).properties(height=220)
    return chart
