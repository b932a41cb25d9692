"""One process of a training in several: `accelerate launch --module twin_assets.core.training.worker FOLDER`.

FOLDER holds the job that launch.write_job() laid down. On further machines the same command is run by hand, with
their own --machine_rank and the folder on a shared disk. A second argument is the process it ends with.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import polars as pl

from twin_assets.core.datasets.dataset import Dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.training.launch import FAULT, JOB, RESULT
from twin_assets.core.training.recipes import Recipe


def main(folder: Path) -> None:
    """Train as the job says; the first process tells how far it is and writes the figures."""
    from accelerate import PartialState

    from twin_assets.core.training.sft import fine_tune

    state = PartialState()
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    dataset = Dataset(job["author"], pl.read_parquet(folder / "samples.parquet"), job["version"], job["delta_version"])
    pairs = folder / "pairs.parquet"

    def tell(stage: str, share: float) -> None:
        print(json.dumps({"stage": stage, "share": share}), flush=True)

    try:
        metrics = fine_tune(
            Path(job["base"]), job["base_name"], job["author_name"], dataset, Recipe(**job["recipe"]), folder,
            pairs=pl.read_parquet(pairs) if pairs.is_file() else None,
            progress=tell if state.is_main_process else None,
        )  # fmt: skip
    except TwinError as error:
        (folder / FAULT).write_text(json.dumps({"message": str(error)}), encoding="utf-8")
        sys.exit(1)
    if state.is_main_process:
        (folder / RESULT).write_text(json.dumps(metrics), encoding="utf-8")
    state.wait_for_everyone()
    state.destroy_process_group()


def end_with(parent: int) -> None:
    """End this process when the one that asked for the training has gone, however it went."""

    def watch() -> None:
        while True:
            try:
                os.kill(parent, 0)
            except ProcessLookupError:
                os._exit(1)
            time.sleep(2.0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        end_with(int(sys.argv[2]))
    main(Path(sys.argv[1]))
