"""Why a text scores as it does: the words and the habits that raise and lower its voice score, in points.

Nothing is guessed from the outside: every reason is the difference between the text's score and the score of the same
text without it (a phrase struck out, line breaks taken away, contractions opened), at the text's length. Which phrases
are worth trying is told by the derivative of the score: what each n-gram gives, shared out over the letters it stands
on. Points do not add up to the score: words share n-grams, and one reason can hide another.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin_assets.core.sentences import split_sentences
from twin_assets.core.voice_features import (
    FEATURES,
    KINDS,
    RUN_OF,
    Matrix,
    hashed,
    pieces,
    plain,
    prose,
    sparse_vectors,
)
from twin_assets.core.voice_profile import EMOJI

if TYPE_CHECKING:
    from twin_assets.core.voice import VoiceScorer

LEAST_POINTS = 0.5
LONGEST_PHRASE = 4  # words
_CORE = re.compile(r"[^\W_](?:\S*[^\W_])?")
CONTRACTIONS = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't", "are not": "aren't",
    "was not": "wasn't", "cannot": "can't", "could not": "couldn't", "would not": "wouldn't", "will not": "won't",
    "have not": "haven't", "has not": "hasn't", "I am": "I'm", "I have": "I've", "I will": "I'll", "you are": "you're",
    "we are": "we're", "they are": "they're", "it is": "it's", "that is": "that's", "there is": "there's",
    "we have": "we've", "let us": "let's",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """what: a phrase of the text or a habit, in words; points: by how much it raises (or, below 0, lowers) the
    unclipped score."""

    what: str
    points: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What raises a text's score and what lowers it, the most telling first."""

    raises: list[Reason]
    lowers: list[Reason]


def explain(scorer: "VoiceScorer", text: str, most: int = 5) -> Explanation:
    """What raises and what lowers a text's score, at most so many reasons each."""
    written = prose(text)
    words = len(plain(text).split())
    if not written or not words:
        return Explanation([], [])
    floor, ceiling = scorer.spread(words)
    heat = np.concatenate([_heat(scorer, piece) for piece in pieces(written)])
    changes = [*habits(written), *_phrases(written, heat, most)]
    margins = scorer.margins_of_prose([written, *(changed for _, changed in changes)])
    points = 100 * (margins[0] - margins[1:]) / (ceiling - floor)
    reasons = [
        Reason(_said(what, gain > 0), round(float(gain), 1)) for (what, _), gain in zip(changes, points, strict=True)
    ]
    reasons = [reason for reason in reasons if abs(reason.points) >= LEAST_POINTS]
    ranked = sorted(reasons, key=lambda reason: -reason.points)
    return Explanation(
        raises=[reason for reason in ranked if reason.points > 0][:most],
        lowers=[reason for reason in reversed(ranked) if reason.points < 0][:most],
    )


def habits(text: str) -> Iterator[tuple[str, str]]:
    """Habits of a text, in words, each with the text as it would be without it; only those the text has."""
    sentences = [sentence.text for sentence in split_sentences(text)]
    words = [len(sentence.split()) for sentence in sentences]
    average = f"sentences of {sum(words) / max(1, len(words)):.0f} words on average"
    if "\n" in text:
        paragraphs = len(re.split(r"\n+", text))
        yield f"line breaks ({paragraphs} paragraphs)", re.sub(r"\s*\n\s*", " ", text)
    elif len(sentences) > 3:
        yield f"no line breaks in {len(sentences)} sentences", "\n\n".join(sentences)
    if len(sentences) > 2:
        # Longer sentences are what short ones are missing, and the other way round.
        joined = re.sub(r"(?<=\w)\. (\w)", lambda found: f", {found.group(1).lower()}", text)
        parted = re.sub(r"(?<=\w), (\w)", lambda found: f". {found.group(1).upper()}", text)
        yield f"{average}{_LONGER}", joined
        yield f"{average}{_SHORTER}", parted
        yield f"the opening “{_beginning(sentences[0])}”", text.replace(sentences[0], "", 1).strip()
        yield f"the ending “{_beginning(sentences[-1])}”", "".join(text.rsplit(sentences[-1], 1)).strip()
    for what, mark, instead in _MARKS:
        if found := mark.findall(text):
            yield (
                what.format(found=" ".join(dict.fromkeys(each.strip() for each in found[:5]))),
                mark.sub(instead, text),
            )
    if found := sorted({found.group() for found in _SHORT.finditer(text)}, key=str.lower):
        yield f"contractions ({', '.join(found[:3])})", _SHORT.sub(lambda m: _swapped(m.group(), _OPENED), text)
    if found := sorted({found.group() for found in _LONG.finditer(text)}, key=str.lower):
        yield f"no contraction in {', '.join(found[:3])}", _LONG.sub(lambda m: _swapped(m.group(), CONTRACTIONS), text)
    if not any(letter.isupper() for letter in text):
        starts = re.sub(r"(?:\A|(?<=[.!?…\n] )|(?<=\n))\w", lambda found: found.group().upper(), text)
        yield "no capital letters", re.sub(r"\bi\b", "I", starts)


def _said(what: str, raises: bool) -> str:
    """A reason as it is told: what the text would do otherwise is only told where that would be better."""
    return what.removesuffix(_LONGER).removesuffix(_SHORTER) if raises else what


_LONGER, _SHORTER = "; longer ones would be more yours", "; shorter ones would be more yours"
# Marks, what they are called, and what would stand in their place with somebody who does not use them.
_MARKS = (
    ("emoji ({found})", re.compile(f" ?{EMOJI.pattern}\ufe0f?"), ""),
    ("hashtags ({found})", re.compile(r"(?<![\w/#])#\w+"), ""),
    ("exclamation marks", re.compile("!+"), "."),
    ("questions", re.compile(r"\?+"), "."),
    ("dashes", re.compile(" ?[—–] ?| - "), ", "),
    ("asides in brackets", re.compile(r" ?\([^()\n]*\)"), ""),
    ("colons and semicolons", re.compile("[:;](?= )"), ","),
    ("an ellipsis", re.compile(r"…|\.\.\.+"), "."),
    ("arrows and bullets ({found})", re.compile("[→←•·▪✓] ?"), ""),
    ("quotation marks", re.compile('["“”]'), ""),
    ("curly apostrophes", re.compile("[’‘]"), "'"),
)
_OPENED = {short: full for full, short in CONTRACTIONS.items()}
_SHORT = re.compile(rf"\b(?:{'|'.join(_OPENED)})\b".replace("'", "['’]"), re.IGNORECASE)
_LONG = re.compile(rf"\b(?:{'|'.join(CONTRACTIONS)})\b", re.IGNORECASE)


def _swapped(found: str, other: dict[str, str]) -> str:
    """The other form of a contraction, capitalised as the found one."""
    folded = found.replace("’", "'")
    swapped = next(value for key, value in other.items() if key.lower() == folded.lower())
    return swapped[0].upper() + swapped[1:] if found[0].isupper() else swapped


def _beginning(sentence: str) -> str:
    words = sentence.split()
    return " ".join(words[:6]) + (" …" if len(words) > 6 else "")


def _heat(scorer: "VoiceScorer", text: str) -> Matrix:
    """What each letter of a text gives to its margin, to first order [letters].

    The derivative of the margin by each feature's weight, times the weight: as the vector's length is fixed these sum
    to 0, so that what is above raises the score and what is below lowers it.
    """
    found = sparse_vectors([text], scorer.measure)
    at, weights = found.indices, found.data
    own, others = scorer.nearness(found)
    nearest = int(others[0].argmax()) if others.size else None
    away = weights - scorer.centre[at]
    length = np.sqrt(weights @ weights - 2 * weights @ scorer.centre[at] + scorer.centre @ scorer.centre)
    slope = (scorer.towards_author(nearest)[at] - scorer.margin(own, others)[0] / length * away) / length
    gains = np.zeros(FEATURES, dtype=np.float32)
    for kind in KINDS:
        part = (at >= kind.start) & (at < kind.start + kind.features)
        shares = (weights[part] / scorer.measure.scale[at[part]] / kind.weight) ** 2
        gains[at[part]] = weights[part] * slope[part] - (weights[part] @ slope[part]) * shares
    features, starts, ends = _places(text, scorer.measure.known)
    share = gains[features] / np.bincount(features, minlength=FEATURES)[features] / (ends - starts)
    steps = np.bincount(starts, share, len(text) + 1) - np.bincount(ends, share, len(text) + 1)
    return np.asarray(np.cumsum(steps)[:-1], dtype=np.float32)


def _places(text: str, known: frozenset[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every feature of a text, as often as it is there, and the letters it stands on: where they start and end."""
    tokens = [found.span() for found in re.finditer(RUN_OF, text.replace("\n", "¶"))]
    units = ([(i, i + 1) for i in range(len(text))], tokens, tokens)
    found, starts, ends = [], [], []
    for kind, spans, features in zip(KINDS, units, hashed(text, known), strict=True):
        edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
        sizes = range(kind.sizes[0], min(kind.sizes[1], len(edges)) + 1)
        first = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(edges) - size + 1) for size in sizes)])
        last = np.concatenate([np.zeros(0, np.int64), *(np.arange(size - 1, len(edges)) for size in sizes)])
        # A word of several apostrophes is more tokens when written out than when struck out.
        count = min(len(features), len(first))
        found.append(features[:count])
        starts.append(edges[first[:count], 0])
        ends.append(edges[last[:count], 1])
    return np.concatenate(found), np.concatenate(starts), np.concatenate(ends)


def _phrases(text: str, heat: Matrix, most: int) -> Iterator[tuple[str, str]]:
    """The phrases that give most and that take most, so many of each, and the text without each of them."""
    spans = [found.span() for found in _CORE.finditer(text)]
    until = np.concatenate([[0.0], np.cumsum(heat)])
    gains: dict[str, float] = {}
    places: dict[str, list[tuple[int, int]]] = {}
    for i, (start, _) in enumerate(spans):
        for _, end in spans[i : i + LONGEST_PHRASE]:
            phrase = text[start:end]
            if re.search(r"[.!?:;,()\n\"“”—–]", phrase):
                break
            folded = phrase.lower()
            gains[folded] = gains.get(folded, 0.0) + float(until[end] - until[start])
            places.setdefault(folded, []).append((start, end))
    for sign in (1, -1):
        taken = np.zeros(len(text), dtype=bool)
        left = most
        for phrase in sorted(gains, key=lambda p: -sign * gains[p] / len(p.split()) ** 0.5):
            if not left or sign * gains[phrase] <= 0:
                break
            if any(taken[start:end].any() for start, end in places[phrase]):
                continue
            for start, end in places[phrase]:
                taken[start:end] = True
            times = len(places[phrase])
            start, end = places[phrase][0]
            yield f"“{text[start:end]}”" + (f", {times} times" if times > 1 else ""), _without(text, places[phrase])
            left -= 1


def _without(text: str, places: list[tuple[int, int]]) -> str:
    ends = [0, *(end for _, end in places)]
    starts = [*(start for start, _ in places), len(text)]
    return re.sub(" {2,}", " ", "".join(text[a:b] for a, b in zip(ends, starts, strict=True))).strip()
