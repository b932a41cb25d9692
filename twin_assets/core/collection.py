"""Collecting: running an author's sources and keeping the lake's raw documents true to them.

A document is removed only when a source that listed it lists completely and no longer has it, and no other source of
the platform holds it; what is removed stays as a tombstone (`removed_at`). Documents are committed before the cursor
that says they were read, so a killed run reads some of them again and loses none.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from twin_assets.core.archives import BLOCK, pack
from twin_assets.core.authors import Author, Source
from twin_assets.core.documents import TIMESTAMP, content_hash
from twin_assets.core.errors import LakeError, RateLimitedError, SourceError, TwinError
from twin_assets.core.ledger import Ledger, SourceStates
from twin_assets.core.sources import platform_named, recognise
from twin_assets.core.sources.base import (
    Checkpoint,
    Done,
    Event,
    Found,
    Gone,
    Kept,
    Platform,
    Reading,
    WaitingError,
    collect_export,
    folder_of,
    is_export,
)
from twin_assets.core.web import WebClient
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

BATCH = 500  # documents of one transaction
RESUMABLE = 50  # documents after which a reader's checkpoint is written down
SAVING_SHARE = 0.1  # of the time may go into that: a state is as long as what the source lists
Progress = Callable[[str], None]  # called with a sentence
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What one source's collection did, in documents.

    status: "ok", "failed" (message says what and what to do) or "waiting" (for its owner or a rate limit; message
    says for what); quarantined: documents of this source that are held back now.
    """

    source: str
    platform: str
    status: Literal["ok", "failed", "waiting"]
    message: str = ""
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    quarantined: int = 0


def add_source(workspace: Workspace, author: str, platform: str, location: str, api_url: str | None = None) -> Author:
    """Add a place the author publishes and return the author; raises InputError, UnknownAuthorError."""
    normal = platform_named(platform).normalise(location)
    return workspace.authors.add_source(author, Source(platform=platform, location=normal, api_url=api_url))


def import_export(workspace: Workspace, author: str, path: Path) -> Source:
    """Keep an export (ZIP, unpacked folder, or its one file) and add it as a source; nothing is read from it yet.

    The newer import replaces an older one of the same account, known by a document both hold; exports of different
    accounts stay side by side. Raises InputError where it is no export, UnknownAuthorError.
    """
    known = workspace.authors.get(author)
    platform = platform_named(recognise(path))
    kept = _keep(path, folder_of(workspace.settings.home, author, platform.name))
    source = Source(platform=platform.name, location=kept.relative_to(workspace.settings.home).as_posix())
    others = [s for s in known.sources if s.platform == platform.name and is_export(s) and s != source]
    with workspace.web() as web:
        held = _export_ids(workspace, known, platform, source, web) if others else set()
        replaced = {s for s in others if held & _export_ids(workspace, known, platform, s, web)}
    with workspace.authors.changing(author) as now:
        sources = [s for s in now.sources if s not in replaced and s != source]
        workspace.authors.save(now.model_copy(update={"sources": (*sources, source)}))
    return source


def collect_platform(
    workspace: Workspace, author: Author, platform: str, progress: Progress | None = None
) -> list[SourceResult]:
    """Read every source the author has on a platform; one result each, none for no source.

    A source that fails says so in its result and stops no other. Raises LakeError where the lake cannot be written.
    """
    sources = [source for source in author.sources if source.platform == platform]
    say = progress or (lambda _: None)
    with workspace.lake.exclusive(f"raw_documents-{platform}", author.id), workspace.web() as web:
        return [_Collector(workspace, author, source, web, say).run() for source in sources]


def source_states(workspace: Workspace, author: str) -> list[dict[str, Any]]:
    """Rows of `source_state` less the cursor, by platform and source.

    Each has `retry_at` as well: when a platform that asked to wait may be asked again (None: at any time).
    """
    rows = workspace.lake.read("source_state", author).sort("platform", "source")
    until = pl.col("cursor").str.json_path_match("$.retry_at").cast(pl.Float64) * 1_000_000
    rows = rows.with_columns(retry_at=until.cast(pl.Int64).cast(TIMESTAMP))
    return rows.drop("cursor").to_dicts()


class _Collector:
    """One reading of one source, from its events to the lake."""

    def __init__(
        self, workspace: Workspace, author: Author, source: Source, web: WebClient, progress: Progress
    ) -> None:
        self.workspace = workspace
        self.author = author
        self.source = source
        self.web = web
        self.progress = progress
        self.states = SourceStates(workspace.lake, author, source)
        self.ledger = Ledger(workspace.lake, author, source, self.states)
        self.checkpoint = self.states.cursor
        self.taken = 0  # documents since the last written checkpoint
        self.next_save = 0.0  # monotonic seconds before which none is written

    def run(self) -> SourceResult:
        """Read the source to its end and commit what it gave.

        A platform that asked to wait is not asked again before it said, unless with another token.
        """
        status: Literal["ok", "failed", "waiting"] = "ok"
        cursor, message, retry_at = self.states.cursor, "", None
        asked_as = _tokens(self.workspace.settings)
        try:
            self._check_wait(asked_as)
            cursor, message = self._read()
        except WaitingError as error:
            status, message = "waiting", str(error)
        except RateLimitedError as error:
            status, message, retry_at = "waiting", str(error), error.retry_at
        except LakeError:
            raise
        except TwinError as error:
            status, message = "failed", str(error)
        except Exception as error:  # what a platform sends may break a parser in any way; it fails alone
            log.exception("reading %s failed", self.source.key)
            status = "failed"
            message = (
                f"{self.source.key} sent something this version cannot read ({type(error).__name__}: {error}); "
                "nothing of it was lost, please report it."
            )
        if status != "ok":
            self.ledger.flush()
            cursor = self.checkpoint
        counts = self.ledger.counts()
        self.states.save(
            cursor, self.ledger.listed, status=status, message=message, counts=counts, retry_at=retry_at,
            asked_as=asked_as,
        )  # fmt: skip
        self.progress(f"{self.source.key}: {status}, {counts['new']} new, {counts['changed']} changed")
        return SourceResult(self.source.key, self.source.platform, status, message, **counts)

    def _check_wait(self, asked_as: str) -> None:
        until = self.states.retry_at
        if until is not None and until > time.time() and self.states.asked_as == asked_as:
            when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until))
            raise RateLimitedError(
                f"{self.source.key} asked to wait until {when}; nothing was asked, run it again then.",
                url=self.source.location, retry_at=until,
            )  # fmt: skip

    def _read(self) -> tuple[Mapping[str, Any], str]:
        platform = platform_named(self.source.platform)
        reading = Reading(
            self.author, self.source, self.states.cursor, self.web, self.workspace.settings, self.ledger.known
        )
        events = collect_export(reading, platform) if is_export(self.source) else platform.collect(reading)
        found = 0
        for event in events:
            self._take(event)
            found += isinstance(event, Found)
            self.taken += isinstance(event, Found)
            if isinstance(event, Found) and found % BATCH == 0:
                self.ledger.flush()
                self.progress(f"{self.source.key}: {found} documents read")
            if isinstance(event, Done):
                return event.cursor, event.message
        raise SourceError(f"The reader of {platform.title} ended without saying that it was done.")

    def _take(self, event: Event) -> None:
        if isinstance(event, Found):
            self.ledger.found(event.document, event.replaces)
        elif isinstance(event, Kept):
            self.ledger.keep(event.external_id)
        elif isinstance(event, Gone):
            self.ledger.gone(event.external_id)
        elif isinstance(event, Checkpoint):
            self.checkpoint = event.cursor
            if self.taken >= RESUMABLE and time.monotonic() >= self.next_save:
                self.ledger.flush()
                begun = time.monotonic()
                self.states.save(event.cursor, self.ledger.listed, status="reading")
                self.taken = 0
                self.next_save = time.monotonic() + (time.monotonic() - begun) / SAVING_SHARE
        else:
            self.ledger.finish(complete=event.complete, unchanged=event.unchanged)


def _tokens(settings: Settings) -> str:
    """What stands for the tokens in use: a quota is a token's, so that a new token need not wait."""
    secrets = (settings.github_token, settings.linkedin_token)
    return content_hash(*(secret.get_secret_value() if secret else "" for secret in secrets))


def _export_ids(workspace: Workspace, author: Author, platform: Platform, source: Source, web: WebClient) -> set[str]:
    """External ids an export holds; where its file is gone, those that were read from it."""
    if not (workspace.settings.home / source.location).is_file():
        return set(SourceStates(workspace.lake, author, source).listed)
    reading = Reading(author, source, {}, web, workspace.settings)
    return {event.document.external_id for event in collect_export(reading, platform) if isinstance(event, Found)}


def _keep(path: Path, folder: Path) -> Path:
    """Copy (or pack) an export to `<folder>/<hash of its bytes>.zip`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        if path.suffix.lower() == ".zip" and path.is_file():
            with path.open("rb") as source, temporary.open("wb") as copy:
                shutil.copyfileobj(source, copy, BLOCK)
        else:
            pack(path, temporary)
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        target = folder / f"{digest}.zip"
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
