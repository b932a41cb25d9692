"""Models: every version with its figures; approve, reject, roll back."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import streamlit as st

from twin_assets.settings import get_settings
from twin_serving.client import ServingError
from twin_ui import charts, parts, progress, state
from twin_ui.views import experiments, reports, rules

STATUS = {
    "approved": (":material/verified:", "green", "Approved: this one writes"),
    "candidate": (":material/hourglass_top:", "blue", "Candidate: waits for a decision"),
    "rejected": (":material/block:", "red", "Rejected"),
    "retired": (":material/history:", "gray", "Retired: wrote once"),
}
# Versions in the chart, newest first.
COMPARED = 8


def render() -> None:
    """The page."""
    twin = st.session_state["twin"]
    parts.heading(
        "Models",
        "What was trained on the author's writing, how well it predicts what it has not seen, and which one writes.",
    )
    if parts.no_author(twin):
        return
    with parts.reporting("models"):
        models = state.serving().twin(twin["id"])["models"]
    if not models:
        text = "Drafts are assembled from real sentences until a model is trained and approved."
        if not twin["documents"]:
            text += " There is nothing to train on yet: collect first."
        parts.empty("model_training", "No model yet", text, None if twin["documents"] else "sources", "Go to Sources")
        if twin["documents"]:
            _train(twin["id"])
        return
    if any(model["is_nano"] for model in models):
        st.warning(
            "Nano is a model of a few million parameters, made here from this author's writing. It shows that "
            "training and serving work on this machine; its text is the machinery's proof, not prose. "
            "Set TWIN_BASE_MODEL to a real model to write with one.",
            icon=":material/science:",
        )
    _compared(models[:COMPARED])
    for model in models:
        _model(twin["id"], model)
    _after(twin["id"], models)
    experiments.compared(twin["id"])
    _train(twin["id"])


def losses_of(model: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Held-out loss of the tuned model and of its base, nats per token; None where it was not measured."""
    metrics = model["metrics"]
    return metrics.get("held_out_loss"), metrics.get("held_out_loss_base")


def _compared(models: Sequence[Mapping[str, Any]]) -> None:
    rows: list[dict[str, float | str]] = []
    for model in models:
        for name, loss in zip(("Tuned", "Base"), losses_of(model), strict=True):
            if loss is not None:
                rows.append({"version": f"Version {model['version']}", "model": name, "loss": loss})
    if rows:
        with parts.card("losses"):
            st.subheader("Tuned against base", anchor=False)
            st.markdown(
                "How surprised each is by writing of the author that neither saw. "
                "A useful model is lower than its base."
            )
            st.altair_chart(charts.losses(rows), width="stretch")


def _model(author: str, model: Mapping[str, Any]) -> None:
    version, status = model["version"], model["status"]
    icon, colour, meaning = STATUS.get(status, (":material/help:", "gray", status))
    with parts.card(f"model-{version}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"Version {version}", anchor=False, width="content")
            st.badge(meaning, icon=icon, color=colour)
            if model["is_nano"]:
                st.badge("Nano: a proof, not prose", icon=":material/science:", color="yellow")
        st.markdown(f"Base **{parts.plain(model['base_model'])}** · trained {parts.moment(model['created_at'])}")
        _figures(model)
        row = st.container(horizontal=True, gap="large")
        evaluated = row.toggle("Evaluation", key=f"report-{version}")
        traced = row.toggle("Made from", key=f"lineage-{version}")
        if evaluated:
            reports.report(author, version)
        if traced:
            reports.lineage(author, version)
        if status != "approved":
            _decide(author, model)


def _figures(model: Mapping[str, Any]) -> None:
    tuned, base = losses_of(model)
    row = st.container(horizontal=True, gap="large")
    if tuned is not None:
        change = None if base is None else tuned - base
        row.metric(
            "Held-out loss",
            f"{tuned:.3f}",
            None if change is None else f"{change:+.3f} against base",
            delta_color="inverse",
            width="content",
        )
    if base is not None:
        row.metric("Its base", f"{base:.3f}", width="content")
    if (voice := model["metrics"].get("generated_voice")) is not None:
        row.metric("Voice of its text", f"{voice:.0f} of 100", width="content")
    figures = {parts.plain(name.replace("_", " ")): f"{value:,.4g}" for name, value in sorted(model["metrics"].items())}
    if figures:
        with st.expander("All figures", icon=":material/table_chart:"):
            st.table(figures)


def _decide(author: str, model: Mapping[str, Any]) -> None:
    version = model["version"]
    kind: Literal["primary", "secondary"] = "primary" if model["status"] == "candidate" else "secondary"
    with st.container(horizontal=True):
        if st.button("Approve", key=f"approve-{version}", icon=":material/check:", type=kind):
            _confirm(author, version, "approve")
        if model["status"] == "candidate" and st.button("Reject", key=f"reject-{version}", icon=":material/close:"):
            _confirm(author, version, "reject")


@st.dialog("Are you sure?")
def _confirm(author: str, version: str, action: str) -> None:
    effects = {
        "approve": f"Version {version} will write from now on; the one before can be brought back at any time.",
        "reject": f"Version {version} will not be used. It can still be approved later.",
        "rollback": "The version that was approved before this one will write again.",
    }
    st.markdown(effects[action])
    if not st.button({"rollback": "Roll back"}.get(action, action.capitalize()), type="primary"):
        return
    client = state.serving()
    try:
        if action == "approve":
            client.approve(author, version)
        elif action == "reject":
            client.reject(author, version)
        else:
            client.rollback(author)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
    else:
        state.say(
            {"approve": f"Version {version} is approved.", "reject": f"Version {version} is rejected."}.get(
                action, "Rolled back."
            )
        )
        st.rerun()


def _after(author: str, models: Sequence[Mapping[str, Any]]) -> None:
    approved = next((model for model in models if model["status"] == "approved"), None)
    earlier = any(model["status"] == "retired" for model in models)
    if approved and earlier and st.button("Roll back to the version before", icon=":material/undo:"):
        _confirm(author, approved["version"], "rollback")


def _train(author: str) -> None:
    with parts.card("train"):
        st.subheader("Train", anchor=False)
        st.markdown(
            "Trains on what was collected, evaluates through the server that will serve it, and lets the gate decide. "
            "It begins by itself once enough is new."
        )
        panel = progress.RunPanel(author, progress.TRAINING)
        if panel.ready("Train a model", "train", "model_training"):
            _preflight(author, panel)
        panel.show()
        rules.shown(author)


@st.dialog("Train a model")
def _preflight(author: str, panel: progress.RunPanel) -> None:
    """What the training will take on the machine that trains, before it starts."""
    base = get_settings().base_model
    try:
        with st.spinner("Estimating memory, time and disk…"):
            found = state.serving().preflight(author, base)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    machine, estimate = found["machine"], found["estimates"][0]
    st.markdown(f"Base **{parts.plain(estimate['base'])}**, method **{parts.plain(estimate['method'])}**, on this "
                f"{machine['device'].upper()} with {machine['memory'] / 2**30:.0f} GiB free.")  # fmt: skip
    row = st.container(horizontal=True, gap="large")
    row.metric("Time", f"{max(1, round(estimate['minutes']))} min", width="content")
    row.metric("Memory", f"{estimate['memory_gib']:.1f} GiB", width="content")
    row.metric("Disk", f"{estimate['disk_gib']:.1f} GiB", width="content")
    if not estimate["fits"]:
        st.error(f"It does not fit: {estimate['reason']}. {estimate['nearest']}", icon=":material/error:")
    if st.button("Start training", type="primary", icon=":material/play_arrow:", disabled=not estimate["fits"]):
        panel.start("train")
        st.rerun()
