"""The composer: from a prompt and links to drafts, each sentence with its receipt, each draft with its scores.

Models are asked through the server's own chat endpoint, so that they live in the inference worker alone.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from twin_assets.core.authors import Author
from twin_assets.core.errors import TwinError
from twin_assets.core.prompts import FORMS, messages
from twin_assets.core.search_options import SearchOptions
from twin_assets.core.voice_edits import Voice, load_voice
from twin_assets.core.workspace import Workspace
from twin_serving.assemble import assemble, subject_of
from twin_serving.budget import TEMPLATE_TOKENS, TokenBudget, budget_of
from twin_serving.evidence import DraftSentence, find_evidence
from twin_serving.library import AuthorLibrary, EmbeddingMemory, Libraries
from twin_serving.links import LinkText, read_links
from twin_serving.models import model_folders, split_model_name
from twin_serving.schemas import ComposeRequest
from twin_serving.tracing import Trace, Tracer
from twin_serving.twins import nano_notice

if TYPE_CHECKING:
    from twin_assets.core.index import Hit
    from twin_assets.core.registry import ModelVersion

logger = logging.getLogger(__name__)

# Passages that are looked at for a draft, and those that are listed as its sources.
SEARCHED, LISTED = 60, 8
# "A post on LinkedIn about last year" says where the draft goes and what it is about, not where to look.
SEARCH = SearchOptions(filters=False)
# A model's draft that repeats this share of itself from one place is a copy, not a draft.
COPIED = 0.5

# Asks the server's own chat endpoint: (model, messages, options) to OpenAI's answer. Raises ServingError.
Chat = Callable[..., dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Material:
    """What a draft may draw on, and what it is asked to be."""

    author: Author
    request: ComposeRequest
    library: AuthorLibrary
    hits: "list[Hit]"
    links: list[LinkText]
    voice: Voice
    voice_problem: str | None = None  # why the voice profile could not be read

    @property
    def read_links(self) -> list[LinkText]:
        """The links whose text can be used."""
        return [link for link in self.links if link.status == "read"]


class Composer:
    """Drafts for the authors of a workspace; safe to share between threads."""

    def __init__(self, workspace: Workspace, chat: Chat, candidate: tuple[str, str] | None = None) -> None:
        self.workspace = workspace
        self.chat = chat
        self.candidate = candidate
        self.tracer = Tracer(workspace)
        self.libraries = Libraries(workspace)
        self._budgets: dict[tuple[str, str], TokenBudget] = {}
        self.embed = EmbeddingMemory(lambda texts: workspace.embedder.embed(texts))

    def compose(self, request: ComposeRequest) -> dict[str, Any]:
        """The answer of /v1/compose: the assembled draft first, then the model's where one is approved.

        Raises UnknownAuthorError, IndexMissingError and LakeError; a link or a model that fails is said in the answer.
        """
        trace = Trace()
        with trace.step("links and retrieval"):
            material = self._gather(request)
            index_version = self.workspace.index.version(request.author)
        with trace.step("assemble"):
            drafts = [self._assembled(material)]
        with trace.step("generate and check"):
            version, written = self._written_or_why(material)
        if isinstance(written, str):
            drafts[0]["problems"].append(written)
        elif written is not None:
            drafts.append(written)
        answer = {
            "author": request.author,
            "format": request.format,
            "prompt": request.prompt,
            "trace_id": trace.trace_id,
            "index_version": index_version,
            "model_version": version.version if version else None,
            "dataset_version": version.dataset_version if version else None,
            "base_model": version.base_model if version else None,
            "links": [link.to_dict() for link in material.links],
            "sources": [hit.to_dict() for hit in material.hits[:LISTED]],
            "drafts": drafts,
        }
        with trace.step("keep"):
            self._keep(answer)
        self.tracer.record(trace, request.author, _attributes(answer))
        return answer

    def _gather(self, request: ComposeRequest) -> Material:
        author = self.workspace.authors.get(request.author)
        with self.workspace.web() as web:
            links = read_links(request.links, web)
        titles = " ".join(link.title for link in links)
        query = f"{subject_of(request.prompt)} {titles}".strip()
        categories = ["post", "article"] if FORMS[request.format].category != "code" else None
        hits = self.workspace.retriever.search(author.id, query, SEARCHED, categories, options=SEARCH)
        voice, problem = Voice(), None
        try:
            voice = load_voice(self.workspace, author.id)
        except TwinError as error:  # a draft that heeds no edits is still a draft, if it says so
            problem = str(error)
        return Material(author, request, self.libraries.of(author.id), hits, links, voice, problem)

    def _assembled(self, material: Material) -> dict[str, Any]:
        found = material.library.in_order([hit.document_id for hit in material.hits])
        documents = [replace(each, text=material.voice.without_forbidden(each.text)) for each in found]
        style = material.library.style
        if material.voice.edits.hashtags == "never":
            style = replace(style, hashtag_share=0.0)
        draft = assemble(material.request.prompt, documents, material.read_links, self.embed, style=style)
        return self._draft("assembled", draft.text, draft.sentences, draft.problems, None, material)

    def _written_or_why(self, material: Material) -> "tuple[ModelVersion | None, dict[str, Any] | str | None]":
        """As `_written`; what cannot be reached costs the model's draft, not the assembled one."""
        try:
            return self._written(material)
        except TwinError as error:
            return None, f"The model could not draft: {error}"

    def _written(self, material: Material) -> "tuple[ModelVersion | None, dict[str, Any] | str | None]":
        """The version that answered and its draft, or a sentence why there is none; (None, None) without a model."""
        author = material.author.id
        served = self._served(author)
        if served is None:
            return None, None
        conversation, tokens = self._conversation(material, served)
        answer = self.chat(author, conversation, max_tokens=tokens)
        # Another version may have been approved while this one was asked: the answer says which it was.
        _, number = split_model_name(answer["system_fingerprint"])
        version = served if number == served.version else self.workspace.registry.get(author, str(number))
        text = str(answer["choices"][0]["message"]["content"]).strip()
        documents = material.library.in_order([hit.document_id for hit in material.hits[:LISTED]])
        sentences = find_evidence(text, documents, material.read_links, self.embed)
        problems = [] if text else ["The model's draft is empty."]
        if answer["choices"][0]["finish_reason"] == "length":
            problems.append(f"The draft was cut off at {tokens} tokens.")
        notice = nano_notice(version.is_nano)
        return version, self._draft("model", text, sentences, problems, notice, material)

    def _served(self, author: str) -> "ModelVersion | None":
        if self.candidate is not None and self.candidate[0] == author:
            return self.workspace.registry.get(*self.candidate)
        return self.workspace.registry.approved(author)

    def _conversation(self, material: Material, version: "ModelVersion") -> tuple[list[dict[str, str]], int]:
        """The messages within the model's context, and the tokens left to the answer."""
        budget = self._budget(version)
        request = material.request
        # A post is about as long as the author's usual one: at two characters a token that has room to spare.
        usual = material.library.style.length // 2 + 64
        tokens = min(request.max_tokens or usual, budget.context // 2)
        # Nano follows no instructions: it was trained without them and has no room to spare.
        voice = "" if version.is_nano else material.voice.guide(FORMS[request.format].category)
        bare = messages(material.author.name, request.format, request.prompt, "-", voice)
        asked = sum(budget.count(message["content"]) for message in bare)
        room = budget.context - tokens - asked - TEMPLATE_TOKENS
        notes = budget.notes(_passages(material), room)
        return messages(material.author.name, request.format, request.prompt, notes, voice), tokens

    def _budget(self, version: "ModelVersion") -> TokenBudget:
        """The version's token budget; its base never changes, so it is looked for once."""
        key = version.author, version.version
        if key not in self._budgets:
            base, _ = model_folders(self.workspace, version)
            self._budgets[key] = budget_of(base)
        return self._budgets[key]

    def _draft(
        self,
        kind: str,
        text: str,
        sentences: Sequence[DraftSentence],
        problems: Sequence[str],
        notice: str | None,
        material: Material,
    ) -> dict[str, Any]:
        library, form = material.library, FORMS[material.request.format]
        overlap = round(library.overlap(text), 3)
        problems = [*problems, *filter(None, (library.problem, material.voice_problem)), *material.voice.problems(text)]
        if len(text) > form.characters:
            problems.append(f"{len(text):,} characters; {form.noun} may have {form.characters:,}.")
        unsupported = sum(sentence.status == "unsupported" for sentence in sentences)
        if unsupported:
            problems.append(f"{unsupported} of {len(sentences)} sentences have no source.")
        if kind == "model" and overlap > COPIED:
            problems.append(f"{overlap:.0%} of it is one passage already published.")
        return {
            "draft_id": uuid4().hex,
            "kind": kind,
            "text": text,
            "notice": notice,
            "sentences": [sentence.to_dict() for sentence in sentences],
            # Nano strings the author's syllables together, which measures as their voice (100 of 100) and is none.
            "scores": {
                "voice": None if notice else library.voice(text),
                "characters": len(text),
                "overlap": overlap,
            },
            "problems": problems,
        }

    def _keep(self, answer: dict[str, Any]) -> None:
        """Write the drafts to the lake: feedback and preference pairs refer to them."""
        from twin_assets.core.lake import json_text

        names = ("author", "format", "prompt", "index_version", "dataset_version", "trace_id")
        shared = {name: answer[name] for name in names}
        rows = [
            {
                **shared,
                **{name: draft[name] for name in ("draft_id", "kind", "text")},
                "created_at": datetime.now(UTC),
                "links": json_text(answer["links"]),
                "sentences": json_text(draft["sentences"]),
                "scores": json_text(draft["scores"]),
                "model_version": answer["model_version"] if draft["kind"] == "model" else None,
            }
            for draft in answer["drafts"]
        ]
        self.workspace.lake.append("drafts", rows)


def _attributes(answer: dict[str, Any]) -> dict[str, Any]:
    versions = {name: answer[name] for name in ("format", "index_version", "model_version", "dataset_version")}
    links = {"links_read": sum(link["status"] == "read" for link in answer["links"]), "links": len(answer["links"])}
    scores = {f"{d['kind']}.{name}": value for d in answer["drafts"] for name, value in d["scores"].items()}
    return versions | links | scores


def _passages(material: Material) -> list[str]:
    """Notes for a model, most useful first: the links' beginnings and the author's passages by turns."""
    links = [f"{link.title}\n{link.text}"[:4_000] for link in material.read_links]
    own = [hit.text for hit in material.hits[:LISTED]]
    return [*own[:2], *links, *own[2:]]
