"""`make demo` broken down by asset: a first run and a run with nothing changed, in seconds and as a ratio."""

import argparse
import os
import tempfile
import time

from rich.console import Console
from rich.table import Table

from demo.run import AUTHOR, add_demo_author
from demo.server import PlatformServer


class StepTimes:
    """Listens to a Dagster run and keeps how long each step took."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def __call__(self, entry) -> None:
        """Take an event of the run's log."""
        if entry.dagster_event is None or entry.step_key is None:
            return
        kind = entry.dagster_event.event_type_value
        if kind == "STEP_START":
            self.started[entry.step_key] = entry.timestamp
        elif kind in ("STEP_SUCCESS", "STEP_FAILURE"):
            self.seconds[entry.step_key] = entry.timestamp - self.started[entry.step_key]


def timed_run() -> tuple[StepTimes, float]:
    """Run the whole graph for the demo author; times by step, and in all."""
    from twin_assets.defs.launch import run_job
    from twin_assets.settings import Settings

    times, begun = StepTimes(), time.monotonic()
    outcome = run_job("twin", AUTHOR, Settings(), times)
    if not outcome.success:
        raise SystemExit(f"the run failed: {outcome.failures}")
    return times, time.monotonic() - begun


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the training time")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as home, PlatformServer() as server:
        os.environ |= {"TWIN_HOME": home, "TWIN_ALLOWED_HOSTS": f"127.0.0.1:{server.port}", "TWIN_BASE_MODEL": "nano"}
        if quick:
            os.environ["TWIN_TRAINING_MINUTES"] = "0.1"
        from twin_assets.core.workspace import Workspace

        add_demo_author(Workspace(), server)
        (cold, cold_all), (warm, warm_all) = timed_run(), timed_run()
    table = Table(title="The demo by asset: first run, and again with nothing changed", title_justify="left")
    for name in ("step", "first (s)", "again (s)", "again / first"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for step, seconds in cold.seconds.items():
        again = warm.seconds.get(step, 0.0)
        table.add_row(step, f"{seconds:.2f}", f"{again:.2f}", f"{again / seconds:.2f}" if seconds else "")
    table.add_row("in all", f"{cold_all:.1f}", f"{warm_all:.1f}", f"{warm_all / cold_all:.3f}", style="bold")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
