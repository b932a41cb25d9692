"""Telling a page that carries the text from one that only looks as if it did."""

import re
from dataclasses import dataclass

from twin_assets.core.sources.base import plain_words

TRUNCATED = "truncated preview"
EMPTY = "empty body"
FOREIGN = "another author"
SHORT_PAGE = 400  # words; a notice is short, a text that mentions a notice is not


@dataclass(frozen=True)
class Quarantine:
    """Why something must not reach the corpus, and what its owner can do about it."""

    reason: str
    remedy: str


# (reason, remedy, pattern over the whole page, pattern must be seen on a short page only)
_SIGNS: tuple[tuple[str, str, re.Pattern[str], bool], ...] = tuple(
    (reason, remedy, re.compile(pattern, re.IGNORECASE), short)
    for reason, remedy, pattern, short in (
        (
            "challenge page",
            "the site lets browsers only; use its feed or export, or paste the text",
            r"<title>\s*(just a moment|attention required|access denied|checking your browser)"
            r"|/cdn-cgi/challenge-platform/|cf-browser-verification|px-captcha|captcha-delivery\.com",
            False,
        ),
        (
            "challenge page",
            "the site lets browsers only; use its feed or export, or paste the text",
            r"verify (that )?you are (a )?human|are you a robot|enable javascript and cookies to continue",
            True,
        ),
        (
            "consent wall",
            "the site shows its text only after a choice about cookies; paste the text",
            r"before you continue to|we (and our partners )?(use|value) (cookies|your privacy)|consent\.\w+\.",
            True,
        ),
        (
            "paywall",
            "only subscribers see the whole text; use the platform's export, or paste the text",
            r"(this (post|article|content) is for (paid |paying )?(subscribers|members)"
            r"|subscribe to (continue|keep) reading|become a (paid )?(member|subscriber) to read"
            r"|member-only story|already a (paid )?(member|subscriber)\?)",
            True,
        ),
        (
            "login wall",
            "the site wants a login; use the platform's export, or paste the text",
            r"(sign|log) in to (continue|view|read|see)|join linkedin|authwall",
            True,
        ),
        (
            "soft 404",
            "the page is gone although the site answers as if it were there; check the address",
            r"<title>[^<]*(404|(page|not) (not )?found)|(page|story|post) (you( are|'re) looking for )?"
            r"(was |could )?(not|n't) (be )?(found|exist)|out of nothing, something",
            True,
        ),
    )
)


def judge_page(text_or_html: str, *, status: int, url: str) -> Quarantine | None:
    """Why this page's text must not be used, None where it may.

    text_or_html: the body as it came; status: its HTTP status; url: where it was read, for the remedy.
    Signs that honest texts may quote as well count only on pages of fewer than SHORT_PAGE words.
    """
    body = re.sub(r"<!--.*?-->|<(style|noscript)\b.*?</\1>", " ", text_or_html, flags=re.DOTALL | re.IGNORECASE)
    visible = re.sub(r"<script\b.*?</script>", " ", body, flags=re.DOTALL | re.IGNORECASE)
    words = plain_words(visible, "text/html")
    if status in (404, 410):
        return Quarantine(f"status {status}", f"there is no such page; check the address {url}")
    for reason, remedy, pattern, on_short_pages in _SIGNS:
        if (not on_short_pages and pattern.search(body)) or (words < SHORT_PAGE and pattern.search(visible)):
            return Quarantine(reason, remedy)
    if status >= 400:
        return Quarantine(f"status {status}", f"check the address {url}")
    if words == 0:
        return Quarantine(EMPTY, f"{url} holds no text; paste the text")
    return None
