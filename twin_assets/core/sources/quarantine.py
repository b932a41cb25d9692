"""Telling a page that carries the text from one that only looks as if it did."""

import re
from dataclasses import dataclass
from functools import cached_property

from twin_assets.core.sources.signs import CONSENT, HINTED, HINTS, REMEDIES, SIGNS, Sign

TRUNCATED = "truncated preview"
EMPTY = "empty body"
FOREIGN = "another author"
SENTENCE = 6  # words; shorter pieces of text are labels
MOST_BESIDE = 40  # words a consent wall may say of something else


@dataclass(frozen=True)
class Quarantine:
    """Why something must not reach the corpus, and what its owner can do about it."""

    reason: str
    remedy: str


_COOKIES = re.compile(
    r"cookie|consent|\bprivacy\b|part(n|en)er|toestemming|gegevens|dispositivo|dati personali|"
    r"partenaires|datenschutz|tracking|confidentialité|privacidad|"
    r"person(al|enbezogene|nelle)s? (data|daten)|données personnelles|datos personales",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"(use|using|uses|value|verwenden|speichern|utilis\w+|utiliz\w+|usiamo).{0,60}(cookies|privacy)|"
    r"(accept|agree|reject|manage).{0,20}(all|cookies|choices|options)|your (consent|privacy)|akzeptieren|zustimm|"
    r"gebruiken|akkoord|archivi|accett|acept|aceit|godk|zgadzam|"
    r"votre consentement|accepter|aceptar",
    re.IGNORECASE,
)
# What marks a text of somebody's, however short; walls have none of it.
_ARTICLE = re.compile(r"<article\b|\bh-entry\b|og:type[^>]{1,20}article|@type\W{1,5}\w*(Article|Posting)\b")
_BUTTON = re.compile(r"<button\b[^>]*>([^<]{1,60})", re.IGNORECASE)
_LABELS = ("nav", "footer", "header", "form", "button", "select", "dialog", "a")


class _Look:
    """A body as a reader sees it; what is dear is found only when it is asked for."""

    def __init__(self, body: str) -> None:
        from lxml import etree

        parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
        try:
            tree = etree.fromstring((body.replace("\0", " ") or " ").encode("utf-8", "replace"), parser)
        except etree.ParserError:
            tree = None
        self.title = self.markup = self.visible = ""
        self.shown: list[str] = []  # the pieces of text outside of links, menus and forms
        if tree is None:
            return
        self.title = " ".join((tree.findtext(".//title") or "").split())
        etree.strip_elements(tree, "style", with_tail=False)
        self.markup = etree.tostring(tree, encoding="unicode")
        etree.strip_elements(tree, "script", "noscript", "template", with_tail=False)
        self.visible = " ".join(" ".join(tree.itertext()).replace("’", "'").split())
        etree.strip_elements(tree, "head", *_LABELS, with_tail=False)
        self.shown = [str(piece) for piece in tree.itertext() if piece.strip()]

    @cached_property
    def pieces(self) -> list[str]:
        """The pieces long enough to be running text and no labels."""
        return [piece for piece in self.shown if len(piece.split()) >= SENTENCE]

    @cached_property
    def prose(self) -> int:
        """Words of running text."""
        return sum(len(piece.split()) for piece in self.pieces)

    def shows(self, sign: Sign) -> bool:
        """Whether a sign is there, on a page short enough for it."""
        if self.prose > sign.prose:
            return False
        where = self.title if sign.where == "title" else self.visible if sign.where == "visible" else self.markup
        return sign.pattern.search(where) is not None

    @property
    def hinted_at(self) -> str | None:
        """What two different hints point to on a page that says hardly anything."""
        if self.prose > HINTED or _ARTICLE.search(self.markup):
            return None
        text = " ".join([self.title, *self.shown]).replace("’", "'")
        found = {reason: len({hit.lastgroup for hit in pattern.finditer(text)}) for reason, pattern in HINTS}
        likeliest = max(found, key=found.__getitem__)
        return likeliest if found[likeliest] > 1 else None

    @property
    def asks_for_consent(self) -> bool:
        """Whether the page asks for a choice about cookies and says hardly anything else."""
        about = sum(len(piece.split()) for piece in self.pieces if _COOKIES.search(piece))
        others = self.prose - about
        if not about or others >= MOST_BESIDE or about < 2 * others or (others and _ARTICLE.search(self.markup)):
            return False
        text = " ".join(self.shown) + " " + " ".join(_BUTTON.findall(self.markup))
        return len(_COOKIES.findall(text)) > 1 and _ASKS.search(text) is not None


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
    if status < 400 and look.asks_for_consent:
        return Quarantine(CONSENT, REMEDIES[CONSENT])
    if status < 400 and (hinted := look.hinted_at) is not None:
        return Quarantine(hinted, REMEDIES[hinted])
    if status >= 400:
        refused = "the site does not show it to everybody; paste the text, or check"
        return Quarantine(f"status {status}", f"{refused if status in (401, 403, 451) else 'check'} the address {url}")
    if not look.visible:
        return Quarantine(EMPTY, f"{url} holds no text; paste the text")
    if look.prose == 0 and re.search(r"enable javascript|requires? javascript|javascript is (not available|disabled)",
                                     look.markup, re.IGNORECASE):  # fmt: skip
        return Quarantine(EMPTY, f"{url} shows its text to browsers with scripts only; paste the text")
    return None
