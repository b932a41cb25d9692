"""What platforms and tools add to an author's words: widgets, tracking, closing lines nobody wrote."""

import re
from collections.abc import Mapping
from functools import lru_cache

_WIDGET = re.compile(
    r"subscri(?:be|ption)-(?:widget|form|box)|button-wrapper|image-link-expand|image-toolbar|share-?(?:daddy|buttons?|bar)"
    r"|sd-sharing|jp-relatedposts|addtoany|mc_embed_signup|newsletter-(?:form|signup|widget)|post-ufi|comments?-area"
    r"|cookie-(?:banner|notice|consent)|wp-block-(?:buttons|jetpack-subscriptions)|feedflare|poll-embed-controls"
    r"|visually-hidden|screen-reader-text|sr-only|\b(?:rouge-gutter|gutter|linenodiv|lineno|lnt|blob-num)\b",
    re.IGNORECASE,
)
_PIXEL = re.compile(
    r"medium\.com/_/stat|feedburner\.com/~r/|feeds\.wordpress\.com/1\.0|pixel\.wp\.com|doubleclick\.net"
    r"|google-analytics\.com|/(?:tracking|beacon|pixel)[./?]|eotrx\.substackcdn\.com/open",
    re.IGNORECASE,
)
_TRACKING_NAMES = re.compile(
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|msclkid|mc_[ce]id|igshid|twclid|_hs(?:enc|mi)|trk\w*|rcm"
)
_TRACKING_SOURCES = re.compile(r"rss-.*|.*-{5,}.*|(?:collection|user)_(?:home|profile).*|post_page.*|social\w*|email")

# Whole paragraphs at the end of a piece, as platforms and plug-ins append them.
_TAILS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r".{0,300}\bwas originally published in .{1,200} on \[?Medium\b.{0,200}",
        r"(?:this (?:post|article|story) )?(?:was )?originally (?:published|appeared|posted) (?:at|on|in) \S.{0,200}",
        r"the post .{1,300} (?:appeared first|first appeared) on .{1,200}",
        r"thanks for reading.{0,120}subscribe.{0,200}",
        r".{0,120} is a reader-supported publication\..{0,250}",
        r"\[?(?:subscribe(?: now)?|share(?: this post| .{1,60})?|leave a comment|read more|view comments?"
        r"|get more from .{1,60}|give a gift subscription|upgrade to paid|refer a friend|start writing)\]?(?:\(\S*\))?",
        r"(?:filed under|tagged with|posted in):? .{0,200}",
        r"[-*_]{3,}",
    )
)


def is_widget(attributes: Mapping[str, str]) -> bool:
    """Whether the element with these attributes is a form, button or notice that the page's software put there."""
    return any(_names_widget(attributes.get(name) or "") for name in ("class", "id", "data-component-name"))


@lru_cache(maxsize=8192)  # a site's pages have the same names, again and again
def _names_widget(names: str) -> bool:
    return _WIDGET.search(names) is not None


def is_tracking_pixel(attributes: Mapping[str, str]) -> bool:
    """Whether the image with these attributes is one nobody is meant to see."""
    sizes = [str(attributes.get(name) or "").removesuffix("px") for name in ("width", "height")]
    return any(size in ("0", "1") for size in sizes) or _PIXEL.search(attributes.get("src") or "") is not None


def is_tracking_parameter(name: str, value: str) -> bool:
    """Whether this query parameter only tells a platform where a reader came from."""
    if _TRACKING_NAMES.fullmatch(name):
        return True
    return name in ("source", "sk") and _TRACKING_SOURCES.fullmatch(value) is not None


def strip_tail(markdown: str) -> tuple[str, list[str]]:
    """The text without the closing paragraphs that platforms and plug-ins append, and those paragraphs in order."""
    paragraphs = re.split(r"(\n\s*\n)", markdown.rstrip())
    removed: list[str] = []
    while len(paragraphs) > 1:
        last = re.sub(r"^[*_>\s]+|[*_\s]+$", "", paragraphs[-1]) or "---"
        if not any(tail.fullmatch(last) for tail in _TAILS):
            break
        removed.insert(0, paragraphs[-1])
        paragraphs = paragraphs[:-2]
    return "".join(paragraphs).rstrip(), removed


def strip_repeated_title(markdown: str, title: str) -> str:
    """The text without a first heading that only repeats the title."""
    first, _, rest = markdown.partition("\n")
    heading = re.sub(r"^#{1,6}\s+|[*_]", "", first.strip())
    if title.strip() and first.startswith("#") and _plain(heading) == _plain(title):
        return rest.lstrip("\n")
    return markdown


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
