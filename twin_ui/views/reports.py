"""What a version's evaluation found, and what it was made from: parts of the Models page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
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
# Samples of these splits are learned; those for testing are only measured on.
LEARNED = ("train", "validation", "context")
MARKS = {"passed": ":green[:material/check:]", "failed": ":red[:material/close:]"}


def report(author: str, version: str) -> None:
    """The version's evaluation."""
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


def lineage(author: str, version: str) -> None:
    """What the version was made from."""
    try:
        found = state.serving().lineage(author, version)
    except ServingError as error:
        st.info(str(error), icon=":material/info:")
        return
    if not found["documents"]:
        st.info("Which documents it learned is not recorded: its dataset is gone.", icon=":material/info:")
        return
    learned = [document for document in found["documents"] if any(map(document["samples"].get, LEARNED))]
    st.markdown(
        f"Base **{parts.plain(found['base_model'])}**, dataset **{found['dataset_version'][:8]}**, "
        f"code **{parts.plain(found['code_version'])}**: learned from "
        f"**{parts.count(len(learned), 'document')}**, {len(found['documents']) - len(learned)} were kept to test it."
    )
    platforms = Counter(document["platform"] for document in learned)
    if platforms:
        st.altair_chart(charts.documents_by_platform(platforms), width="stretch")
    rows = [document["title"] or next(iter(document["urls"]), document["document_id"]) for document in learned]
    if rows:
        parts.scrolling("<ul>" + "".join(f"<li>{escape(row)}</li>" for row in rows) + "</ul>", "Documents it learned")


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


def _gate(decision: Mapping[str, Any] | None) -> None:
    if decision is None:
        st.caption("The gate has not decided on it yet.")
        return
    rules: Sequence[Mapping[str, str]] = decision["rules"]
    lines = [f"- {MARKS.get(rule['outcome'], ':gray[not applied]')} {parts.plain(rule['sentence'])}" for rule in rules]
    st.markdown("**The gate**\n\n" + "\n".join(lines))


def _ends(found: Mapping[str, float] | None, form: str) -> str:
    return "" if not found else f" (95%: {found['low']:{form}} to {found['high']:{form}})"
