"""Rerankers: order the candidates of a search anew, by looking at question and passage together.

FeatureRanker weighs a handful of numbers (features.py); its weights were learned by benchmarks/fit_reranker.py from
questions that no benchmark measures. With sentence vectors it sees the passage's nearest sentence too, at the price of
embedding the candidates' sentences. A cross-encoder reads both texts; it is used where its weights are on this machine.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from twin_assets.core.embedding import Embedder
from twin_assets.core.errors import ModelError
from twin_assets.core.index import Hit
from twin_assets.core.retrieval.features import FEATURES, SENTENCE_FEATURE, features

# Learned by `python -m benchmarks.fit_reranker --sentences` from 1,126 questions: about one half of COVID-QA's papers,
# and one author's own sentences. The benchmark measures the other half and another author.
WEIGHTS: Mapping[str, float] = {
    "similarity": 10.94, "bm25": 2.96, "covered": 0.17, "covered_by_label": 4.45, "covered_by_sentence": 3.43,
    "together": 3.7,
}  # fmt: skip
SENTENCE_WEIGHTS: Mapping[str, float] = {
    "similarity": 6.92, "bm25": 2.34, "covered": 0.83, "covered_by_label": 5.34, "covered_by_sentence": 2.81,
    "together": 3.03, "sentence_similarity": 6.32,
}  # fmt: skip

# Sentences of a passage that are embedded, and sentence vectors that are remembered (1.5 kB each).
SENTENCES, REMEMBERED = 24, 20_000

_REGISTERING = threading.Lock()


class Reranker(Protocol):
    """Scores candidates for a question."""

    def score(self, question: str, vector: npt.NDArray[np.float32], hits: Sequence[Hit]) -> npt.NDArray[np.float64]:
        """Float64 [len(hits)], higher is better; differences between scores are what matters, not their size."""


class FeatureRanker:
    """A weighted sum of features; safe to share between threads."""

    def __init__(self, weights: Mapping[str, float] = WEIGHTS) -> None:
        self.weights = np.array([weights[name] for name in FEATURES])

    def score(self, question: str, vector: npt.NDArray[np.float32], hits: Sequence[Hit]) -> npt.NDArray[np.float64]:
        """See Reranker.score."""
        scores: npt.NDArray[np.float64] = features(question, hits, vector) @ self.weights
        return scores


class SentenceRanker(FeatureRanker):
    """The same with late interaction: the cosine of the question and each passage's nearest sentence."""

    def __init__(
        self, embedder: Embedder, weights: Mapping[str, float] = SENTENCE_WEIGHTS, remembered: int = REMEMBERED
    ) -> None:
        super().__init__(weights)
        self.embedder = embedder
        self.remembered = remembered
        self.sentence_weight = weights[SENTENCE_FEATURE]
        self._kept: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def score(self, question: str, vector: npt.NDArray[np.float32], hits: Sequence[Hit]) -> npt.NDArray[np.float64]:
        """See Reranker.score."""
        return super().score(question, vector, hits) + self.sentence_weight * self.nearest(vector, hits)

    def nearest(self, vector: npt.NDArray[np.float32], hits: Sequence[Hit]) -> npt.NDArray[np.float64]:
        """Cosine of the question and the nearest sentence of each hit."""
        sentences = [split(hit.text) for hit in hits]
        wanted = list(dict.fromkeys(sentence for found in sentences for sentence in found))
        with self._lock:
            known = {sentence: self._kept[sentence] for sentence in wanted if sentence in self._kept}
        missing = [sentence for sentence in wanted if sentence not in known]
        if missing:
            known |= dict(zip(missing, self.embedder.embed(missing), strict=True))
        with self._lock:
            self._kept |= known
            for sentence in wanted:
                self._kept.move_to_end(sentence)
            while len(self._kept) > self.remembered:
                self._kept.popitem(last=False)
        return np.array([max(float(known[sentence] @ vector) for sentence in found) for found in sentences])


class CrossEncoder:
    """A cross-encoder that lies in a folder (config.json, tokenizer.json, onnx/model.onnx), run by fastembed.

    Nothing is ever downloaded. Raises ModelError where the folder holds no such model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def score(self, question: str, vector: npt.NDArray[np.float32], hits: Sequence[Hit]) -> npt.NDArray[np.float64]:
        """See Reranker.score."""
        return np.array(list(self._model.rerank(question, [hit.text for hit in hits])), dtype=np.float64)

    @cached_property
    def _model(self) -> Any:
        from fastembed.common.model_description import ModelSource
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        file = next((name for name in ("model.onnx", "onnx/model.onnx") if (self.folder / name).is_file()), None)
        if file is None:
            raise ModelError(f"{self.folder} holds no cross-encoder (no model.onnx); check TWIN_RERANKER_FOLDER.")
        name = f"local/{self.folder.resolve()}"
        with _REGISTERING:
            if name.lower() not in {str(known["model"]).lower() for known in TextCrossEncoder.list_supported_models()}:
                TextCrossEncoder.add_custom_model(name, sources=ModelSource(hf="local/reranker"), model_file=file)
        try:
            return TextCrossEncoder(
                name, specific_model_path=str(self.folder), local_files_only=True, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own have no other base
            raise ModelError(f"The cross-encoder in {self.folder} cannot be loaded: {error}") from error


def split(text: str) -> list[str]:
    """At most SENTENCES sentences of a passage, at least one."""
    found = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n{2,}", text)]
    return [part for part in found if len(part) > 15][:SENTENCES] or [text]
