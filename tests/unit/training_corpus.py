"""The demo author's posts as rows of `documents`, for tests of datasets, voice, training and evaluation."""

import csv
import io

import polars as pl

from demo.content import Content
from twin_assets.core.authors import Author
from twin_assets.core.documents import Document
from twin_assets.core.lake import rows_frame

AUTHOR = Author(id="demo", name="Demo Author")


def post_texts() -> list[str]:
    """The posts' texts, paragraphs joined as LinkedIn's export breaks them."""
    rows = csv.DictReader(io.StringIO(Content().text("linkedin/Shares.csv")))
    return [row["ShareCommentary"].replace('"\n"', "\n").strip('"') for row in rows if row["ShareCommentary"].strip()]


def document(name: str, text: str, category: str = "post", platform: str = "linkedin", title: str = "") -> dict:
    """A row of `documents` as the cleaning leaves it."""
    made = Document(name, platform, name, category, f"https://example.org/{name}", title, text)
    return made.row() | {"author": AUTHOR.id, "input_hash": "x", "derived_version": "1"}


def documents(rows: list[dict]) -> pl.DataFrame:
    """The rows as the table's frame."""
    return rows_frame("documents", rows)


def fill(workspace, count: int | None = None) -> None:
    """Put the author and their posts into a workspace."""
    workspace.authors.save(AUTHOR)
    rows = [document(f"post{i:03}", text) for i, text in enumerate(post_texts()[:count])]
    workspace.lake.append("documents", documents(rows))


def tiny_model(folder, configuration, chat_template: str | None = None):
    """A randomly initialised model of a configuration's architecture in a folder, with a tokenizer of the posts."""
    from transformers import AutoModelForCausalLM

    from twin_assets.core.training.nano import train_tokenizer

    tokenizer = train_tokenizer(post_texts(), vocabulary=configuration.vocab_size)
    tokenizer.chat_template = chat_template
    AutoModelForCausalLM.from_config(configuration).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
