"""Makes other people's text fit to be material: what a reader does not see goes, and so does what addresses a model.

A page can hide orders from people (styles, comments, characters without a shape) or give them openly ("ignore all
previous instructions"). The first are not read; the second are left out and said to be. Whatever is left cannot close
the fence around notes or open a turn of the conversation: those marks are broken up (core/prompts.py breaks up each
tokenizer's own once more).

A page may be made to keep its reader busy: whatever reads it here takes time in proportion to its length. White space
is one space before a pattern looks at it, no pattern looks across lines, and nothing is searched for again behind a
place where it was not found.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from twin_assets.core.prompts import broken_up
from twin_assets.core.sentences import Span, split_sentences

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Characters without a shape: zero-width ones, bidirectional overrides, Unicode's tags, invisible operators. Joiners and
# variation selectors stay, as emoji and Indic letters need them; a joiner between plain letters has nothing to join.
_SHAPELESS = re.compile(
    "[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
    "|(?<=[A-Za-z0-9 ])[\u200c\u200d](?=[A-Za-z0-9 ])"
)
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")  # England, Scotland, Wales
_STYLED_AWAY = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0*(?:\.0+)?\s*(?:;|!|$)"
    r"|font-size\s*:\s*0*(?:\.\d+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)|font-size\s*:\s*[01](?:\.\d+)?px"
    r"|(?:left|top|right|text-indent|margin-left)\s*:\s*-\d{3,}"
    r"|(?:^|[;\s])(?:width|height|max-height|max-width)\s*:\s*0(?:px|em|%)?\s*(?:;|!|$)"
    r"|clip(?:-path)?\s*:\s*(?:rect\(\s*0|inset\(\s*(?:50|100)%)|color\s*:\s*transparent|transform\s*:\s*scale\(\s*0\s*\)",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"(?<![\w-])color\s*:\s*([^;!]+)", re.IGNORECASE)
_GROUND = re.compile(r"background(?:-color)?\s*:\s*([^;!]+)", re.IGNORECASE)
_WHITE = frozenset(("white", "#fff", "#ffffff", "rgb(255,255,255)", "rgba(255,255,255,1)", "#fefefe"))
_SELECTOR = re.compile(r"^[\w-]*([.#])([\w-]+)$")
_HIDDEN = "twin-hidden"
_NEVER_SHOWN = ("script", "style", "template", "noscript", "head", "iframe", "object", "svg")

_WHAT = r"(?:instructions?|prompts?|rules|directions|directives|guidelines|commands|context|messages|orders)"
_BEFORE = r"(?:all|any|the|your|these|those|of|my|every|previous|prior|above|earlier|preceding|system|original|initial)"
_MODEL = (
    r"(?:an?\s+|the\s+|all\s+|any\s+)?"
    r"(?:ai|llms?|(?:large\s+)?language\s+models?|chat\s?bots?|assistants?|gpts?|chatgpt|claude|gemini)\b"
)
_YOURS = r"your\s+(?:reply|response|answer|output|summary|post|text|draft)\b"
_PUT = r"(?:write|say|print|output|include|insert|append|add|mention|respond|reply|answer)\b"
_ORDERS = re.compile(
    rf"""
    \b(?:ignore|disregard|forget|override|bypass|skip)\b(?:\W+{_BEFORE}\b){{1,5}}\W+{_WHAT}\b
    |\b(?:ignore|disregard|forget)\s+(?:everything|all|anything)\s+(?:above|before|you\s+were|you\s+have\s+been)\b
    |\byou\s+are\s+(?:now|no\s+longer)\s+(?:an?|the|in|bound|dan\b|{_MODEL})
    |\b(?:new|updated|real|actual|hidden|important|urgent|secret)\s+(?:system\s+)?instructions?\b\s*(?:\W|for|to|from)
    |\b(?:system|developer)\s+(?:prompt|message|override|instructions?)\b
    |\b(?:reveal|print|repeat|output|show|leak|disclose)\b.{{0,30}}\b(?:your|the|system)\s+(?:system\s+)?{_WHAT}
    |\b(?:attention|note\s+to|message\s+(?:to|for)|instructions?\s+(?:to|for)|dear|hey|hello)\s*[,:]?\s*{_MODEL}
    |\b(?:if|when)\s+you(?:\s+are|['’]re)\s+{_MODEL}
    |\b(?:as|you|your)\s*,?\s+{_MODEL}\s*,?\s+(?:you\s+)?(?:must|should|shall|will|have\s+to|need\s+to|please)\b
    |\b(?:must|always|only|please|and|then|to|now)\s+{_PUT}.{{0,60}}\b(?:in|to|at|of|with|into)\s+
        (?:(?:the\s+)?(?:start|end|beginning|top)\s+of\s+)?{_YOURS}
    |\b(?:in|at\s+the\s+end\s+of)\s+{_YOURS}.{{0,40}}\b{_PUT}
    |^\W{{0,6}}(?:respond|reply|answer)\s+(?:only\s+)?with\b
    |^\W{{0,6}}(?:system|assistant|user|human|developer|ai)\s*(?:prompt|message|note|instruction)?\s*:\s
    |^\W{{0,6}}(?:\#{{2,}}\s*)?(?:instruction|response|system)s?\s*:\s*$
    |\bdo\s+not\s+(?:mention|reveal|tell|disclose)\b.{{0,40}}\b(?:instruction|prompt|user)
    |"(?:status|role)"\s*:\s*"(?:verbatim|supported|system|assistant)"
    |\b(?:ignoriere|vergiss|missachte)\b.{{0,40}}\b(?:anweisung|instruktion|befehl|vorgabe)
    |\b(?:ignore[rz]?|oublie[rz]?)\b.{{0,30}}\b(?:instructions?|consignes?)\b
    |\b(?:ignora|olvida|ignore|esqueça|dimentica)\b.{{0,30}}\b(?:instrucciones|instruções|istruzioni)
    |\bnegeer\b.{{0,30}}\binstructies
    """,
    re.IGNORECASE | re.VERBOSE,
)
# What an order may want to see in the draft: addresses, and words no language has.
_MARKER = re.compile(
    r"https?://\S+|\b[\w.+-]{1,64}@[\w-]{1,63}\.\w{1,24}|\b(?=\w*\d)(?=\w*[A-Za-z])[\w-]{5,}\b|\b[A-Z][A-Z0-9_-]{4,}\b"
)
_QUOTED = re.compile(r"[\"“‘'«]([^\"”’'»\n]{4,120})[\"”’'»]")


def readable(text: str) -> str:
    """A text less the characters that have no shape; what a reader sees stays."""
    flags: list[str] = []

    def keep(match: re.Match[str]) -> str:
        flags.append(match.group())
        return f"\ue000{len(flags) - 1}\ue001"

    text = _SHAPELESS.sub("", _FLAG.sub(keep, text.replace("\ue000", "").replace("\ue001", "")))
    return re.sub("\ue000(\\d+)\ue001", lambda match: flags[int(match[1])], text)


def without_hidden(html: str) -> str:
    """A page's HTML less what a browser does not show, by its attributes, inline styles and simple style rules."""
    from lxml import etree
    from lxml.html import document_fromstring

    if not html.strip():
        return html
    try:
        tree = document_fromstring(html.encode("utf-8", "replace"), parser=etree.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, ValueError):
        return html
    classes, ids = _hidden_names(tree)
    # Renamed, they go all at once, and the text behind each stays where it is.
    for element in [each for each in tree.iter(etree.Element) if _is_hidden(each, classes, ids)]:
        element.tag = _HIDDEN
    etree.strip_elements(tree, _HIDDEN, etree.Comment, etree.ProcessingInstruction, with_tail=False)
    return etree.tostring(tree, encoding="unicode", method="html")


def orders_in(text: str) -> list[str]:
    """The sentences and lines of a text that address a model, as they stand there."""
    return without_orders(text)[1]


def without_orders(text: str) -> tuple[str, list[str]]:
    """(the text less them, orders_in(text))."""
    kept, orders = [], []
    for line in text.split("\n"):
        left, found = _line_without_orders(line)
        kept.append(left.rstrip())
        orders += found
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), orders


def _line_without_orders(line: str) -> tuple[str, list[str]]:
    if not _is_order(line):  # most lines are none, and are read once
        return line, []
    kept, orders, position = [], [], 0
    for span in split_sentences(line) or [Span(0, len(line), line)]:
        if span.text.strip() and _is_order(span.text):
            kept.append(line[position : span.start])
            orders.append(span.text.strip())
            position = span.end
    return "".join([*kept, line[position:]]), orders


def _is_order(line: str) -> bool:
    return _ORDERS.search(" ".join(_folded(line).split())) is not None


def as_material(text: str) -> str:
    """A text as it may stand in a prompt: no shapeless characters, no order, no fence, no mark of a turn."""
    return broken_up(without_orders(readable(text))[0])


def followed(draft: str, orders: Iterable[str], known: str) -> list[str]:
    """What a draft has of what orders wanted: their addresses, odd words and quoted words that `known` text lacks."""
    wanted: list[str] = []
    for order in orders:
        wanted += [*_MARKER.findall(order), *_QUOTED.findall(order)]
    found: list[str] = []
    if wanted:
        said, told = _folded(draft).lower(), _folded(known).lower()
        found = [each for each in dict.fromkeys(wanted) if each.lower() in said and each.lower() not in told]
    return [*found, *(order for order in orders_in(draft) if order not in found)]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", readable(text))


def _hidden_names(tree: "HtmlElement") -> tuple[set[str], set[str]]:
    """Classes and ids that a style sheet of the page hides."""
    names: dict[str, set[str]] = {".": set(), "#": set()}
    for sheet in tree.iter("style"):
        for rule in (sheet.text or "").split("}"):
            selectors, _, style = rule.rpartition("{")
            if selectors and _STYLED_AWAY.search(" ".join(style.split())):
                for selector in selectors.rpartition("{")[2].split(","):
                    if match := _SELECTOR.match(selector.strip()):
                        names[match[1]].add(match[2])
    return names["."], names["#"]


def _is_hidden(element: "HtmlElement", classes: set[str], ids: set[str]) -> bool:
    if element.tag in _NEVER_SHOWN:
        # What a page says of itself stands in its head, and is read by name (title, authors, abstract).
        return element.tag not in ("head", "script", "style")
    if "hidden" in element.attrib or element.get("type") == "hidden":
        return True
    if element.get("id") in ids or classes.intersection((element.get("class") or "").split()):
        return True
    style = " ".join((element.get("style") or "").split())
    if not style:
        return False
    return bool(_STYLED_AWAY.search(style)) or _is_colourless(style)


def _is_colourless(style: str) -> bool:
    """Whether the letters have the colour of what is behind them; without one of its own a page is white."""
    colour, ground = _COLOUR.search(style), _GROUND.search(style)
    if colour is None:
        return False
    letters = re.sub(r"\s", "", colour[1].lower())
    behind = re.sub(r"\s", "", ground[1].lower()) if ground else ""
    return letters == behind or (letters in _WHITE and (not behind or behind in _WHITE))
