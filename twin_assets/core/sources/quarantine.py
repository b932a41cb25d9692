"""Telling a page that carries the text from one that only looks as if it did."""

import re
from dataclasses import dataclass
from functools import cached_property
from html import unescape

from twin_assets.core.sources.base import plain_words
from twin_assets.core.sources.signs import CONSENT, REMEDIES, SIGNS, Sign

TRUNCATED = "truncated preview"
EMPTY = "empty body"
FOREIGN = "another author"
SENTENCE = 6  # words; shorter pieces of text are labels


@dataclass(frozen=True)
class Quarantine:
    """Why something must not reach the corpus, and what its owner can do about it."""

    reason: str
    remedy: str


_COOKIES = re.compile(
    r"cookie|consent|\bprivacy\b|partners|datenschutz|confidentialité|privacidad|personal data", re.IGNORECASE
)
_ASKS = re.compile(
    r"(use|using|uses|value|verwenden|utilisons|utilizamos).{0,60}(cookies|privacy)|(accept|agree|reject|manage).{0,20}"
    r"(all|cookies|choices|options)|your (consent|privacy)|ihre zustimmung|votre consentement",
    re.IGNORECASE,
)
_LABELS = "nav or self::footer or self::header or self::form or self::button or self::select or self::dialog or self::a"
_PIECES = (
    "//text()[not(ancestor::*[self::script or self::style or self::noscript or self::template or self::head or "
    f"self::{_LABELS}])]"
)


class _Look:
    """A body as a reader sees it; what is dear is found only when it is asked for."""

    def __init__(self, body: str) -> None:
        self.markup = re.sub(r"<!--.*?-->|<style\b.*?</style>", " ", body, flags=re.DOTALL | re.IGNORECASE)
        scriptless = re.sub(r"<(script|noscript|template)\b.*?</\1>", " ", self.markup, flags=re.DOTALL | re.IGNORECASE)
        found = re.search(r"<title[^>]*>(.*?)</title>", body, re.DOTALL | re.IGNORECASE)
        self.title = " ".join(unescape(found[1]).split()) if found else ""
        self.words = plain_words(scriptless, "text/html")
        self.visible = " ".join(unescape(re.sub(r"<[^>]+>", " ", scriptless)).replace("’", "'").split())
        self.decoded = unescape(self.markup) if "&#" in self.markup else self.markup

    @cached_property
    def pieces(self) -> list[str]:
        """The running text's pieces: no labels, links, menus or forms."""
        from lxml import etree

        if "<" not in self.markup:
            return [self.visible]
        try:
            tree = etree.fromstring(self.markup.encode("utf-8", "replace"), etree.HTMLParser(encoding="utf-8"))
        except etree.ParserError:
            tree = None
        if tree is None:
            return [self.visible]
        return [piece for piece in map(str, tree.xpath(_PIECES)) if len(piece.split()) >= SENTENCE]

    @cached_property
    def prose(self) -> int:
        """Words of running text."""
        return sum(len(piece.split()) for piece in self.pieces)

    def shows(self, sign: Sign) -> bool:
        """Whether a sign is there, on a page short enough for it."""
        where = {"markup": self.decoded, "title": self.title, "visible": self.visible}[sign.where]
        return sign.pattern.search(where) is not None and self.prose <= sign.prose

    @property
    def asks_for_consent(self) -> bool:
        """Whether the page asks for a choice about cookies and says hardly anything else."""
        others = sum(len(piece.split()) for piece in self.pieces if not _COOKIES.search(piece))
        return others < 40 and len(_COOKIES.findall(self.visible)) > 1 and _ASKS.search(self.visible) is not None


def judge_page(text_or_html: str, *, status: int, url: str) -> Quarantine | None:
    """Why this page's text must not be used, None where it may.

    text_or_html: the body as it came; status: its HTTP status; url: where it was read, for the remedy. A sign counts
    up to the length of running text that goes with it, since honest texts quote notices too. How often that is right
    is measured by `python -m benchmarks.bench_quarantine`.
    """
    if status in (404, 410):
        return Quarantine(f"status {status}", f"there is no such page; check the address {url}")
    look = _Look(text_or_html)
    if (found := next((sign for sign in SIGNS if look.shows(sign)), None)) is not None:
        return Quarantine(found.reason, REMEDIES[found.reason])
    if status < 400 and look.words and look.asks_for_consent:
        return Quarantine(CONSENT, REMEDIES[CONSENT])
    if status >= 400:
        return Quarantine(f"status {status}", f"check the address {url}")
    if look.words == 0:
        return Quarantine(EMPTY, f"{url} holds no text; paste the text")
    if look.prose == 0 and re.search(r"enable javascript|requires? javascript|javascript is (not available|disabled)",
                                     look.markup, re.IGNORECASE):  # fmt: skip
        return Quarantine(EMPTY, f"{url} shows its text to browsers with scripts only; paste the text")
    return None
