"""The lake as a warehouse: questions in SQL, and the versions of an author's corpus and dataset, listed and compared.

A version is a Delta version of a table plus the content hash of one author's rows in it: the number finds it, the hash
says what it is, wherever and whenever it was written. What can be read of the past is up to housekeeping.py.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl

from twin_assets.core.datasets import CONTENT, load_dataset
from twin_assets.core.documents import TABLES, content_hash
from twin_assets.core.errors import InputError, LakeError, VersionGoneError
from twin_assets.core.features import corpus
from twin_assets.core.lake import COMMIT_AUTHORS, Lake
from twin_assets.core.registry import ModelVersion

Kind = Literal["corpus", "dataset"]
# The table that holds each kind, and what one of its rows is known by.
TABLE_OF: Mapping[Kind, str] = {"corpus": "documents", "dataset": "samples"}
KEYS: Mapping[Kind, tuple[str, ...]] = {"corpus": ("document_id",), "dataset": ("document_id", "position")}
# Columns a change shows in, and those a person knows a row by.
COMPARED: Mapping[Kind, tuple[str, ...]] = {"corpus": ("document_hash",), "dataset": CONTENT}
SHOWN: Mapping[Kind, tuple[str, ...]] = {
    "corpus": ("platform", "category", "title", "url"),
    "dataset": ("form", "split", "instruction"),
}
HASH_DIGITS = 8  # of a content hash, at least, to name a version by it
_WRITES = {"WRITE", "CREATE TABLE", "MERGE", "DELETE", "UPDATE"}


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit that wrote an author's rows of a table."""

    delta_version: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an author's corpus or dataset.

    content: hash of it, None where its files lie before the retention; rows: documents or samples in use;
    models: versions of the author's models that were made from it.
    """

    delta_version: int
    written_at: datetime
    content: str | None
    rows: int | None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What came, went and changed between two versions: frames of the keys and what a person knows the rows by."""

    added: pl.DataFrame
    removed: pl.DataFrame
    changed: pl.DataFrame
    unchanged: int


def ask(
    lake: Lake, statement: str, *, versions: Mapping[str, int] | None = None, moment: datetime | None = None
) -> pl.DataFrame:
    """Answer a read-only SQL statement over all tables with DuckDB.

    versions: Delta version to read a table as of; moment: the same for every other table, by time (a table that was
    not there yet is empty). Raises LakeError where the statement is wrong or a version is not there. External access
    is off: SQL reaches the lake and nothing else.
    """
    import duckdb

    versions = dict(versions or {})
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": "false"})
    try:
        for table, schema in TABLES.items():
            version = versions.pop(table, None)
            if version is None and moment is not None:
                version = version_at(lake, table, moment)
            delta = None if version == -1 else lake.delta(table, version)
            dataset = pl.DataFrame(schema=dict(schema)).to_arrow() if delta is None else delta.to_pyarrow_dataset()
            connection.register(table, dataset)
        if versions:
            raise LakeError(f"The lake has no table {next(iter(versions))!r}; its tables are {', '.join(TABLES)}.")
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        return _one_question(connection, statement).pl()
    except pl.exceptions.ComputeError as error:
        raise LakeError(f"The answer holds a type that has no column here; cast it to text: {error}") from error
    except (duckdb.Error, OSError) as error:
        # On S3 DuckDB tells of it in its own error only.
        if isinstance(error, FileNotFoundError) or "FileNotFoundError" in str(error):
            raise VersionGoneError(
                "The query asks for rows that lie before the retention: their files were removed. "
                "`twin versions list` says what can be read."
            ) from error
        raise LakeError(f"The query failed: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()


def _one_question(connection: Any, statement: str) -> Any:
    """The relation that answers the statement; raises LakeError for several, or for one that asks nothing."""
    found = connection.extract_statements(statement)
    if len(found) != 1 or found[0].type.name not in ("SELECT", "EXPLAIN"):
        raise LakeError("Ask one question: SELECT, WITH, FROM, SHOW TABLES, DESCRIBE or SUMMARIZE; SQL writes nothing.")
    return connection.sql(statement)


class History:
    """The commits of a table that wrote rows, read once; on S3 that is a request for each."""

    def __init__(self, lake: Lake, table: str) -> None:
        delta = lake.delta(table)
        self.commits: list[Commit] = []
        self._by_author: dict[str, list[Commit]] = {}
        self._unsigned: list[Commit] = []
        for entry in [] if delta is None else delta.history():
            if entry["operation"] in _WRITES:
                self._add(Commit(entry["version"], datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)), entry)

    def _add(self, commit: Commit, entry: Mapping[str, Any]) -> None:
        self.commits.append(commit)
        if COMMIT_AUTHORS not in entry:
            # Tables of older deployments do not say whose rows a commit wrote: it may be anybody's.
            self._unsigned.append(commit)
        for author in json.loads(entry.get(COMMIT_AUTHORS, "[]")):
            self._by_author.setdefault(author, []).append(commit)

    def of(self, author: str) -> list[Commit]:
        """Commits that wrote, or may have written, this author's rows, newest first."""
        own = [*self._by_author.get(author, []), *self._unsigned]
        return sorted(own, key=lambda commit: -commit.delta_version)


def version_at(lake: Lake, table: str, moment: datetime) -> int:
    """Delta version of a table at a moment, -1 where it was not there yet."""
    return next((c.delta_version for c in History(lake, table).commits if c.written_at <= moment), -1)


def read_version(lake: Lake, author: str, kind: Kind, version: int | None = None) -> pl.DataFrame:
    """The corpus (rows of `documents`) or the samples in use (of `samples`), now or as of a Delta version.

    Raises LakeError for a version that never was, VersionGoneError for one whose files lie before the retention.
    """
    if kind == "corpus":
        return corpus(lake, author, version)
    samples = load_dataset(lake, author, version).samples
    return samples.filter(pl.col("excluded").is_null()).sort(KEYS[kind])


def content_version(lake: Lake, author: str, kind: Kind, version: int | None = None) -> tuple[str, int]:
    """Content hash and rows of the corpus or dataset, now or as of a Delta version; raises as read_version()."""
    if kind == "corpus":
        # As features.corpus_version(), whose one reading also tells how many there are.
        columns, accepted = ["document_id", "document_hash"], pl.col("rejected").is_null()
        documents = lake.read("documents", author, columns=columns, where=accepted, version=version)
        return content_hash(documents.sort(columns).rows()), documents.height
    dataset = load_dataset(lake, author, version)
    return dataset.version, sum(dataset.counts.values())


def list_versions(
    lake: Lake, author: str, kind: Kind, models: Sequence[ModelVersion] = (), limit: int | None = None
) -> Iterator[Version]:
    """Versions of an author's corpus or dataset, newest first, at most `limit`; commits that changed nothing of it
    are left out (of equal neighbours the oldest, which made it, is told).

    models: the author's, to say which were made from what.
    """
    found: Version | None = None
    told = 0
    for commit in History(lake, TABLE_OF[kind]).of(author):
        try:
            content, rows = content_version(lake, author, kind, commit.delta_version)
        except VersionGoneError:
            version = Version(commit.delta_version, commit.written_at, None, None)
        else:
            version = Version(commit.delta_version, commit.written_at, content, rows, _made_from(models, kind, content))
        if found is not None and (found.content is None or found.content != version.content):
            yield found
            told += 1
            if told == limit:
                return
        found = version
    if found is not None:
        yield found


def _made_from(models: Sequence[ModelVersion], kind: Kind, content: str) -> tuple[str, ...]:
    names = {m.version: m.corpus_version if kind == "corpus" else m.dataset_version for m in models}
    return tuple(sorted((name for name, made_from in names.items() if made_from == content), key=int))


def resolve(lake: Lake, author: str, kind: Kind, name: str) -> int:
    """Delta version that a person named: `now`, a number, a content hash (or its first digits), or a date or time.

    Raises InputError where nothing of the author goes by that name.
    """
    table = TABLE_OF[kind]
    current = lake.version(table)
    if current is None:
        raise InputError(f"There is no {kind} yet; `twin run {author}` makes one.")
    if name == "now":
        return current
    if name.isdecimal() and len(name) < HASH_DIGITS:
        if int(name) > current:
            raise InputError(f"Table {table} has no version {name}; its newest is {current}.")
        return int(name)
    if re.fullmatch(rf"[0-9a-f]{{{HASH_DIGITS},32}}", name):
        for version in list_versions(lake, author, kind):
            if version.content is not None and version.content.startswith(name):
                return version.delta_version
        raise InputError(f"No {kind} of {author} that can be read has the hash {name}; see `twin versions list`.")
    moment = parse_moment(name)
    found = version_at(lake, table, moment)
    if found == -1:
        raise InputError(f"There was no {kind} yet on {moment:%Y-%m-%d %H:%M} UTC; see `twin versions list`.")
    return found


def parse_moment(text: str) -> datetime:
    """An ISO 8601 date (its end, UTC) or time (UTC unless it says otherwise); raises InputError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} names no version: give now, a number, a hash of at least {HASH_DIGITS} digits, "
            "or a date or time such as 2026-05-01 or 2026-05-01T12:00."
        ) from error
    if len(text) <= len("2026-05-01"):
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def compare(lake: Lake, author: str, kind: Kind, before: int, after: int) -> Difference:
    """What came, went and changed from one Delta version to another; raises as read_version()."""
    keys = list(KEYS[kind])
    columns = list(dict.fromkeys([*keys, *SHOWN[kind], *COMPARED[kind]]))
    old, new = (_hashed(read_version(lake, author, kind, v).select(columns), kind) for v in (before, after))
    shared = new.join(old.select(*keys, was="content"), on=keys)
    return Difference(
        added=_told(new.join(old, on=keys, how="anti"), kind),
        removed=_told(old.join(new, on=keys, how="anti"), kind),
        changed=_told(shared.filter(pl.col("content") != pl.col("was")), kind),
        unchanged=shared.filter(pl.col("content") == pl.col("was")).height,
    )


def _hashed(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    compared = pl.struct(COMPARED[kind]).hash(seed=0)
    return frame.with_columns(content=compared).select(*KEYS[kind], *SHOWN[kind], "content")


def _told(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    return frame.select(*KEYS[kind], *SHOWN[kind]).sort(KEYS[kind])


def as_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame as plain values, binary and nested ones as JSON can hold them."""
    return [
        {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
        for row in frame.to_dicts()
    ]
