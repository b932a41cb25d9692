"""export_dataset(): a version of the dataset as files that other tools read, with a card that says what it is."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import polars as pl

from twin_assets.core.datasets.dataset import SPLITS, Dataset, load_dataset
from twin_assets.core.datasets.preferences import Preferences, load_preferences
from twin_assets.core.errors import InputError
from twin_assets.core.prompts import messages

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

Format = Literal["parquet", "jsonl"]
FORMATS: tuple[Format, ...] = ("parquet", "jsonl")
CARD = "README.md"


def export_dataset(
    workspace: "Workspace",
    author: str,
    folder: Path | None = None,
    version: int | None = None,
    formats: tuple[Format, ...] = FORMATS,
) -> Path:
    """Write a dataset and the preference pairs to a new folder, all or nothing, and return it.

    folder: default `<home>/exports/<author>/dataset-<version>`, where an export of the same version is replaced;
    version: Delta version of table `samples`, default the newest (pairs go along with that one only).
    JSON lines hold chat messages as they are trained on. Raises InputError for a folder that is there and for a
    dataset without samples, LakeError and VersionGoneError as load_dataset().
    """
    dataset = load_dataset(workspace.lake, author, version)
    if not any(dataset.counts.values()):
        raise InputError(f"There is no dataset of {author} to export yet; `twin run {author}` makes one.")
    target = folder or workspace.settings.home / "exports" / author / f"dataset-{dataset.version[:12]}"
    if folder is not None and folder.exists():
        raise InputError(f"{folder} is there already; name a folder that is not, and it will be made.")
    name = workspace.authors.get(author).name
    preferences = load_preferences(workspace.lake, author) if version is None else None
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}-{uuid4().hex[:8]}")
    scratch.mkdir()
    try:
        _write(scratch, dataset, preferences, name, formats)
        sources = _sources(workspace, author, dataset)
        (scratch / CARD).write_text(card(dataset, preferences, name, sources), encoding="utf-8")
        if folder is None:
            shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def card(
    dataset: Dataset, preferences: Preferences | None, author_name: str, sources: Mapping[str, int] | None = None
) -> str:
    """The dataset card, Markdown with the header that Hugging Face reads. sources: documents by platform."""
    used = dataset.samples.filter(pl.col("excluded").is_null())
    left_out = dataset.samples.filter(pl.col("excluded").is_not_null())
    reasons = pl.col("excluded").str.replace("^(near-duplicate of document) .*$", "$1 another")
    taught = used.filter(pl.col("instructed_by").is_not_null())
    teachers = ", ".join(sorted(set(taught["instructed_by"]))) or "none"
    words = used["target"].str.split(" ").list.len().to_list() or [0]
    header = {
        "license": "other", "license_name": "own-words", "task_categories": ["text-generation"],
        "pretty_name": f"Writing of {author_name}", "size_categories": [_size_category(used.height)],
    }  # fmt: skip
    parts = [
        "---\n"
        + "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items())
        + "\n---",
        f"# Writing of {author_name}",
        f"Instructions and {author_name}'s own words as the answers, verbatim. Made by LLM Twin from what "
        f"{author_name} published.",
        "| | |\n|---|---|\n"
        f"| version | `{dataset.version}` (Delta version {dataset.delta_version} of table samples) |\n"
        f"| samples | {used.height:,} from {used['document_id'].n_unique():,} documents |\n"
        f"| words to be learned | {sum(words):,} (median {median(words):.0f} a sample) |\n"
        f"| with passages of other documents as notes | {used.filter(pl.col('context') != '').height:,} |\n"
        f"| instructions by a teacher model ({teachers}) | {taught.height:,} |\n"
        f"| preference pairs | {preferences.pairs.height if preferences else 0:,} |",
        "## Splits\n\n" + _counted(used, "split", SPLITS),
        "## Forms\n\n" + _counted(used, "form"),
        *(["## Sources\n\n" + _table("platform", "documents", sources)] if sources else []),
        "## Left out\n\n" + _counted(left_out.with_columns(reason=reasons), "reason"),
        "## How it was made\n\n"
        "- Documents were cleaned without changing the author's characters; quoted words of other people, secrets and "
        "private data of others were taken out.\n"
        "- A target is a post, a section of an article or a passage of code, and a part of its document, character by "
        "character.\n"
        "- An instruction is written by the teacher model where one is set, else made of title, opening and key "
        "phrases.\n"
        "- Notes are passages of other documents, of the training split alone, nearest by TF-IDF.\n"
        "- Splits are drawn by hash of near-duplicate groups: no document, copy or excerpt is in two of them.",
        "## Licence\n\n"
        f"These are {author_name}'s own words, and theirs to license: they are exported for {author_name}'s own use. "
        "Whoever passes them on needs their consent.",
    ]
    return "\n\n".join(parts) + "\n"


def _write(
    folder: Path, dataset: Dataset, preferences: Preferences | None, author_name: str, formats: tuple[Format, ...]
) -> None:
    pairs = preferences.pairs if preferences is not None else pl.DataFrame()
    if "parquet" in formats:
        columns = [name for name in dataset.samples.columns if name not in ("author", "input_hash", "derived_version")]
        for split in SPLITS:
            dataset.split(split).select(columns).write_parquet(folder / f"{split}.parquet")
        if not pairs.is_empty():
            pairs.write_parquet(folder / "preferences.parquet")
    if "jsonl" in formats:
        for split in SPLITS:
            rows = [_chat(row, author_name) for row in dataset.split(split).iter_rows(named=True)]
            _write_lines(folder / f"{split}.jsonl", rows)
        if not pairs.is_empty():
            _write_lines(folder / "preferences.jsonl", [_pair(row, author_name) for row in pairs.iter_rows(named=True)])


def _chat(row: Mapping[str, Any], author_name: str) -> dict[str, Any]:
    asked = messages(author_name, row["form"], row["instruction"], row["context"])
    return {
        "id": row["sample_id"], "document": row["document_id"], "form": row["form"],
        "messages": [*asked, {"role": "assistant", "content": row["target"]}],
    }  # fmt: skip


def _pair(row: Mapping[str, Any], author_name: str) -> dict[str, Any]:
    return {
        "id": row["pair_id"], "source": row["source"], "split": row["split"],
        "prompt": messages(author_name, row["form"], row["prompt"], row["context"]),
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }  # fmt: skip


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _sources(workspace: "Workspace", author: str, dataset: Dataset) -> dict[str, int]:
    documents = workspace.lake.read("documents", author, columns=["document_id", "platform"])
    used = dataset.samples.filter(pl.col("excluded").is_null()).select("document_id").unique()
    found = documents.join(used, on="document_id").group_by("platform").len().sort("platform")
    return dict(found.iter_rows())


def _counted(frame: pl.DataFrame, column: str, order: tuple[str, ...] = ()) -> str:
    counts = dict(frame.group_by(column).len().sort(pl.col("len") * -1, column).iter_rows())
    return _table(column, "samples", {name: counts[name] for name in order if name in counts} if order else counts)


def _table(name: str, unit: str, counts: Mapping[str, int]) -> str:
    lines = [f"| {key.replace('|', ' ')} | {number:,} |" for key, number in counts.items()]
    return "\n".join([f"| {name} | {unit} |", "|---|---|", *lines]) if lines else "(none)"


def _size_category(count: int) -> str:
    return "n<1K" if count < 1_000 else "1K<n<10K" if count < 10_000 else "10K<n<100K" if count < 100_000 else "n>100K"
