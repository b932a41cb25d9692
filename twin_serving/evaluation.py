"""Evaluating a candidate through the very server that would serve it, beside everything it has to beat.

To the same held-out instructions write: the candidate and the version that is served, both asked as the composer asks
(the voice's guide in the prompt) and given what serving would retrieve; the stock base without an adapter, given the
same and the author's texts as examples; and the assembled draft.
Nothing that any of them is given comes from the document they are held against.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.datasets import Dataset, load_dataset
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import GateError, ServingError, TwinError
from twin_assets.core.evaluation.evaluate import Written, effort_of, evaluate
from twin_assets.core.evaluation.measures import answer_of
from twin_assets.core.evaluation.release import newest, recorded_report
from twin_assets.core.evaluation.report import Answer, Report
from twin_assets.core.prompts import FORMS, Message, broken_up, messages
from twin_assets.core.voice_edits import load_voice
from twin_assets.core.workspace import Workspace
from twin_serving.assembling.assemble import assemble, subject_of
from twin_serving.chat.models import model_folders
from twin_serving.client import TwinClient
from twin_serving.composing.budget import TEMPLATE_TOKENS, TokenBudget, budget_of
from twin_serving.composing.composer import LISTED, SEARCH, SEARCHED
from twin_serving.composing.library import AuthorLibrary, Libraries
from twin_serving.server import running_server

if TYPE_CHECKING:
    from twin_assets.core.index import Hit
    from twin_assets.core.registry import ModelVersion

Progress = Callable[[str, float], None]

# Texts of the author's that the stock base is shown, as far as they fit.
EXAMPLES = 3
NANO_NOTES = 150  # tokens
SEED = 0


def evaluate_candidate(workspace: Workspace, author: str, progress: Progress | None = None) -> Report:
    """Evaluate the author's newest version on held-out texts, beside champion, stock base and assembled drafts.

    What was evaluated on the present dataset before is not evaluated again, and then no server is started.
    """
    candidate = newest(workspace, author)
    # A version's report stands for its own dataset; a later one does not reopen what was decided.
    if candidate.status != "candidate":
        with suppress(GateError):
            return recorded_report(workspace, author, candidate.version)

    def write(samples: pl.DataFrame) -> Written:
        return Writing(workspace, candidate, samples, progress).written()

    return evaluate(workspace, author, candidate.version, write, progress=progress)


@dataclass(frozen=True, slots=True)
class Material:
    """What the systems are given for one sample: its row, the passages found and the documents they are from."""

    row: dict[str, Any]
    hits: "list[Hit]"

    @property
    def passages(self) -> list[str]:
        """The passages as serving would hand them over, most relevant first."""
        return [broken_up(hit.text) for hit in self.hits[:LISTED]]


class Writing:
    """One evaluation's writing: what is retrieved, who is asked what."""

    def __init__(
        self, workspace: Workspace, candidate: "ModelVersion", samples: pl.DataFrame, progress: Progress | None
    ) -> None:
        self.workspace, self.candidate, self.progress = workspace, candidate, progress
        self.author = workspace.authors.get(candidate.author)
        self.dataset: Dataset = load_dataset(workspace.lake, self.author.id)
        self.voice = load_voice(workspace, self.author.id)
        self.library: AuthorLibrary = Libraries(workspace).of(self.author.id)
        self.material = [self._material(row) for row in samples.iter_rows(named=True)]
        self.tokens = effort_of(candidate.is_nano).tokens

    def written(self) -> Written:
        """What every system writes; raises ServingError where the candidate's server does not answer."""
        found = Written(
            answers={"assembled": self._assembled()},
            contexts={each.row["sample_id"]: each.passages for each in self.material},
        )
        if not found.answers["assembled"]:
            found.left_out["assembled"] = "nothing to assemble from was found for any of the instructions"
        approved = self.workspace.registry.approved(self.author.id)
        settings = self.workspace.settings
        with ExitStack() as stack:
            url = stack.enter_context(
                running_server(settings, candidate=(self.author.id, self.candidate.version), progress=self._waiting)
            )
            key = settings.api_key.get_secret_value() if settings.api_key else None
            client = stack.enter_context(TwinClient(url, api_key=key))
            found.answers["candidate"] = self._ask(client, self.candidate, self.candidate.version)
            if approved is None or approved.version == self.candidate.version:
                found.left_out["champion"] = "no other version is served"
            else:
                try:
                    found.answers["champion"] = self._ask(client, approved, approved.version)
                except TwinError as error:  # its files may be gone; that is no fault of the candidate's
                    found.left_out["champion"] = f"version {approved.version}, which is served, wrote nothing: {error}"
            found.answers["baseline"] = self._ask(client, self.candidate, "base")
        return found

    def _material(self, row: dict[str, Any]) -> Material:
        same = self.dataset.samples.filter(pl.col("group_id") == row["group_id"])["document_id"].to_list()
        categories = None if FORMS[row["form"]].category == "code" else ["post", "article"]
        hits = self.workspace.retriever.search(
            self.author.id, subject_of(row["instruction"]), SEARCHED, categories, options=SEARCH
        )
        return Material(row, [hit for hit in hits if hit.document_id not in same])

    def _assembled(self) -> list[Answer]:
        drafts = []
        for each in self.material:
            documents = self.library.in_order([hit.document_id for hit in each.hits])
            if documents and each.row["form"] != "code":
                draft = assemble(
                    each.row["instruction"], documents, [], self.workspace.embedder.embed, style=self.library.style,
                    form=each.row["form"],
                )  # fmt: skip
                drafts.append(answer_of(each.row, draft.text))
        return drafts

    def _ask(self, client: TwinClient, model: "ModelVersion", version: str) -> list[Answer]:
        """The answers of author@version to every instruction; "base": the candidate's base without its adapter."""
        name = f"{self.author.id}@{version}"
        base, _ = model_folders(self.workspace, model)
        budget = budget_of(base)
        answers = []
        for done, each in enumerate(self.material, start=1):
            # As the composer: nano follows no instructions.
            voice = "" if model.is_nano else self.voice.guide(FORMS[each.row["form"]].category)
            asked = self._conversation(each, budget, self._examples(each) if version == "base" else [], voice)
            start = time.perf_counter()
            answer = client.chat(name, asked, max_tokens=self.tokens, seed=SEED)
            seconds = time.perf_counter() - start
            if answer.get("system_fingerprint") != name:
                raise ServingError(
                    f"{name} was asked and {answer.get('system_fingerprint')} answered, so nothing can be said of "
                    f"{name}; see that nothing else serves at {client.base_url}."
                )
            choice, usage = answer["choices"][0], answer["usage"]
            answers.append(
                answer_of(
                    each.row, choice["message"]["content"], seconds=seconds, finish=choice["finish_reason"],
                    prompt_tokens=usage["prompt_tokens"], written_tokens=usage["completion_tokens"],
                )
            )  # fmt: skip
            if self.progress is not None:
                self.progress(f"{name} writes to held-out instructions", done / len(self.material))
        return answers

    def _conversation(
        self, each: Material, budget: TokenBudget, examples: Sequence[Mapping[str, Any]], voice: str
    ) -> list[Message]:
        """As the composer asks, with as many passages, and half of what is left with examples, as fit."""
        name, form, instruction = self.author.name, each.row["form"], each.row["instruction"]

        def size(conversation: Sequence[Message]) -> int:
            return sum(budget.count(message["content"]) for message in conversation)

        room = budget.context - min(self.tokens, budget.context // 2) - TEMPLATE_TOKENS
        room -= size(messages(name, form, instruction, "-", voice))
        most = 2 * NANO_NOTES if self.candidate.is_nano else room
        shown: list[Message] = []
        for example in examples:
            turns = [
                {"role": "user", "content": example["instruction"]},
                {"role": "assistant", "content": example["target"]},
            ]
            if size([*shown, *turns]) + TEMPLATE_TOKENS > min(room // 2, most):
                break
            shown.extend(turns)
        room -= size(shown) + (TEMPLATE_TOKENS if shown else 0)
        # Nano learned from short prompts and reads none: what it is given costs time and changes nothing.
        notes = budget.notes(each.passages, min(room, NANO_NOTES) if self.candidate.is_nano else room)
        system, request = messages(name, form, instruction, notes, voice)
        return [system, *shown, request]

    def _examples(self, each: Material) -> list[dict[str, Any]]:
        """Training samples of the same form: of the documents that were retrieved first, then drawn by hash."""
        same = self.dataset.split("train").filter(pl.col("form") == each.row["form"])
        rank = {hit.document_id: place for place, hit in reversed(list(enumerate(each.hits)))}

        def place(row: Mapping[str, Any]) -> tuple[int, str]:
            return rank.get(row["document_id"], len(rank)), content_hash("example", row["sample_id"])

        return sorted(same.iter_rows(named=True), key=place)[:EXAMPLES]

    def _waiting(self, sentence: str) -> None:
        if self.progress is not None:
            self.progress(sentence, 0.0)
