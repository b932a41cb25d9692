"""Boilerplate told by its recurring: the header or footer that stands on many of an author's own documents.

A paragraph is boilerplate where its like, but for links, numbers, dates and the document's own title, stands among the
first or last paragraphs of enough documents of one place (platform, category and host), and it is not the author's
voice: it links somewhere or asks to subscribe, follow, share, comment …, or is a long notice (who the author is, a
disclaimer). A short line without such, however often it comes ("Keep shipping."), is a signature and stays.
"""

import re
from collections.abc import Callable, Collection
from hashlib import blake2b
from urllib.parse import urlsplit

import polars as pl

from twin_assets.core.cleaning.quotes import Spans, fenced_spans, within

FIRST, LAST = 3, 6  # paragraphs of a document that are looked at
LONG = 12  # words of a notice without link or call
LONGEST = 1200  # characters; what is longer is no footer
# How many documents of a place, and what share of them, make a paragraph boilerplate.
DOCUMENTS, SHARE = 4, 0.04

_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)|<?https?://[^\s>]+>?|[\w.+-]+@[\w-]+\.[\w.]+")
_MONTH = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:[a-z]{0,6})\b(?=\W*\d)|\b(?<=\d )(?:jan|feb|mar|apr|may"
    r"|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\b"
)
_CALL = re.compile(
    r"\b(?:subscrib\w+|unsubscribe|newsletter|sign ?up|follow(?:ing)? (?:me|us|along)|follow \w+ (?:\w+ )?for"
    r"|repost|re-?share|retweet|share (?:this|it|with)|hit the|leave a comment|join (?:me|us|the)|patreon|sponsor\w*"
    r"|buy me a|donat\w+|copyright|all rights reserved|licen[sc]ed? under|originally (?:published|posted|appeared)"
    r"|cross-?posted|posted (?:in|on)|filed under|tagged|read more|read next|previous(?:ly)?:|next:|table of contents"
    r"|views (?:are|expressed)|opinions (?:are|expressed)|disclaimer|affiliate|abonn\w+|newsletters?|suivez|folge mir"
    r"|suscríbete|seguici|assine|issue #?\d|part \d+ of|this (?:post|article) (?:is|was) (?:part|sponsored))"
    r"|[©♻🔔]",
    re.IGNORECASE,
)
_RULE = re.compile(r"[-*_•·=~\s]*")
_HEADING = re.compile(r"#{1,6}\s")


def place_of(platform: str, category: str, url: str) -> str:
    """The place whose documents share a footer: platform, category and host."""
    try:
        return f"{platform}/{category}/{urlsplit(url).hostname or ''}"
    except ValueError:
        return f"{platform}/{category}/"


def edge_keys(text: str, title: str) -> list[str]:
    """Keys of the paragraphs at the edges of a text that would be boilerplate if they came often."""
    spans = paragraph_spans(text)
    keys = {_key(text[start:end], title) for start, end in _edges(spans)}
    return sorted(key for key in keys if key is not None)


def recurring(documents: pl.DataFrame) -> pl.DataFrame:
    """Which edge paragraphs of which documents are boilerplate: columns document_id and boilerplate (sorted keys).

    documents: document_id, place and edges (edge_keys()) of all documents of one author; documents without any are
    left out.
    """
    sizes = documents.group_by("place").agg(size=pl.len())
    edges = documents.select("document_id", "place", key="edges").explode("key").drop_nulls("key")
    often = (
        edges.group_by("place", "key")
        .agg(count=pl.len())
        .join(sizes, on="place")
        .filter(pl.col("count") >= DOCUMENTS, pl.col("count") >= SHARE * pl.col("size"))
    )
    found = edges.join(often, on=["place", "key"], how="semi")
    return found.group_by("document_id").agg(boilerplate=pl.col("key").sort())


def without_recurring(text: str, title: str, keys: Collection[str]) -> tuple[str, list[str]]:
    """The text without the edge paragraphs of these keys, and what was taken away, in order.

    With them go rules and headings they leave at the edge with nothing to divide or to head. A text that is nothing
    else stays as it is: it is what its author wanted to say.
    """
    return _without(text, lambda paragraph: _key(paragraph, title) in keys) if keys else (text, [])


def without_calls(text: str) -> str:
    """The text without edge paragraphs that ask to subscribe, follow, share …, which differ between platforms."""
    return _without(text, lambda paragraph: len(paragraph) <= LONGEST and _CALL.search(paragraph) is not None)[0]


def _without(text: str, unwanted: Callable[[str], bool]) -> tuple[str, list[str]]:
    spans = paragraph_spans(text)
    gone = {span for span in _edges(spans) if unwanted(text[slice(*span)])}
    kept = [span for span in spans if span not in gone]
    if not gone or not any(_says_something(text[slice(*span)]) for span in kept):
        return text, []
    while max(gone) > kept[-1] and not _says_something(text[slice(*kept[-1])]):
        gone.add(kept.pop())
    while min(gone) < kept[0] and _RULE.fullmatch(text[slice(*kept[0])]):
        gone.add(kept.pop(0))
    removed = [text[slice(*span)] for span in sorted(gone)]
    for start, end in sorted(gone, reverse=True):
        before, after = text[:start].rstrip(), text[end:].lstrip("\n")
        text = f"{before}\n\n{after}" if before and after else before or after
    return text, removed


def paragraph_spans(text: str) -> Spans:
    """(start, end) of the paragraphs: what stands between blank lines; a code block is one."""
    fences = fenced_spans(text)
    found, start = [], 0
    for gap in re.finditer(r"\n[ \t]*(?:\n[ \t]*)+(?=\S|[ \t]|\Z)|\Z", text):
        if within(gap.start(), fences):
            continue
        if text[start : gap.start()].strip():
            found.append((start, gap.start()))
        start = gap.end()
    return found


def _edges(spans: Spans) -> Spans:
    return spans if len(spans) <= FIRST + LAST else [*spans[:FIRST], *spans[-LAST:]]


def _key(paragraph: str, title: str) -> str | None:
    """What the paragraph has in common with its like on other documents; None where it could not be boilerplate."""
    if len(paragraph) > LONGEST or not _says_something(paragraph):
        return None
    plain = paragraph.replace(title, " ") if len(title) > 3 else paragraph
    points_away = _LINK.search(plain) is not None or _CALL.search(plain) is not None
    plain = _LINK.sub(" ", plain).lower()
    plain = re.sub(r"\d+", "0", _MONTH.sub("month", plain))
    words = re.findall(r"[^\W_]+", plain)
    if not points_away and len(words) < LONG:
        return None
    # With little but links in it, only the same paragraph is its like: authors do end with different links.
    common = words if len(words) >= 3 else [paragraph.strip()]
    return blake2b(" ".join(common).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _says_something(paragraph: str) -> bool:
    return not (_RULE.fullmatch(paragraph) or (_HEADING.match(paragraph) and "\n" not in paragraph.strip()))
