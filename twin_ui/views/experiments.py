"""The trainings of an author side by side: a table of all, and a few compared closely."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from twin_assets.settings import get_settings
from twin_serving.client import ServingError
from twin_ui import charts, parts, state

SETTINGS = {
    "base_model": "Base", "method": "Method", "rank": "Rank", "learning_rate": "Learning rate", "epochs": "Passes",
    "length": "Tokens a sample", "preference": "Preferences", "dataset_version": "Dataset",
}  # fmt: skip
FIGURES = {
    "validation_loss": "Validation loss", "held_out_loss": "Held-out loss", "steps": "Steps", "seconds": "Seconds",
    "trained_parameters": "Parameters trained",
}  # fmt: skip
LOSSES = ("validation_loss", "held_out_loss")


def compared(author: str) -> None:
    """Every training, and those chosen next to each other: what was set otherwise and what came of it."""
    opened = st.expander("Compare trainings", icon=":material/compare_arrows:", key="trainings", on_change="rerun")
    if not opened.open:
        return
    with opened:
        try:
            with st.spinner("Reading the trainings…"):
                rows = state.serving().experiments(author)["experiments"]
        except ServingError as error:
            parts.problem(error, "experiments")
            return
        if not rows:
            st.markdown("No training has been recorded yet; the first one appears here with its settings and losses.")
            return
        names = {row["run"]: _name(row, position) for position, row in enumerate(rows, start=1)}
        st.table({"": list(names.values()), **_columns(rows, [*SETTINGS, *FIGURES])})
        chosen = st.multiselect(
            "Compare closely", list(names), default=list(names)[:2], format_func=names.__getitem__, max_selections=6
        )
        if len(chosen) > 1:
            _closely([row for row in rows if row["run"] in chosen], names)
        st.markdown(f"[All runs with every figure in MLflow]({get_settings().mlflow_ui_url})")


def _name(row: Mapping[str, Any], position: int) -> str:
    return f"Version {row['version']}" if row["version"] else f"Run {position}"


def _closely(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    bars: list[dict[str, Any]] = [
        {"version": names[row["run"]], "model": FIGURES[name], "loss": row[name]}
        for row in rows
        for name in LOSSES
        if row[name] is not None
    ]
    if bars:
        st.altair_chart(charts.losses(bars, [FIGURES[name] for name in LOSSES]), width="stretch")
    if len({row["dataset_version"] for row in rows}) > 1:
        st.caption("These were trained on different datasets: their losses say nothing about each other.")
    differing = [name for name in SETTINGS if len({str(row[name]) for row in rows}) > 1]
    if differing:
        st.markdown("**Set otherwise**")
        st.table({"": [names[row["run"]] for row in rows], **_columns(rows, differing)})
    else:
        st.markdown("All was set alike.")


def _columns(rows: Sequence[Mapping[str, Any]], wanted: Sequence[str]) -> dict[str, list[str]]:
    titles = SETTINGS | FIGURES
    return {titles[name]: [_shown(name, row[name]) for row in rows] for name in wanted}


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name == "dataset_version":
        return str(value)[:8]
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1000 else f"{value:.4g}"
    return parts.plain(str(value))
