"""A draft with its evidence: a browser component that colours sentences by what supports them.

Every text goes into the page as text, never as HTML. Offsets are Python's (code points); the browser counts
UTF-16 units, so the cutting is done here.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import streamlit as st

# LinkedIn shows about this much of a post before "…more"; longer posts than the limit are refused.
FOLD = 210
LIMITS = {"linkedin_post": 3000}
# Beyond this share of a model's draft that runs word for word through something published, it is not new.
MUCH_OVERLAP = 0.5

KINDS = {"assembled": "Assembled from real sentences", "model": "Written by the model"}


def pieces(text: str, sentences: list[Mapping[str, Any]], fold: int = FOLD) -> list[dict[str, Any]]:
    """The text cut into its sentences and what stands between them, in order, nothing lost.

    Each piece: {"before", "after", "sentence"}: `sentence` is the index into `sentences` or None; `after` is what
    lies behind the fold ("" where the fold is not inside this piece) and `fold` marks the piece it falls into.
    """
    spans: list[tuple[int, int, int | None]] = []
    position = 0
    for index, sentence in sorted(enumerate(sentences), key=lambda pair: pair[1]["start"]):
        start, end = max(position, sentence["start"]), min(len(text), sentence["end"])
        if end <= start:
            continue
        if start > position:
            spans.append((position, start, None))
        spans.append((start, end, index))
        position = end
    if position < len(text):
        spans.append((position, len(text), None))
    cut_at = _fold_position(text, fold)
    result = []
    for start, end, sentence_index in spans:
        here = cut_at is not None and start < cut_at <= end
        cut = cut_at if here and cut_at is not None else end
        result.append({"before": text[start:cut], "after": text[cut:end], "fold": here, "sentence": sentence_index})
    return result


def _fold_position(text: str, fold: int) -> int | None:
    """Where the reader has to click for more: the last space before `fold` characters; None for a short text."""
    if len(text) <= fold:
        return None
    space = max(text.rfind(" ", 0, fold), text.rfind("\n", 0, fold))
    return space if space > 0 else fold


def _numbered(sentences: list[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Sentences with the numbers of their sources, and the numbered sources, each once."""
    numbers: dict[tuple[str, str], int] = {}
    sources, shown = [], []
    for sentence in sentences:
        support = []
        for item in sentence["support"]:
            key = (item["kind"], item.get("document_id") or item["url"] or item["title"])
            if key not in numbers:
                numbers[key] = len(numbers) + 1
                sources.append(
                    {"number": numbers[key], "title": item["title"], "url": item["url"], "kind": item["kind"]}
                )
            support.append({**item, "number": numbers[key]})
        shown.append({"status": sentence["status"], "support": support})
    return shown, sources


def _view(draft: Mapping[str, Any], format_name: str, model_version: str | None) -> dict[str, Any]:
    sentences, sources = _numbered(draft["sentences"])
    kind = KINDS.get(draft["kind"], draft["kind"])
    if draft["kind"] == "model" and model_version:
        kind = f"{kind}, version {model_version}"
    scores = draft["scores"]
    overlap = scores.get("overlap")
    return {
        "kind": kind,
        "notice": draft.get("notice"),
        "text": draft["text"],
        "pieces": pieces(draft["text"], draft["sentences"]),
        "sentences": sentences,
        "sources": sources,
        "voice": scores.get("voice"),
        "characters": scores.get("characters", len(draft["text"])),
        "limit": LIMITS.get(format_name),
        "overlap": overlap,
        "much_overlap": draft["kind"] == "model" and overlap is not None and overlap > MUCH_OVERLAP,
        "problems": draft.get("problems", []),
    }


def _asset(name: str) -> str:
    return files("twin_ui").joinpath(name).read_text(encoding="utf-8")


def show_draft(draft: Mapping[str, Any], format_name: str, model_version: str | None) -> None:
    """Show one draft of a /v1/compose answer."""
    component = st.components.v2.component(
        "twin_draft", html='<article class="draft"></article>', css=_asset("draft.css"), js=_asset("draft.js")
    )
    component(key=f"draft-{draft['draft_id']}", data=_view(draft, format_name, model_version))
