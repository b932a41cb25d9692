"""Taking a source away from an author: the author file, the documents only it held, its state and its export.

Documents become tombstones, which the next run takes out of the corpus and the index; the rows themselves, and older
versions of the tables, keep their text. The steps can be interrupted anywhere and done again: what says that
there is something left to do, the source's row of state, goes last.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from twin_assets.core.authors import Author, Source
from twin_assets.core.errors import ConfigurationError
from twin_assets.core.sources.base import IMPORTS

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Removal:
    """What taking a source away does, in documents.

    documents: those nothing else of the author's holds, which leave the corpus; kept: those another source of the
    platform holds as well; files: exports that are deleted, relative to the home folder.
    """

    source: str
    documents: int
    kept: int
    files: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What happens, for the person who is asked."""
        parts = ["nothing leaves the corpus"]
        if self.documents:
            parts = [f"{_count(self.documents)} leave the corpus and the index with the next run"]
        if self.kept:
            parts.append(f"{_count(self.kept)} stay, because another source holds them too")
        if self.files:
            parts.append(f"the imported export is deleted ({', '.join(self.files)})")
        older = " Older versions of the tables keep their text." if self.documents else ""
        return "; ".join(parts) + "." + older


@dataclass(frozen=True, slots=True)
class _Plan:
    """keys: the source and exports it replaced; doomed: ids of documents; heirs: id of a document to its new source."""

    keys: tuple[str, ...]
    doomed: tuple[str, ...]
    kept: int
    heirs: Mapping[str, str]
    files: tuple[Path, ...]


def plan_removal(workspace: "Workspace", author_id: str, key: str) -> Removal:
    """What remove_source() would do, without doing it; raises ConfigurationError where there is no such source."""
    author = workspace.authors.get(author_id)
    return _told(workspace, key, _plan(workspace, author, key))


def documents_of(workspace: "Workspace", author_id: str, key: str) -> list[str]:
    """Ids of the documents that go with a source, those that were removed at their source before as well."""
    plan = _plan(workspace, workspace.authors.get(author_id), key)
    rows = workspace.lake.read(
        "raw_documents", author_id, columns=["document_id"], where=pl.col("source").is_in(plan.keys) & ~_live()
    )
    return sorted({*plan.doomed, *rows["document_id"]})


def remove_source(workspace: "Workspace", author_id: str, key: str) -> Removal:
    """Take a source (by its Source.key) away from the author, and say what that did.

    Waits for a run that reads the platform at that moment. Doing it again finishes one that was interrupted.
    Raises ConfigurationError where there is no such source, UnknownAuthorError, LakeError.
    """
    plan_removal(workspace, author_id, key)  # no lock is left behind for what is not there
    with workspace.lake.exclusive(f"raw_documents-{key.partition(':')[0]}", author_id):
        with workspace.authors.changing(author_id) as author:
            plan = _plan(workspace, author, key)
            workspace.authors.save(author.model_copy(update={"sources": _others(author, key)}))
        _bury(workspace, author_id, plan)
        for path in plan.files:
            path.unlink(missing_ok=True)
        workspace.lake.replace("source_state", author_id, "source", list(plan.keys), [])
    return _told(workspace, key, plan)


def _plan(workspace: "Workspace", author: Author, key: str) -> _Plan:
    platform = key.partition(":")[0]
    of_platform = pl.col("platform") == platform
    states = {
        row["source"]: json.loads(row["cursor"] or "{}").get("listed", {})
        for row in workspace.lake.read("source_state", author.id, where=of_platform).to_dicts()
    }
    if key not in states and key not in {source.key for source in author.sources}:
        known = ", ".join(source.key for source in author.sources) or "none"
        raise ConfigurationError(f"{author.id!r} has no source {key!r}; the sources are: {known}.")
    others = [source.key for source in _others(author, key) if source.platform == platform]
    keys = [key]
    exports = f"{platform}:{IMPORTS}"
    if key.startswith(exports) and not any(other.startswith(exports) for other in others):
        # The last export of the platform takes the ones along that it replaced.
        keys += [name for name in states if name.startswith(exports) and name != key]
    listed = {name for each in keys for name in states.get(each, {})}
    holders = {name: states.get(name, {}) for name in {*others, *states.keys() - set(keys)}}
    columns = ["document_id", "external_id", "source"]
    live = workspace.lake.read("raw_documents", author.id, columns=columns, where=of_platform & _live())
    doomed, kept, heirs = [], 0, {}
    for document, external_id, source in live.iter_rows():
        if source not in keys and external_id not in listed:
            continue
        heir = source if source in holders else next((h for h, ids in holders.items() if external_id in ids), None)
        if heir is None:
            doomed.append(document)
            continue
        kept += 1
        if heir != source:
            heirs[document] = heir
    return _Plan(tuple(keys), tuple(doomed), kept, heirs, tuple(_export_files(workspace, author.id, keys)))


def _export_files(workspace: "Workspace", author: str, keys: list[str]) -> list[Path]:
    """The kept exports of these sources; an author file written by hand names no file outside the author's folder."""
    home = workspace.settings.home
    folder = (home / IMPORTS / author).resolve()
    paths = [(home / key.partition(":")[2]).resolve() for key in keys if key.partition(":")[2].startswith(IMPORTS)]
    return [path for path in paths if path.is_relative_to(folder) and path.is_file()]


def _bury(workspace: "Workspace", author: str, plan: _Plan) -> None:
    """Tombstones for what goes and the new owner for what stays, in one transaction."""
    ids = [*plan.doomed, *plan.heirs]
    if not ids:
        return
    rows = workspace.lake.read("raw_documents", author, where=pl.col("document_id").is_in(ids))
    gone = pl.col("document_id").is_in(list(plan.doomed)) & _live()
    now = pl.lit(datetime.now(UTC)).cast(rows.schema["removed_at"])
    rows = rows.with_columns(
        removed_at=pl.when(gone).then(now).otherwise(pl.col("removed_at")),
        source=pl.col("document_id").replace_strict(plan.heirs, default=pl.col("source"), return_dtype=pl.String),
    )
    workspace.lake.replace("raw_documents", author, "document_id", ids, rows)


def _others(author: Author, key: str) -> tuple[Source, ...]:
    return tuple(source for source in author.sources if source.key != key)


def _live() -> pl.Expr:
    return pl.col("removed_at").is_null()


def _told(workspace: "Workspace", key: str, plan: _Plan) -> Removal:
    home = workspace.settings.home.resolve()
    files = tuple(path.relative_to(home).as_posix() for path in plan.files)
    return Removal(key, len(plan.doomed), plan.kept, files)


def _count(number: int) -> str:
    return f"{number:,} document{'' if number == 1 else 's'}"
