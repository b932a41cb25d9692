"""Embedder: sentence embeddings and BM25 weights, the same in every process.

Every text goes through ONNX Runtime by itself, a thread a core. Nothing is padded, what a layer computes stays in the
core's cache, and a vector depends on its text alone: int8 takes the scale of its activations from all that is computed
at once, so in a batch a text's vector would depend on its company, and a rebuild would not give the same bytes.
Text is NFKC-normalised for searching only: an author's mathematical bold is found under its plain letters.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twin_assets.core.embedding_models import BUILT_IN, EmbeddingModel, find_model, installed_model, weights_folder

# What the built-in model reads at once, [CLS] and [SEP] included, as in sentence-transformers; other models read no
# more here either, since a vector of a longer passage says less of each part of it.
MAXIMUM_TOKENS = 256
# [CLS] and [SEP].
SPECIAL_TOKENS = 2
PROGRESS_EVERY = 32
# Mean length, in words less stop words, that BM25 weighs a passage's length against.
BM25_MEAN_LENGTH = 100.0

STOP_WORDS = frozenset(
    """a about above after again against all am an and any are as at be because been before being below between both
    but by can could did do does doing don down during each few for from further had has have having he her here hers
    herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on once
    only or other our ours ourselves out over own s same she should so some such t than that the their theirs them
    themselves then there these they this those through to too under until up ve very was we were what when where which
    while who whom why will with would you your yours yourself yourselves""".split()  # noqa: SIM905 (a list a line)
)

SparseVector = tuple[list[int], list[float]]
Vectors = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


class Embedder:
    """Turns texts into dense vectors and BM25 term weights.

    folder: where models are kept (the built-in one is made there on first use, 10 s); threads: cores to use, default
    all this process has; model: a built-in name, a local folder or a hub id (embedding_models.find_model()); endpoint:
    of the hub. Raises ModelError where the weights are absent or are not the published ones.
    """

    def __init__(
        self, folder: Path, threads: int | None = None, model: str = BUILT_IN, endpoint: str | None = None
    ) -> None:
        self.folder = folder
        self.threads = threads or len(os.sched_getaffinity(0))
        self._find: Callable[[], EmbeddingModel] = lambda: find_model(model, folder, endpoint)

    @classmethod
    def of_publication(cls, folder: Path, model_id: str, threads: int | None = None) -> "Embedder":
        """The embedder an index was made with; raises ModelError where that model is no longer in the folder."""
        embedder = cls(folder, threads)
        embedder._find = lambda: installed_model(model_id, folder)
        return embedder

    @cached_property
    def model(self) -> EmbeddingModel:
        """What is known of the model; its files may not be made yet."""
        return self._find()

    @property
    def model_id(self) -> str:
        """Changes whenever the vectors would."""
        return self.model.model_id

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return self.model.dimension

    @property
    def window(self) -> int:
        """Tokens the model reads at once, less the special ones: the most a chunk may have."""
        return min(self.model.maximum_tokens, MAXIMUM_TOKENS) - SPECIAL_TOKENS

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of passages: float32 [len(texts), dimension], L2-normed, each depending on its text alone.

        A text longer than the window is read in windows of like size, and has their mean, weighted by their tokens.
        progress: called with (done, all).
        """
        return self._embed([self.model.passage_prefix + text for text in texts], progress)

    def embed_query(self, text: str) -> Vectors:
        """Vector of a question, float32 [dimension]; some models want questions marked."""
        vector: Vectors = self._embed([self.model.query_prefix + text])[0]
        return vector

    def sparse(self, texts: Sequence[str]) -> list[SparseVector]:
        """BM25 term weights of passages, as (indices, values); the index applies the IDF."""
        return [_pair(vector) for vector in self._bm25.embed([_searchable(text) for text in texts])]

    def sparse_query(self, text: str) -> SparseVector:
        """BM25 terms of a query, as (indices, values), every weight 1."""
        return _pair(next(iter(self._bm25.query_embed(_searchable(text)))))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text without the special ones, beyond the model's limit too."""
        return [len(encoding.ids) for encoding in self._encode(texts)]

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, not truncating."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.model.tokenizer))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        encodings: list[Any] = self.tokenizer.encode_batch_fast(
            [_searchable(text) for text in texts], add_special_tokens=False
        )
        return encodings

    def _embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        tokens = [encoding.ids for encoding in self._encode(texts)]
        # The longest first, so that no thread is left alone with one at the end.
        order = sorted(range(len(texts)), key=lambda index: -len(tokens[index]))
        for done, (index, vector) in enumerate(zip(order, self._vectors([tokens[i] for i in order]), strict=True), 1):
            vectors[index] = vector
            if progress is not None and (done % PROGRESS_EVERY == 0 or done == len(order)):
                progress(done, len(order))
        return vectors

    def _vectors(self, tokens: Sequence[list[int]]) -> Iterator[Vectors]:
        if len(tokens) == 1 or self.threads == 1:
            yield from map(self._vector, tokens)
            return
        _ = self._session  # opened once, not by every thread
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(self._vector, tokens)

    def _vector(self, tokens: list[int]) -> Vectors:
        count = max(1, -(-len(tokens) // self.window))
        size = -(-len(tokens) // count)
        windows = [tokens[start : start + size] for start in range(0, len(tokens), size)] if tokens else [[]]
        total = np.zeros(self.dimension, dtype=np.float32)
        for window in windows:
            total += max(len(window), 1) * _normed(self._run(window))
        return _normed(total)

    def _run(self, window: list[int]) -> Vectors:
        """The pooled output for one window of tokens."""
        ids = np.array([self.model.with_special_tokens(window)], dtype=np.int64)
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        session, names = self._session
        hidden = session.run(None, {name: values[name] for name in names})[0][0]
        pooled: Vectors = hidden[0] if self.model.pooling == "cls" else hidden.mean(axis=0)
        return pooled

    @cached_property
    def _session(self) -> tuple[Any, list[str]]:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # threads take texts, not parts of one
        session = InferenceSession(str(self.model.weights()), options, providers=["CPUExecutionProvider"])
        return session, [entry.name for entry in session.get_inputs()]

    @cached_property
    def _bm25(self) -> Any:
        from fastembed.sparse.bm25 import Bm25

        # The model folder would hold stop word lists, which are given inline: nothing is looked up or downloaded.
        return Bm25(
            "Qdrant/bm25", stopwords=set(STOP_WORDS), avg_len=BM25_MEAN_LENGTH, specific_model_path=str(self.folder)
        )


def _normed(vector: Vectors) -> Vectors:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _searchable(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _pair(vector: Any) -> SparseVector:
    return vector.indices.tolist(), [float(value) for value in vector.values]


__all__ = ["BUILT_IN", "MAXIMUM_TOKENS", "Embedder", "Progress", "SparseVector", "Vectors", "weights_folder"]
