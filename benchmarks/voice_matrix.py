"""The voice matrix: nano twins of real authors, each asked to predict every author's held-out writing.

A twin is trained by the loop itself (samples, nano base, adapter), on as many words as any other. What is compared is
the loss per character, in nats: it does not depend on a tokenizer. How hard a text is to predict cancels within a
column (one author's text under all twins); how good a twin is cancels when its row is centred too.
"""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from twin_assets.core import datasets
from twin_assets.core.authors import Author
from twin_assets.core.data.make_voice_background import read_prose
from twin_assets.core.documents import Category, Document
from twin_assets.core.lake import rows_frame
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

TWINS = ("voice_mtlynch", "voice_matklad", "voice_brandur", "linkedin_export_sanand")
MAX_LENGTH = 512
TESTED = 20


def measure(data: Path, words: int, minutes: float) -> tuple[NDArray[np.float64], list[int]]:
    """Loss per character [twin, author] and how many held-out samples each author's column is over.

    words: of each author; minutes: training of each twin.
    """
    from twin_assets.core.training.loading import load_version
    from twin_assets.core.training.loss import answer_loss
    from twin_assets.core.training.train import train

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), base_model="nano", training_minutes=minutes)
        workspace = Workspace(settings)
        models, tests = [], []
        for name in TWINS:
            author = Author(id=name.replace("_", "-"), name="The Author")
            workspace.authors.save(author)
            workspace.lake.append("documents", _documents(author.id, name, data, words))
            datasets.update_samples(workspace, author.id)
            dataset = datasets.load_dataset(workspace.lake, author.id)
            version = train(workspace, author, dataset).version
            models.append(load_version(workspace, version))
            tests.append(dataset.split("test").head(TESTED))
        losses = [
            [answer_loss(*model, "The Author", test, max_length=MAX_LENGTH).per_character for test in tests]
            for model in models
        ]
    return np.array(losses), [test.height for test in tests]


def own_best(losses: NDArray[np.float64]) -> tuple[list[bool], list[bool]]:
    """For each author: is the own twin the best of all at predicting them; and is it, both ways centred, the author
    whom their twin predicts best."""
    centred = losses - losses.mean(axis=0, keepdims=True) - losses.mean(axis=1, keepdims=True) + losses.mean()
    at = np.arange(len(losses))
    return list(losses.argmin(axis=0) == at), list(centred.argmin(axis=1) == at)


def _documents(author: str, name: str, data: Path, words: int) -> pl.DataFrame:
    """The first documents of an author, drawn at random, that make up so many words."""
    texts = sorted({text for found in read_prose(name, data, data).values() for text in found})
    order = np.random.default_rng(0).permutation(len(texts))
    platform = "linkedin" if "linkedin" in name else "files"
    category: Category = "post" if "linkedin" in name else "article"
    rows, count = [], 0
    for number in order:
        if count >= words:
            break
        text = texts[number]
        count += len(text.split())
        made = Document(f"{name}{number}", platform, str(number), category, "", "", text)
        rows.append(made.row() | {"author": author, "input_hash": "x", "derived_version": "1"})
    return rows_frame("documents", rows)
