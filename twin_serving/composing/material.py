"""What a draft is made from: the request, the author's writing that bears on it, the links, the author's voice."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from twin_assets.core.authors import Author
from twin_assets.core.prompts import FORMS, Wishes, broken_up
from twin_assets.core.search_options import SearchOptions
from twin_assets.core.voice_edits import Voice
from twin_serving.assembling.forms import SHAPES
from twin_serving.assembling.passages import OwnDocument
from twin_serving.assembling.style import PostStyle
from twin_serving.composing.library import AuthorLibrary
from twin_serving.links.reading import LinkText
from twin_serving.links.unseen import as_material, orders_in
from twin_serving.schemas import ComposeRequest

if TYPE_CHECKING:
    from twin_assets.core.index import Hit

# Passages that are looked at for a draft, and those that are listed as its sources.
SEARCHED, LISTED = 60, 8
# "A post on LinkedIn about last year" says where the draft goes and what it is about, not where to look.
SEARCH = SearchOptions(filters=False)
# What a wish for a shorter or longer text makes of the usual length.
LENGTHS = {"short": 0.5, "usual": 1.0, "long": 1.8}


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

    @property
    def orders(self) -> list[str]:
        """What in the links and in the text that is answered addresses a model."""
        return [*(order for link in self.links for order in link.orders), *orders_in(self.request.reply_to or "")]

    @property
    def given(self) -> str:
        """What whoever asks has said themselves: names and numbers in it need no other source."""
        request = self.request
        said = (request.prompt, request.call_to_action, request.audience, request.reply_to, self.author.name)
        return "\n".join(filter(None, said))

    @property
    def documents(self) -> list[OwnDocument]:
        """The documents of the passages found, the nearest first, as they may be drawn on."""
        found = self.library.in_order([hit.document_id for hit in self.hits])
        allowed = [self.voice.without_forbidden(each.text) for each in found]
        return [
            each if text == each.text else replace(each, text=text) for each, text in zip(found, allowed, strict=True)
        ]

    @property
    def style(self) -> PostStyle:
        """How the author posts, as far as they do not want it otherwise."""
        style = self.library.style
        return replace(style, hashtag_share=0.0) if self.voice.edits.hashtags == "never" else style

    @property
    def length(self) -> float:
        """Factor of the usual length that is asked for."""
        return LENGTHS[self.request.length]

    @property
    def characters(self) -> int:
        """About how long the text is asked to be."""
        form = self.request.format
        return min(SHAPES[form].target(self.library.style, self.length), FORMS[form].characters)

    @property
    def wishes(self) -> Wishes:
        """What the request asks beside its prompt."""
        request = self.request
        return Wishes(
            reply_to=as_material(request.reply_to or ""), length=request.length, tone=request.tone or "",
            audience=request.audience or "", language=request.language or "",
            call_to_action=request.call_to_action or "",
        )  # fmt: skip


def notes(material: Material) -> list[str]:
    """Notes for a model, most useful first: the links' beginnings and the author's passages by turns."""
    links = [as_material(f"{link.title}\n{link.text}"[:4_000]) for link in material.read_links]
    own = [broken_up(hit.text) for hit in material.hits[:LISTED]]
    return [*own[:2], *links, *own[2:]]
