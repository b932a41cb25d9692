"""Monitoring: traffic, latencies, ratings, how the voice drifts, what it costs, and the last traces."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from twin_ui import charts, parts, state
from twin_ui.draft import format_named

DAYS = {7: "7 days", 30: "30 days", 90: "90 days"}
# Lines of the charts by day: the field, its title, its unit.
DAILY = {
    "compositions": ("Composed", "compositions a day"),
    "p50_ms": ("Latency", "median milliseconds of a composition"),
    "voice": ("Voice score", "mean of the drafts, 0 to 100"),
    "rating": ("Ratings", "mean, 1 far off to 5 post it"),
    "retrieval": ("Retrieval", "mean score of the passages found"),
    "tokens": ("Tokens", "read and written by the model"),
}
COUNTED = ("compositions", "tokens")
STEPS = {
    "links": "Read the links", "retrieval": "Find passages", "assemble": "Assemble", "prompt": "Prepare the prompt",
    "generation": "Model writes", "checks": "Check",
}  # fmt: skip
TRACES_SHOWN = 10


def render() -> None:
    """The page."""
    twin = st.session_state["twin"]
    parts.heading("Monitoring", "How the twin is used, how fast it answers, and whether it still sounds like you.")
    if parts.no_author(twin):
        return
    days = st.segmented_control(
        "Period", list(DAYS), default=30, required=True, format_func=DAYS.__getitem__, key="days",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    with parts.reporting("monitoring"):
        found = state.serving().monitoring(twin["id"], days)
    if not found["totals"]["compositions"] and not found["totals"]["feedback"]:
        parts.empty(
            "monitoring",
            f"Nothing composed in the last {DAYS[days]}",
            "Every draft leaves its times, scores and ratings here; compose one to begin.",
            "compose",
            "Compose a draft",
        )
        return
    _totals(found)
    _drift(found["drift"])
    _daily(found["daily"])
    _steps(found["latency"]["steps"])
    _traces(found)


def _totals(found: Mapping[str, Any]) -> None:
    totals, latency = found["totals"], found["latency"]
    with parts.card("totals"):
        row = st.container(horizontal=True, gap="medium")
        row.metric("Composed", f"{totals['compositions']:,}", width="content")
        row.metric("Drafts", f"{totals['drafts']:,}", width="content")
        row.metric("Feedback", f"{totals['feedback']:,}", width="content", help="Ratings, edits and choices.")
        row.metric("Usual time", _milliseconds(latency["p50"]), width="content", help="Half are faster (p50).")
        row.metric("Slow time", _milliseconds(latency["p95"]), width="content", help="95 of 100 are faster (p95).")
        row.metric("Failed", f"{totals['errors']:,}", width="content")
        row.metric("Tokens", f"{totals['tokens']:,}", width="content")
        row.metric(
            "Cost",
            _cost(totals["cost"]),
            width="content",
            help="At the prices set for the model's endpoint; own machines cost none here.",
        )


def _cost(value: float | None) -> str:
    return "none" if not value else f"{value:,.2f}"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value < 1000 else parts.seconds(value / 1000)


def _drift(found: Sequence[Mapping[str, Any]]) -> None:
    with parts.card("drift"):
        st.subheader("Drift", anchor=False)
        if not found:
            st.markdown("There is too little yet to compare the last days with those before.")
        for measure in found:
            sentence = parts.plain(parts.sentence(measure["message"]))
            if measure["alarming"]:
                st.warning(f"**{measure['title']}.** {sentence}", icon=":material/trending_down:")
            else:
                # Failures are judged as they are, not against those before.
                too_little = measure["change"] is None and measure["measure"] != "errors"
                told = "hourglass_empty" if too_little else "check"
                st.markdown(f":material/{told}: **{measure['title']}.** {sentence}")


def _daily(rows: Sequence[Mapping[str, Any]]) -> None:
    shown = {name: [{"day": row["day"], "value": row[name]} for row in rows if row[name] is not None] for name in DAILY}
    shown = {name: values for name, values in shown.items() if any(value["value"] for value in values)}
    if not shown:
        return
    with parts.card("daily"):
        st.subheader("Day by day", anchor=False)
        columns = st.columns(2)
        for position, (name, values) in enumerate(shown.items()):
            title, unit = DAILY[name]
            with columns[position % 2]:
                st.markdown(f"**{title}** · {unit}")
                st.altair_chart(charts.by_day(values, title, counted=name in COUNTED), width="stretch")


def _steps(steps: Mapping[str, Mapping[str, float]]) -> None:
    if not steps:
        return
    with parts.card("steps"):
        st.subheader("Where the time goes", anchor=False)
        rows = [
            {"step": STEPS.get(name, name), "which": which, "milliseconds": values[key]}
            for name, values in steps.items()
            for which, key in (("Usual (p50)", "p50"), ("Slow (p95)", "p95"))
        ]
        st.altair_chart(charts.step_times(rows), width="stretch")


def _traces(found: Mapping[str, Any]) -> None:
    traces = found["traces"]
    with parts.card("traces"):
        st.subheader("Last traces", anchor=False)
        if not found["prompts_kept"]:
            st.caption("Prompts are not kept in traces; TWIN_KEEP_PROMPTS=true keeps them.")
        for trace in traces[:TRACES_SHOWN]:
            _trace(trace)
        if not traces:
            st.markdown("No trace in this period.")


def _trace(trace: Mapping[str, Any]) -> None:
    failed = trace["status"].lower() not in ("ok", "unset")
    icon = ":material/error:" if failed else ":material/check:"
    what = [
        parts.moment(trace["created_at"]),
        format_named(trace["format"]).title if trace["format"] else trace["kind"],
        _milliseconds(trace["milliseconds"]),
    ]
    with st.expander(parts.plain(" · ".join(what)), icon=icon):
        if trace["prompt"]:
            st.markdown(f"**Prompt:** {parts.plain(trace['prompt'])}")
        st.html(waterfall(trace["steps"], trace["milliseconds"]))
        about = [
            f"model {trace['model_version']}" if trace["model_version"] else "no model",
            f"trace {trace['trace_id']}",
        ]
        st.caption(parts.plain(" · ".join(about)))
        if trace["mlflow_url"]:
            st.markdown(f"[Open this trace in MLflow]({trace['mlflow_url']})")


def waterfall(steps: Sequence[Mapping[str, Any]], whole: float) -> str:
    """The steps of a trace as bars on its time, as HTML; start_ms and ms of each are milliseconds."""
    whole = max([whole, 1.0, *(step["start_ms"] + step["ms"] for step in steps)])
    lines = (
        f'<li><span>{escape(STEPS.get(step["name"], step["name"]))}</span><span class="lane" aria-hidden="true">'
        f'<span style="margin-inline-start:{100 * step["start_ms"] / whole:.2f}%;'
        f'width:{max(0.4, 100 * step["ms"] / whole):.2f}%"></span></span>'
        f'<span class="time">{_milliseconds(step["ms"])}</span></li>'
        for step in steps
    )
    return f'<ul class="waterfall">{"".join(lines)}</ul>'
