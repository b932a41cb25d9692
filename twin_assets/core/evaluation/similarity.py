"""Ragas' judge-free metrics: how near a text is to what the author wrote."""

import asyncio
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin_assets.core.embedding import Embedder


def similarities(pairs: Sequence[tuple[str, str]], embedder: "Embedder | None") -> dict[str, list[float]]:
    """Values of each judge-free Ragas metric for (author's text, answer) pairs, 0 to 1, in their order; {} for none.

    embedder: for semantic similarity, which is left out without one.
    """
    if not pairs:
        return {}
    metrics = _metrics(embedder)
    scores = asyncio.run(_score(metrics, pairs))
    return {metric.name: values for metric, values in zip(metrics, scores, strict=True)}


async def _score(metrics: Sequence[Any], pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
    scores: list[list[float]] = [[] for _ in metrics]
    for reference, response in pairs:
        for values, metric in zip(scores, metrics, strict=True):
            if not response.strip():
                values.append(0.0)
                continue
            if metric.name == "bleu_score":
                # It splits at ". " and then takes every sentence of the author's as one more reference for the first
                # sentence of the answer, and fails on the second: the texts are given as one sentence each.
                result = await metric.ascore(
                    reference=reference.replace(". ", ".\n"), response=response.replace(". ", ".\n")
                )
            else:
                result = await metric.ascore(reference=reference, response=response)
            values.append(0.0 if math.isnan(result.value) else float(result.value))
    return scores


def _metrics(embedder: "Embedder | None") -> list[Any]:
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    from ragas.metrics.collections import (
        BleuScore,
        CHRFScore,
        NonLLMStringSimilarity,
        RougeScore,
        SemanticSimilarity,
    )

    metrics: list[Any] = [BleuScore(), RougeScore(), CHRFScore(), NonLLMStringSimilarity()]
    if embedder is None:
        return metrics
    return [*metrics, SemanticSimilarity(embeddings=ragas_embedding(embedder))]


def ragas_embedding(embedder: "Embedder") -> Any:
    """The project's embedder behind Ragas' interface."""
    from ragas.embeddings.base import BaseRagasEmbedding

    embed = embedder.embed

    class OurEmbedding(BaseRagasEmbedding):  # type: ignore[misc]
        """One text at a time, as Ragas asks."""

        def embed_text(self, text: str, **_: Any) -> list[float]:
            """The text's vector."""
            return [float(value) for value in embed([text])[0]]

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            """The text's vector."""
            return self.embed_text(text)

    return OurEmbedding()
