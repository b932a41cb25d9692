"""What the author keeps out of every dataset from now on: a document, or a text wherever it stands.

A document is known by its id; a sample by the hash of its words, so that it stays out when its document is cut
differently, collected again or restored.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import polars as pl

from twin_assets.core.documents import content_hash
from twin_assets.core.errors import InputError
from twin_assets.core.lake import Lake

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

BY_AUTHOR = "left out by the author"
LEAST_DIGITS = 8


def exclude(workspace: "Workspace", author: str, name: str, note: str = "") -> pl.DataFrame:
    """Keep a document or sample out of the next datasets; returns the rows written (none where it is out already).

    name: document id, sample id, the first digits of either, or the document's address. Raises InputError.
    """
    lake = workspace.lake
    kind, value = _named(lake, author, name)
    with lake.exclusive("exclusions", author):
        present = exclusions(lake, author).filter(pl.col("kind") == kind, pl.col("value") == value)
        if present.height:
            return present.clear()
        row = {"author": author, "kind": kind, "value": value, "note": note, "excluded_at": datetime.now(UTC)}
        lake.append("exclusions", [row])
    return exclusions(lake, author).filter(pl.col("kind") == kind, pl.col("value") == value)


def include(workspace: "Workspace", author: str, name: str) -> int:
    """Take back exclusions of a document or sample, named as for exclude() or by the value that was written; returns
    how many were taken back. Raises InputError where nothing of that name is excluded."""
    lake = workspace.lake
    with lake.exclusive("exclusions", author):
        rows = exclusions(lake, author)
        values = [value for value in rows["value"] if len(name) >= LEAST_DIGITS and value.startswith(name)]
        if not values:
            values = [value for value in rows["value"] if value == _named(lake, author, name)[1]]
        if len(set(values)) != 1:
            many = "Several exclusions begin" if values else "No exclusion goes by a name that begins"
            raise InputError(f"{many} with {name}; `twin dataset exclusions` lists them.")
        lake.replace("exclusions", author, "value", values[:1], [])
    return len(values)


def exclusions(lake: Lake, author: str) -> pl.DataFrame:
    """Rows of table `exclusions`, oldest first."""
    return lake.read("exclusions", author).sort("excluded_at", "value")


def excluded_by_author(lake: Lake, author: str) -> tuple[set[str], set[str]]:
    """(document ids, hashes of targets) that are to be left out."""
    rows = exclusions(lake, author)
    documents = set(rows.filter(pl.col("kind") == "document")["value"])
    return documents, set(rows.filter(pl.col("kind") == "target")["value"])


def target_hash(target: str) -> str:
    """What a sample's words are known by, however the white space between them runs."""
    return content_hash("target", " ".join(target.split()))


def _named(lake: Lake, author: str, name: str) -> tuple[Literal["document", "target"], str]:
    documents = lake.read("documents", author, columns=["document_id", "url"])
    if "://" in name:
        found = documents.filter(pl.col("url") == name)["document_id"].to_list()
        if len(found) == 1:
            return "document", str(found[0])
    elif name in documents["document_id"]:
        return "document", name
    elif len(name) >= LEAST_DIGITS:
        samples = lake.read("samples", author, columns=["sample_id", "target"])
        samples = samples.filter(pl.col("sample_id").str.starts_with(name))
        found = documents.filter(pl.col("document_id").str.starts_with(name))["document_id"].to_list()
        if len(found) + samples.height == 1:
            return ("document", str(found[0])) if found else ("target", target_hash(samples["target"][0]))
    raise InputError(
        f"{name!r} names no single document or sample of {author}; give a document id, a sample id (at least "
        f"{LEAST_DIGITS} digits, see `twin dataset show`) or a document's address."
    )
