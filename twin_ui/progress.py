"""Watching a run: one line a step, renewed every second until it ends; read from Dagster, so a reload loses nothing."""

import time
from html import escape
from typing import Literal

import streamlit as st

from twin_assets.settings import get_settings
from twin_serving.client import ServingError
from twin_ui import parts, state
from twin_ui.pipeline import Run, Step

POLL_SECONDS = 1.0
# A queued run starts within a few seconds where Dagster's daemon runs.
DAEMON_SECONDS = 20.0
MARKS = {"waiting": "○", "running": "◐", "done": "✓", "failed": "✕", "skipped": "–"}
JOB_TITLES = {"collect": "Collecting", "twin": "Collecting and training", "train": "Training", "release": "Evaluating"}
# Metadata worth a word beside a finished step, in this order.
SHOWN_METADATA = ("new", "changed", "removed", "quarantined", "documents", "rejected", "chunks", "embedded", "samples",
                  "upserted", "version", "base_model", "reason")  # fmt: skip


def start(job: str, author: str) -> None:
    """Launch a job for the author; it then is their latest run, which `watch` shows."""
    try:
        with st.spinner("Asking Dagster to start…"):
            if is_active(author):  # started by a sensor or by somebody else since the page was drawn
                return
            st.session_state[f"run-{author}"] = Run(state.pipeline().launch(job, author))
    except ServingError as error:
        st.session_state["start_problem"] = str(error)


def latest_run(author: str) -> Run | None:
    """The author's latest run, followed so far; None where there was none. Raises ServingError."""
    latest = state.pipeline().latest(author, JOB_TITLES)
    if latest is None:
        return None
    run = st.session_state.get(f"run-{author}")
    if not isinstance(run, Run) or run.run_id != latest:
        run = st.session_state[f"run-{author}"] = Run(latest)
    return state.pipeline().follow(run)


def is_active(author: str) -> bool:
    """Whether a run of this author goes on, so that no second one should be started; False where Dagster is away."""
    try:
        run = latest_run(author)
    except ServingError:
        return False
    return run is not None and run.active


def start_button(label: str, job: str, author: str, icon: str, *, primary: bool = False) -> None:
    """A button that starts a job for the author; it waits while a run goes on."""
    active = is_active(author)
    st.button(
        label,
        type="primary" if primary else "secondary",
        icon=f":material/{icon}:",
        on_click=start,
        args=(job, author),
        disabled=active,
        help="A run is going on; it is shown below." if active else None,
    )


def show_start_problem() -> None:
    """Why the last start did not work, once."""
    if failed := st.session_state.pop("start_problem", None):
        st.error(failed, icon=":material/error:")


def watch(author: str) -> None:
    """Show the author's latest run, live while it goes on; the whole page is renewed once it has ended."""
    try:
        run = latest_run(author)
    except ServingError as error:
        parts.problem(error, "progress")
        return
    if run is None:
        return
    if run.active:
        st.fragment(_watch_active, run_every=POLL_SECONDS)(author)
    else:
        show(run)


def _watch_active(author: str) -> None:
    try:
        run = latest_run(author)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    if run is None or not run.active:
        st.rerun(scope="app")
    show(run)
    if st.button("Stop", key=f"stop-{run.run_id}", icon=":material/stop_circle:"):
        state.pipeline().terminate(run.run_id)


def show(run: Run) -> None:
    """One run as a status block: its steps, what each did, and what to do about a failure."""
    title = JOB_TITLES.get(run.job, parts.step_title(run.job))
    status: Literal["running", "complete", "error"] = (
        "running" if run.active else "complete" if run.succeeded else "error"
    )
    with st.status(_label(run, title), state=status, expanded=run.active or not run.succeeded):
        if run.steps:
            lines = "".join(_line(step) for step in run.steps.values())
            st.html(f'<ul class="progress">{lines}</ul>')
        if run.waiting_seconds > DAEMON_SECONDS:
            st.warning("Dagster has not begun this run. Is its daemon running? `make up` starts it with the rest.")
        for message in _failures(run):
            st.error(message, icon=":material/error:")
        st.markdown(f"[Open this run in Dagster]({get_settings().dagster_url}/runs/{run.run_id})")


def _label(run: Run, title: str) -> str:
    done = sum(step.status in ("done", "skipped") for step in run.steps.values())
    if run.active:
        return f"{title}: {done} of {len(run.steps)} steps done" if run.steps else f"{title}: starting"
    when, took = parts.moment(run.ended), ""
    if run.started and run.ended:
        took = f", in {parts.seconds(run.ended - run.started)}"
    ending = "finished" if run.succeeded else "was stopped" if run.status == "CANCELED" else "failed"
    return f"{title} {ending} {when}{took}"


def _line(step: Step) -> str:
    detail = escape(_detail(step))
    time_text = ""
    if step.started:
        end = step.ended or time.time()
        time_text = parts.seconds(max(0.0, end - step.started))
    return (
        f'<li class="{step.status}">'
        f'<span class="mark" role="img" aria-label="{step.status}">{MARKS[step.status]}</span>'
        f'<span>{escape(parts.step_title(step.key))}</span><span class="time">{time_text}</span>'
        + (f'<span class="detail">{detail}</span>' if detail else "")
        + "</li>"
    )


def _detail(step: Step) -> str:
    if step.status == "failed":
        return ""
    if step.status == "running":
        return step.message
    found = ((name, step.metadata[name]) for name in SHOWN_METADATA if name in step.metadata)
    shown = [
        f"{name.replace('_', ' ')}: {value:,}" if isinstance(value, int) else f"{name.replace('_', ' ')}: {value}"
        for name, value in found
        if value not in (0, "", None)
    ]
    return " · ".join(shown)


def _failures(run: Run) -> list[str]:
    failures = [
        f"{parts.step_title(step.key)} failed: {step.error or 'see the run in Dagster.'}"
        for step in run.steps.values()
        if step.status == "failed"
    ]
    failures += [f"{parts.step_title(s.key)}: {check}" for s in run.steps.values() for check in s.failed_checks]
    if not failures and not run.active and not run.succeeded and run.error:
        failures.append(run.error)
    return failures
