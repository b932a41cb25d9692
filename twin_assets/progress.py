"""Showing runs and drafts in a terminal, with rich."""

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from twin_assets.settings import Settings

# What is worth a word beside an asset's name, in this order.
SHOWN = (
    "new", "changed", "removed", "quarantined", "documents", "chunks", "texts embedded", "points written", "samples",
    "model version", "decision", "served version",
)  # fmt: skip


class RunPrinter:
    """Prints a line for each step of a Dagster run as it ends, and keeps a spinner on the one that runs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.status = console.status("starting …")
        self.started: dict[str, float] = {}
        self.metadata: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "RunPrinter":
        self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def __call__(self, entry: Any) -> None:
        """Take an event of the run's log."""
        event, step = entry.dagster_event, entry.step_key
        if step is None:
            return
        if event is None:
            self.status.update(Text(f"{step}: {entry.user_message[:120]}"))
        elif event.event_type_value == "STEP_START":
            self.started[step] = time.monotonic()
            self.status.update(step)
        elif event.event_type_value == "ASSET_MATERIALIZATION":
            metadata = event.step_materialization_data.materialization.metadata
            self.metadata[step] = {name: getattr(value, "value", None) for name, value in metadata.items()}
        elif event.event_type_value == "STEP_SUCCESS" and step in self.metadata:
            self._line("[green]✓[/]", step, self._summary(step))
        elif event.event_type_value == "STEP_FAILURE":
            self._line("[red]✗[/]", step, "")

    def _line(self, mark: str, step: str, words: str) -> None:
        seconds = time.monotonic() - self.started.get(step, time.monotonic())
        self.console.print(f"{mark} {step:<20} {seconds:6.1f} s  {escape(words)}", highlight=False)

    def _summary(self, step: str) -> str:
        values = self.metadata.get(step, {})
        return ", ".join(f"{name} {values[name]}" for name in SHOWN if values.get(name) not in (None, 0, ""))


def run_with_progress(
    job: str, author: str, settings: Settings, *, quiet: bool = False, operations: dict[str, Any] | None = None
):
    """Run a job for one author here, printing its steps, and return its outcome; operations: see run_job()."""
    console = Console(stderr=quiet, quiet=quiet)
    console.print(f"[bold]{job}[/] for [bold]{author}[/] under {settings.home}", highlight=False)
    with RunPrinter(console) as printer:
        from twin_assets.defs.launch import run_job

        outcome = run_job(job, author, settings, printer, operations)
    for check, problem in outcome.warnings.items():
        console.print(Text(f"! {check}: {problem}", style="yellow"))
    for step, sentence in outcome.failures.items():
        console.print(Text(f"✗ {step}: {sentence}", style="red"))
    return outcome


MARKS = {"verbatim": "green", "supported": "cyan", "joining": "dim", "unsupported": "yellow"}


def show_drafts(answer: dict[str, Any]) -> None:
    """Print a compose answer: each draft, its sentences with their support, and its scores."""
    console = Console()
    for link in answer["links"]:
        state = "read" if link["status"] == "read" else f"not read: {link['message']}"
        console.print(Text(f"{link['url']} — {state}", style="dim"))
    for draft in answer["drafts"]:
        body = Text(draft["text"])
        for sentence in draft["sentences"]:
            body.stylize(MARKS.get(sentence["status"], ""), sentence["start"], sentence["end"])
        title = {"assembled": "Assembled from the author's own sentences", "model": "Model's draft"}[draft["kind"]]
        console.print(Panel(body, title=f"{draft['rank']}. {title}", title_align="left"))
        if draft["notice"]:
            console.print(Text(draft["notice"], style="yellow"))
        numbers = {name: value for name, value in draft["scores"].items() if isinstance(value, int | float)}
        console.print(f"scores: {', '.join(f'{name} {value}' for name, value in numbers.items())}", highlight=False)
        for said in [*draft["reasons"], *(problem for problem in draft["problems"] if problem not in draft["reasons"])]:
            console.print(Text(f"  {said}"))
        for sentence in draft["sentences"]:
            support = sentence["support"][0] if sentence["support"] else None
            where = f"{support['title'] or support['kind']} {support['url']}" if support else "no source"
            line = f"  {sentence['status']:<11} {' '.join(sentence['text'].split())[:70]}  ← {where}"
            console.print(Text(line, style="dim"))
    console.print(
        f"model {answer['model_version'] or 'none'}, index {answer['index_version']}, "
        f"dataset {answer['dataset_version'] or 'none'}, trace {answer['trace_id']}",
        highlight=False,
    )
