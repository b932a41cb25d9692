"""What a version's evaluation found, and when the next training starts: parts of the Models page."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import charts, parts, state

# Figures shown side by side, with what they mean; those that no system has are left out.
FIGURES = {
    "voice": ("Voice score", "0 is what strangers get, 100 the author"),
    "semantic_similarity": ("Near in meaning", "to what the author wrote, 0 to 1"),
    "rouge_score": ("Words in common", "with what the author wrote, 0 to 1"),
    "faithfulness": ("Faithfulness", "share of its claims that its sources hold, 0 to 1"),
    "answer_relevancy": ("Relevance", "to what was asked, 0 to 1"),
    "style_rubric": ("Style", "as a judge reads it, 1 to 5"),
}
SYSTEMS = {
    "generated": "Candidate",
    "champion": "Served now",
    "baseline": "Stock base with examples",
    "assembled": "Assembled",
    "own": "The author",
}
MARKS = {"passed": ":green[:material/check:]", "failed": ":red[:material/close:]"}


def report(author: str, version: str) -> None:
    """The version's evaluation, read when it is asked for."""
    if not st.toggle("Evaluation", key=f"report-{version}"):
        return
    try:
        found = state.serving().report(author, version)
    except ServingError as error:
        st.info(str(error), icon=":material/info:")
        return
    held_out = found["held_out"]
    st.markdown(
        f"On **{held_out['samples']}** held-out texts its loss is **{found['improvement']:+.2%}** below its base's"
        f"{_ends(held_out.get('below_base'), '+.2%')}."
    )
    systems = systems_of(found)
    rows = interval_rows(systems)
    for name in dict.fromkeys(row["figure"] for row in rows):
        title, meaning = FIGURES[name]
        st.markdown(f"**{title}** · {meaning}; the lines are 95% intervals.")
        st.altair_chart(charts.with_intervals([row for row in rows if row["figure"] == name]), width="stretch")
    st.table(beside(systems))
    _gate(found.get("gate"))
    if found["left_out"]:
        with st.expander("What was not measured, and why", icon=":material/block:"):
            st.table({parts.plain(name.replace("_", " ")): parts.plain(why) for name, why in found["left_out"].items()})


def systems_of(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Figures of each system of a report by the name it is shown under."""
    champion = found.get("champion") or {}
    by_name = {**found, "champion": champion.get("generated")}
    shown = {title: by_name.get(name) for name, title in SYSTEMS.items()}
    return {title: figures for title, figures in shown.items() if figures}


def interval_rows(systems: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of {"figure", "who", "value", "low", "high", "samples"} of all that has an interval."""
    return [
        {"figure": name, "who": who, **figures["intervals"][name]}
        for name in FIGURES
        for who, figures in systems.items()
        if name in figures["intervals"]
    ]


def beside(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Columns of a table: a row a system, with the counts behind it."""
    table: dict[str, list[str]] = {
        "": list(systems), "texts": [], "words": [], "copied words": [], "private data": [], "against its form": [],
        "seconds": [], "tokens in / out": [],
    }  # fmt: skip
    for figures in systems.values():
        table["texts"].append(str(figures["samples"]))
        table["words"].append(f"{figures['words']:.0f}")
        table["copied words"].append(str(figures["longest_overlap"]))
        table["private data"].append(str(figures["leaks"]))
        table["against its form"].append(str(len(figures["broken"])))
        seconds, tokens = figures["median_seconds"], figures["written_tokens"]
        table["seconds"].append("" if seconds is None else f"{seconds:.1f}")
        table["tokens in / out"].append("" if tokens is None else f"{figures['prompt_tokens']:.0f} / {tokens:.0f}")
    return table


def training(author: str) -> None:
    """When the next training starts by itself, why not now, and the rules it follows."""
    try:
        found = state.serving().training(author)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    icon = ":material/play_arrow:" if found["wanted"] else ":material/pause:"
    show = st.error if found["failed"] else st.info
    show(f"By itself: {'now' if found['wanted'] else 'not now'}, {parts.plain(found['reason'])}.", icon=icon)
    st.caption(f"{found['runs']} trainings and {found['minutes']:.0f} minutes in the last seven days.")
    with st.expander("Rules of training by itself", icon=":material/tune:"), st.form(f"training-rules-{author}"):
        rules = found["rules"]
        limit = rules["minutes_per_week"]
        values = {
            "automatic": st.checkbox("Train by itself", rules["automatic"]),
            "minimum_new_samples": int(st.number_input("New samples, at least", 1, None, rules["minimum_new_samples"])),
            "minimum_new_share": st.number_input("… and share of those before", 0.0, 1.0, rules["minimum_new_share"]),
            "quiet_minutes": st.number_input("Quiet minutes after the last change", 0.0, None, rules["quiet_minutes"]),
            "runs_per_week": int(st.number_input("Trainings in seven days, at most", 0, None, rules["runs_per_week"])),
            "minutes_per_week": st.number_input("Minutes in seven days, at most", 0.0, None, limit),
        }
        if st.form_submit_button("Keep"):
            _keep(author, {name: value for name, value in values.items() if value is not None and value != rules[name]},
                  found["own_rules"])  # fmt: skip


def _keep(author: str, changed: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    try:
        state.serving().set_rules(author, "training", {**own, **changed})
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
    else:
        state.say("The rules are kept.")
        st.rerun()


def _gate(decision: Mapping[str, Any] | None) -> None:
    if decision is None:
        st.caption("The gate has not decided on it yet.")
        return
    rules: Sequence[Mapping[str, str]] = decision["rules"]
    lines = [f"- {MARKS.get(rule['outcome'], ':gray[not applied]')} {parts.plain(rule['sentence'])}" for rule in rules]
    st.markdown("**The gate**\n\n" + "\n".join(lines))


def _ends(found: Mapping[str, float] | None, form: str) -> str:
    return "" if not found else f" (95%: {found['low']:{form}} to {found['high']:{form}})"
