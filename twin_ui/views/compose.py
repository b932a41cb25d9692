"""Compose: a prompt and links in, drafts with their evidence out."""

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, state
from twin_ui.draft import show_draft

FORMATS = {"linkedin_post": "LinkedIn post"}
FORMAT = "linkedin_post"


def render() -> None:
    """The page."""
    twin = st.session_state["twin"]
    parts.heading(
        "Compose", "Say what the post is about. Drafts come back in the author's voice, each sentence with its source."
    )
    if twin is None:
        parts.empty(
            "person_add", "No author yet", "A twin is of somebody: add the author first.", "sources", "Add an author"
        )
        return
    if not twin["index_version"]:
        parts.empty(
            "input",
            "Nothing to write from yet",
            f"What {twin['name']} published has not been collected. Add sources and collect them; then compose.",
            "sources",
            "Go to Sources",
        )
        return
    _form(twin)
    answer = state.kept_answer(twin["id"])
    if answer is not None:
        _answer(answer)


def _form(twin: Mapping[str, Any]) -> None:
    with parts.card("compose"):
        with st.form("compose", border=False):
            prompt = st.text_area(
                "What should the post say?",
                key="prompt",
                bind="query-params",
                placeholder="Why small teams should own their data pipeline, for people who have just inherited one",
                height=110,
            )
            links = st.text_area(
                "Links to draw from (optional, one a line)",
                key="links",
                bind="query-params",
                placeholder="https://example.org/article",
                height=78,
            )
            asked = st.form_submit_button("Compose", type="primary", icon=":material/edit_note:")
        if not twin["model_version"]:
            st.caption("No model is approved yet: the draft is assembled from real sentences, which needs none.")
    if asked:
        _compose(twin["id"], prompt.strip(), links_of(links))


def links_of(text: str) -> list[str]:
    """The links in what was typed: separated by white space or commas, each once, `https://` added where missing."""
    found = [part for part in re.split(r"[\s,]+", text) if part]
    return list(dict.fromkeys(part if "://" in part else f"https://{part}" for part in found))


def _compose(author: str, prompt: str, links: list[str]) -> None:
    if not prompt:
        st.error("Write in a sentence what the post should say; links alone do not tell.")
        return
    reading = f"Reading {parts.count(len(links), 'link')} and finding" if links else "Finding"
    try:
        with st.spinner(f"{reading} what the author has written on this…", show_time=True):
            state.keep_answer(state.serving().compose(author, prompt, links=links, format=FORMAT))
    except ServingError as error:
        st.error(str(error), icon=":material/error:")


def _answer(answer: Mapping[str, Any]) -> None:
    for link in answer["links"]:
        if link["status"] == "read":
            st.markdown(f":material/link: Read: {parts.plain(link['title'] or link['url'])}")
        else:
            st.warning(
                f"Not read: {parts.plain(link['message'] or link['url'])}",
                icon=":material/link_off:",
            )
    drafts = answer["drafts"]
    st.markdown(f"**Prompt:** {parts.plain(answer['prompt'])}")
    for first in range(0, len(drafts), 2):
        pair = drafts[first : first + 2]
        for column, draft in zip(st.columns(max(1, len(pair)), gap="medium"), pair, strict=False):
            with column, parts.card(f"draft-{draft['draft_id']}"):
                show_draft(draft, answer["format"], answer["model_version"])
                _feedback(answer["author"], draft)
    _provenance(answer)


@st.fragment
def _feedback(author: str, draft: Mapping[str, Any]) -> None:
    key = draft["draft_id"]
    with st.expander("Edit and rate", icon=":material/rate_review:"), st.form(f"feedback-{key}", border=False):
        st.markdown("What you change teaches the twin: edits and ratings become its next lessons.")
        edited = st.text_area("Your version", value=draft["text"], height=260, key=f"edit-{key}")
        rating = st.radio(
            "How close was the draft?",
            [1, 2, 3, 4, 5],
            index=None,
            horizontal=True,
            format_func=lambda value: {1: "1 far off", 5: "5 post it"}.get(value, str(value)),
            key=f"rating-{key}",
        )
        comment = st.text_input("Comment (optional)", key=f"comment-{key}")
        if not st.form_submit_button("Save feedback", icon=":material/save:"):
            return
    changed = edited if edited != draft["text"] else None
    if rating is None and changed is None and not comment.strip():
        st.warning("Nothing to save yet: edit the text, choose a rating or write a comment.")
        return
    try:
        state.serving().feedback(author, key, rating=rating, edited_text=changed, comment=comment.strip() or None)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
    else:
        st.success("Saved. It counts in the next training.", icon=":material/check_circle:")


def _provenance(answer: Mapping[str, Any]) -> None:
    with st.expander(f"What was retrieved ({len(answer['sources'])})", icon=":material/manage_search:"):
        for hit in answer["sources"]:
            parts.passage(hit)
    used = [f"search index {answer['index_version']}"]
    used += [
        f"{name} {answer[key]}"
        for name, key in (("model", "model_version"), ("base", "base_model"), ("dataset", "dataset_version"))
        if answer.get(key)
    ]
    st.caption(parts.plain(f"Made with {', '.join(used)}. Trace {answer['trace_id']}."))
