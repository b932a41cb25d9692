"""Imported exports that hold what is forgotten: written anew without it where their format allows, else deleted.

What goes are whole rows of tables (CSV) and of lists (JSON, also as X writes it), and whole files that are of one
document. The result is read again before it takes the old one's place: it must hold every other document, none of
those, and no sentence of theirs.
"""

import csv
import html
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from twin_assets.core.archives import BLOCK, Archive
from twin_assets.core.authors import Author, Source
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import InputError, TwinError
from twin_assets.core.forgetting_traces import Quotes
from twin_assets.core.lake_purge import every_row
from twin_assets.core.sources import platform_named
from twin_assets.core.sources.base import IMPORTS, Found, Reading, collect_export
from twin_assets.core.sources.linkedin_tables import LONGEST_FIELD

if TYPE_CHECKING:
    from twin_assets.core.web import WebClient
    from twin_assets.core.workspace import Workspace

TEXTS = (".csv", ".html", ".htm", ".js", ".json", ".txt", ".md", ".xml")
# LinkedIn escapes the quotes of this table by a backslash, and joins paragraphs of others by quote, newline, quote.
BACKSLASHED = re.compile(r"(?:^|.*/)Comments[^/]*\.csv", re.IGNORECASE)
_JOINT = re.compile(r'"(\r?\n)"')
_LIST = re.compile(r"[^=\[{]*=?\s*(?=\[)")


@dataclass(frozen=True, slots=True)
class Exports:
    """Exports (relative to the home) that hold a document: those that can be written anew without it, and the rest."""

    rewritten: tuple[str, ...]
    deleted: tuple[str, ...]


def exports_that_hold(workspace: "Workspace", author: str, ids: Sequence[str], quotes: Quotes) -> Exports:
    """Exports that hold any of these documents, or cannot be read to tell; changes nothing.

    Raises InputError where one was not read yet: its other documents might be lost.
    """
    home, wanted = workspace.settings.home, set(ids)
    known = workspace.authors.get(author)
    states = workspace.lake.read("source_state", author, columns=["source", "cursor"]).rows()
    read = {source for source, cursor in states if json.loads(cursor or "{}").get("cursor", {}).get("read")}
    rewritten: list[str] = []
    deleted: list[str] = []
    with workspace.web() as web:
        for path in sorted((home / IMPORTS / author).glob("*/*.zip")):
            source = Source(platform=path.parent.name, location=path.relative_to(home).as_posix())
            held = _held(workspace, known, source, web)
            if held is not None and all(each.isdisjoint(wanted) for each in held):
                continue
            if held is not None and all(not each.isdisjoint(wanted) for each in held):
                deleted.append(source.location)  # nothing that is to stay is in it
                continue
            if held is not None and source in known.sources and source.key not in read:
                raise InputError(
                    f"The export {source.location} holds it and was not read yet; run `twin collect {author}` first, "
                    "so that nothing else in it is lost."
                )
            with _without(workspace, known, source.location, ids, quotes, web) as fit:
                (rewritten if fit else deleted).append(source.location)
    return Exports(tuple(rewritten), tuple(deleted))


def take_out_of_exports(
    workspace: "Workspace", author: str, ids: Sequence[str], quotes: Quotes, exports: Exports
) -> None:
    """Write these exports anew without the documents, and delete those that cannot be."""
    home, known = workspace.settings.home, workspace.authors.get(author)
    with workspace.web() as web:
        for location in exports.rewritten:
            with _without(workspace, known, location, ids, quotes, web) as fit:
                if fit is not None:
                    os.replace(fit, home / location)
                else:
                    (home / location).unlink(missing_ok=True)
    for location in exports.deleted:
        (home / location).unlink(missing_ok=True)


def _held(workspace: "Workspace", author: Author, source: Source, web: "WebClient") -> set[frozenset[str]] | None:
    """The documents in an export, each by every id it has had; None where it cannot be read."""
    reading = Reading(author, source, {}, web, workspace.settings)
    try:
        found = [e for e in collect_export(reading, platform_named(source.platform)) if isinstance(e, Found)]
    except TwinError:
        return None
    return {
        frozenset(
            {each.document.document_id, *(content_hash(author.id, source.platform, name) for name in each.replaces)}
        )
        for each in found
    }


@contextmanager
def _without(
    workspace: "Workspace", author: Author, location: str, ids: Sequence[str], quotes: Quotes, web: "WebClient"
) -> Iterator[Path | None]:
    """The export written anew without these documents, beside the old one, for as long as this lasts; None where that
    cannot be done or loses anything else."""
    path = workspace.settings.home / location
    source = Source(platform=path.parent.name, location=location)
    before = _held(workspace, author, source, web)
    if before is None:
        yield None
        return
    names = every_row(workspace.lake, "raw_documents", author.id, ["external_id", "url"], ids)
    theirs = _Theirs(quotes, {name for column in names for name in column if name})
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".forgetting-") as scratch:
        target = Path(scratch, path.name)
        try:
            left = _rewrite(path, target, theirs)
        except (TwinError, csv.Error, ValueError, OSError, zipfile.BadZipFile):
            yield None
            return
        there = Source(platform=source.platform, location=target.relative_to(workspace.settings.home).as_posix())
        after = _held(workspace, author, there, web) if not left else None
        yield target if after is not None and after == {each for each in before if each.isdisjoint(ids)} else None


@dataclass(frozen=True, slots=True)
class _Theirs:
    """Tells what is of the forgotten documents: by a sentence of theirs, their ids on the platform, their addresses."""

    quotes: Quotes
    names: set[str]

    def text(self, text: str) -> bool:
        """Whether a text repeats them, as it stands or with its escapes undone."""
        plain = _JOINT.sub(r"\1", html.unescape(text))
        return self.quotes(text) or self.quotes(plain)

    def value(self, value: Any) -> bool:
        """Whether a value of JSON or a cell of a table is of them."""
        if isinstance(value, dict):
            return any(map(self.value, value.values()))
        if isinstance(value, list):
            return any(map(self.value, value))
        return isinstance(value, str) and (value in self.names or self.text(value))

    def file(self, name: str) -> bool:
        """Whether a file's name has one of their ids."""
        stem = PurePosixPath(name).stem
        return not self.names.isdisjoint({stem, *re.split(r"[^0-9A-Za-z]+", stem)})


def _rewrite(path: Path, target: Path, theirs: _Theirs) -> list[str]:
    """Write an export without what is theirs; returns the files that still repeat it."""
    left = []
    with Archive(path) as archive, zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in archive.names:
            information = old.getinfo(name)
            if PurePosixPath(name).suffix.lower() not in TEXTS:
                if not theirs.file(name):
                    with archive.open(name) as source, new.open(information, "w") as copy:
                        shutil.copyfileobj(source, copy, BLOCK)
                continue
            raw = archive.read(name)
            text = raw.decode("utf-8-sig", "replace")
            without = _cleaned(name, text, theirs)
            if without is None:
                continue
            if theirs.text(without):
                left.append(name)
            new.writestr(information, raw if without == text else without.encode(), information.compress_type)
    return left


def _cleaned(name: str, text: str, theirs: _Theirs) -> str | None:
    """A text file without what is theirs; None where the whole file is."""
    kind = PurePosixPath(name).suffix.lower()
    if kind == ".csv":
        return _without_rows(text, theirs, {"escapechar": "\\"} if BACKSLASHED.fullmatch(name) else {})
    if kind in (".js", ".json") and (start := _LIST.match(text)):
        rows, end = json.JSONDecoder().raw_decode(text, start.end())
        kept = [row for row in rows if not theirs.value(row)]
        return text if len(kept) == len(rows) else text[: start.end()] + json.dumps(kept, indent=2) + text[end:]
    return None if theirs.file(name) or theirs.text(text) else text


def _without_rows(text: str, theirs: _Theirs, dialect: dict[str, Any]) -> str:
    """A table without their rows; the lines of the others stay as they are."""
    csv.field_size_limit(LONGEST_FIELD)
    lines = list(io.StringIO(text, newline=""))
    reader, kept, start = csv.reader(lines, **dialect), [], 0
    for row in reader:
        if not any(map(theirs.value, row)):
            kept += lines[start : reader.line_num]
        start = reader.line_num
    return "".join(kept)
