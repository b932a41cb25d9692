"""What the web process keeps in memory of an author between requests, read again when the lake has changed."""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from twin_assets.core.errors import TwinError
from twin_assets.core.workspace import Workspace
from twin_serving.assembling.passages import OwnDocument
from twin_serving.assembling.style import PostStyle
from twin_serving.composing.novelty import Copied, PublishedRuns
from twin_serving.receipts.evidence import Embed
from twin_serving.telemetry.metrics import count_cache

if TYPE_CHECKING:
    from twin_assets.core.voice import VoiceScorer

_COLUMNS = ["document_id", "title", "url", "text", "category", "published_at", "platform", "language", "quoted"]


@dataclass
class AuthorLibrary:
    """An author's corpus as of one version of the lake, with what is derived from all of it."""

    version: int | None
    documents: dict[str, OwnDocument]
    scorer: "VoiceScorer | None"
    problem: str | None = None  # why there is no scorer although one was fitted
    hashes: dict[str, str] = field(default_factory=dict)  # of the documents, by which changes are told
    published: PublishedRuns = field(default_factory=PublishedRuns)
    scorer_made: int | None = None

    @cached_property
    def style(self) -> PostStyle:
        """How the author posts."""
        return PostStyle.of(list(self.documents.values()))

    def in_order(self, document_ids: Sequence[str]) -> list[OwnDocument]:
        """The documents with these ids, each once, in this order."""
        return [self.documents[name] for name in dict.fromkeys(document_ids) if name in self.documents]

    def voice(self, text: str) -> float | None:
        """Voice score of a text, 0 to 100; None where there is too little of it, or of the author's, to tell."""
        from twin_assets.core.voice import SCORED_WORDS

        if self.scorer is None:
            return None
        score = self.scorer.score(text)
        return round(score.score, 1) if score.words >= SCORED_WORDS else None

    def copied(self, text: str) -> Copied:
        """What of the text stands in what was published."""
        return self.published.copied(text)


class EmbeddingMemory:
    """Embeds texts and remembers the last `most` of them: a draft's passages come again with the next draft.

    On two cores a draft's 150 passages take half a second to embed and nothing to remember. Kept with 16 bits, which
    moves a cosine by less than 0.001: 100,000 texts take 90 MB.
    """

    def __init__(self, embed: Embed, most: int = 100_000) -> None:
        self._embed = embed
        self._most = most
        self._rows: OrderedDict[bytes, int] = OrderedDict()  # of the texts by their digests, the last used last
        self._kept: npt.NDArray[np.float16] = np.empty((0, 0), np.float16)
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """L2-normed float32 [n, dimension]."""
        if not texts:
            return self._embed(texts)
        keys = [_digest(text) for text in texts]
        with self._lock:
            found = {key: self._kept[self._rows[key]].copy() for key in keys if key in self._rows}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        count_cache("embeddings", not missing)
        if missing:
            vectors = self._embed(list(missing.values())).astype(np.float16)
            found |= dict(zip(missing, vectors, strict=True))
        with self._lock:
            for key in keys:
                self._keep(key, found[key])
        return np.stack([found[key] for key in keys]).astype(np.float32)

    def known(self, text: str) -> bool:
        """Whether a text is remembered."""
        return _digest(text) in self._rows

    @property
    def full(self) -> bool:
        """Whether something leaves for whatever comes."""
        return len(self._rows) >= self._most

    def _keep(self, key: bytes, vector: npt.NDArray[np.float16]) -> None:
        if key in self._rows:
            self._rows.move_to_end(key)
            return
        row = self._rows.popitem(last=False)[1] if self.full else len(self._rows)
        if row >= len(self._kept):
            more = np.empty((min(self._most, max(256, 2 * len(self._kept))), len(vector)), np.float16)
            more[: len(self._kept)] = self._kept if len(self._kept) else more[:0]
            self._kept = more
        self._rows[key] = row
        self._kept[row] = vector


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Libraries:
    """The libraries of the authors asked for last; safe to share between threads."""

    def __init__(self, workspace: Workspace, most: int = 8) -> None:
        self.workspace = workspace
        self.most = most
        self._kept: OrderedDict[str, AuthorLibrary] = OrderedDict()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def of(self, author: str) -> AuthorLibrary:
        """The author's library as the lake has it now; only documents that changed are read. Raises LakeError."""
        with self._lock:
            own = self._locks[author]
        with own:
            version = self.workspace.lake.version("documents")
            kept = self._kept.get(author)
            if kept is None or kept.version != version or kept.scorer_made != self._scorer_made(author):
                kept = self._read(author, version, kept)
            with self._lock:
                self._kept[author] = kept
                self._kept.move_to_end(author)
                while len(self._kept) > self.most:
                    self._kept.popitem(last=False)
        return kept

    def _read(self, author: str, version: int | None, before: AuthorLibrary | None) -> AuthorLibrary:
        import polars as pl

        from twin_assets.core.cleaning.quotes import with_own_text
        from twin_assets.core.voice import load_scorer

        lake, fit = self.workspace.lake, pl.col("rejected").is_null()
        hashes = dict(lake.read("documents", author, columns=["document_id", "document_hash"], where=fit).rows())
        known = before.hashes if before else {}
        changed = [name for name, found in hashes.items() if known.get(name, "") != found]
        documents = {name: each for name, each in before.documents.items() if name in hashes} if before else {}
        if changed:
            where = fit if len(changed) == len(hashes) else fit & pl.col("document_id").is_in(changed)
            rows = lake.read("documents", author, columns=_COLUMNS, where=where)
            # A draft is assembled from the author's words, not from who they quote.
            rows = with_own_text(rows).drop("quoted")
            documents |= {row["document_id"]: OwnDocument(**row) for row in rows.iter_rows(named=True)}
        runs = before.published if before else PublishedRuns()
        runs.update({name: documents[name].text for name in changed}, known.keys() - hashes.keys())
        made = self._scorer_made(author)
        if before and before.scorer_made == made:
            return AuthorLibrary(version, documents, before.scorer, before.problem, hashes, runs, made)
        try:
            return AuthorLibrary(version, documents, load_scorer(self.workspace, author), None, hashes, runs, made)
        except TwinError as error:  # a draft without its voice score is still a draft
            return AuthorLibrary(version, documents, None, str(error), hashes, runs, made)

    def _scorer_made(self, author: str) -> int | None:
        """When the author's scorer was written, None where there is none."""
        from twin_assets.core.voice import scorer_path

        try:
            return scorer_path(self.workspace, author).stat().st_mtime_ns
        except FileNotFoundError:
            return None
