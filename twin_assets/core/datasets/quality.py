"""unfit(): why a passage teaches nothing about how its author writes.

A language is no reason: what an author writes in their second language is theirs as well. Nor is length beyond three
words: short posts are part of a voice.
"""

import re

from twin_assets.core.prompts import FORMS

MINIMUM_WORDS = 3
# Shares of what is not white space, or of lines, beyond which a text is mostly that.
MOSTLY, FEW_LETTERS = 0.6, 0.3
# Passages are cut to fit their form; what is still this many times longer is one endless sentence.
LONGEST = 2
LINES = 6  # fewer say nothing about how the lines of a text are alike

_NOT_OWN_WORDS = re.compile(r"https?://\S+|www\.\S+|\]\([^)\s]*\)|[#@][\w-]+")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_QUOTATION = re.compile(r"“[^”]{20,}”|\"[^\"\n]{20,}\"|„[^“”]{20,}[“”]|«[^»]{20,}»")
_BOILERPLATE = re.compile(
    r"\b(?:subscribe (?:now|to (?:my|our|the) newsletter)|thanks for reading\b.*\bsubscribe|share this (?:post|article)"
    r"|click here to (?:read|view|subscribe)|originally (?:published|appeared) (?:in|on|at)|all rights reserved"
    r"|table of contents|leave a comment|this post is for paid subscribers)\b",
    re.IGNORECASE | re.DOTALL,
)
# A notice that stands in a text of some length is part of it; alone it is what the site put there.
BOILERPLATE_WORDS = 30
# Lines that programs write: link lists, change logs, commits, dependencies, table rows.
_MACHINE_LINE = re.compile(
    r"\s*(?:[-*+•]|\d+[.)])?\s*(?:\[[^\]]*\]\([^)]*\)\s*$|https?://\S+\s*$|[0-9a-f]{7,40}\b|bump \S+ from"
    r"|merge (?:pull request|branch)|\w+(?:\([\w-]+\))?!?: .{0,80}\(?#\d+\)?$|[\w.-]+\s*[=~<>]=\s*[\d.]+|\|)",
    re.IGNORECASE,
)


def own_words(text: str) -> int:
    """Words of a text that are neither links nor mentions nor hashtags."""
    return len(_WORD.findall(_NOT_OWN_WORDS.sub(" ", text)))


def unfit(form: str, target: str) -> str | None:
    """Why a passage is not learned from; None where it is."""
    words = own_words(target)
    if words < MINIMUM_WORDS:
        return f"fewer than {MINIMUM_WORDS} words of its own (links, mentions and hashtags do not count)"
    if len(target) > LONGEST * FORMS[form].characters:
        return f"a stretch without a break that is far longer than {FORMS[form].noun} may be"
    if form == "code":
        return _unfit_code(target)
    if _share(_NOT_OWN_WORDS.findall(target), target) > MOSTLY:
        return "mostly links and hashtags"
    if _share(_QUOTATION.findall(target), target) > MOSTLY:
        return "mostly a quotation"
    if words < BOILERPLATE_WORDS and _BOILERPLATE.search(target):
        return "boilerplate of a site"
    return _alike(target)


def _unfit_code(target: str) -> str | None:
    visible = "".join(target.split())
    if sum(map(str.isalpha, visible)) < FEW_LETTERS * len(visible):
        return "mostly numbers and signs"
    return None


def _alike(target: str) -> str | None:
    lines = [line for line in target.splitlines() if line.strip()]
    if len(lines) < LINES:
        return None
    if sum(map(bool, map(_MACHINE_LINE.match, lines))) > MOSTLY * len(lines):
        return "a list or table that a program writes"
    if len(set(lines)) < (1 - MOSTLY) * len(lines):
        return "the same lines again and again"
    return None


def _share(found: list[str], text: str) -> float:
    visible = len("".join(text.split()))
    return len("".join("".join(found).split())) / visible if visible else 0.0
