"""What the web process keeps in memory of an author between requests, read again when the lake has changed."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from twin_assets.core.errors import TwinError
from twin_assets.core.workspace import Workspace
from twin_serving.assemble import PostStyle
from twin_serving.evidence import Embed
from twin_serving.novelty import Copied, PublishedRuns
from twin_serving.passages import OwnDocument

if TYPE_CHECKING:
    from twin_assets.core.voice import VoiceScorer
    from twin_assets.core.voice_explanation import Explanation


@dataclass
class AuthorLibrary:
    """An author's corpus as of one version of the lake, with what is derived from all of it."""

    version: int | None
    documents: dict[str, OwnDocument]
    scorer: "VoiceScorer | None"
    problem: str | None = None  # why there is no scorer although one was fitted

    @cached_property
    def style(self) -> PostStyle:
        """How the author posts."""
        return PostStyle.of(list(self.documents.values()))

    @cached_property
    def published(self) -> PublishedRuns:
        """Every run of words the author has published."""
        runs = PublishedRuns()
        runs.update({name: document.text for name, document in self.documents.items()}, ())
        return runs

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

    def explanation(self, text: str) -> "Explanation | None":
        """What raises and what lowers that score; None where there is none."""
        return None if self.voice(text) is None or self.scorer is None else self.scorer.explain(text)

    def copied(self, text: str) -> Copied:
        """What of the text stands in what was published."""
        return self.published.copied(text)


class EmbeddingMemory:
    """Embeds texts and remembers the last `most` of them: a draft's passages come again with the next draft.

    On two cores a draft's 150 passages take half a second to embed and nothing to remember. 20,000 texts take 30 MB.
    """

    def __init__(self, embed: Embed, most: int = 20_000) -> None:
        self._embed = embed
        self._most = most
        self._kept: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """L2-normed float32 [n, dimension]."""
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            found.update(zip(missing, self._embed(missing), strict=True))
        with self._lock:
            for text in texts:
                self._kept[text] = found[text]
                self._kept.move_to_end(text)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return np.stack([found[text] for text in texts]) if texts else self._embed(texts)


class Libraries:
    """The libraries of the authors asked for last; safe to share between threads."""

    def __init__(self, workspace: Workspace, most: int = 8) -> None:
        self.workspace = workspace
        self.most = most
        self._kept: OrderedDict[str, AuthorLibrary] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, author: str) -> AuthorLibrary:
        """The author's library as the lake has it now. Raises LakeError."""
        version = self.workspace.lake.version("documents")
        with self._lock:
            kept = self._kept.get(author)
            if kept is None or kept.version != version:
                kept = self._kept[author] = self._read(author, version)
            self._kept.move_to_end(author)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
            return kept

    def _read(self, author: str, version: int | None) -> AuthorLibrary:
        import polars as pl

        from twin_assets.core.cleaning.quotes import with_own_text
        from twin_assets.core.voice import load_scorer

        columns = [
            "document_id", "title", "url", "text", "category", "published_at", "platform", "language", "quoted",
        ]  # fmt: skip
        rows = self.workspace.lake.read("documents", author, columns=columns, where=pl.col("rejected").is_null())
        rows = with_own_text(rows).drop(
            "quoted"
        )  # a draft is assembled from the author's words, not from who they quote
        documents = {row["document_id"]: OwnDocument(**row) for row in rows.iter_rows(named=True)}
        try:
            return AuthorLibrary(version, documents, load_scorer(self.workspace, author))
        except TwinError as error:  # a draft without its voice score is still a draft
            return AuthorLibrary(version, documents, None, str(error))
