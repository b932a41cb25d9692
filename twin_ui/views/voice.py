"""Voice: what makes the author sound like themselves, as measured, and what they make of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import charts, parts, state

CATEGORIES = {"post": "Posts", "article": "Articles"}
LEVELS = ("never", "seldom", "as measured", "often")
LENGTHS = ("shorter", "as measured", "longer")
WORDS_SHOWN = 20


def render() -> None:
    """The page."""
    twin = st.session_state["twin"]
    parts.heading(
        "Voice", "What makes you sound like you, measured on your own writing. Your edits lie over it and stay."
    )
    if parts.no_author(twin):
        return
    with parts.reporting("voice"):
        voice = state.serving().voice(twin["id"])
    if voice["measured"]:
        _measured(voice)
    else:
        parts.empty(
            "graphic_eq",
            "Not measured yet",
            "The voice is measured when your writing is collected. You can already say how drafts should sound.",
            "sources",
            "Go to Sources",
        )
    _edit(twin["id"], voice)


def _measured(voice: Mapping[str, Any]) -> None:
    measured = voice["measured"]
    names = [name for name in CATEGORIES if name in measured]
    category = st.segmented_control(
        "Kind of writing",
        names,
        default=names[0],
        required=True,
        format_func=lambda name: f"{CATEGORIES[name]}  {measured[name]['documents']:,}",
        label_visibility="collapsed",
        key="voice-kind",
    )
    found, others = measured[category], voice["others"]
    with parts.card("voice-figures"):
        _figures(found)
    with parts.card("voice-rhythm"):
        st.subheader("Rhythm", anchor=False)
        st.markdown(
            f"A sentence differs from the one before by {found['sentence_change']:.1f} words on average; "
            f"other writers' by {others['change between sentences']:.1f}."
        )
        left, right = st.columns(2)
        left.altair_chart(charts.shares(found["sentence_lengths"], "Words in a sentence"), width="stretch")
        right.altair_chart(charts.shares(found["document_lengths"], "Words in a text"), width="stretch")
    with parts.card("voice-marks"):
        st.subheader("Punctuation", anchor=False)
        st.altair_chart(charts.against_others(found["punctuation"], others), width="stretch")
    with parts.card("voice-edges"):
        st.subheader("Openings and endings", anchor=False)
        left, right = st.columns(2)
        left.altair_chart(charts.ranked_shares(found["openings"], "Texts that open with"), width="stretch")
        right.altair_chart(charts.ranked_shares(found["endings"], "Texts that end with"), width="stretch")
        _quoted("Often the first words", found["opening_lines"])
        _quoted("Often the last line", found["ending_lines"])
    with parts.card("voice-words"):
        _words(found)
    with st.expander("What a model is told about this voice"):
        st.markdown(parts.plain(voice["guides"][category]))


def _figures(found: Mapping[str, Any]) -> None:
    length, sentence = found["words_per_document"], found["words_per_sentence"]
    columns = st.columns(4)
    columns[0].metric("Usual length", f"{length['median']:.0f} words", help=_range(length))
    columns[1].metric("Usual sentence", f"{sentence['median']:.0f} words", help=_range(sentence))
    columns[2].metric("Emoji a text", f"{found['emoji_per_document']:.1f}", help=" ".join(found["emoji"]) or None)
    tags = " ".join(f"#{tag}" for tag in found["hashtags"])
    columns[3].metric("Hashtags a text", f"{found['hashtags_per_document']:.1f}", help=parts.plain(tags) or None)


def _range(quantiles: Mapping[str, float]) -> str:
    return f"Eight in ten lie between {quantiles['low']:.0f} and {quantiles['high']:.0f} words."


def _words(found: Mapping[str, Any]) -> None:
    st.subheader("Your own words", anchor=False)
    words: Sequence[Mapping[str, Any]] = found["vocabulary"][:WORDS_SHOWN]
    if not words:
        st.markdown("There is too little writing yet to tell your words from everybody's.")
    elif words[0]["others"] is None:
        st.markdown(
            "Found in the most of your texts (others' writing in your language is not at hand to compare with)."
        )
        st.altair_chart(charts.word_counts(words), width="stretch")
    else:
        st.markdown("How often you use them and how often others do, per 1,000 words; the most telling first.")
        st.altair_chart(charts.words_against_others(words), width="stretch")
    _quoted("Turns of phrase", [phrase["phrase"] for phrase in found["phrases"][:12]])


def _quoted(title: str, phrases: Sequence[str]) -> None:
    if phrases:
        st.markdown(f"**{title}:** " + ", ".join(f"“{parts.plain(phrase)}”" for phrase in phrases))


def _edit(author: str, voice: Mapping[str, Any]) -> None:
    edits = voice["edits"]
    # The fields begin anew whenever what is kept has changed, and only then: a refused edit loses nothing typed.
    key = hashlib.sha256(json.dumps([author, edits]).encode()).hexdigest()[:12]
    st.subheader("Make it yours", anchor=False)
    with st.form(f"voice-{key}"):
        left, right = st.columns(2)
        values = {
            "forbidden_phrases": _lines(
                left, "Never say", edits["forbidden_phrases"], "leverage\nat the end of the day"
            ),
            "forbidden_topics": _lines(right, "Never write about", edits["forbidden_topics"], "politics"),
            "favourite_phrases": _lines(left, "Phrases I like", edits["favourite_phrases"], "boring is a feature"),
            "dropped_phrases": _lines(
                right, "Measured, but not me", edits["dropped_phrases"], "one measured by chance"
            ),
            "opening": left.text_input("How I open", edits["opening"], max_chars=300, placeholder="with a scene"),
            "ending": right.text_input("How I end", edits["ending"], max_chars=300, placeholder="with a question"),
            "emoji": left.select_slider("Emoji", LEVELS, edits["emoji"]),
            "hashtags": right.select_slider("Hashtags", LEVELS, edits["hashtags"]),
            "exclamation_marks": left.select_slider("Exclamation marks", LEVELS, edits["exclamation_marks"]),
            "length": right.select_slider("Length", LENGTHS, edits["length"]),
            "note": st.text_area("Anything else a draft should heed", edits["note"], max_chars=2_000, height=100),
        }
        saved = st.form_submit_button("Save my voice", icon=":material/check:", type="primary")
    if saved:
        _save(author, values, "Saved. The next draft heeds it.")
    if any(value not in ("", [], "as measured") for value in edits.values()) and st.button(
        "Take all my edits back", icon=":material/undo:", type="tertiary"
    ):
        _save(author, {}, "The voice is as it was measured.")


def _lines(place: Any, label: str, phrases: Sequence[str], example: str) -> list[str]:
    text = place.text_area(label, "\n".join(phrases), height=100, placeholder=example, help="One on each line.")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _save(author: str, edits: dict[str, Any], said: str) -> None:
    try:
        state.serving().edit_voice(author, edits)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    state.say(said)
    st.rerun()
