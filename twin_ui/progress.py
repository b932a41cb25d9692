"""Watching a run: one line a step, renewed every second until it ends; read from Dagster, so a reload loses nothing."""

import time
from collections.abc import Container, Sequence
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
# What each page starts and watches; runs that Dagster starts by itself do not push these from it.
COLLECTING = ("collect", "twin")
TRAINING = ("train", "release", "twin")
# Metadata worth a word beside a finished step, in this order.
SHOWN_METADATA = ("new", "changed", "removed", "quarantined", "documents", "rejected", "chunks", "embedded", "samples",
                  "upserted", "version", "base_model", "reason")  # fmt: skip


class RunPanel:
    """The buttons that start an author's jobs and the newest run of them; reads Dagster once a drawing.

    jobs: the jobs whose runs are shown, COLLECTING or TRAINING; hidden: steps that are not worth a line.
    """

    def __init__(self, author: str, jobs: Sequence[str], hidden: Container[str] = ()) -> None:
        self.author = author
        self.jobs = jobs
        self.hidden = hidden
        self.problem: ServingError | None = None
        self.runs: list[Run] = []
        try:
            self.runs = state.pipeline().recent(author)
        except ServingError as error:
            self.problem = error

    @property
    def active(self) -> bool:
        """Whether one of these jobs goes on for the author."""
        return any(run.active and run.job in self.jobs for run in self.runs)

    def button(self, label: str, job: str, icon: str, *, primary: bool = False) -> None:
        """A button that starts a job; it waits while a run goes on that would do the same."""
        if self.ready(label, job, icon, primary=primary):
            self.start(job)
            st.rerun()

    def ready(self, label: str, job: str, icon: str, *, primary: bool = False) -> bool:
        """The same button without what it does: whether it was pressed."""
        active = self._busy(job)
        return st.button(
            label,
            type="primary" if primary else "secondary",
            icon=f":material/{icon}:",
            disabled=active is not None,
            help=f"{JOB_TITLES[active.job]} goes on; wait for it to end." if active else None,
        )

    def start(self, job: str) -> None:
        """Start a job of the author's; what keeps it from starting is shown with the newest run."""
        try:
            with st.spinner("Starting…"):
                state.pipeline().launch(job, self.author)
        except ServingError as error:
            st.session_state["start_problem"] = str(error)

    def show(self) -> None:
        """Show the newest run, live while it goes on; the whole page is renewed once it has ended."""
        if failed := st.session_state.pop("start_problem", None):
            st.error(failed, icon=":material/error:")
        if self.problem is not None:
            parts.problem(self.problem, "progress")
            return
        newest = next((run for run in self.runs if run.job in self.jobs), None)
        if newest is None:
            return
        if newest.active:
            st.fragment(_watch, run_every=POLL_SECONDS)(newest.run_id, self.hidden)
        else:
            show(_followed(newest.run_id), self.hidden)

    def _busy(self, job: str) -> Run | None:
        rivals = COLLECTING if job == "collect" else JOB_TITLES
        return next((run for run in self.runs if run.active and run.job in rivals), None)


def _followed(run_id: str) -> Run:
    key = f"run-{run_id}"
    return state.pipeline().follow(st.session_state.setdefault(key, Run(run_id)))


def _watch(run_id: str, hidden: Container[str]) -> None:
    try:
        run = _followed(run_id)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    if not run.active:
        st.rerun(scope="app")
    show(run, hidden)
    if st.button("Stop", key=f"stop-{run_id}", icon=":material/stop_circle:"):
        state.pipeline().terminate(run_id)


def show(run: Run, hidden: Container[str] = ()) -> None:
    """One run as a status block: its steps but the hidden ones, what each did, and what to do about a failure."""
    steps = [step for step in run.steps.values() if _worth_a_line(step, hidden)]
    status: Literal["running", "complete", "error"] = (
        "running" if run.active else "complete" if run.succeeded else "error"
    )
    # Not as a context manager: that calls the block complete when it is left.
    block = st.status(_label(run, steps), state=status, expanded=run.active or not run.succeeded)
    if steps:
        block.html(f'<ul class="progress">{"".join(_line(step) for step in steps)}</ul>')
    if run.waiting_seconds > DAEMON_SECONDS:
        block.warning("Dagster has not begun this run. Is its daemon running? `make up` starts it with the rest.")
    for message in _failures(run):
        block.error(message, icon=":material/error:")
    block.markdown(f"[Open this run in Dagster]({get_settings().dagster_url}/runs/{run.run_id})")


def _worth_a_line(step: Step, hidden: Container[str]) -> bool:
    if step.status == "failed" or step.failed_checks:
        return True
    return step.key not in hidden and not parts.is_check(step.key)


def _label(run: Run, steps: Sequence[Step]) -> str:
    title = JOB_TITLES.get(run.job, parts.step_title(run.job))
    if run.active:
        done = sum(step.status in ("done", "skipped") for step in steps)
        return f"{title}: {done} of {len(steps)} steps done" if steps else f"{title}: starting"
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
