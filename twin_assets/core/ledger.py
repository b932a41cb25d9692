"""What the lake already holds of a platform, and the decision what a document just seen means for it."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from twin_assets.core.authors import Author, Source
from twin_assets.core.documents import RawDocument, content_hash
from twin_assets.core.errors import SourceError
from twin_assets.core.lake import Lake, json_text
from twin_assets.core.sources.base import is_export, plain_words

SHORT_HASH = 12  # hex digits of a raw hash that a state keeps: enough to see a change of one document
COUNTS = ("new", "changed", "unchanged", "removed", "quarantined")


class SourceStates:
    """The row of `source_state` of one source, and what the platform's other sources list.

    A state's cursor column is JSON: `cursor` is the reader's own, `listed` maps every external id the source held
    when it was last read to the short hash of what it held, `retry_at` is the epoch second before which the platform
    does not want to be asked again, and `asked_as` stands for the tokens it said that to.
    """

    def __init__(self, lake: Lake, author: Author, source: Source) -> None:
        self._lake = lake
        self._author = author.id
        self._source = source
        self.current = {each.key for each in author.sources}
        platform = pl.col("platform") == source.platform
        self._rows = {row["source"]: row for row in lake.read("source_state", author.id, where=platform).to_dicts()}
        states = {key: json.loads(row["cursor"] or "{}") for key, row in self._rows.items()}
        own = states.get(source.key, {})
        self.cursor: Mapping[str, Any] = own.get("cursor", {})
        self.listed: dict[str, str] = own.get("listed", {})
        self.retry_at: float | None = own.get("retry_at")
        self.asked_as: str = own.get("asked_as", "")
        self.others: set[str] = set()
        # Exports that a newer one has replaced; their listings say what the account once held.
        self.retired: dict[str, dict[str, str]] = {}
        for key, state in states.items():
            if key in self.current and key != source.key:
                self.others.update(state.get("listed", {}))
            elif key not in self.current and is_export(source):
                self.retired[key] = state.get("listed", {})

    def save(
        self,
        cursor: Mapping[str, Any],
        listed: Mapping[str, str],
        *,
        status: str,
        message: str = "",
        counts: Mapping[str, int] | None = None,
        retry_at: float | None = None,
        asked_as: str = "",
    ) -> None:
        """Write the source's row and drop those of the exports it has replaced, in one transaction."""
        now = datetime.now(UTC)
        before = self._rows.get(self._source.key, {})
        finished = [key for key, ids in self.retired.items() if status == "ok" and not listed.keys().isdisjoint(ids)]
        wait = {"retry_at": retry_at, "asked_as": asked_as} if retry_at else {}
        row = {
            "author": self._author,
            "source": self._source.key,
            "platform": self._source.platform,
            "cursor": json_text({"cursor": dict(cursor), "listed": dict(listed)} | wait),
            "status": status,
            "message": message,
            "attempted_at": now,
            "succeeded_at": now if status == "ok" else before.get("succeeded_at"),
            **{name: (counts or {}).get(name, 0) for name in COUNTS},
        }
        self.cursor = cursor
        self._lake.replace("source_state", self._author, "source", [self._source.key, *finished], [row])


@dataclass(frozen=True, slots=True)
class _Row:
    """What the ledger keeps of a raw document, of 100,000 of them as well: raw_hash is its bytes."""

    source: str
    raw_hash: bytes
    live: bool
    quarantined: bool


class Ledger:
    """Raw documents of one platform of one author; collects what one source's reading changes and writes it."""

    def __init__(self, lake: Lake, author: Author, source: Source, states: SourceStates) -> None:
        self._lake = lake
        self._author = author.id
        self._source = source.key
        self._platform = source.platform
        self._states = states
        self._of_platform = pl.col("platform") == source.platform
        flags = (pl.col("removed_at").is_null(), pl.col("quarantine").is_not_null())
        columns = ["external_id", "source", "raw_hash", "removed_at", "quarantine"]
        frame = lake.read("raw_documents", author.id, columns=columns, where=self._of_platform)
        self._rows = {
            name: _Row(sys.intern(held_by), bytes.fromhex(raw_hash), live, quarantined)
            for name, held_by, raw_hash, live, quarantined in frame.select(*columns[:3], *flags).iter_rows()
        }
        self._stored = set(self._rows)
        self._forgotten = set(lake.read("forgotten", author.id, columns=["document_id"])["document_id"])
        self._held = set(states.listed) | {
            name for name, row in self._rows.items() if row.live and row.source == self._source
        }
        self._seen_before: dict[str, str] = {}
        for listing in (*states.retired.values(), states.listed):
            self._seen_before.update(listing)
        self._now: dict[str, str] = {}
        self._finished = False
        self._pending: list[RawDocument] = []
        self._replaced: list[str] = []
        self._counts = dict.fromkeys(COUNTS, 0)

    @property
    def listed(self) -> Mapping[str, str]:
        """What the source holds: all that was seen; where it was not read to its end, what it held before as well."""
        return self._now if self._finished else {**self._states.listed, **self._now}

    @property
    def pending(self) -> int:
        """Documents taken in and not yet written."""
        return len(self._pending)

    def known(self) -> Mapping[str, str]:
        """External id to address of every document of the platform that the lake holds."""
        columns = ["external_id", "url"]
        return dict(
            self._lake.read("raw_documents", self._author, columns=columns, where=self._of_platform).iter_rows()
        )

    def found(self, document: RawDocument, replaces: Sequence[str] = ()) -> None:
        """Take in a document as the source has it now; its second appearance in one reading says nothing new, and
        what the author had forgotten (see forgetting.py) stays so."""
        name, raw_hash = document.external_id, document.raw_hash
        if name in self._now:
            return
        self._now[name] = raw_hash[:SHORT_HASH]
        # Under a name it had before as well: sources call a document differently once they know more of it.
        names = {content_hash(self._author, self._platform, other) for other in replaces}
        if not self._forgotten.isdisjoint({document.document_id, *names}):
            return
        row = self._rows.get(name)
        if row is None or not row.live:
            verdict = "new"
        elif row.raw_hash == bytes.fromhex(raw_hash) or not self._wins(document, row, raw_hash):
            verdict = "unchanged"
        else:
            verdict = "changed"
        self._counts[verdict] += 1
        self._replaced.extend(replaces)
        if verdict == "unchanged":
            return
        self._pending.append(document)
        quarantined = document.quarantine is not None
        self._rows[name] = _Row(self._source, bytes.fromhex(raw_hash), True, quarantined)

    def keep(self, external_id: str) -> None:
        """Take in that a document, or all below a prefix that ends in "/", is still as it was."""
        names = [external_id]
        if external_id.endswith("/"):
            names = [name for name in self._states.listed if name.startswith(external_id)]
        for name in names:
            if name in self._states.listed and name not in self._now:
                self._now[name] = self._states.listed[name]
                self._counts["unchanged"] += 1

    def gone(self, external_id: str) -> None:
        """Take in that a document was deleted: its tombstone is written whatever other listings still say."""
        self._now.pop(external_id, None)
        self._states.listed.pop(external_id, None)
        self._pending = [each for each in self._pending if each.external_id != external_id]
        self._counts["removed"] += self._bury([external_id])

    def finish(self, *, complete: bool, unchanged: bool) -> None:
        """Write what is pending; after a complete reading also the tombstones of what is gone.

        Raises SourceError where a source that held documents lists none at all: that is more often a failed read
        than an author who deleted everything.
        """
        if unchanged:
            self._now = dict(self._states.listed)
            self._counts["unchanged"] = len(self._now)
        self.flush()
        if complete and not unchanged:
            held = set(self._held)
            for listing in self._states.retired.values():
                if not listing.keys().isdisjoint(self._now):
                    held |= listing.keys()
            if held and not self._now:
                raise SourceError(
                    f"{self._source} lists nothing although it held {len(held)} documents before, so nothing was "
                    "removed; look whether the source's address is still right."
                )
            gone = sorted(held - self._now.keys() - self._states.others)
            self._counts["removed"] += self._bury(gone)
        self._finished = True

    def flush(self) -> None:
        """Write the pending documents, then the tombstones of the ids they replace.

        What the lake has never seen is appended, without a search through the rows it has: that search would make the
        time of a long history grow with its square.
        """
        for known in (False, True):
            documents = [each for each in self._pending if (each.external_id in self._stored) is known]
            if documents:
                now = datetime.now(UTC)
                rows = [each.row() | {"collected_at": now, "removed_at": None} for each in documents]
                keys = [row["document_id"] for row in rows] if known else []
                self._lake.replace("raw_documents", self._author, "document_id", keys, rows)
        self._stored.update(each.external_id for each in self._pending)
        self._pending = []
        self._bury(self._replaced)
        self._replaced = []

    def counts(self) -> dict[str, int]:
        """new, changed, unchanged and removed of this reading; quarantined: held back now."""
        held_back = sum(row.live and row.quarantined and row.source == self._source for row in self._rows.values())
        return self._counts | {"quarantined": held_back}

    def _wins(self, document: RawDocument, row: _Row, raw_hash: str) -> bool:
        """Whether what was just seen takes the place of the different row the lake has.

        A preview never replaces a whole text, a whole text always a preview. Of two sources of one platform (a feed
        and an export) the one that sees the document change wins; at first sight the fuller text does.
        """
        if row.quarantined != (document.quarantine is not None):
            return row.quarantined
        if row.source == self._source or row.source not in self._states.current:
            return True
        before = self._seen_before.get(document.external_id)
        if before is not None:
            return before != raw_hash[:SHORT_HASH]
        found = self._lake.read(
            "raw_documents", self._author, columns=["content", "content_type"],
            where=pl.col("document_id") == document.document_id,
        )  # fmt: skip
        stored = max((plain_words(*content) for content in found.iter_rows()), default=0)
        return plain_words(document.content, document.content_type) > stored

    def _bury(self, external_ids: Sequence[str]) -> int:
        """Set `removed_at` on the live rows among these and return how many there were."""
        buried = [name for name in external_ids if name in self._rows and self._rows[name].live]
        if not buried:
            return 0
        where = self._of_platform & pl.col("external_id").is_in(buried)
        rows = self._lake.read("raw_documents", self._author, where=where)
        rows = rows.with_columns(removed_at=pl.lit(datetime.now(UTC)).cast(rows.schema["removed_at"]))
        self._lake.replace("raw_documents", self._author, "document_id", rows["document_id"].to_list(), rows)
        for name in buried:
            self._rows[name] = replace(self._rows[name], live=False)
        return len(buried)
