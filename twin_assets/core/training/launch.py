"""Training in several processes, on one machine or more, started by accelerate with a configuration of its own."""

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import IO

import polars as pl

from twin_assets.core.datasets.dataset import Dataset
from twin_assets.core.errors import ModelError
from twin_assets.core.training.recipes import Recipe
from twin_assets.settings import Settings

Progress = Callable[[str, float], None]
JOB, RESULT, FAULT = "job.json", "result.json", "fault.json"
LINES = 20  # of what a failed launch said last
ENDING_SECONDS = 5.0


def fine_tune_in_processes(settings: Settings) -> Callable[..., dict[str, float]]:
    """sft.fine_tune() as `settings.training_launcher` spreads it; see run() for what it does."""
    assert settings.training_launcher is not None

    def tune(
        base: Path,
        base_name: str,
        author_name: str,
        dataset: Dataset,
        recipe: Recipe,
        folder: Path,
        *,
        pairs: pl.DataFrame | None = None,
        progress: Progress | None = None,
    ) -> dict[str, float]:
        write_job(folder, base, base_name, author_name, dataset, recipe, pairs)
        return run(Path(str(settings.training_launcher)), folder, progress)

    return tune


def write_job(
    folder: Path,
    base: Path,
    base_name: str,
    author_name: str,
    dataset: Dataset,
    recipe: Recipe,
    pairs: pl.DataFrame | None,
) -> None:
    """Lay down what every process reads; several machines need the folder at the same path."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset.samples.write_parquet(folder / "samples.parquet")
    if pairs is not None and pairs.height:
        pairs.write_parquet(folder / "pairs.parquet")
    job = {
        "base": str(base), "base_name": base_name, "author": dataset.author, "author_name": author_name,
        "version": dataset.version, "delta_version": dataset.delta_version, "recipe": asdict(recipe),
    }  # fmt: skip
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")


def run(launcher: Path, folder: Path, progress: Progress | None = None) -> dict[str, float]:
    """Start the processes of an accelerate configuration on the job in `folder`, wait, and return the figures.

    Raises ModelError with the sentence of the process that failed.
    """
    if not launcher.is_file():
        raise ModelError(f"There is no accelerate configuration at {launcher}; set TWIN_TRAINING_LAUNCHER to one.")
    for name in (RESULT, FAULT):
        (folder / name).unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(launcher),
        "--module", "twin_assets.core.training.worker", str(folder), str(os.getpid()),
    ]  # fmt: skip
    # In a group of their own: accelerate's launcher, when it is ended, leaves processes behind that train on.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said: deque[str] = deque(maxlen=LINES)
    reader = Thread(target=_keep, args=(process.stderr, said), daemon=True)
    reader.start()
    try:
        for line in process.stdout:
            if progress is not None and line.startswith("{"):
                told = json.loads(line)
                progress(told["stage"], told["share"])
        code = process.wait()
    finally:
        _end(process)
    reader.join()
    if (folder / FAULT).is_file():
        raise ModelError(json.loads((folder / FAULT).read_text(encoding="utf-8"))["message"])
    if code or not (folder / RESULT).is_file():
        raise ModelError(f"The training's processes ended with code {code}: {' '.join(said)[-1000:]}")
    return dict(json.loads((folder / RESULT).read_text(encoding="utf-8")))


def _end(process: "subprocess.Popen[str]") -> None:
    """End the launcher and every process it started, whatever state they are in."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _keep(lines: IO[str], said: "deque[str]") -> None:
    for line in lines:
        said.append(line.strip())
