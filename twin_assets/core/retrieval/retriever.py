"""Retriever: from a question in words to an author's passages, through the stages that SearchOptions switches."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from twin_assets.core.documents import CATEGORIES, COLLECTIONS
from twin_assets.core.embedding import Embedder
from twin_assets.core.errors import IndexMissingError, InputError, ModelError, VectorIndexError
from twin_assets.core.index import Hit, Index, SchemaChangedError, SearchFilter, model_of
from twin_assets.core.retrieval.expansion import with_feedback, with_other_words
from twin_assets.core.retrieval.ordering import add_recency, diversify
from twin_assets.core.retrieval.questions import Question, phrases, understand
from twin_assets.core.retrieval.reranking import CrossEncoder, FeatureRanker, Reranker, SentenceRanker
from twin_assets.core.search_options import SearchOptions

if TYPE_CHECKING:
    from twin_assets.core.retrieval.assistant import QuestionModel

# What a question for the newest adds to the share of recency.
RECENT = 0.6
# How often a question is embedded again because a publication of another model came meanwhile.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and how it read the question.

    hits: best first; text: what was looked for; understood: the restrictions that were read out of the question and
    kept; notices: what did not go as asked, one sentence each; neighbours: passages before and after each hit, by its
    chunk_id; documents: the hits' whole documents, as their passages in order, by document_id.
    """

    hits: list[Hit]
    text: str
    understood: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    neighbours: Mapping[str, Sequence[Hit]] = field(default_factory=dict)
    documents: Mapping[str, Sequence[Hit]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            "hits": [hit.to_dict() for hit in self.hits],
            "searched_for": self.text,
            "understood": list(self.understood),
            "notices": list(self.notices),
            "neighbours": {key: [hit.to_dict() for hit in hits] for key, hits in self.neighbours.items()},
            "documents": {key: [hit.to_dict() for hit in hits] for key, hits in self.documents.items()},
        }


class Retriever:
    """Searches one author's index; safe to share between threads.

    embedders: opens the embedder of a model that a publication names and `embedder` is not; reranker_folder: where a
    cross-encoder lies; assistant: reads questions in place of the rules.
    """

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        *,
        embedders: Callable[[str], Embedder] | None = None,
        reranker_folder: Path | None = None,
        assistant: "QuestionModel | None" = None,
        options: SearchOptions | None = None,
    ) -> None:
        self.index = index
        self.embedder = embedder
        self.assistant = assistant
        self.options = options or SearchOptions()
        self._embedders = embedders
        self._reranker_folder = reranker_folder
        self._rankers: dict[tuple[str, ...], Reranker] = {}

    def search(
        self,
        author: str,
        query: str,
        limit: int = 8,
        categories: Iterable[str] | None = None,
        where: SearchFilter | None = None,
        options: SearchOptions | None = None,
    ) -> list[Hit]:
        """The hits of find()."""
        return self.find(author, query, limit, categories, where, options).hits

    def find(
        self,
        author: str,
        query: str,
        limit: int = 8,
        categories: Iterable[str] | None = None,
        where: SearchFilter | None = None,
        options: SearchOptions | None = None,
    ) -> Found:
        """The author's passages that answer the query best, by meaning and by words.

        categories: "post", "article", "code" (None: all); where: platforms, dates, languages: both hold, whatever the
        question says; options: which stages are used (None: the retriever's own).
        Raises InputError for an empty query or an unknown category, IndexMissingError where nothing is indexed yet.
        """
        options = options or self.options
        allowed = _checked(query, limit, categories)
        question, notices = self._understand(query, options)
        pool = self._pool(author, question, limit, allowed, where, options)
        if not pool.hits and question.restricted:
            dropped = phrases(question.where, question.categories)
            notices.append(f"Nothing is {', '.join(dropped)}; everything was searched instead.")
            question = replace(Question(query), recent=question.recent, understood=phrases(recent=question.recent))
            pool = self._pool(author, question, limit, allowed, where, options)
        if not pool.hits:
            notices.append("Nothing was found; the filters may leave nothing.")
        scores = self._scores(question, pool, options, notices)
        order = diversify(scores, pool.hits, limit, options.diversity)
        hits = [replace(pool.hits[number], score=float(scores[number])) for number in order]
        neighbours, documents = self._around(author, hits, options)
        return Found(hits, question.text, question.understood, tuple(notices), neighbours, documents)

    def _understand(self, query: str, options: SearchOptions) -> tuple[Question, list[str]]:
        if not options.filters and options.expansion != "model":
            return Question(query), []
        now, notices = datetime.now(UTC), []
        question = None
        if self.assistant is not None:
            try:
                question = self.assistant.understand(query, now)
            except ModelError as error:
                notices.append(f"The question was read by rules: {error}.")
        elif options.expansion == "model":
            notices.append("No question model is set (TWIN_QUESTION_MODEL_URL); the question was not expanded.")
        question = question or understand(query, now)
        return question if options.filters else Question(query, expansions=question.expansions), notices

    def _pool(
        self,
        author: str,
        question: Question,
        limit: int,
        allowed: Sequence[str],
        where: SearchFilter | None,
        options: SearchOptions,
    ) -> "_Pool":
        """What both searches find, fused, with vectors and cosines; empty where the filters leave nothing."""
        kinds = [kind for kind in allowed if question.categories is None or kind in question.categories]
        both = _both(question.where, where)
        if not kinds or both is None:
            return _Pool([], np.zeros(0, dtype=np.float32), self.embedder)
        collections = [COLLECTIONS[kind] for kind in kinds]
        wanted = max(limit, options.candidates)
        for _ in range(ATTEMPTS):
            schema = self.index.schema(author)
            if schema is None:  # said before a model is opened, or even made, to embed the question with
                raise IndexMissingError(author)
            embedder = self._embedder_of(schema)
            dense = embedder.embed_query(question.text)
            terms = embedder.sparse_query(question.text) if options.bm25 else ([], [])
            if options.expansion == "model" and options.bm25:
                terms = with_other_words(terms, question.expansions, embedder)
            near = dense if options.dense else None
            ask = partial(self.index.query, author, collections, near, where=both, schema=schema, vectors=True)
            try:
                hits = ask(terms, wanted)
                if options.expansion == "feedback" and options.bm25 and hits:
                    hits = ask(with_feedback(terms, hits, embedder), wanted)
            except SchemaChangedError:
                continue
            hits = [replace(hit, similarity=float(hit.vector @ dense)) for hit in hits if hit.vector is not None]
            return _Pool(hits, dense, embedder)
        raise VectorIndexError(f"The index of {author!r} changes its embedding model again and again; try again.")

    def _embedder_of(self, schema: str | None) -> Embedder:
        """The embedder of the model that the schema names; one that names none was made with the present one."""
        model = model_of(schema) if schema else None
        if model is None or model == self.embedder.model_id:
            return self.embedder
        if self._embedders is None:
            raise VectorIndexError(
                f"The index was made with the embedding model {model}, which is not the present one."
            )
        return self._embedders(model)

    def _scores(
        self, question: Question, pool: "_Pool", options: SearchOptions, notices: list[str]
    ) -> npt.NDArray[np.float64]:
        """The candidates' scores by the reranker, then with newness."""
        scores = np.array([hit.score for hit in pool.hits])
        if options.reranker != "none" and pool.hits:
            try:
                ranker = self._ranker(options.reranker, pool.embedder)
                scores = ranker.score(question.text, pool.vector, pool.hits)
            except ModelError as error:
                notices.append(f"Ordered by features instead: {error}")
                scores = self._ranker("features", pool.embedder).score(question.text, pool.vector, pool.hits)
        share = options.recency + (RECENT if question.recent else 0.0)
        return add_recency(scores, pool.hits, share)

    def _ranker(self, name: str, embedder: Embedder) -> Reranker:
        key = (name, embedder.model_id) if name == "sentences" else (name,)
        if key not in self._rankers:
            self._rankers[key] = self._make_ranker(name, embedder)
        return self._rankers[key]

    def _make_ranker(self, name: str, embedder: Embedder) -> Reranker:
        if name == "sentences":
            return SentenceRanker(embedder)
        if name == "features":
            return FeatureRanker()
        if self._reranker_folder is None:
            raise ModelError("no cross-encoder is set; name its folder in TWIN_RERANKER_FOLDER.")
        return CrossEncoder(self._reranker_folder)

    def _around(
        self, author: str, hits: Sequence[Hit], options: SearchOptions
    ) -> tuple[dict[str, list[Hit]], dict[str, list[Hit]]]:
        """Neighbours by chunk_id and whole documents by document_id, as far as the options want them."""
        neighbours: dict[str, list[Hit]] = {}
        documents: dict[str, list[Hit]] = {}
        ids = list(dict.fromkeys(hit.document_id for hit in hits))
        if options.parents and ids:
            for passage in self.index.passages(author, dict.fromkeys(ids)):
                documents.setdefault(passage.document_id, []).append(passage)
        if options.neighbours and ids:
            wanted: dict[str, set[int]] = {document_id: set() for document_id in ids}
            for hit in hits:
                wanted[hit.document_id] |= _near(hit, options.neighbours)
            found = self.index.passages(author, {key: sorted(places) for key, places in wanted.items()})
            for hit in hits:
                near = _near(hit, options.neighbours)
                neighbours[hit.chunk_id] = [
                    other for other in found if other.document_id == hit.document_id and other.position in near
                ]
        return neighbours, documents


@dataclass(frozen=True, slots=True)
class _Pool:
    """The candidates of one search, the question's vector, and the embedder that made it."""

    hits: list[Hit]
    vector: npt.NDArray[np.float32]
    embedder: Embedder


def _near(hit: Hit, reach: int) -> set[int]:
    return set(range(max(hit.position - reach, 0), hit.position + reach + 1)) - {hit.position}


def _both(asked: SearchFilter, given: SearchFilter | None) -> SearchFilter | None:
    """A filter that means both; None where they exclude each other by platform or language."""
    if given is None:
        return asked
    platforms = _common(asked.platforms, given.platforms)
    languages = _common(asked.languages, given.languages)
    if platforms is None or languages is None:
        return None
    begins = [moment for moment in (asked.published_from, given.published_from) if moment]
    ends = [moment for moment in (asked.published_until, given.published_until) if moment]
    return SearchFilter(platforms, max(begins, default=None), min(ends, default=None), languages)


def _common(some: Sequence[str], others: Sequence[str]) -> tuple[str, ...] | None:
    """What both allow, where nothing stands for everything; None where they have nothing in common."""
    if not some or not others:
        return tuple(some or others)
    return tuple(name for name in some if name in others) or None


def _checked(query: str, limit: int, categories: Iterable[str] | None) -> list[str]:
    """The categories to search; raises InputError for what cannot be searched."""
    if not query.strip():
        raise InputError("The search is empty; say in a few words what to look for.")
    wanted = list(CATEGORIES if categories is None else categories)
    if unknown := [category for category in wanted if category not in COLLECTIONS]:
        raise InputError(f"Cannot search {unknown[0]!r}; the categories are {', '.join(COLLECTIONS)}.")
    if limit < 1:
        raise InputError(f"Cannot find {limit} passages; ask for at least one.")
    return wanted
