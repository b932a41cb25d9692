"""Which elements of HTML are what: unseen, controls, media, blocks, cards."""

import re
from collections.abc import Mapping

from twin_assets.core.cleaning.boilerplate import is_widget

Attributes = Mapping[str, str]

UNSEEN = frozenset(
    ("script", "style", "noscript", "template", "svg", "head", "title", "meta", "link", "dialog", "datalist", "rp")
)
CONTROLS = frozenset(("button", "input", "select", "textarea"))
MEDIA = frozenset(("iframe", "embed", "object", "video", "audio"))
BLOCKS = frozenset(
    ("address", "article", "aside", "body", "caption", "center", "dd", "details", "div", "dl", "dt", "fieldset",
     "figcaption", "figure", "footer", "form", "header", "hgroup", "html", "legend", "main", "nav", "p", "section",
     "summary", "tbody", "tfoot", "thead")
)  # fmt: skip
# Cards that show another page or post: a block quote, as their words are not the author's.
CARDS = frozenset(
    ("graf--mixtapeEmbed", "kg-bookmark-card", "embedded-post", "embedded-post-wrap", "digest-post-embed", "tweet",
     "twitter-tweet", "instagram-media", "bluesky-embed", "mastodon-embed", "fb-post", "embedly-card", "link-preview")
)  # fmt: skip
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LANGUAGE = re.compile(r"(?:^|\s)(?:language-|lang-|highlight-source-|brush:\s*)(\w[\w+#-]*)")
_NAME = re.compile(r"(\w[\w+#-]*)")


def is_unseen(attributes: Attributes) -> bool:
    """Whether an element is hidden, or one of the page's own widgets."""
    if "hidden" in attributes or is_widget(attributes):
        return True
    style = attributes.get("style")
    return style is not None and _HIDDEN.search(style) is not None


def code_language(attributes: Attributes) -> str:
    """The language a block of code says it is in; empty where it says none."""
    match = _LANGUAGE.search(attributes.get("class", "")) or _NAME.fullmatch(attributes.get("data-lang", ""))
    return match[1] if match else ""
