"""The model's drafts: the prompt within its context, several drafts asked at once, their text as it comes."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from twin_assets.core.errors import TwinError
from twin_assets.core.prompts import FORMS, messages
from twin_assets.core.workspace import Workspace
from twin_serving.api.twins import nano_notice
from twin_serving.chat.chat_stream import Chat, Writing
from twin_serving.chat.models import model_folders
from twin_serving.composing.budget import TEMPLATE_TOKENS, EstimatedBudget, TokenBudget, budget_of
from twin_serving.composing.material import Material, notes
from twin_serving.engines.endpoint_engine import GENERATOR, generator_name

if TYPE_CHECKING:
    from twin_assets.core.registry import ModelVersion

# How drafts of one answer are told to begin, so that there is a choice; the first is left to the model.
OPENINGS = (
    "",
    "Open with one concrete moment or scene",
    "Open with your claim, stated plainly",
    "Open with a question that the text then answers",
)
SEEDS = 2**31 - 8
# While the model says nothing, whoever waits is told so this often: a client that has gone is then noticed.
WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the draft of this variant."""

    variant: int
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """A finished draft of the model's: `served` is author@version; finish: "stop", "length", or None broken off."""

    variant: int
    text: str
    served: str
    finish: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A draft that could not be made, with the sentence that says why."""

    variant: int
    message: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked: a conversation for each draft, and the tokens each may have."""

    model: str
    conversations: list[list[dict[str, str]]]
    tokens: int


@dataclass(frozen=True, slots=True)
class Generator:
    """The endpoint of TWIN_GENERATOR_URL in the place of a version of the author; `version` is its name in answers."""

    author: str
    version: str
    base_model: str
    dataset_version: None = None
    is_nano: bool = False


class Drafting:
    """Asks the models that serve; safe to share between threads."""

    def __init__(self, workspace: Workspace, chat: Chat, candidate: tuple[str, str] | None = None) -> None:
        self.workspace, self.chat, self.candidate = workspace, chat, candidate
        self._bases: dict[tuple[str, str], Path] = {}

    def version(self, author: str) -> "ModelVersion | Generator | None":
        """What drafts for an author: the approved version, the generator where one is set for it, or nothing."""
        if self.candidate is not None and self.candidate[0] == author:
            return self.workspace.registry.get(*self.candidate)
        settings = self.workspace.settings
        approved = None if settings.generator == "always" else self.workspace.registry.approved(author)
        if settings.generator_url is not None and approved is None:
            return Generator(author, generator_name(settings), settings.generator_model)
        return approved or self.workspace.registry.approved(author)

    def prepare(self, material: Material, version: "ModelVersion | Generator") -> Asked:
        """The conversations within the version's context. Raises ModelError where its base cannot be found."""
        openings = OPENINGS[: material.request.variants]
        asked = [self._conversation(material, version, opening) for opening in openings]
        tokens = min(tokens for _, tokens in asked)
        name = GENERATOR if isinstance(version, Generator) else version.version
        return Asked(f"{version.author}@{name}", [conversation for conversation, _ in asked], tokens)

    def _conversation(
        self, material: Material, version: "ModelVersion | Generator", opening: str
    ) -> tuple[list[dict[str, str]], int]:
        """The messages within the model's context, and the tokens left to the answer."""
        budget, request = self._budget(version), material.request
        # At two characters a token a text of the usual length has room to spare.
        tokens = min(request.max_tokens or material.characters // 2 + 64, budget.context // 2)
        # Nano follows no instructions: it was trained without them and has no room to spare.
        voice = "" if version.is_nano else material.voice.guide(FORMS[request.format].category)
        wishes = replace(material.wishes, opening=opening)
        if version.is_nano:
            wishes = type(wishes)(reply_to=wishes.reply_to)
        fixed = replace(wishes, reply_to="")
        bare = messages(material.author.name, request.format, request.prompt, "-", voice, fixed)
        room = budget.context - tokens - sum(budget.count(said["content"]) for said in bare) - TEMPLATE_TOKENS
        # What is answered comes before what may be drawn on; a long text leaves half of the room to the notes.
        answered = budget.cut(wishes.reply_to, room // 2)
        room -= budget.count(answered) + TEMPLATE_TOKENS if answered else 0
        told = budget.notes(notes(material), room)
        wishes = replace(wishes, reply_to=answered)
        return messages(material.author.name, request.format, request.prompt, told, voice, wishes), tokens

    def _budget(self, version: "ModelVersion | Generator") -> TokenBudget:
        """The version's token budget; its base never changes, so it is looked for once."""
        if isinstance(version, Generator):
            return EstimatedBudget(self.workspace.settings.generator_context)
        key = version.author, version.version
        if key not in self._bases:
            self._bases[key], _ = model_folders(self.workspace, version)
        return budget_of(self._bases[key])

    def write(self, asked: Asked) -> Iterator[Delta | Written | Failed | None]:
        """All drafts side by side: pieces as they come, each draft when it is finished; None while nothing comes.

        Closing the iterator ends every draft.
        """
        seed = random.randrange(SEEDS)
        streams = [
            self.chat(asked.model, conversation, max_tokens=asked.tokens, seed=seed + variant)
            for variant, conversation in enumerate(asked.conversations)
        ]
        said: SimpleQueue[Delta | Written | Failed] = SimpleQueue()
        for variant, stream in enumerate(streams):
            threading.Thread(target=_follow, args=(variant, stream, said.put), name="draft", daemon=True).start()
        left = len(streams)
        try:
            while left:
                try:
                    item = said.get(timeout=WAIT_SECONDS)
                except Empty:
                    yield None
                    continue
                left -= not isinstance(item, Delta)
                yield item
        finally:
            _close(streams)


def _follow(variant: int, stream: Writing, tell: Callable[[Delta | Written | Failed], None]) -> None:
    """Read one draft to its end."""
    text, served, finish = "", "", None
    try:
        for chunk in stream:
            text, served, finish = text + chunk.text, chunk.served, chunk.finish or finish
            if chunk.text:
                tell(Delta(variant, chunk.text))
        tell(Written(variant, text.strip(), served, finish))
    except TwinError as error:
        tell(Failed(variant, str(error)))
    except Exception as error:  # whoever waits must hear of it
        tell(Failed(variant, f"{type(error).__name__}: {error}"))


def _close(streams: Sequence[Writing]) -> None:
    for stream in streams:
        stream.close()


def notice_of(version: "ModelVersion | Generator") -> str | None:
    """What stands beside every text of a model; None for real models of the author's own."""
    if isinstance(version, Generator):
        return (
            f"This text was written by {version.base_model}, a general model that was told about this author's voice "
            "and did not learn it."
        )
    return nano_notice(version.is_nano)
