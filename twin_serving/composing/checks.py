"""Checks of a draft: what the platform allows, what its author never says, what nobody can vouch for."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from twin_assets.core.prompts import FORMS
from twin_serving.assembling.markup import all_hashtags
from twin_serving.composing.formats import (
    CAPTION_FOLD,
    FOLD_CHARACTERS,
    INSTAGRAM_HASHTAGS,
    X_POST,
    before_fold,
    x_length,
)
from twin_serving.composing.novelty import Copied
from twin_serving.links.unseen import followed
from twin_serving.receipts.evidence import DraftSentence

# From this voice score on a text reads more like the author than like strangers.
THEIR_VOICE = 50.0
# A model's draft that has this share of itself from one published text is a copy, not a draft.
COPIED = 0.5
# Texts this far from the length that was asked for are said to be so.
SHORTEST_SHARE, LONGEST_SHARE = 0.4, 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, whether the draft passed, and a sentence for the reader."""

    name: str
    passed: bool
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as /v1/compose answers it."""
        return asdict(self)


def platform_checks(form: str, text: str, parts: Sequence[str]) -> list[Check]:
    """What the platform of a form allows and shows."""
    allowed = FORMS[form].characters
    if form == "thread":
        long = [
            f"post {number} has {x_length(part)}" for number, part in enumerate(parts, 1) if x_length(part) > X_POST
        ]
        said = f"{len(parts)} posts of at most {X_POST} characters, as X counts them."
        checks = [Check("length", not long, f"{', '.join(long)}; X allows {X_POST}." if long else said)]
    else:
        said = f"{len(text):,} of {allowed:,} characters."
        over = f"{len(text):,} characters; {FORMS[form].noun} may have {allowed:,}."
        checks = [Check("length", len(text) <= allowed, said if len(text) <= allowed else over)]
    if form == "linkedin_post" and text:
        checks.append(_fold(text))
    if form == "instagram_caption":
        count = len(all_hashtags(text))
        checks.append(
            Check(
                "hashtags", count <= INSTAGRAM_HASHTAGS, f"{count} of {INSTAGRAM_HASHTAGS} hashtags that are allowed."
            )
        )
        if text:
            first = text.strip().split("\n")[0]
            fits = len(first) <= CAPTION_FOLD
            shown = f"The first line has {len(first)} characters; {CAPTION_FOLD} show before “… more”."
            checks.append(Check("fold", fits, shown))
    return checks


def _fold(text: str) -> Check:
    """Whether what shows before the fold is a thought of its own: at least a whole sentence or line."""
    shown = before_fold(text)
    whole = len(text.strip()) <= len(shown) or any(end in shown for end in (". ", "! ", "? ", "\n", "… ", ": "))
    whole = whole or shown.rstrip().endswith((".", "!", "?", "…"))
    if whole:
        return Check("fold", True, f"The first {len(shown)} characters show before “…more” and hold a whole thought.")
    return Check(
        "fold", False, f"The first sentence is longer than the {FOLD_CHARACTERS} characters that show before “…more”."
    )


def length_check(text: str, wanted: int) -> Check:
    """Whether a draft is about as long as it was asked to be, in characters."""
    share = len(text) / max(1, wanted)
    if share < SHORTEST_SHARE:
        return Check("wanted length", False, f"{len(text):,} characters, where about {wanted:,} were asked for.")
    if share > LONGEST_SHARE:
        return Check("wanted length", False, f"{len(text):,} characters, far more than the {wanted:,} asked for.")
    return Check("wanted length", True, f"{len(text):,} characters; about {wanted:,} were asked for.")


def support_checks(sentences: Sequence[DraftSentence]) -> list[Check]:
    """Whether each sentence has a source, and whether each number, name and date stands in one."""
    bare = sum(sentence.status == "unsupported" for sentence in sentences)
    said = f"{bare} of {len(sentences)} sentences have no source." if bare else "Every sentence has its source."
    unfounded = list(dict.fromkeys(fact for sentence in sentences for fact in sentence.unfounded))
    facts = (
        f"In no source: {', '.join(unfounded[:12])}."
        if unfounded
        else "Every number, name and date stands in a source."
    )
    return [Check("support", not bare, said), Check("facts", not unfounded, facts)]


def voice_check(score: float | None) -> Check | None:
    """Whether it reads like its author; None where that cannot be measured."""
    if score is None:
        return None
    passed = score >= THEIR_VOICE
    return Check("voice", passed, f"Voice {score:.0f} of 100{'' if passed else ': it reads like anybody’s'}.")


def novelty_check(kind: str, copied: Copied, title: str) -> Check:
    """Whether it says something that is not published yet; an assembled draft is made of what is."""
    named = f"“{title}”" if title else "one text"
    if copied.most > COPIED:
        return Check("novelty", False, f"{copied.most:.0%} of it stands in {named} already: close to a republication.")
    if kind == "assembled":
        return Check("novelty", True, f"At most {copied.most:.0%} of it is from one published text.")
    return Check("novelty", True, f"The longest run it repeats has {copied.words} words.")


def order_check(text: str, orders: Sequence[str], known: str) -> Check:
    """Whether it does what a link or the text it answers wants of a model; known: what else it may say."""
    found = followed(text, orders, known)
    if found:
        return Check("instructions", False, f"It follows an order to a model, not the author: “{found[0][:120]}”.")
    return Check("instructions", True, "It follows no order that a link gives.")


def wish_checks(text: str, language: str | None, call_to_action: str | None) -> list[Check]:
    """Whether the language and the call to action that were asked for are there."""
    checks = []
    if language:
        found = _language(text)
        passed = found in (language, None)
        checks.append(
            Check(
                "language",
                passed,
                f"It is in {language}." if passed else f"It is in {found}; {language} was asked for.",
            )
        )
    if call_to_action:
        passed = _mentions(text, call_to_action)
        said = "It ends with the call to action." if passed else f"It never asks what it should: {call_to_action}"
        checks.append(Check("call to action", passed, said))
    return checks


def _language(text: str) -> str | None:
    """The language of a text where it is certain, in ISO 639-1."""
    from twin_assets.core.cleaning.language import detect_language

    return detect_language(text)


def _mentions(text: str, wanted: str) -> bool:
    """Whether half of the words that carry a wish stand in the last third of the text."""
    from twin_serving.assembling.leaning import stems

    asked = stems(wanted)
    ending = stems(text[-max(200, len(text) // 3) :])
    return not asked or len(asked & ending) * 2 >= len(asked)
