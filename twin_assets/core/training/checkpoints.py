"""Checkpoints: which of those in a folder a killed training can go on from."""

import json
import logging
import re
import shutil
import zipfile
from pathlib import Path

logger = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint-(\d+)")


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that can be read; those that cannot are deleted, and a warning says so.

    A kill while a checkpoint is written leaves half of one.
    """
    found = [(int(match[1]), path) for path in folder.glob("*") if (match := _NAME.fullmatch(path.name))]
    for step, path in sorted(found, reverse=True):
        problem = _problem(path)
        if problem is None:
            return path
        logger.warning("The checkpoint of step %d cannot be used (%s); going back to the one before.", step, problem)
        shutil.rmtree(path)
    if found:
        logger.warning("No checkpoint in %s can be used: the training begins anew.", folder)
    return None


def _problem(path: Path) -> str | None:
    """What is wrong with a checkpoint, None where nothing is.

    Optimizer, scheduler and random state are archives with checksums; the weights' header tells their length. The state
    is written last, so that a checkpoint without it is half of one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        for archive in (path / "optimizer.pt", path / "scheduler.pt", *path.glob("rng_state*.pth")):
            if archive.is_file():  # sharded trainings keep their optimizer in folders
                with zipfile.ZipFile(archive) as opened:
                    if damaged := opened.testzip():
                        return f"{archive.name}: {damaged} is damaged"
        for weights in path.glob("*.safetensors"):
            with safe_open(weights, framework="numpy"):
                pass
    except (OSError, ValueError, zipfile.BadZipFile, SafetensorError) as error:
        return f"{type(error).__name__}: {error}"
    return None
