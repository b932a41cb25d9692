"""RawDocument, Document, Chunk, Sample: the records of the lake and the schemas of its tables.

Identity: a document is (author, platform, external id); a chunk is (document, position, text hash). Never a running
number, so that the same thing collected twice, renamed or restored is the same row.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import polars as pl

Category = Literal["post", "article", "code"]
CATEGORIES: tuple[Category, ...] = ("post", "article", "code")
# The Qdrant collection of each category.
COLLECTIONS: Mapping[str, str] = {"post": "posts", "article": "articles", "code": "code"}

TIMESTAMP = pl.Datetime("us", "UTC")


def content_hash(*parts: object) -> str:
    """Hash of the parts, 32 hex digits (BLAKE2b-128 of their JSON, so that ("a", "b") differs from ("ab",))."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class RawDocument:
    """One thing an author published, as the platform sent it.

    content: the body in `content_type` ("text/plain", "text/html", "text/markdown" or "text/x-code");
    source: the Source.key or import file it came from; metadata: what only this platform knows;
    quarantine: why it must not reach the corpus (None: it may); remedy: what the author can do about that.
    """

    author: str
    platform: str
    external_id: str
    category: Category
    source: str
    url: str
    title: str
    content: str
    content_type: str
    published_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    quarantine: str | None = None
    remedy: str | None = None

    @property
    def document_id(self) -> str:
        """Identity of the document: hash of author, platform and external id."""
        return content_hash(self.author, self.platform, self.external_id)

    @property
    def raw_hash(self) -> str:
        """Hash of everything the pipeline derives from; where it came from (`source`) is not part of it."""
        return content_hash(
            self.category, self.url, self.title, self.content, self.content_type, self.published_at,
            dict(self.metadata), self.quarantine,
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        """The row of table `raw_documents`, less `collected_at` and `removed_at`, which the collector knows."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["metadata"] = json.dumps(dict(self.metadata), ensure_ascii=False, sort_keys=True, default=str)
        return {**values, "document_id": self.document_id, "raw_hash": self.raw_hash}


@dataclass(frozen=True, slots=True)
class Document:
    """One cleaned document: Markdown or plain text with the author's characters kept.

    language: ISO 639-1, None where the text is too short to tell; quoted: (start, end) of stretches of `text` that
    quote somebody else; addresses: everywhere the same text stands, its own first;
    redacted: how many of each kind of private thing were taken out, redactions: in all; left_out: paragraphs taken away
    as boilerplate; rejected: why it is not part of the corpus (empty after cleaning, quarantined, a cross-post …).
    """

    document_id: str
    platform: str
    external_id: str
    category: Category
    url: str
    title: str
    text: str
    language: str | None = None
    published_at: datetime | None = None
    quoted: Sequence[tuple[int, int]] = ()
    addresses: Sequence[Mapping[str, str]] = ()
    redacted: Mapping[str, int] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    rejected: str | None = None

    @property
    def redactions(self) -> int:
        """How many private things were taken out."""
        return sum(self.redacted.values())

    @property
    def document_hash(self) -> str:
        """Hash of everything chunks and samples derive from."""
        return content_hash(
            self.category, self.platform, self.url, self.title, self.text, self.language, self.published_at,
            self.quoted, self.addresses, self.rejected,
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        """The row of table `documents`, less what derive() adds."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["redacted"] = json.dumps(dict(sorted(self.redacted.items())))
        values |= {name: list(values[name]) for name in ("quoted", "addresses", "left_out")}
        return {**values, "redactions": self.redactions, "document_hash": self.document_hash}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: `text` is exactly `document.text[start:end]`."""

    document_id: str
    position: int
    text: str
    start: int
    end: int
    category: Category
    platform: str
    url: str
    title: str
    heading: str = ""
    published_at: datetime | None = None
    language: str | None = None
    addresses: Sequence[Mapping[str, str]] = ()

    @property
    def text_hash(self) -> str:
        """Hash of the text alone: the key under which its embedding is kept."""
        return content_hash(self.text)

    @property
    def chunk_id(self) -> str:
        """Identity: hash of document, position and text hash."""
        return content_hash(self.document_id, self.position, self.text_hash)

    def row(self) -> dict[str, Any]:
        """The row of table `chunks`, less what derive() adds."""
        values = {name: getattr(self, name) for name in self.__slots__} | {"addresses": list(self.addresses)}
        chunk_hash = content_hash(*values.values())
        return {**values, "chunk_id": self.chunk_id, "text_hash": self.text_hash, "chunk_hash": chunk_hash}


@dataclass(frozen=True, slots=True)
class Sample:
    """One training example: the instruction somebody might give and the author's own words, verbatim.

    form: a name of prompts.FORMS; context: retrieved text of other documents ("" for none), context_documents: those;
    instructed_by: the teacher model that wrote the instruction, None where it was made by rules;
    split: "train", "validation" or "test"; group_id: near-duplicate group, which never crosses splits;
    excluded: why it is left out of training and evaluation, else None.
    """

    document_id: str
    position: int
    form: str
    instruction: str
    context: str
    target: str
    group_id: str
    split: str
    excluded: str | None = None
    context_documents: Sequence[str] = ()
    instructed_by: str | None = None

    @property
    def sample_id(self) -> str:
        """Identity: hash of document and position and target."""
        return content_hash(self.document_id, self.position, self.target)

    def row(self) -> dict[str, Any]:
        """The row of table `samples`, less what derive() adds."""
        return {**asdict(self), "context_documents": list(self.context_documents), "sample_id": self.sample_id}


def _schema(**columns: Any) -> dict[str, pl.DataType]:
    return {name: (kind() if isinstance(kind, type) else kind) for name, kind in columns.items()}


_TEXT, _INTEGER = pl.String, pl.Int64
_ADDRESS = pl.Struct({"platform": _TEXT, "url": _TEXT})
# What derive() adds to every derived row: the hash of the input it came from and the version of the function.
DERIVED = _schema(author=_TEXT, input_hash=_TEXT, derived_version=_TEXT)

# Every table of the lake with its columns; each is partitioned by author.
TABLES: Mapping[str, Mapping[str, pl.DataType]] = {
    "raw_documents": _schema(
        author=_TEXT, document_id=_TEXT, platform=_TEXT, external_id=_TEXT, category=_TEXT, source=_TEXT, url=_TEXT,
        title=_TEXT, content=_TEXT, content_type=_TEXT, published_at=TIMESTAMP, metadata=_TEXT, quarantine=_TEXT,
        remedy=_TEXT, raw_hash=_TEXT, collected_at=TIMESTAMP, removed_at=TIMESTAMP,
    ),
    # What cleaning makes of each document by itself, with what tells recurring paragraphs and the same texts.
    "cleaned": DERIVED | _schema(
        document_id=_TEXT, platform=_TEXT, external_id=_TEXT, category=_TEXT, url=_TEXT, title=_TEXT, text=_TEXT,
        language=_TEXT, published_at=TIMESTAMP, redacted=_TEXT, left_out=pl.List(_TEXT), rejected=_TEXT,
        place=_TEXT, edges=pl.List(_TEXT), words=_INTEGER, signature=pl.Binary, cleaned_hash=_TEXT,
    ),
    # What the documents were brought up to date with last: a fingerprint of `cleaned` and `documents`.
    "corpus_state": _schema(author=_TEXT, fingerprint=_TEXT),
    "documents": DERIVED | _schema(
        document_id=_TEXT, platform=_TEXT, external_id=_TEXT, category=_TEXT, url=_TEXT, title=_TEXT, text=_TEXT,
        language=_TEXT, published_at=TIMESTAMP, quoted=pl.List(pl.List(_INTEGER)), addresses=pl.List(_ADDRESS),
        redacted=_TEXT, redactions=_INTEGER, left_out=pl.List(_TEXT), rejected=_TEXT, document_hash=_TEXT,
    ),
    "chunks": DERIVED | _schema(
        document_id=_TEXT, position=_INTEGER, text=_TEXT, start=_INTEGER, end=_INTEGER, category=_TEXT, platform=_TEXT,
        url=_TEXT, title=_TEXT, heading=_TEXT, published_at=TIMESTAMP, language=_TEXT, addresses=pl.List(_ADDRESS),
        chunk_id=_TEXT, text_hash=_TEXT, chunk_hash=_TEXT,
    ),
    "embeddings": DERIVED | _schema(text_hash=_TEXT, vector=pl.List(pl.Float32)),
    # What a document gives by itself: stretches to be learned, each with an instruction made by rules.
    "passages": DERIVED | _schema(
        document_id=_TEXT, position=_INTEGER, form=_TEXT, title=_TEXT, heading=_TEXT, target=_TEXT, instruction=_TEXT,
        unfit=_TEXT,
    ),
    # What teachers wrote, by what they were asked: kept for good, as it was paid for.
    "instructions": _schema(
        author=_TEXT, request=_TEXT, document_id=_TEXT, instruction=_TEXT, model=_TEXT, input_tokens=_INTEGER,
        output_tokens=_INTEGER, written_at=TIMESTAMP,
    ),
    # What the author keeps out of datasets: a document by its id, or a text by the hash of its words.
    "exclusions": _schema(author=_TEXT, kind=_TEXT, value=_TEXT, note=_TEXT, excluded_at=TIMESTAMP),
    # What the samples were brought up to date with last, and how many of them still want a teacher's words.
    "dataset_state": _schema(author=_TEXT, fingerprint=_TEXT, pending=_INTEGER),
    "samples": DERIVED | _schema(
        document_id=_TEXT, position=_INTEGER, form=_TEXT, instruction=_TEXT, context=_TEXT, target=_TEXT,
        group_id=_TEXT, split=_TEXT, excluded=_TEXT, context_documents=pl.List(_TEXT), instructed_by=_TEXT,
        sample_id=_TEXT,
    ),
    # What base models wrote, by model and request: kept, as it takes minutes.
    "base_answers": _schema(
        author=_TEXT, request=_TEXT, document_id=_TEXT, base=_TEXT, answer=_TEXT, written_at=TIMESTAMP,
    ),
    "preferences": _schema(
        author=_TEXT, pair_id=_TEXT, source=_TEXT, form=_TEXT, prompt=_TEXT, context=_TEXT, chosen=_TEXT,
        rejected=_TEXT, draft_id=_TEXT, document_id=_TEXT, split=_TEXT,
    ),
    "source_state": _schema(
        author=_TEXT, source=_TEXT, platform=_TEXT, cursor=_TEXT, status=_TEXT, message=_TEXT, new=_INTEGER,
        changed=_INTEGER, unchanged=_INTEGER, removed=_INTEGER, quarantined=_INTEGER, attempted_at=TIMESTAMP,
        succeeded_at=TIMESTAMP,
    ),
    "drafts": _schema(
        author=_TEXT, draft_id=_TEXT, created_at=TIMESTAMP, kind=_TEXT, format=_TEXT, prompt=_TEXT, links=_TEXT,
        text=_TEXT, sentences=_TEXT, scores=_TEXT, model_version=_TEXT, index_version=_TEXT, dataset_version=_TEXT,
        trace_id=_TEXT,
    ),
    # Answers of the composer as they were, for its history: what drafts has in columns, and everything else.
    "compositions": _schema(
        author=_TEXT, trace_id=_TEXT, created_at=TIMESTAMP, format=_TEXT, prompt=_TEXT, drafts=_INTEGER,
        beginning=_TEXT, answer=_TEXT,
    ),
    "feedback": _schema(
        author=_TEXT, feedback_id=_TEXT, created_at=TIMESTAMP, draft_id=_TEXT, rating=_INTEGER, edited_text=_TEXT,
        comment=_TEXT, chosen=pl.Boolean,
    ),
    # What was asked of the serving API and how it went; no text. steps: JSON list of {name, start_ms, ms}.
    "usage": _schema(
        author=_TEXT, trace_id=_TEXT, created_at=TIMESTAMP, kind=_TEXT, error=_TEXT, format=_TEXT,
        milliseconds=pl.Float64, steps=_TEXT, model_version=_TEXT, drafts=_INTEGER, prompt_tokens=_INTEGER,
        completion_tokens=_INTEGER, retrieval=pl.Float64, voice=pl.Float64,
    ),
    # Documents that must not come back: nothing but the hash of who they were; unfinished ones are still being removed.
    "forgotten": _schema(author=_TEXT, document_id=_TEXT, asked_at=TIMESTAMP, finished_at=TIMESTAMP),
}  # fmt: skip
