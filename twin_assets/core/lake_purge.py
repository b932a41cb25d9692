"""Taking an author's past out of a Delta table: files that the newest version does not name, and what the log says.

Delta's own vacuum works on a whole table; this one is for one author's partition, so that every other author's
versions stay readable. Older versions of the table can then no longer be read for this author. Beside data files a
table's log tells of texts: the smallest and largest value of every column of every file, and the conditions of
commits. Both are optional in the protocol and are taken out of the commits in place; checkpoints, which hold them
again, are replaced by one of the present.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from twin_assets.core.documents import TABLES
from twin_assets.core.errors import LakeError
from twin_assets.core.lake import Lake

LOG = "_delta_log"


@dataclass(frozen=True, slots=True)
class Purged:
    """Data files and checkpoints deleted, and commits whose statistics were taken out."""

    files: int = 0
    commits: int = 0
    checkpoints: int = 0


def past_files(lake: Lake, table: str, author: str) -> int:
    """How many data files purge_author() would delete."""
    return len(_Partition(lake, table, author).past()) if lake.version(table) is not None else 0


def purge_author(
    lake: Lake, table: str, author: str, *, in_flight: timedelta = timedelta(0), whole: bool = False
) -> Purged:
    """Delete every file of the author that the newest version does not name, and what the log says of them.

    The caller holds back writers of these rows (Lake.exclusive); where it cannot, in_flight says how old a file must
    be that no commit names, so that none is taken for rubbish that is just being written. whole: nothing of the author
    is left, so that the conditions of commits go as well. Killed anywhere, doing it again does the rest.
    Raises LakeError.
    """
    if lake.version(table) is None:
        return Purged()
    partition = _Partition(lake, table, author)
    try:
        stale = partition.past(in_flight)
        for name in stale:
            partition.files.delete_file(name)
        commits = partition.clean_commits(whole)
        checkpoints = partition.renew_checkpoint() if stale or commits else 0
    except OSError as error:
        raise LakeError(
            f"Older versions of table {table} at {lake.uri(table)} could not be removed; run it again: {error}"
        ) from error
    return Purged(len(stale), commits, checkpoints)


class _Partition:
    """One author's files in one table."""

    def __init__(self, lake: Lake, table: str, author: str) -> None:
        from deltalake.fs import DeltaStorageHandler
        from pyarrow.fs import PyFileSystem

        self.prefix = f"author={author}/"
        self._store: Any = DeltaStorageHandler(lake.uri(table), lake.storage_options)
        self.files: Any = PyFileSystem(self._store)
        # Listed before the newest version is read: whatever is written and committed later is in neither.
        self.listed = {file.path: file.mtime for file in self._list(self.prefix.rstrip("/")) if file.is_file}
        self.logs = sorted(file.path for file in self._list(LOG) if file.is_file)
        self.delta = lake.delta(table)
        self.current = {
            path for path in self.delta.get_add_actions(flatten=True).column("path").to_pylist()
            if path.startswith(self.prefix)
        }  # fmt: skip

    def past(self, in_flight: timedelta = timedelta(0)) -> list[str]:
        """Files that the newest version does not name; of those no commit ever named only the older ones."""
        named = self._named()
        latest = datetime.now(UTC) - in_flight
        return [
            path
            for path, written in self.listed.items()
            if path not in self.current and (path in named or written is None or written <= latest)
        ]

    def clean_commits(self, whole: bool) -> int:
        """Take statistics of files that are gone (and with `whole` conditions) out of the log; returns how many."""
        cleaned = 0
        for path in self.logs:
            text = self._read(path) if path.endswith(".json") else ""
            if self.prefix not in text and not (whole and self.prefix[7:-1] in text):
                continue
            actions = [json.loads(line) for line in text.splitlines() if line.strip()]
            if sum(self._clean(action, whole) for action in actions):
                self._write(path, "".join(json.dumps(action, ensure_ascii=False) + "\n" for action in actions))
                cleaned += 1
        return cleaned

    def renew_checkpoint(self) -> int:
        """Replace the checkpoints, where there are any, by one of the newest version; returns how many went."""
        checkpoints = [path for path in self.logs if ".checkpoint" in path]
        if not checkpoints:
            return 0
        self.delta.create_checkpoint()
        newest = f"{self.delta.version():020}.checkpoint"
        older = [path for path in checkpoints if newest not in path]
        for path in older:
            self.files.delete_file(path)
        return len(older)

    def _clean(self, action: dict[str, Any], whole: bool) -> bool:
        for kind in ("add", "remove"):
            file = action.get(kind)
            if file and file["path"].startswith(self.prefix) and file["path"] not in self.current and file.get("stats"):
                del file["stats"]
                return True
        told = action.get("commitInfo", {})
        parameters = told.get("operationParameters", {})
        if whole and self.prefix[7:-1] in json.loads(told.get("authors", "[]")) and parameters.get("predicate"):
            del parameters["predicate"]
            return True
        return False

    def _named(self) -> set[str]:
        """Files of the author that any commit names."""
        named = set()
        for path in self.logs:
            text = self._read(path) if path.endswith(".json") else ""
            for line in text.splitlines() if self.prefix in text else ():
                action = json.loads(line)
                named |= {action[kind]["path"] for kind in ("add", "remove") if kind in action}
        return named

    def _read(self, path: str) -> str:
        with self.files.open_input_stream(path) as stream:
            return str(stream.read().decode("utf-8"))

    def _write(self, path: str, text: str) -> None:
        # Not by pyarrow's stream, whose buffers deltalake 1.6 refuses. Closing it puts the whole file in its place.
        with closing(self._store._handler.open_output_stream(path)) as stream:
            stream.write(text.encode("utf-8"))

    def _list(self, folder: str) -> list[Any]:
        from pyarrow.fs import FileSelector

        return list(self.files.get_file_info(FileSelector(folder, allow_not_found=True, recursive=True)))


def every_row(lake: Lake, table: str, author: str, columns: Sequence[str], documents: Sequence[str]) -> pl.DataFrame:
    """Rows of these documents in every file there is of the author, of present and past versions alike.

    columns: those a file does not have are null. Raises LakeError.
    """
    from pyarrow import ArrowInvalid, parquet

    schema = {name: TABLES[table][name] for name in columns}
    if lake.version(table) is None:
        return pl.DataFrame(schema=schema)
    partition = _Partition(lake, table, author)
    frames = [pl.DataFrame(schema=schema)]
    try:
        for path in partition.listed:
            with partition.files.open_input_file(path) as stream:
                file = parquet.ParquetFile(stream)
                here = [name for name in columns if name in file.schema_arrow.names]
                rows = pl.DataFrame(file.read(columns=[*dict.fromkeys(["document_id", *here])]))
            rows = rows.filter(pl.col("document_id").is_in(documents)).with_columns(
                pl.lit(None, schema[name]).alias(name) for name in columns if name not in here
            )
            frames.append(rows.select(pl.col(name).cast(kind) for name, kind in schema.items()))
    except (OSError, ArrowInvalid) as error:
        raise LakeError(f"Table {table} at {lake.uri(table)} cannot be read: {error}") from error
    return pl.concat(frames).unique()
