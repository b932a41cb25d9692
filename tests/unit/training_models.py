"""A dataset of the demo author's posts in memory and tiny random models, for tests of single trainings."""

from collections.abc import Iterator

import polars as pl
import pytest
from training_corpus import AUTHOR, post_texts, tiny_model

from twin_assets.core.datasets.dataset import Dataset
from twin_assets.core.training.recipes import NANO, Recipe, changed

SIZES = {
    "vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
# Of eight steps each, in seconds.
QUICK: Recipe = changed(NANO, {"epochs": 2, "length": 64, "rank": 4, "alpha": 8, "preference": "off"})


def posts_dataset(count: int = 40) -> Dataset:
    """Posts as samples: the first eighty per cent to train on, ten to validate, ten to test."""
    rows = [
        {
            "sample_id": f"d{i}:0", "document_id": f"d{i:02}", "position": 0, "form": "post",
            "instruction": "Write about looms.", "context": "", "target": text, "excluded": None,
            "split": "train" if i < 0.8 * count else "validation" if i < 0.9 * count else "test",
        }
        for i, text in enumerate(post_texts()[:count])
    ]  # fmt: skip
    return Dataset(AUTHOR.id, pl.DataFrame(rows, schema_overrides={"excluded": pl.String}), "v", 0)


def preference_pairs(count: int = 12) -> pl.DataFrame:
    """The author's posts set against what they would never write."""
    rows = [
        {
            "form": "post", "prompt": "Write about looms.", "context": "", "chosen": text, "source": "edit",
            "rejected": "Let us delve into the rich tapestry of synergy. " * 2, "split": "train",
        }
        for text in post_texts()[:count]
    ]  # fmt: skip
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory):
    """A random Llama of two layers."""
    from transformers import LlamaConfig

    return tiny_model(tmp_path_factory.mktemp("models") / "llama", LlamaConfig(**SIZES))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make tiny models ten times slower on busy cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
