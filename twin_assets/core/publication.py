"""Publications: immutable folders and the pointer that names the current ones; files only, no index in here."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from twin_assets.core.whole_files import write_whole

POINTER = "pointer.json"
RETIRED = ".retired-"
COPY_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published for one author: the folder name of each collection, and the file of the state.

    schema: names layout and embedding model; quantization: how the shards keep their vectors.
    """

    version: str
    schema: str
    state: str
    collections: dict[str, str] = field(default_factory=dict)
    quantization: str = "none"


def read_pointer(folder: Path) -> Publication | None:
    """The current publication of an author's folder, None where there is none."""
    try:
        return Publication(**json.loads((folder / POINTER).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def pointer_mark(folder: Path) -> tuple[int, int] | None:
    """Something that changes whenever the pointer does, got without reading it; None where there is none."""
    try:
        status = os.stat(folder / POINTER)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def swap_pointer(folder: Path, publication: Publication) -> None:
    """Make this the current publication: from one instant to the next, even when the process is killed."""
    write_whole(folder / POINTER, json.dumps(asdict(publication)))


def remove_unnamed(folder: Path, publication: Publication | None) -> None:
    """Delete what the pointer does not name: old publications, and what a killed writer left.

    A folder is renamed before it is deleted, so that whoever was copying it can tell (see copy_published).
    """
    kept = {POINTER, "writer.lock"}
    if publication is not None:
        kept |= {publication.state, *publication.collections.values()}
    for path in folder.iterdir():
        if path.name in kept:
            continue
        if path.is_dir() and not path.name.startswith(RETIRED):
            path = path.rename(path.with_name(RETIRED + path.name))
        remove(path)


def remove(path: Path) -> None:
    """Delete a file or a folder, there or not."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def copy_published(folder: Path, target: Path) -> bool:
    """Copy a published folder; False where a writer retired it meanwhile and the copy may lack files."""
    try:
        copy_sparse(folder, target)
    except (FileNotFoundError, shutil.Error):
        remove(target)
        return False
    if not folder.is_dir():
        remove(target)
        return False
    return True


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a folder with the holes of its files: a shard of 200 points is 113 MB long but holds 0.6 MB."""
    shutil.copytree(source, target, copy_function=_copy_file)


def _copy_file(source: str, target: str) -> str:
    with open(source, "rb") as reader, open(target, "wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        position = 0
        while position < size:
            try:
                position = os.lseek(reader.fileno(), position, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(reader.fileno(), position, os.SEEK_HOLE)
            os.lseek(writer.fileno(), position, os.SEEK_SET)
            os.lseek(reader.fileno(), position, os.SEEK_SET)
            while position < end:
                sent = os.sendfile(writer.fileno(), reader.fileno(), position, end - position)
                if sent == 0:
                    break
                position += sent
        os.ftruncate(writer.fileno(), size)
    return target


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Wait to be the only writer of this folder; a killed writer lets go of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "writer.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class PrivateFolder:
    """A folder of this process alone below `root`, deleted at its end; those of processes that died go at once."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.process = os.getpid()
        # The lock file is made and held before the folder is, so that nobody takes the folder for an orphan.
        self.path = Path(tempfile.mkdtemp(dir=root, prefix=".new-"))
        self._lock: IO[str] = (self.path / "lock").open("a")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = self.path.rename(root / self.path.name.removeprefix(".new-"))
        self._remove_orphans(root)

    def _remove_orphans(self, root: Path) -> None:
        for folder in root.iterdir():
            if folder == self.path or folder.name.startswith(".new-"):
                continue
            with suppress(FileNotFoundError, BlockingIOError), (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)

    def close(self) -> None:
        """Delete the folder; in a forked child, which shares the lock but does not own the folder, do nothing."""
        if os.getpid() == self.process:
            remove(self.path)
            self._lock.close()
