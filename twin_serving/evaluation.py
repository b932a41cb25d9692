"""Evaluating a candidate through the very server that would serve it, beside the assembled draft."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import polars as pl

from twin_assets.core.datasets import load_dataset
from twin_assets.core.evaluation.evaluate import Chat, evaluate, evaluation_samples
from twin_assets.core.evaluation.release import newest
from twin_assets.core.evaluation.report import Report
from twin_assets.core.prompts import Message
from twin_assets.core.workspace import Workspace
from twin_serving.assemble import assemble, subject_of
from twin_serving.client import TwinClient
from twin_serving.composer import SEARCH, SEARCHED
from twin_serving.library import Libraries
from twin_serving.server import running_server

Progress = Callable[[str, float], None]


def evaluate_candidate(workspace: Workspace, author: str, progress: Progress | None = None) -> Report:
    """Evaluate the author's newest version on held-out texts, beside drafts assembled for the same instructions.

    What was evaluated on the present dataset before is not evaluated again, and then no server is started.
    """
    candidate = newest(workspace, author)
    stored = workspace.registry.report(author, candidate.version)
    # A version's report stands for its own dataset; a later one does not reopen what was decided.
    if stored is not None and candidate.status != "candidate":
        return Report.model_validate(stored)
    baseline = assembled_baseline(workspace, author, candidate.is_nano)
    with ExitStack() as stack:
        chat = _served_on_first_use(workspace, author, candidate.version, stack)
        return evaluate(workspace, author, candidate.version, chat, assembled=baseline, progress=progress)


def assembled_baseline(workspace: Workspace, author: str, is_nano: bool) -> dict[str, str]:
    """Assembled drafts for the held-out instructions by sample id, none drawing on the document it is held against."""
    dataset = load_dataset(workspace.lake, author)
    samples = evaluation_samples(dataset, is_nano)
    library = Libraries(workspace).of(author)
    drafts = {}
    for row in samples.filter(pl.col("form") != "code").iter_rows(named=True):
        group = dataset.samples.filter(pl.col("group_id") == row["group_id"])["document_id"].to_list()
        query = subject_of(row["instruction"])
        hits = workspace.retriever.search(author, query, SEARCHED, ["post", "article"], options=SEARCH)
        documents = library.in_order([hit.document_id for hit in hits if hit.document_id not in group])
        if documents:
            draft = assemble(row["instruction"], documents, [], workspace.embedder.embed, style=library.style)
            drafts[row["sample_id"]] = draft.text
    return drafts


def _served_on_first_use(workspace: Workspace, author: str, version: str, stack: ExitStack) -> Chat:
    """A chat with the version that starts its server when it is first asked; the stack stops it."""
    client: TwinClient | None = None

    def chat(conversation: Sequence[Message], tokens: int) -> str:
        nonlocal client
        if client is None:
            url = stack.enter_context(running_server(workspace.settings, candidate=(author, version)))
            key = workspace.settings.api_key
            client = stack.enter_context(TwinClient(url, api_key=key.get_secret_value() if key else None))
        answer = client.chat(author, [dict(message) for message in conversation], max_tokens=tokens)
        return str(answer["choices"][0]["message"]["content"])

    return chat
