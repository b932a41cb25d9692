"""Tidying what the extractor kept: the title, which is returned apart, and the lines that close a page, not a text."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element

SHORT = 400  # characters; what closes a page is short
LAST_BLOCKS = 3

# "Related: …", "Read more: …" before the name of another article.
_LEADING = re.compile(
    r"\W*(related|read (more|also)|also read|see (also|more)|more|do ?n['’]t miss|watch|recommended|lesen sie auch|"
    r"mehr zum thema|(à )?lire aussi|lea también|leia (também|mais)|leggi anche|lees ook)\s*[:：»|]",
    re.IGNORECASE,
)
# How the last lines of pages begin, or what only they hold.
_CLOSING = re.compile(
    r"\W*(follow (us|me|him|her|them|@)|follow .{0,60}\b(twitter|facebook|instagram|linkedin|coverage)\b|subscribe\b|"
    r"sign up (for|to)\b|get .{0,60}\b(newsletter|inbox)\b|like us on|filed under\b|posted in\b|tag(s|ged)\b|"
    r"topics?:|sources?:? |all rights reserved|click here\b|have a (news |story )?tip|"
    r"(last )?(updated|published)( at| on)?\b.{0,40}$|(e-?mail|contact) (us|me|the author)\b|share this|"
    r"leave a (comment|reply)|comments?\W*$|more:|read more|"
    r"folgen sie|abonnieren|suivez|abonnez|síguenos|suscríbe|siga-nos|assine|seguici|iscriviti)"
    r"|.*(©|\ball rights reserved\b|\balle rechte vorbehalten\b|\btous droits réservés\b|\bmay be reached at\b"
    r"|\bfollow (him|her|them|us|me) (up )?on\b|\bcopyright .{0,30}\d{4})",
    re.IGNORECASE | re.DOTALL,
)


def tidy(body: "_Element", titles: Sequence[str]) -> None:
    """Remove from an extracted body, in place, its title, lines that lead elsewhere, and what closes the page."""
    _remove_titles(body, titles)
    for block in list(body):
        words = _words(block)
        if len(words) < SHORT / 2 and _LEADING.match(words):
            _remove(block)
    _remove_closing(body)


def _remove_titles(body: "_Element", titles: Sequence[str]) -> None:
    """Remove blocks of the beginning that say the title, or the title with the site's name, again."""
    known = {squeezed for title in titles if (squeezed := _squeeze(title))}
    for block in list(body)[:4]:
        words = _squeeze(_words(block))
        whole = words in known or any(len(words) > 15 and title.startswith(words) for title in known)
        if words and (whole or any(len(t) > 15 and words.startswith(t) and len(words) < len(t) + 12 for t in known)):
            _remove(block)


def _remove_closing(body: "_Element") -> None:
    """Remove headings without a text, and a closing line among the last blocks with the short ones after it."""
    while len(body):
        last = list(body)[-LAST_BLOCKS:]
        if last[-1].tag == "head" or not _words(last[-1]):
            _remove(last[-1])
            continue
        found = next((n for n, block in enumerate(last) if _closes(_words(block))), None)
        if found is None or any(len(_words(block)) >= SHORT / 2 for block in last[found + 1 :]):
            return
        for block in last[found:]:
            _remove(block)


def _closes(words: str) -> bool:
    return len(words) < SHORT and _CLOSING.match(words) is not None


def _remove(block: "_Element") -> None:
    """Remove a block; the text after it, which lxml counts to it, stays as a paragraph."""
    parent, text = block.getparent(), (block.tail or "").strip()
    if parent is None:
        return
    if text:
        paragraph = parent.makeelement("p")
        paragraph.text = text
        parent.replace(block, paragraph)
    else:
        parent.remove(block)


def _words(block: "_Element") -> str:
    return " ".join("".join(block.itertext()).split())


def _squeeze(text: str) -> str:
    return "".join(re.findall(r"\w+", text.lower()))
