"""A draft with its scores and checks: what /v1/compose answers of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np

from twin_serving.composing.checks import (
    Check,
    length_check,
    novelty_check,
    order_check,
    platform_checks,
    support_checks,
    voice_check,
    wish_checks,
)
from twin_serving.composing.material import Material
from twin_serving.composing.novelty import Copied
from twin_serving.receipts.evidence import DraftSentence, Embed

# Texts on one subject lie about this near to each other; what lies nearer says much the same (cosine of MiniLM).
SAME_SUBJECT, SAME_TEXT = 0.7, 1.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft before it is judged."""

    kind: str
    variant: int
    text: str
    parts: list[str]
    sentences: Sequence[DraftSentence]
    problems: Sequence[str]
    notice: str | None = None
    draft_id: str = field(default_factory=lambda: uuid4().hex)
    nano: bool = False


def judged(draft: Draft, material: Material, embed: Embed) -> dict[str, Any]:
    """The draft as it is answered: scores, the nearest published text, checks and problems; not ranked yet."""
    library, text = material.library, draft.text
    copied = library.copied(text)
    nearest = _nearest(draft, material, copied, embed) if text else None
    # Nano strings the author's syllables together, which measures as their voice (100 of 100) and is none.
    voice = None if draft.nano or not text else library.voice(text)
    explained = library.scorer.explain(text) if voice is not None and library.scorer is not None else None
    checks = _checks(draft, material, voice, copied)
    return {
        "draft_id": draft.draft_id,
        "kind": draft.kind,
        "variant": draft.variant,
        "rank": None,
        "reasons": [],
        "text": text,
        "parts": draft.parts if text else [],
        "notice": draft.notice,
        "sentences": [_with_platforms(sentence, material) for sentence in draft.sentences],
        "scores": {
            "voice": voice,
            "voice_raises": [{"what": why.what, "points": why.points} for why in explained.raises] if explained else [],
            "voice_lowers": [{"what": why.what, "points": why.points} for why in explained.lowers] if explained else [],
            "characters": len(text),
            "words": len(text.split()),
            "overlap": _overlap(copied, text),
            "novelty": _novelty(copied, nearest),
        },
        "nearest": nearest,
        "checks": [check.to_dict() for check in checks],
        "problems": _problems(draft, material, checks),
    }


def _checks(draft: Draft, material: Material, voice: float | None, copied: Copied) -> list[Check]:
    request, text = material.request, draft.text
    copied_from = material.library.documents.get(copied.document_id or "")
    title = copied_from.title if copied_from else ""
    own = material.voice.problems(text)
    # What the prompt and the author's own texts say is no order of somebody else's.
    known = "\n".join([request.prompt, request.call_to_action or "", *(hit.text for hit in material.hits)])
    checks = [
        Check("empty", bool(text), "There is a text." if text else "There is no text."),
        *platform_checks(request.format, text, draft.parts),
        length_check(text, material.characters),
        *support_checks(draft.sentences),
        novelty_check(draft.kind, copied, title),
        voice_check(voice),
        Check("author's rules", not own, " ".join(own) or "Nothing in it that you never want to say."),
        order_check(text, material.orders, known),
        *wish_checks(text, request.language, request.call_to_action),
    ]
    return [check for check in checks if check is not None]


def _problems(draft: Draft, material: Material, checks: Sequence[Check]) -> list[str]:
    """What a reader must know, a sentence each: how it was made, then the checks it failed."""
    failed = [check.message for check in checks if not check.passed and check.name != "empty"]
    unread = filter(None, (material.library.problem, material.voice_problem))
    return list(dict.fromkeys([*draft.problems, *unread, *failed]))


def _overlap(copied: Copied, text: str) -> float:
    from twin_assets.core.overlap import words

    return round(copied.words / max(1, len(words(text))), 3)


def _novelty(copied: Copied, nearest: dict[str, Any] | None) -> float:
    """1 for a text that neither repeats nor rephrases anything published, 0 for one that is published."""
    near = nearest["similarity"] if nearest else 0.0
    rephrased = max(0.0, (near - SAME_SUBJECT) / (SAME_TEXT - SAME_SUBJECT))
    return round(1 - min(1.0, max(copied.most, rephrased)), 3)


def _nearest(draft: Draft, material: Material, copied: Copied, embed: Embed) -> dict[str, Any] | None:
    """The published text that says most nearly the same, with the longest run of words the draft has from any."""
    found = [(hit, hit.vector) for hit in material.hits if hit.vector is not None]
    if not found:
        return None
    hits = [hit for hit, _ in found]
    likeness = np.stack([vector for _, vector in found]) @ embed([draft.text])[0]
    best = hits[int(np.argmax(likeness))]
    name = copied.document_id if copied.most > float(likeness.max()) and copied.document_id else best.document_id
    document = material.library.documents.get(name)
    return {
        "title": document.title if document else best.title,
        "url": document.url if document else best.url,
        "document_id": name,
        "similarity": round(max(float(likeness.max()), copied.most), 3),
        "longest_words": copied.words,
        "longest_text": copied.text,
    }


def _with_platforms(sentence: DraftSentence, material: Material) -> dict[str, Any]:
    """The sentence as it is answered, each support with where it was published or of what kind the link is."""
    told = sentence.to_dict()
    kinds = {link.url: link.kind for link in material.links}
    for support in told["support"]:
        document = material.library.documents.get(support["document_id"])
        support["platform"] = document.platform if document else kinds.get(support["url"], "page")
    return told
