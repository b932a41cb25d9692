"""Receipts: ties each sentence of a draft to what says it in the documents and links, or says that none does."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from twin_assets.core.sentences import Span, split_sentences
from twin_serving.assembling.leaning import JOINTS, plain, stems
from twin_serving.receipts.facts import Grounds, numbers_in

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
Status = Literal["verbatim", "supported", "unsupported", "joining"]
Kind = Literal["own", "link"]


class SourceText(Protocol):
    """Something that can support a sentence: a document, a hit or a page that was read."""

    @property
    def title(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Support:
    """A passage that says what a sentence says: `quote` is verbatim from it; `score` is 1 for the same words.

    platform: where an own text was published; of a link, its kind (page, pdf, arxiv …).
    """

    kind: Kind
    title: str
    url: str
    quote: str
    score: float
    document_id: str | None = None
    platform: str = ""


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """One sentence of a draft, `draft[start:end]`, with its status and what supports it, best first.

    unfounded: numbers, dates and names in it that stand in no source at all.
    """

    text: str
    start: int
    end: int
    status: Status
    support: list[Support] = field(default_factory=list)
    unfounded: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as /v1/compose answers it."""
        return asdict(self)


# A sentence says what a source says from this cosine of MiniLM on, or from the lower one with half the words shared.
ALIKE, ALIKE_WITH_WORDS, SHARED_WORDS = 0.8, 0.6, 0.5
MOST_SUPPORTS = 3
# Source sentences embedded for one sentence of a draft: those that share most words with it.
MOST_CANDIDATES = 8
_JOINING = re.compile(
    rf"^(?:From (?:“(?P<title>[^”]+)”|(?P<site>[\w.-]+))(?: \((?P<host>[\w.-]+)\))?:|Source: https?://\S+|https?://\S+|{'|'.join(JOINTS)}|[^\w#]+)$",
    re.IGNORECASE,
)
# A source is kept with its sentences and words, some 25 bytes a character: many of the short ones, few of the long.
SHORT_SOURCE = 20_000
_Reading = tuple[str, tuple[str, ...], tuple[frozenset[str], ...]]
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "\u00a0": " "})


@dataclass(frozen=True, slots=True)
class _Source:
    kind: Kind
    title: str
    url: str
    document_id: str | None
    text: str
    normal: str
    sentences: Sequence[str]
    stems: Sequence[frozenset[str]]  # of the sentences

    def support(self, quote: str, score: float) -> Support:
        return Support(self.kind, self.title, self.url, quote, round(score, 3), self.document_id)


def find_evidence(
    text: str, documents: Sequence[SourceText], links: Sequence[SourceText], embed: Embed, given: str = ""
) -> list[DraftSentence]:
    """Every sentence of a draft, by whomever it was written, with what in the author's texts or the links supports it.

    verbatim: the same words stand in a source; supported: a source sentence says the same (cosine and shared words) and
    has its numbers; unsupported: neither. Numbers, dates and names found in no source are listed and make a sentence
    unsupported. embed: texts to L2-normed float32 [n, d]; given: what whoever asked has said, whose facts are theirs.
    """
    sources = [_source("own", item, getattr(item, "document_id", None)) for item in documents]
    sources += [_source("link", item, None) for item in links]
    grounds = Grounds.of([given, *(f"{source.title}\n{source.url}\n{source.text}" for source in sources)])
    spans = [span for span in split_sentences(text) if span.text.strip()]
    found: list[DraftSentence | None] = []
    for span in spans:
        if joining := _JOINING.match(span.text):
            # Words that introduce a source need one, as any other: a model may introduce what nobody has written.
            unfounded = list(dict.fromkeys([*grounds.unfounded(span.text), *_invented(joining, sources, given)]))
            status: Status = "unsupported" if unfounded else "joining"
            found.append(DraftSentence(span.text, span.start, span.end, status, [], unfounded))
            continue
        supports = _verbatim(span.text, sources)
        found.append(DraftSentence(span.text, span.start, span.end, "verbatim", supports) if supports else None)
    open_texts = [span.text for span, known in zip(spans, found, strict=True) if known is None]
    likely = iter(_alike(open_texts, sources, embed))
    return [known or _judge(span, next(likely), grounds) for span, known in zip(spans, found, strict=True)]


def _invented(joining: re.Match[str], sources: Sequence[_Source], given: str) -> list[str]:
    """The title and the site that an introduction names, where no source and nobody who asked has them."""
    title = joining["title"] or ""
    wanted = _unquoted(_normal(title))
    known = [_normal(given), *(text for source in sources for text in (_normal(source.title), source.normal))]
    invented = [title] if title and not any(wanted in _unquoted(text) for text in known) else []
    named = [name.lower() for name in (joining["site"], joining["host"]) if name and "." in name]
    hosts = {(urlsplit(source.url).hostname or "").removeprefix("www.") for source in sources}
    return [*invented, *(name for name in named if name.removeprefix("www.") not in hosts and name not in given)]


def _unquoted(normal: str) -> str:
    return normal.replace('"', "").replace("'", "")


def _source(kind: Kind, item: SourceText, document_id: str | None) -> _Source:
    return _Source(kind, item.title, item.url, document_id, item.text, *_read(item.text))


def _read(text: str) -> _Reading:
    """A source's text as it is compared, its sentences and their words; read once, as sources come again."""
    return (_read_short if len(text) <= SHORT_SOURCE else _read_long)(text)


def _reading(text: str) -> _Reading:
    sentences = tuple(span.text for span in split_sentences(text))
    return f" {_normal(text)} ", sentences, tuple(frozenset(stems(sentence)) for sentence in sentences)


_read_short, _read_long = lru_cache(maxsize=512)(_reading), lru_cache(maxsize=16)(_reading)


def _normal(text: str) -> str:
    """Lower case, plain letters, straight quotes, single spaces: what two copies of a sentence have in common."""
    return " ".join(plain(text).translate(_QUOTES).lower().split())


def _verbatim(sentence: str, sources: Sequence[_Source]) -> list[Support]:
    wanted = _normal(sentence).strip("\"' ")
    if not wanted:
        return []
    found = []
    for source in sources:
        if wanted in source.normal and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", source.normal):
            whole = next((quote for quote in source.sentences if wanted in _normal(quote)), sentence)
            found.append(source.support(whole, 1.0))
    # Two or three words stand in many a text: they count only as a sentence of their own.
    if len(wanted.split()) < 4:
        found = [item for item in found if _normal(item.quote).strip("\"' .!?") == wanted.strip(".!?")]
    return found[:MOST_SUPPORTS]


def _alike(texts: Sequence[str], sources: Sequence[_Source], embed: Embed) -> list[list[tuple[Support, float]]]:
    """For each text the source sentences most like it, with the share of its words that they have."""
    if not texts:
        return []
    pool = [(source, quote) for source in sources for quote in source.sentences]
    words = [stems(text) for text in texts]
    pool_words = [own for source in sources for own in source.stems]
    shared = [[len(wanted & own) / max(1, len(wanted)) for own in pool_words] for wanted in words]
    nearest = [np.argsort(-np.array(row), kind="stable")[:MOST_CANDIDATES].tolist() for row in shared]
    chosen = sorted({index for near in nearest for index in near})
    vectors = embed([*texts, *(pool[index][1] for index in chosen)])
    likeness = vectors[: len(texts)] @ vectors[len(texts) :].T
    results = []
    for row, overlap in zip(likeness, shared, strict=True):
        best = np.argsort(-row, kind="stable")[:MOST_SUPPORTS]
        results.append(
            [(pool[chosen[i]][0].support(pool[chosen[i]][1], float(row[i])), overlap[chosen[i]]) for i in best]
        )
    return results


def _judge(span: Span, likely: Sequence[tuple[Support, float]], grounds: Grounds) -> DraftSentence:
    unfounded = grounds.unfounded(span.text)
    numbers = numbers_in(span.text)
    supports = [
        support
        for support, overlap in likely
        if (support.score >= ALIKE or (support.score >= ALIKE_WITH_WORDS and overlap >= SHARED_WORDS))
        and numbers <= numbers_in(support.quote)
    ]
    status: Status = "supported" if supports and not unfounded else "unsupported"
    return DraftSentence(span.text, span.start, span.end, status, supports, unfounded)
