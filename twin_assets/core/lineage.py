"""Lineage: from a model version to its dataset, documents and their addresses; from a document to the models it is in.

The dataset is read as it was (table `samples` as of the Delta version that the registry names), which housekeeping
keeps readable as long as the model is registered. Where it cannot be read any more, because something in it was
forgotten or because the version came in a bundle from another machine, a record kept with the version tells instead.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from twin_assets.core.datasets import load_dataset
from twin_assets.core.errors import InputError, VersionGoneError
from twin_assets.core.registry import ModelVersion
from twin_assets.core.sources.base import canonical

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

# What a version learned from: its splits and the notes of their samples; on "test" it was only measured.
CONTEXT = "context"
LEARNED_FROM = ("train", "validation", CONTEXT)
ID_DIGITS = 8  # of a document's id, at least, to name it by


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document in a dataset.

    samples: how many are made of it in each split, and under "context" how many others it gave notes to that were not
    for testing; source: the Source.key it came from; forgotten: nothing else of it is kept.
    """

    document_id: str
    samples: Mapping[str, int]
    platform: str = ""
    source: str = ""
    title: str = ""
    urls: tuple[str, ...] = ()
    forgotten: bool = False

    @property
    def learned(self) -> bool:
        """Whether a version made from this dataset learned the document (else it was only tested on it)."""
        return any(self.samples.get(split) for split in LEARNED_FROM)

    def without_content(self) -> "SourceDocument":
        """What may be kept of it once it is forgotten."""
        return SourceDocument(self.document_id, self.samples, forgotten=True)


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a model version was made from.

    told_by: "dataset" (read again as it was, and its content hash is the one the version names), "record" (kept with
    the version) or "nothing" (the dataset is gone and there is no record); documents: those in use, by id.
    """

    author: str
    version: str
    status: str
    created_at: datetime
    base_model: str
    base_identity: str
    code_version: str
    run_id: str
    dataset_version: str
    dataset_delta_version: int | None
    corpus_version: str
    told_by: Literal["dataset", "record", "nothing"]
    documents: tuple[SourceDocument, ...] = ()

    @property
    def addresses(self) -> list[str]:
        """Every address that a document of it stands at, once."""
        return list(dict.fromkeys(url for document in self.documents for url in document.urls))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {
            "created_at": self.created_at.isoformat(),
            "documents": [asdict(d) | {"learned": d.learned, "urls": list(d.urls)} for d in self.documents],
            "addresses": self.addresses,
        }


@dataclass(frozen=True, slots=True)
class Learner:
    """A model version whose dataset holds a document; how: "learned" it or was only "tested" on it."""

    version: str
    status: str
    dataset_version: str
    how: Literal["learned", "tested"]
    samples: Mapping[str, int]


def lineage(workspace: "Workspace", author: str, version: str) -> Lineage:
    """What a version was made from. Raises UnknownAuthorError, UnknownModelError, LakeError."""
    workspace.authors.get(author)
    return _lineage(workspace, workspace.registry.get(author, version))


def lineages(workspace: "Workspace", author: str) -> Iterator[Lineage]:
    """What each of an author's versions was made from, newest first."""
    for model in workspace.registry.versions(author):
        yield _lineage(workspace, model)


def learners(workspace: "Workspace", author: str, documents: Sequence[str]) -> list[Learner]:
    """The author's versions whose datasets hold any of these documents, newest first."""
    return learners_among(lineages(workspace, author), documents)


def learners_among(told: Iterable[Lineage], documents: Sequence[str]) -> list[Learner]:
    """Those of these versions whose datasets hold any of the documents."""
    wanted, found = set(documents), []
    for each in told:
        held = [document for document in each.documents if document.document_id in wanted]
        if held:
            splits = {s: sum(d.samples.get(s, 0) for d in held) for d in held for s in d.samples}
            how: Literal["learned", "tested"] = "learned" if any(d.learned for d in held) else "tested"
            found.append(Learner(each.version, each.status, each.dataset_version, how, splits))
    return found


def find_documents(workspace: "Workspace", author: str, name: str) -> list[str]:
    """Ids of the author's documents by id (or its first digits) or by any address they stand at, removed and forgotten
    ones as well.

    Raises InputError where nothing goes by that name.
    """
    lake, url = workspace.lake, canonical(name.strip())
    known = lake.read("raw_documents", author, columns=["document_id", "url"])
    here = lake.read("documents", author, columns=["document_id", "addresses"]).explode("addresses")
    at_address = here.filter(pl.col("addresses").struct.field("url") == url)["document_id"].to_list()
    found = {*known.filter(pl.col("url") == url)["document_id"], *at_address}

    def named(document: str) -> bool:
        return document == name or (len(name) >= ID_DIGITS and document.startswith(name))

    if not found:
        ids = {*known["document_id"], *lake.read("forgotten", author, columns=["document_id"])["document_id"]}
        found = {document for document in ids if named(document)}
    if not found:  # known to a model alone, which came in a bundle
        told = (document for each in lineages(workspace, author) for document in each.documents)
        found = {d.document_id for d in told if url in d.urls or named(d.document_id)}
    if not found:
        raise InputError(
            f"{author!r} has no document {name!r}; give the address it was published at, or its id "
            "(`twin versions show corpus` lists them)."
        )
    return sorted(found)


def keep_record(workspace: "Workspace", told: Lineage, forgotten: Sequence[str] = ()) -> None:
    """Keep with a version what it was made from, less all but the ids of what is forgotten."""
    gone = set(forgotten)
    documents = [d.without_content() if d.document_id in gone else d for d in told.documents]
    value = {"documents": replace(told, documents=tuple(documents)).to_dict()["documents"]}
    workspace.registry.record_lineage(told.author, told.version, value)


def documents_of_record(value: Mapping[str, Any]) -> tuple[SourceDocument, ...]:
    """The documents of a record; raises InputError where it is none."""
    try:
        return tuple(
            SourceDocument(
                str(row["document_id"]), {str(k): int(v) for k, v in row["samples"].items()}, str(row["platform"]),
                str(row["source"]), str(row["title"]), tuple(map(str, row["urls"])), bool(row["forgotten"]),
            )
            for row in value["documents"]
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"This is no record of what a model was made from ({error!r}).") from error


def _lineage(workspace: "Workspace", model: ModelVersion) -> Lineage:
    told = Lineage(
        model.author, model.version, model.status, model.created_at, model.base_model, model.base_identity,
        model.code_version, model.run_id, model.dataset_version, model.dataset_delta_version, model.corpus_version,
        told_by="nothing",
    )  # fmt: skip
    documents = _from_dataset(workspace, model)
    if documents is not None:
        return replace(told, told_by="dataset", documents=documents)
    record = workspace.registry.recorded_lineage(model.author, model.version)
    return told if record is None else replace(told, told_by="record", documents=documents_of_record(record))


def _from_dataset(workspace: "Workspace", model: ModelVersion) -> tuple[SourceDocument, ...] | None:
    """The documents of a version's dataset, None where it cannot be read or is not the one the version names."""
    lake, delta_version = workspace.lake, model.dataset_delta_version
    newest = lake.version("samples")
    if delta_version is None or newest is None or delta_version > newest:
        return None
    try:
        dataset = load_dataset(lake, model.author, delta_version)
    except VersionGoneError:
        return None
    if dataset.version != model.dataset_version:
        return None
    used = dataset.samples.filter(pl.col("excluded").is_null())
    counts: dict[str, dict[str, int]] = {}
    for document, split, number in used.group_by("document_id", "split").len().sort("document_id", "split").iter_rows():
        counts.setdefault(document, {})[split] = number
    notes = used.filter(pl.col("split") != "test").explode("context_documents")["context_documents"].drop_nulls()
    for document, number in notes.value_counts(sort=True).iter_rows():
        counts.setdefault(document, {})[CONTEXT] = number
    about = _about(workspace, model.author, list(counts))
    return tuple(replace(about[document], samples=samples) for document, samples in counts.items())


def _about(workspace: "Workspace", author: str, documents: Sequence[str]) -> dict[str, SourceDocument]:
    """Where documents came from, as far as it is still known: what was collected, then the corpus' addresses."""
    wanted = pl.col("document_id").is_in(documents)
    raw = workspace.lake.read(
        "raw_documents", author, columns=["document_id", "platform", "source", "title", "url"], where=wanted
    )
    found = {document: SourceDocument(document, {}) for document in documents}
    for row in raw.iter_rows(named=True):
        urls = (row["url"],) if row["url"] else ()
        found[row["document_id"]] = SourceDocument(
            row["document_id"], {}, row["platform"], row["source"], row["title"] or "", urls
        )
    corpus = workspace.lake.read("documents", author, columns=["document_id", "platform", "title", "url", "addresses"],
                                 where=wanted)  # fmt: skip
    for row in corpus.iter_rows(named=True):
        known = found[row["document_id"]]
        urls = tuple(dict.fromkeys([*known.urls, *(a["url"] for a in row["addresses"] or ()), row["url"]]))
        found[row["document_id"]] = replace(
            known, platform=known.platform or row["platform"], title=known.title or row["title"] or "",
            urls=tuple(url for url in urls if url),
        )  # fmt: skip
    return found
