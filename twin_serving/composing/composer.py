"""The composer: from a prompt and links to drafts, each sentence with its receipt, each draft checked and ranked.

Models are asked through the server's own chat endpoint, so that they live in the inference worker alone.
"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from twin_assets.core.errors import TwinError
from twin_assets.core.prompts import FORMS
from twin_assets.core.voice_edits import Voice, load_voice
from twin_assets.core.workspace import Workspace
from twin_serving.api.permission import KNOWN
from twin_serving.api.places import Places
from twin_serving.assembling.assemble import assemble, subject_of
from twin_serving.chat.chat_stream import Chat
from twin_serving.composing.drafting import Delta, Drafting, Failed, Generator, Written, notice_of
from twin_serving.composing.formats import thread_parts
from twin_serving.composing.history import Keeper
from twin_serving.composing.judging import Draft, judged
from twin_serving.composing.library import EmbeddingMemory, Libraries
from twin_serving.composing.material import LISTED, SEARCH, SEARCHED, Material
from twin_serving.composing.ranking import ranked
from twin_serving.composing.warming import Traffic, embed_ahead
from twin_serving.links.reading import LinkMemory, LinkText
from twin_serving.receipts.evidence import find_evidence
from twin_serving.schemas import ComposeRequest
from twin_serving.telemetry.metrics import retrieval
from twin_serving.telemetry.tracing import Trace, Tracer

if TYPE_CHECKING:
    from twin_assets.core.registry import ModelVersion

# A name and its data, as the stream of an answer has them.
Event = tuple[str, dict[str, Any]]
WAITING: Event = ("", {})


class Composer:
    """Drafts for the authors of a workspace; safe to share between threads."""

    def __init__(self, workspace: Workspace, chat: Chat, candidate: tuple[str, str] | None = None) -> None:
        self.workspace = workspace
        self.tracer = Tracer(workspace)
        self.libraries = Libraries(workspace)
        self.links = LinkMemory(workspace.web)
        self.drafting = Drafting(workspace, chat, candidate)
        self.embed = EmbeddingMemory(lambda texts: workspace.embedder.embed(texts))
        self.keeper = Keeper(workspace)
        self.traffic = Traffic()
        self.places = Places(workspace.settings.serving_compositions)
        self._stopped = threading.Event()

    def warm_up(self, author: str) -> None:
        """Read what the author's first draft would wait for. Raises LakeError."""
        _ = self.libraries.of(author).style

    def embed_ahead(self, author: str) -> None:
        """Embed the author's passages while nobody is served; that may take minutes. Raises LakeError."""
        library = self.libraries.of(author)
        embed_ahead(library.documents.values(), self.embed, self.traffic, self._stopped)

    def close(self) -> None:
        """End what goes on beside the answers."""
        self._stopped.set()
        self.keeper.close()
        self.tracer.close()

    def compose(self, request: ComposeRequest) -> dict[str, Any]:
        """The answer of /v1/compose, drafts best first.

        Raises BusyError, UnknownAuthorError, IndexMissingError and LakeError; a link or a model that fails is said in
        the answer.
        """
        for name, data in self.events(request):
            if name == "done":
                return data
        raise AssertionError("unreachable: composing ends with its answer or raises")

    def events(self, request: ComposeRequest) -> Iterator[Event]:
        """The same as it goes on: step, link, sources, start, text, draft, done; WAITING while nothing comes.

        Closing the iterator ends what is being written. Raises as compose() does.
        """
        making = _Composition(request)
        with self.places.taken(), self.traffic, self.tracer.failures(making.trace, request.author):
            yield from self._gathering(making)
            yield from self._assembling(making)
            yield from self._generating(making)
            yield _step("checks", f"Comparing {_counted(len(making.drafts), 'draft')}")
            answer = making.answer()
            self.keeper.keep(answer)
            self.tracer.composed(making.trace, answer, _attributes(answer))
            yield "done", answer

    def _gathering(self, making: "_Composition") -> Iterator[Event]:
        request, trace = making.request, making.trace
        author = self.workspace.authors.get(request.author)
        if request.links:
            yield _step("links", f"Reading {_counted(len(request.links), 'link')}")
        with trace.step("links"):
            links = self.links.read(request.links)
        yield from (("link", link.to_dict()) for link in links)
        yield _step("retrieval", f"Looking for what {author.name} has written on it")
        with trace.step("retrieval"), retrieval():
            making.material = self._gather(request, links)
            making.index_version = self.workspace.index.version(author.id)
        yield "sources", {"sources": making.sources}

    def _assembling(self, making: "_Composition") -> Iterator[Event]:
        material, variants = making.material, making.request.variants
        yield _step("assemble", f"Assembling {_counted(variants, 'draft')} of {material.author.name}’s own sentences")
        for variant in range(variants):
            with making.trace.step("assemble"):
                draft = self._assembled(material, variant)
            if draft["text"] in [other["text"] for other in making.drafts]:
                return  # there are no more openings
            making.drafts.append(draft)
            yield "start", _start(draft)
            yield "draft", draft

    def _gather(self, request: ComposeRequest, links: list[LinkText]) -> Material:
        author = self.workspace.authors.get(request.author)
        titles = " ".join(link.title for link in links)
        query = f"{subject_of(request.prompt, request.reply_to or '')} {titles}".strip()
        categories = ["post", "article"] if FORMS[request.format].category != "code" else None
        hits = self.workspace.retriever.search(author.id, query, SEARCHED, categories, options=SEARCH)
        voice, problem = Voice(), None
        try:
            voice = load_voice(self.workspace, author.id)
        except TwinError as error:  # a draft that heeds no edits is still a draft, if it says so
            problem = str(error)
        return Material(author, request, self.libraries.of(author.id), hits, links, voice, problem)

    def _assembled(self, material: Material, variant: int) -> dict[str, Any]:
        request = material.request
        draft = assemble(
            request.prompt, material.documents, material.read_links, self.embed, style=material.style, seed=variant,
            form=request.format, length=material.length, reply_to=request.reply_to or "", language=request.language,
            call_to_action=request.call_to_action or "",
        )  # fmt: skip
        made = Draft("assembled", variant, draft.text, draft.parts, draft.sentences, draft.problems)
        return judged(made, material, self.embed)

    def _generating(self, making: "_Composition") -> Iterator[Event]:
        """The events of the model's drafts; what fails costs its drafts alone, and is said with the assembled one."""
        material, trace = making.material, making.trace
        try:
            with trace.step("prompt"):
                version = self.drafting.version(material.author.id)
                if version is None:
                    return
                asked = self.drafting.prepare(material, version)
        except TwinError as error:
            making.say(f"The model could not draft: {error}")
            return
        notice = notice_of(version)
        yield _step("generation", f"The model writes {_counted(len(asked.conversations), 'draft')}")
        names = [uuid4().hex for _ in asked.conversations]
        for variant, draft_id in enumerate(names):
            yield "start", {"draft_id": draft_id, "kind": "model", "variant": variant, "notice": notice}
        with trace.step("generation"):
            for item in self.drafting.write(asked):
                if item is None:
                    yield WAITING
                elif isinstance(item, Delta):
                    yield "text", {"draft_id": names[item.variant], "delta": item.text}
                elif isinstance(item, Failed):
                    making.say(f"The model could not draft: {item.message}")
                else:
                    with trace.step("checks"):
                        draft = self._written(item, names[item.variant], version, asked.tokens, material)
                    making.version = version
                    making.drafts.append(draft)
                    yield "draft", draft

    def _written(
        self, written: Written, draft_id: str, version: "ModelVersion | Generator", tokens: int, material: Material
    ) -> dict[str, Any]:
        text = written.text
        documents = material.library.in_order([hit.document_id for hit in material.hits[:LISTED]])
        problems = [] if text else ["The model's draft is empty."]
        if written.finish == "length":
            problems.append(f"The draft was cut off at {tokens} tokens.")
        elif written.finish is None:
            problems.append("The model broke off before the draft's end.")
        sentences = find_evidence(text, documents, material.read_links, self.embed, material.given)
        parts = thread_parts(text) if material.request.format == "thread" else [text]
        draft = Draft(
            "model", written.variant, text, parts, sentences, problems, notice_of(version), draft_id, version.is_nano
        )
        return judged(draft, material, self.embed)


class _Composition:
    """One answer while it is made."""

    material: Material

    def __init__(self, request: ComposeRequest) -> None:
        self.request, self.trace = request, Trace()
        self.drafts: list[dict[str, Any]] = []
        self.index_version: str | None = None
        self.version: ModelVersion | Generator | None = None  # that wrote the model's drafts

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The passages that drafts draw on first."""
        return [hit.to_dict() for hit in self.material.hits[:LISTED]]

    def say(self, problem: str) -> None:
        """Tell a reader with the first draft, once; not which other authors there are, as it is kept for all keys."""
        problem, told = KNOWN.sub("", problem), self.drafts[0]["problems"]
        if problem not in told:
            told.append(problem)

    def answer(self) -> dict[str, Any]:
        """What /v1/compose answers."""
        version, request = self.version, self.request
        return {
            "author": request.author,
            "format": request.format,
            "prompt": request.prompt,
            "request": request.model_dump(),
            "created_at": datetime.now(UTC).isoformat(),
            "trace_id": self.trace.trace_id,
            "index_version": self.index_version,
            "model_version": version.version if version else None,
            "dataset_version": version.dataset_version if version else None,
            "base_model": version.base_model if version else None,
            "links": [link.to_dict() for link in self.material.links],
            "sources": self.sources,
            "drafts": ranked(self.drafts, assembled_first=version is None or version.is_nano),
        }


def _step(name: str, message: str) -> Event:
    return "step", {"name": name, "message": message}


def _start(draft: dict[str, Any]) -> dict[str, Any]:
    return {name: draft[name] for name in ("draft_id", "kind", "variant", "notice")}


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _attributes(answer: dict[str, Any]) -> dict[str, Any]:
    versions = {name: answer[name] for name in ("format", "index_version", "model_version", "dataset_version")}
    links = {"links_read": sum(link["status"] == "read" for link in answer["links"]), "links": len(answer["links"])}
    scores: dict[str, Any] = {}
    for draft in reversed(answer["drafts"]):  # the best of each kind stays
        numbers = {name: value for name, value in draft["scores"].items() if not isinstance(value, list)}
        scores |= {f"{draft['kind']}.{name}": value for name, value in numbers.items()}
    return versions | links | scores
