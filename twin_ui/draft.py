"""A draft with its evidence: a browser component that colours sentences by what supports them, previews and edits.

Every text goes into the page as text, never as HTML. Offsets are Python's (code points); the browser counts
UTF-16 units, so the cutting is done here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

from twin_ui import parts

SCRIPTS = ("evidence", "scores", "preview", "edit", "draft")
# Beyond this share of a model's draft that runs word for word through something published, it is not new.
MUCH_OVERLAP = 0.5
KINDS = {"assembled": "Assembled from real sentences", "model": "Written by the model"}


@dataclass(frozen=True, slots=True)
class Format:
    """A form of text on its platform.

    limit: characters a post may have; fold, fold_lines: characters and lines shown before "…more"; None: any.
    """

    title: str
    icon: str
    asked: str
    limit: int | None
    fold: int | None = None
    fold_lines: int | None = None
    place: str = ""
    actions: tuple[str, ...] = ()


FORMATS = {
    "linkedin_post": Format("LinkedIn post", "work", "What should the post say?", 3_000, 210, 3, "LinkedIn",
                            ("Like", "Comment", "Repost", "Send")),
    "thread": Format("X thread", "forum", "What should the thread say?", 280),
    "instagram_caption": Format("Instagram caption", "photo_camera", "What should the caption say?", 2_200, 125, None,
                                "Instagram", ("Like", "Comment", "Share")),
    "article": Format("Article", "article", "What should the article say?", None),
    "reply": Format("Reply", "reply", "What should the reply say?", 1_250, actions=("Like", "Reply")),
}  # fmt: skip
OTHER = Format("Short post", "notes", "What should the post say?", 2_000)


def format_named(name: str) -> Format:
    """The format of this name; a plain post where the page does not know it."""
    return FORMATS.get(name, OTHER)


def pieces(
    text: str, sentences: Sequence[Mapping[str, Any]], fold: int | None = None, lines: int | None = None
) -> list[dict[str, Any]]:
    """The text cut into its sentences and what stands between them, in order, nothing lost.

    fold, lines: characters and lines shown before the fold, as in Format.
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
    cut_at = _fold_position(text, fold, lines)
    result = []
    for start, end, sentence_index in spans:
        here = cut_at is not None and start < cut_at <= end
        cut = cut_at if here and cut_at is not None else end
        result.append({"before": text[start:cut], "after": text[cut:end], "fold": here, "sentence": sentence_index})
    return result


def _fold_position(text: str, fold: int | None, lines: int | None) -> int | None:
    """Where the reader has to click for more: the end of a line or the last space before; None for a short text."""
    shown = "\n".join(text.split("\n")[:lines])
    if fold is None or len(shown) <= fold:
        return len(shown) if len(shown) < len(text) else None
    space = max(shown.rfind(" ", 0, fold), shown.rfind("\n", 0, fold))
    return space if space > 0 else fold


def _numbered(sentences: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The sentences with their sources numbered, and those sources in order."""
    numbers: dict[tuple[str, str], int] = {}
    sources, shown = [], []
    for sentence in sentences:
        support = []
        for item in sentence["support"]:
            key = (item["kind"], item.get("document_id") or item["url"] or item["title"])
            platform = item.get("platform")
            named = "your link" if item["kind"] == "link" else parts.platform_title(platform) if platform else ""
            if key not in numbers:
                numbers[key] = len(numbers) + 1
                sources.append(
                    {"number": numbers[key], **{name: item[name] for name in ("title", "url", "kind")},
                     "platform": named}
                )  # fmt: skip
            support.append({**item, "number": numbers[key], "platform": named})
        shown.append({"status": sentence["status"], "support": support, "unfounded": sentence.get("unfounded", [])})
    return shown, sources


def titled(draft: Mapping[str, Any], version: str | None, base: str | None = None) -> str:
    """What a draft is called, by who wrote it: a version of the author's, or a base model that is nobody's."""
    kind = KINDS.get(draft["kind"], draft["kind"])
    if draft["kind"] != "model":
        return kind
    return f"{kind}, version {version}" if version else f"{kind} {base}" if base else kind


def _view(answer: Mapping[str, Any], draft: Mapping[str, Any], author: str) -> dict[str, Any]:
    sentences, sources = _numbered(draft["sentences"])
    form, scores, feedback = format_named(answer["format"]), draft["scores"], draft.get("feedback") or {}
    alone = len(answer["drafts"]) == 1
    title = titled(draft, answer["model_version"], answer["base_model"])
    posts = draft["parts"] or [draft["text"]]
    return {
        "draft_id": draft["draft_id"],
        "author": author,
        "format": answer["format"],
        "title": title if alone else f"{draft['rank']} · {title}",
        "reasons": [] if alone else draft["reasons"],
        "notice": draft.get("notice"),
        "alone": alone,
        "chosen": bool(feedback.get("chosen")),
        "edited": feedback.get("edited_text"),
        "whole": "\n\n".join(posts) if answer["format"] == "thread" else draft["text"],
        "parts": posts,
        "reply_to": answer["request"].get("reply_to"),
        "pieces": pieces(draft["text"], draft["sentences"], form.fold, form.fold_lines),
        "sentences": sentences,
        "sources": sources,
        "voice": scores["voice"],
        "voice_raises": scores["voice_raises"],
        "voice_lowers": scores["voice_lowers"],
        "characters": scores["characters"],
        "novelty": scores["novelty"],
        "overlap": scores["overlap"],
        "much_overlap": draft["kind"] == "model" and (scores["overlap"] or 0) > MUCH_OVERLAP,
        "nearest": draft["nearest"],
        "checks": draft["checks"],
        "problems": draft["problems"],
        "limit": form.limit,
        "fold": form.fold,
        "fold_lines": form.fold_lines,
        "place": form.place,
        "actions": form.actions,
    }  # fmt: skip


@cache
def _assets() -> tuple[str, str]:
    """Style and script of the component."""
    folder = files("twin_ui").joinpath("drafts")
    scripts = (folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return folder.joinpath("draft.css").read_text(encoding="utf-8"), "\n".join(scripts)


def show_draft(answer: Mapping[str, Any], draft: Mapping[str, Any], author: str) -> dict[str, Any]:
    """Show one draft of a /v1/compose answer; returns what was just done to it: `edited` (its new text), `chosen`."""
    style, script = _assets()
    component = st.components.v2.component("twin_draft", html='<article class="draft"></article>', css=style, js=script)
    result = component(
        key=f"draft-{draft['draft_id']}",
        data=_view(answer, draft, author),
        on_edited_change=_nothing,
        on_chosen_change=_nothing,
    )
    return {name: value for name in ("edited", "chosen") if (value := getattr(result, name)) is not None}


def _nothing() -> None:
    """Triggers are read from the result."""
