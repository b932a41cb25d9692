"""choose_contexts(): passages of the author's other documents that go with a sample, as a composer's notes go with a
prompt.

A twin is served with notes; one that never saw any in training does not heed them. The choice depends on the corpus
alone (TF-IDF of the chunks that are served, ties by chunk), never on its history, so that a rebuild gives the same
dataset and a change re-makes the samples whose notes it changes and no others.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from twin_assets.core.documents import content_hash
from twin_assets.core.overlap import shingles

# Changes when the same corpus would give other contexts.
CONTEXTS_VERSION = "1"
CHARACTERS = 1_600
PASSAGES = 3
CONSIDERED = 12  # nearest, from which those that repeat the target or one another are left out
LEAST_SIMILAR = 0.08
BLOCK = 512  # samples compared at a time


class Context(NamedTuple):
    """Text for the `context` of prompts.messages(), and the documents it is from."""

    text: str
    documents: tuple[str, ...]


def choose_contexts(samples: pl.DataFrame, chunks: pl.DataFrame, share: float) -> dict[tuple[str, int], Context]:
    """Contexts by (document_id, position) of those samples that get one.

    samples: in use, with document_id, position, form, instruction, target, group_id; chunks: chunk_id, document_id,
    group_id and text of those that may be shown; share: of the samples, drawn by hash (code gets none: there is
    nothing for it to heed). Left out are chunks of the sample's own group, and those that share a run of eight words
    with its target.
    """
    drawn = pl.Series(
        [
            int(content_hash("context", *key), 16) < share * 16**32
            for key in samples[["document_id", "position"]].rows()
        ],
        dtype=pl.Boolean,
    )
    wanted = samples.filter(drawn, pl.col("form") != "code").sort("document_id", "position")
    chunks = chunks.sort("chunk_id")
    if wanted.is_empty() or chunks.is_empty():
        return {}
    found = {}
    texts, owners, groups = (chunks[name].to_list() for name in ("text", "document_id", "group_id"))
    nearest = _nearest(wanted.select(pl.col("instruction") + "\n" + pl.col("target")).to_series().to_list(), texts)
    for row, candidates in zip(wanted.iter_rows(named=True), nearest, strict=True):
        others = [index for index in candidates if groups[index] != row["group_id"]]
        kept = _distinct(row["target"], [(texts[index], owners[index]) for index in others[:CONSIDERED]])
        if kept:
            text = "\n\n".join(text for text, _ in kept)
            found[row["document_id"], row["position"]] = Context(text, tuple(sorted({owner for _, owner in kept})))
    return found


def _nearest(questions: list[str], texts: list[str]) -> list[list[int]]:
    """For each question the places of the nearest texts, nearest first."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    try:
        matrix = vectorizer.fit_transform(texts).T.tocsr()
    except ValueError:  # not a word in any of them
        return [[] for _ in questions]
    found = []
    for start in range(0, len(questions), BLOCK):
        asked = vectorizer.transform(questions[start : start + BLOCK])
        # Rounded, so that the order of equals is the chunks' own and not that of a sum's last bit.
        for row in np.round((asked @ matrix).toarray(), 6):
            order = np.argsort(-row, kind="stable")[: 4 * CONSIDERED]
            found.append([int(index) for index in order if row[index] >= LEAST_SIMILAR])
    return found


def _distinct(target: str, candidates: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """At most PASSAGES of the candidates that repeat neither the target nor one another, within CHARACTERS."""
    seen = shingles(target)
    kept: list[tuple[str, str]] = []
    room = CHARACTERS
    for text, owner in candidates:
        own = shingles(text)
        if len(kept) == PASSAGES or len(text) > room or own & seen:
            continue
        kept.append((text, owner))
        seen |= own
        room -= len(text)
    return kept
