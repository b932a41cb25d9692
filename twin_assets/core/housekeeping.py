"""Housekeeping: what the lake and the home no longer need goes, after a stated retention.

The rule: for `keep` every version of every table can be read; after that only the present one and those a registered
model was made from (its dataset in `samples`, its pairs in `preferences`, its corpus in `documents`), which stay
readable as long as the model is registered. Where the registry cannot be asked nothing is removed. Small files that a
long backfill leaves are merged; no row changes by that. Embeddings that no passage has had for as long go too, and so
do exports that no source names; and at once those of a former embedding model, which is neither set nor the one the
author's index was made with.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.documents import TABLES
from twin_assets.core.errors import ConfigurationError, LakeError, TwinError, UnknownAuthorError, VersionGoneError
from twin_assets.core.features import corpus_version
from twin_assets.core.index import model_of
from twin_assets.core.lake import TABLE_PROPERTIES, Lake
from twin_assets.core.registry import ModelVersion
from twin_assets.core.warehouse import History

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

# Files of one author below this are small, and this many of them are worth a merge: merging on every run would write
# the same rows again each day, and the old files stay for the retention.
SMALL_BYTES = 32_000_000
MERGED_FROM = 8
# Readers that opened a table and writers that have not committed yet hold files the newest version does not name.
SHORTEST = timedelta(days=1)
# A model's corpus is looked for among this many commits before the model was made.
SEARCHED_COMMITS = 100


@dataclass(frozen=True, slots=True)
class TableTidied:
    """What was done to one table; merged, removed: files; kept: versions that models need beyond the retention."""

    table: str
    merged: int
    removed: int
    kept: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tidied:
    """What tidy() did, or with dry_run would do; embeddings: rows, imports: files (relative to the home)."""

    keep_days: float
    dry_run: bool
    tables: list[TableTidied] = field(default_factory=list)
    embeddings: int = 0
    imports: list[str] = field(default_factory=list)


def tidy(
    workspace: "Workspace",
    keep: timedelta | None = None,
    *,
    dry_run: bool = False,
    shortest: timedelta = SHORTEST,
    progress: Callable[[str], None] | None = None,
) -> Tidied:
    """Apply the retention to the whole deployment; killed anywhere, the next run does the rest.

    keep: how long everything can be read, default TWIN_LAKE_RETENTION_DAYS; progress: called with a sentence.
    Raises ConfigurationError for a retention below `shortest`, ModelError where the registry cannot be read (nothing
    is removed then), LakeError.
    """
    keep = timedelta(days=workspace.settings.lake_retention_days) if keep is None else keep
    if keep < shortest:
        raise ConfigurationError(
            f"A retention of {keep.total_seconds() / 86_400:g} days is too short: files that are being read would go; "
            f"keep at least {shortest.days} day."
        )
    tell = progress or (lambda _: None)
    needed = needed_versions(workspace)
    imports = _tidy_imports(workspace, keep, dry_run)
    embeddings, passages = 0, History(workspace.lake, "chunks")
    for author in _authors_of(workspace.lake, "embeddings"):
        tell(f"embeddings of {author}")
        embeddings += tidy_former_models(workspace, author, dry_run)
        embeddings += _tidy_embeddings(workspace.lake, author, passages, keep, dry_run)
    tables = []
    for table in TABLES:
        tell(f"table {table}")
        tables.append(_tidy_table(workspace.lake, table, keep, needed.get(table, set()), dry_run))
    return Tidied(keep.total_seconds() / 86_400, dry_run, tables, embeddings, imports)


def needed_versions(workspace: "Workspace") -> dict[str, set[int]]:
    """Delta versions by table that registered models were made from. Raises ModelError."""
    needed: dict[str, set[int]] = {"samples": set(), "preferences": set(), "documents": set()}
    corpora = History(workspace.lake, "documents")
    for author in workspace.authors.ids():
        for model in workspace.registry.versions(author):
            if model.dataset_delta_version is not None:
                needed["samples"].add(model.dataset_delta_version)
            if model.preferences_delta_version is not None:
                needed["preferences"].add(model.preferences_delta_version)
            made_from = _corpus_of(workspace.lake, corpora, model)
            if made_from is not None:
                needed["documents"].add(made_from)
    return needed


def _corpus_of(lake: Lake, corpora: History, model: ModelVersion) -> int | None:
    """Delta version of `documents` a model was made from: the registry keeps its hash only."""
    before = [commit for commit in corpora.of(model.author) if commit.written_at <= model.created_at]
    for commit in before[:SEARCHED_COMMITS]:
        try:
            if corpus_version(lake, model.author, commit.delta_version) == model.corpus_version:
                return commit.delta_version
        except VersionGoneError:
            return None  # it was removed before models were asked
    return None


def _tidy_table(lake: Lake, table: str, keep: timedelta, needed: Iterable[int], dry_run: bool) -> TableTidied:
    from deltalake.exceptions import CommitFailedError, DeltaError

    delta = lake.delta(table)
    if delta is None:
        return TableTidied(table, 0, 0)
    readable = {entry["version"] for entry in delta.history()}
    kept = tuple(sorted(readable & set(needed)))
    try:
        if not dry_run and TABLE_PROPERTIES.items() - delta.metadata().configuration.items():
            delta.alter.set_table_properties(TABLE_PROPERTIES)
        merged = _merge_small_files(delta, dry_run)
        # It names what earlier vacuums removed as well, and one that removes nothing would still be two commits.
        removed = _there(lake, table, _vacuum(delta, keep, kept, dry_run=True))
        if removed and not dry_run:
            _vacuum(delta, keep, kept, dry_run=False)
    except CommitFailedError as error:
        raise LakeError(
            f"Table {table} is being written by others; run the housekeeping again later: {error}"
        ) from error
    except (DeltaError, OSError) as error:
        raise LakeError(f"Table {table} at {lake.uri(table)} could not be tidied: {error}") from error
    return TableTidied(table, merged, removed, kept)


def _vacuum(delta: Any, keep: timedelta, kept: tuple[int, ...], *, dry_run: bool) -> list[str]:
    hours = int(keep.total_seconds() // 3600)
    found: list[str] = delta.vacuum(
        retention_hours=hours, dry_run=dry_run, enforce_retention_duration=False, full=True,
        keep_versions=list(kept) or None,
    )  # fmt: skip
    return found


def _there(lake: Lake, table: str, names: list[str]) -> int:
    """How many of these files there are."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import FileSelector, PyFileSystem

    if not names:
        return 0
    folder = PyFileSystem(DeltaStorageHandler(lake.uri(table), lake.storage_options))
    there = {file.base_name for file in folder.get_file_info(FileSelector("", recursive=True))}
    return sum(name.rsplit("/", 1)[-1] in there for name in names)


def _merge_small_files(delta: Any, dry_run: bool) -> int:
    """Merge the small files of every author who has many of them; returns how many files were merged away."""
    files = pl.DataFrame(delta.get_add_actions(flatten=True))
    small = files.filter(pl.col("size_bytes") < SMALL_BYTES).group_by("partition.author").len()
    many = small.filter(pl.col("len") >= MERGED_FROM)
    if not dry_run:
        for author in many["partition.author"].sort():
            delta.optimize.compact([("author", "=", author)], target_size=SMALL_BYTES)
    return int(many["len"].sum())


def _authors_of(lake: Lake, table: str) -> list[str]:
    delta = lake.delta(table)
    return [] if delta is None else sorted({partition["author"] for partition in delta.partitions()})


def _tidy_embeddings(lake: Lake, author: str, passages: History, keep: timedelta, dry_run: bool) -> int:
    """Remove embeddings of texts that no version of the passages within the retention has; returns how many.

    Under the lock of update_embeddings(), which therefore finds missing whatever comes back after this.
    """
    with lake.exclusive("embeddings", author):
        hashes = lake.read("embeddings", author, columns=["text_hash"])
        unused = hashes.join(lake.read("chunks", author, columns=["text_hash"]), on="text_hash", how="anti").unique()
        cutoff = datetime.now(UTC) - keep
        for commit in passages.of(author):
            if unused.is_empty():
                return 0
            try:
                used = lake.read("chunks", author, columns=["text_hash"], version=commit.delta_version)
            except VersionGoneError:
                return 0  # a shorter retention took the files that would tell
            unused = unused.join(used, on="text_hash", how="anti")
            if commit.written_at <= cutoff:
                break  # what the passages were when the retention began
        else:
            return 0  # the passages are younger than the retention
        if unused.height and not dry_run:
            kept = lake.read("embeddings", author).join(unused, on="text_hash", how="anti")
            lake.replace_author("embeddings", author, kept)
        return unused.height


def tidy_former_models(workspace: "Workspace", author: str, dry_run: bool) -> int:
    """Remove embeddings of models that are neither set nor published for the author; returns how many."""
    lake = workspace.lake
    with lake.exclusive("embeddings", author):
        made_with = lake.read("embeddings", author, columns=["derived_version"])["derived_version"]
        used = {workspace.embedder.model_id, model_of(workspace.index.schema(author) or "")}
        former = made_with.filter(~made_with.is_in([model for model in used if model]))
        if len(former) and not dry_run:
            lake.replace("embeddings", author, "derived_version", former.unique().sort().to_list(), [])
        return len(former)


def _tidy_imports(workspace: "Workspace", keep: timedelta, dry_run: bool) -> list[str]:
    """Remove exports that a newer one has replaced and that were taken in longer ago than the retention.

    An author whose file cannot be read keeps all of them.
    """
    home, oldest = workspace.settings.home, (datetime.now(UTC) - keep).timestamp()
    gone: list[str] = []
    for folder in sorted(workspace.settings.imports_folder.glob("*")):
        try:
            named = {source.location for source in workspace.authors.get(folder.name).sources}
        except UnknownAuthorError:
            named = set()
        except TwinError:
            continue
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(home)
            if path.is_file() and path.stat().st_mtime < oldest and not _is_named(name, named):
                gone.append(name.as_posix())
                if not dry_run:
                    path.unlink()
    return gone


def _is_named(path: Path, named: set[str]) -> bool:
    return any(place.as_posix() in named for place in (path, *path.parents))
