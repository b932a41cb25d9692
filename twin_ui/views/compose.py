"""Compose: a prompt, links and a format in; drafts that stream in with their evidence out."""

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, state
from twin_ui.draft import FORMATS, format_named
from twin_ui.views import composed

LENGTHS = {"short": "Short", "usual": "As usual", "long": "Long"}
# ISO 639-1; the twin writes in what the author writes in, unless asked otherwise.
LANGUAGES = {
    "": "As the author writes", "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian",
    "pt": "Portuguese", "nl": "Dutch", "pl": "Polish", "sv": "Swedish", "da": "Danish", "tr": "Turkish",
}  # fmt: skip
MOST_LINKS = 5


def render() -> None:
    """The page."""
    twin = st.session_state["twin"]
    parts.heading(
        "Compose", "Say what it is about. Drafts come back in the author's voice, each sentence with its source."
    )
    if parts.no_author(twin):
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
    wanted = _wishes(twin)
    # What is made now, or was made before, stands in one place: a draft that streams in becomes the one kept there.
    with st.container(key="composed"):
        if wanted is not None:
            _compose(twin, wanted)
        composed.show(twin)
    composed.earlier(twin["id"])


def _wishes(twin: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields; what is asked for once the button was pressed and it can be asked for."""
    with parts.card("compose"):
        name = st.segmented_control(
            "Format",
            list(FORMATS),
            default="linkedin_post",
            required=True,
            format_func=lambda key: f":material/{FORMATS[key].icon}: {FORMATS[key].title}",
            key="format",
            bind="query-params",
        )
        answered = None
        if name == "reply":
            answered = _text("The text you reply to", "reply_to", "Paste the post or comment here", 110, 5_000)
        example = "Why small teams should own their data pipeline, for people who have just inherited one"
        prompt = _text(format_named(name).asked, "prompt", example, 100, 4_000)
        links = _text("Links to draw from (optional, one a line)", "links", "https://example.org/article", 76, 2_000)
        left, right = st.columns(2)
        with left:
            length = st.segmented_control(
                "Length", list(LENGTHS), default="usual", required=True, format_func=LENGTHS.__getitem__,
                key="length", bind="query-params",
            )  # fmt: skip
        with right:
            variants = st.segmented_control(
                "Variants", [1, 2, 3, 4], default=2, required=True, key="variants", bind="query-params",
                help="Drafts of each kind, with different openings; they are ranked.",
            )  # fmt: skip
        more = _more()
        asked = st.button("Compose", type="primary", icon=":material/edit_note:")
        if not twin["model_version"]:
            st.caption("No model is approved yet: drafts are assembled from real sentences, which needs none.")
    if not asked:
        return None
    wishes = {"prompt": prompt, "links": links_of(links), "format": name, "length": length, "variants": variants}
    problem = _problem(wishes, answered)
    if problem:
        st.error(problem, icon=":material/error:")
        return None
    return wishes | ({"reply_to": answered} if answered else {}) | more


def _more() -> dict[str, str]:
    """The wishes few need, behind an expander; those that are filled in."""
    keys = ("tone", "audience", "call_to_action", "language")
    filled = any(st.session_state.get(key) or st.query_params.get(key) for key in keys)
    with st.expander("More: tone, audience, language", expanded=filled, icon=":material/tune:"):
        left, right = st.columns(2)
        with left:
            tone = _line("Tone", "tone", "dry, a little impatient")
            audience = _line("Audience", "audience", "people who run a small data team")
        with right:
            call = _line("Call to action", "call_to_action", "Tell me how yours broke")
            language = st.selectbox(
                "Language", list(LANGUAGES), format_func=LANGUAGES.__getitem__, key="language", bind="query-params"
            )
    values = {"tone": tone, "audience": audience, "call_to_action": call, "language": language}
    return {name: value for name, value in values.items() if value}


def _text(label: str, key: str, example: str, height: int, most: int) -> str:
    # Kept in the address as soon as the field is left, without drawing the page again.
    text = st.text_area(
        label, key=key, placeholder=example, height=height, max_chars=most, bind="query-params", on_change="ignore"
    )
    return (text or "").strip()


def _line(label: str, key: str, example: str) -> str:
    text = st.text_input(label, key=key, placeholder=example, max_chars=200, bind="query-params", on_change="ignore")
    return (text or "").strip()


def _problem(wishes: Mapping[str, Any], answered: str | None) -> str | None:
    """What is missing, as a sentence."""
    if wishes["format"] == "reply" and not answered:
        return "Paste the text you reply to; a reply answers something."
    if not wishes["prompt"]:
        return "Write in a sentence what it should say; links alone do not tell."
    if len(wishes["links"]) > MOST_LINKS:
        return f"These are {len(wishes['links'])} links; {MOST_LINKS} are read at most. Leave the others out."
    return None


def links_of(text: str) -> list[str]:
    """The links in what was typed: separated by white space or commas, each once, `https://` added where missing."""
    found = [part for part in re.split(r"[\s,]+", text) if part]
    return list(dict.fromkeys(part if "://" in part else f"https://{part}" for part in found))


def _compose(twin: Mapping[str, Any], wishes: Mapping[str, Any]) -> None:
    """Show the drafts while they are made; then the address names them, and the page shows what was kept."""
    both = twin["model_version"] is not None
    stream = composed.Stream(wishes["variants"] * (2 if both else 1), twin["model_version"])
    try:
        for event, data in state.serving().compose_stream(twin["id"], **wishes):
            stream.show(event, data)
    except ServingError as error:
        stream.failed(error)
        return
    state.choose_draft(stream.trace_id)
    st.rerun()
