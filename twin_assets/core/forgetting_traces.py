"""The traces a document leaves beside its own rows: what quotes it, checkpoints, the voice."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.cleaning import with_own_text
from twin_assets.core.documents import TABLES
from twin_assets.core.errors import TooLittleTextError
from twin_assets.core.lake import Lake
from twin_assets.core.lake_purge import every_row
from twin_assets.core.publication import PrivateFolder

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

# What somebody wrote or a model made that may quote a document, and what its rows are known by.
QUOTING: Mapping[str, str] = {
    "drafts": "draft_id", "feedback": "feedback_id", "preferences": "pair_id", "instructions": "request",
    "base_answers": "request", "compositions": "trace_id",
}  # fmt: skip
# Each goes with the draft it belongs to.
OF_A_DRAFT = ("feedback", "preferences")
# Made again by the next run from what is left.
STATES = ("corpus_state", "dataset_state")
LEAST = 30  # characters of a stretch that tells a text from others
FORGOTTEN = "(forgotten)"
_STRETCH = re.compile(r"(?<=[.!?…])\s+|\n+")


class Quotes:
    """Tells what repeats a stretch (a sentence or line) of texts that no other document of the author's has."""

    def __init__(self, ids: Sequence[str], texts: Iterable[str], others: Iterable[str], samples: Iterable[str]) -> None:
        self.ids = set(ids)
        self.samples = set(samples)
        self.stretches = _stretches(texts) - _stretches(others)

    @classmethod
    def of(cls, lake: Lake, author: str, ids: Sequence[str]) -> "Quotes":
        """Of these documents, in all versions of them that the lake still has; less what others say as well."""
        texts: set[str] = set()
        for table, columns in (
            ("raw_documents", ("title", "content")), ("documents", ("title", "text")),
            ("samples", ("target", "instruction")),
        ):  # fmt: skip
            rows = every_row(lake, table, author, columns, ids)
            texts |= {text for column in columns for text in rows[column] if text}
        others = lake.read("documents", author, columns=["text"], where=~pl.col("document_id").is_in(ids))["text"]
        samples = every_row(lake, "samples", author, ["sample_id"], ids)["sample_id"]
        return cls(ids, texts, others.drop_nulls(), samples)

    def __call__(self, text: str) -> bool:
        """Whether the text names one of the documents or repeats a stretch of one."""
        return any(each in text for each in self.ids) or any(stretch in text for stretch in self.stretches)

    def scrubbed(self, text: str) -> str | None:
        """A text artifact without what repeats the documents: JSON less those parts, None where it is nothing else."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            return None if self(text) else text
        cleaned = self._clean(value)
        return text if cleaned == value else json.dumps(cleaned, ensure_ascii=False, indent=2)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._clean(each) for each in value if not self._is_of_it(each)]
        if isinstance(value, dict):
            return {name: self._clean(each) for name, each in value.items()}
        # Ids alone say nothing, and what a model learned is told by them.
        return FORGOTTEN if isinstance(value, str) and any(s in value for s in self.stretches) else value

    def _is_of_it(self, value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        return value.get("sample_id") in self.samples or any(
            isinstance(each, str) and any(stretch in each for stretch in self.stretches) for each in value.values()
        )


def _stretches(texts: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for text in texts:
        pieces = {piece.strip() for piece in _STRETCH.split(text)}
        long = {piece for piece in pieces if len(piece) >= LEAST}
        found |= long or ({text.strip()} if len(text.strip()) >= LEAST // 3 else set())
    return found


def doomed(lake: Lake, author: str, table: str, ids: Sequence[str], quotes: Quotes) -> tuple[str, list[str]]:
    """The column a table's rows are known by, and its value in each row that goes."""
    schema = TABLES[table]
    if table in QUOTING:
        return QUOTING[table], _quoting(lake, author, table, quotes)
    if "document_id" not in schema or table == "forgotten":
        return "document_id", []
    of_it = pl.col("document_id").is_in(ids)
    if "context_documents" in schema:
        # All samples of a document go where one had notes of what is forgotten: the next run makes them anew.
        of_it |= pl.col("context_documents").list.eval(pl.element().is_in(ids)).list.any()
    return "document_id", lake.read(table, author, columns=["document_id"], where=of_it)["document_id"].to_list()


def delete_rows(lake: Lake, author: str, ids: Sequence[str], quotes: Quotes) -> None:
    """Delete the rows of these documents and what quotes them; what was collected goes last."""
    for table in reversed(list(TABLES)):
        key, values = doomed(lake, author, table, ids, quotes)
        if values:
            lake.replace(table, author, key, sorted(set(values)), [])
    for table in STATES:
        if table in TABLES and lake.read(table, author).height:
            lake.replace_author(table, author)
    used = lake.read("chunks", author, columns=["text_hash"])
    kept = lake.read("embeddings", author)
    left = kept.join(used.unique(), on="text_hash", how="semi")
    if left.height < kept.height:
        lake.replace_author("embeddings", author, left)


def _quoting(lake: Lake, author: str, table: str, quotes: Quotes) -> list[str]:
    if table not in TABLES:
        return []
    key = QUOTING[table]
    columns = [name for name, kind in TABLES[table].items() if kind == pl.String and name != "author"]
    rows = lake.read(table, author, columns=columns)
    drafts = set(_quoting(lake, author, "drafts", quotes)) if table in (*OF_A_DRAFT, "compositions") else set()
    # A composition is its drafts once more, as JSON, which writes quotation marks in another way.
    made = lake.read("drafts", author, columns=["trace_id"], where=pl.col("draft_id").is_in(list(drafts)))
    composed = set(made["trace_id"]) if table == "compositions" else set()
    return [
        row[key]
        for row in rows.iter_rows(named=True)
        if row.get("draft_id") in drafts
        or row.get("trace_id") in composed
        or any(quotes(value) for value in row.values() if value)
    ]


def measure_voice_again(workspace: "Workspace", author: str) -> None:
    """Measure profile and voice scorer on what is left, where there were any; where too little is left they go."""
    from twin_assets.core.features import corpus
    from twin_assets.core.voice import scorer_path, update_voice
    from twin_assets.core.voice_profile import build_profile, profile_path, save_profile

    texts = with_own_text(corpus(workspace.lake, author))
    if profile_path(workspace, author).is_file():
        save_profile(workspace, author, build_profile(texts))
    if scorer_path(workspace, author).is_file():
        try:
            update_voice(workspace, author, texts.filter(pl.col("category") != "code")["text"].to_list())
        except TooLittleTextError:
            scorer_path(workspace, author).unlink()


def drop_checkpoints(workspace: "Workspace", author: str) -> None:
    """Delete what interrupted trainings left; the caller holds their lock."""
    for path in (workspace.settings.home / "training" / author).glob("*"):
        if path.is_dir():
            shutil.rmtree(path)


def drop_dead_copies(workspace: "Workspace") -> None:
    """Delete private copies of the index that processes which died have left."""
    readers = workspace.settings.index_folder / "readers"
    if readers.is_dir():
        PrivateFolder(readers).close()
