"""The fast form of a version for serving on CPUs: its weights merged, in 8 bits, as an ONNX graph; made once.

It lies beside the version's other files (`serving/`), so that whoever deletes the version deletes it too, and it serves
only if its held-out loss is near that of the weights it was made from; what was found is kept in `serving/export.json`
either way. The work is done by a process of its own (serving_export_worker), which gives its memory back.
"""

import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import BaseModel, ValidationError

from twin_assets.core.errors import ModelError, TwinError
from twin_assets.core.whole_files import write_whole

if TYPE_CHECKING:
    from twin_assets.core.registry import ModelVersion
    from twin_assets.core.workspace import Workspace

logger = logging.getLogger(__name__)

# Raised when exports made before must be made again.
EXPORT_VERSION = "1"
FOLDER, RECORD, GRAPH = "serving", "export.json", "model.onnx"
JOB, SAMPLES, RESULT = "job.json", "samples.parquet", "result.json"
# Share by which its held-out loss may be above the reference's.
LOSS_MARGIN = 0.02
# Losses are compared text by text on the same texts, so that few of them say enough.
LOSS_SAMPLES = 32
# Bytes that an export takes at its height for each byte of the weights in 32 bits (measured: 2.75).
MEMORY_FACTOR = 3.0
FULL_BYTES = 4

Stopped = Callable[[], bool]


class Export(BaseModel):
    """What became of an export. engine: what serves the version; reason: one sentence.

    loss and loss_reference: mean per token, in nats, on the same `samples` held-out texts of `tokens` tokens; None
    where it came to no measuring. passing: what kept it from being exported may be over at the next start;
    bytes: size of the exported weights; ends: tokens that end an answer.
    """

    export_version: str = EXPORT_VERSION
    engine: Literal["onnx", "reference"]
    reason: str
    passing: bool = False
    precision: str = "int8"
    loss: float | None = None
    loss_reference: float | None = None
    samples: int = 0
    tokens: int = 0
    context: int = 0
    ends: list[int] = []
    bytes: int = 0
    seconds: float = 0.0
    made_at: datetime


def read_export(version_folder: Path) -> Export | None:
    """What is known of a version's export, None where there is none or one made by other code."""
    try:
        text = (version_folder / FOLDER / RECORD).read_text(encoding="utf-8")
        found = Export.model_validate_json(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        logger.warning("the export in %s cannot be read and is made again: %s", version_folder, error)
        return None
    return found if found.export_version == EXPORT_VERSION else None


def engine_of(workspace: "Workspace", version: "ModelVersion") -> dict[str, object]:
    """What computes a version's answers on this machine's CPU, and why: name, reason, and the losses measured."""
    if workspace.settings.engine == "reference":
        return {"name": "reference", "reason": "TWIN_ENGINE is set to reference"}
    try:
        found = read_export(workspace.registry.folder(version.author, version.version))
    except TwinError as error:
        return {"name": "reference", "reason": str(error)}
    if found is None:
        return {"name": "reference", "reason": "it is not exported yet"}
    figures = found.model_dump(mode="json", include={"precision", "loss", "loss_reference", "samples", "made_at"})
    return {"name": found.engine, "reason": found.reason, **figures}


def export_version(workspace: "Workspace", version: "ModelVersion", stopped: Stopped = lambda: False) -> Export | None:
    """Export a version where that was not done yet, and say what became of it; None where `stopped()` became true.

    One at a time on a machine: two at once might not have the memory that each found free. Raises TwinError where the
    version's files, or what it is measured on, cannot be read.
    """
    from filelock import FileLock

    folder = workspace.registry.folder(version.author, version.version)
    known = read_export(folder)
    if known is not None and not known.passing:
        return known
    with FileLock(workspace.settings.models_folder / "export.lock"):
        return _exported(workspace, version, folder, stopped)


def drop_export(workspace: "Workspace", author: str, version: str) -> None:
    """Delete a version's export; it is made again should the version serve again."""
    shutil.rmtree(workspace.registry.folder(author, version) / FOLDER, ignore_errors=True)


def _exported(workspace: "Workspace", version: "ModelVersion", folder: Path, stopped: Stopped) -> Export | None:
    from twin_assets.core.training.loading import base_folder

    known = read_export(folder)  # which another process may have made meanwhile
    if known is not None and not known.passing:
        return known
    for left in folder.glob(f".{FOLDER}-*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=folder))
    except OSError as error:
        raise ModelError(
            f"Nothing can be written beside the model in {folder}, so it is not exported: {error}"
        ) from error
    try:
        base = base_folder(workspace, version)
        found = _refusal(base) or _made(workspace, version, base, folder / "adapter", scratch, stopped)
        if found is not None:
            _put(found, scratch, folder / FOLDER)
        return found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def judged(loss: float, reference: float, **figures: object) -> Export:
    """The export that measured these losses, with whether it serves; figures: other fields of Export."""
    share = loss / reference - 1 if reference > 0 else 0.0
    serves = loss == loss and share <= LOSS_MARGIN
    sentence = f"its held-out loss is {abs(share):.2%} {'above' if share > 0 else 'below'} the reference's"
    refused = f"{sentence}, more than {LOSS_MARGIN:.0%}: the reference serves"
    return Export.model_validate(
        {
            "engine": "onnx" if serves else "reference", "reason": sentence if serves else refused,
            "loss": loss, "loss_reference": reference, "made_at": datetime.now(UTC), **figures,
        }
    )  # fmt: skip


def refused(reason: str, passing: bool = False) -> Export:
    """What is kept where a version cannot be exported."""
    return Export(engine="reference", reason=reason, passing=passing, made_at=datetime.now(UTC))


def _refusal(base: Path) -> Export | None:
    """What speaks against trying here, None where nothing does."""
    from importlib.util import find_spec

    from twin_assets.core.training.bases import shape_of
    from twin_assets.core.training.preflight import Machine

    if find_spec("onnxruntime_genai") is None:
        return refused("onnxruntime-genai is not installed; it comes with the serving extra", passing=True)
    need = int(shape_of(base).parameters * FULL_BYTES * MEMORY_FACTOR)
    there = Machine.measure(base)
    if there.device == "cuda":
        return refused("this machine serves with its GPU", passing=True)
    if need > there.memory:
        free = there.memory / 1e9
        return refused(f"its export needs {need / 1e9:.1f} GB of memory and {free:.1f} GB are free here", passing=True)
    return None


def _made(
    workspace: "Workspace", version: "ModelVersion", base: Path, adapter: Path, scratch: Path, stopped: Stopped
) -> Export | None:
    """Have the worker make and measure it in `scratch`."""
    from twin_assets.core.training.recipes import recipe_for

    held_out = _held_out(workspace, version)
    held_out.write_parquet(scratch / SAMPLES)
    job = {
        "base": str(base), "adapter": str(adapter), "author_name": workspace.authors.get(version.author).name,
        "length": recipe_for("nano" if version.is_nano else "hub").length,
    }  # fmt: skip
    (scratch / JOB).write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-m", "twin_assets.core.serving_export_worker", str(scratch)]
    with (scratch / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if stopped():
                process.terminate()
                process.wait()
                return None
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
    if (scratch / RESULT).is_file():
        return Export.model_validate_json((scratch / RESULT).read_text(encoding="utf-8"))
    lines = (scratch / "said.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    logger.warning("exporting version %s of %s failed: %s", version.version, version.author, "\n".join(lines[-20:]))
    if process.returncode < 0:
        killed = process.returncode == -signal.SIGKILL  # as the kernel does where memory is wanting
        return refused(f"its export was ended by signal {-process.returncode}", passing=not killed)
    return refused(f"it cannot be exported: {(lines or ['no reason given'])[-1][:300]}")


def _held_out(workspace: "Workspace", version: "ModelVersion") -> pl.DataFrame:
    """The texts the losses are compared on: always the same of the version's dataset. Raises TwinError."""
    from twin_assets.core.datasets import load_dataset
    from twin_assets.core.documents import content_hash

    test = load_dataset(workspace.lake, version.author, version.dataset_delta_version).split("test")
    drawn = sorted(test["sample_id"].to_list(), key=lambda sample_id: content_hash("held-out", sample_id))
    chosen = test.filter(pl.col("sample_id").is_in(drawn[:LOSS_SAMPLES]))
    if chosen.is_empty():
        raise TwinError(f"The dataset of version {version.version} of {version.author!r} has no held-out texts.")
    return chosen


def _put(found: Export, scratch: Path, target: Path) -> None:
    """Put the export in place of one made before, whole; one that does not serve leaves its record alone."""
    for name in (JOB, SAMPLES, RESULT, "said.txt"):
        (scratch / name).unlink(missing_ok=True)
    if found.engine == "reference":
        for path in scratch.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_whole(scratch / RECORD, found.model_dump_json(indent=1))
    shutil.rmtree(target, ignore_errors=True)
    # The version's folder may be gone by now (forgotten): then this fails, and nothing comes back.
    scratch.rename(target)
    target.chmod(0o755)
