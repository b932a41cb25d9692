"""The rules an author's models are held to and trained by, and a way to change them."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, state

CHAMPION = {
    "measured": "as measured, within the share below",
    "not_worse": "surely not worse",
    "better": "surely better",
}
# The gate's rules by name, as its reports call them.
RULES = {
    "base_loss": "Better than its base", "champion_loss": "Against the version that writes",
    "memorised": "Nothing copied from training", "leaks": "No private data", "format": "Form of the text",
    "baseline_voice": "Voice against the stock base", "champion_voice": "Voice against the version that writes",
    "faithfulness": "Faithful to its sources", "answer_relevancy": "To the point", "style_rubric": "Style as judged",
}  # fmt: skip


def shown(author: str) -> None:
    """When the next training starts by itself and why, what it follows, and what the gate asks."""
    try:
        found = state.serving().training(author)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    icon = ":material/play_arrow:" if found["wanted"] else ":material/pause:"
    show = st.error if found["failed"] else st.info
    show(f"By itself: {'now' if found['wanted'] else 'not now'}, {parts.plain(found['reason'])}.", icon=icon)
    st.caption(f"{found['runs']} trainings and {found['minutes']:.0f} minutes in the last seven days.")
    with st.expander("Rules of training by itself", icon=":material/tune:"):
        _training_form(author, found)
    approval = "by itself" if found["approval"] == "auto" else "when you say so"
    with st.expander(f"Rules of the gate (what passes is approved {approval})", icon=":material/verified_user:"):
        _gate_form(author, found)


def _training_form(author: str, found: Mapping[str, Any]) -> None:
    rules = found["rules"]
    with st.form(f"training-rules-{author}", border=False):
        left, right = st.columns(2)
        values = {
            "automatic": st.checkbox("Train by itself", rules["automatic"]),
            "minimum_new_samples": int(
                left.number_input("New samples, at least", 1, None, rules["minimum_new_samples"])
            ),
            "minimum_new_share": right.number_input(
                "… and share of those before", 0.0, 1.0, rules["minimum_new_share"]
            ),
            "minimum_new_pairs": int(
                left.number_input("Or edits and choices, at least", 1, None, rules["minimum_new_pairs"])
            ),
            "quiet_minutes": right.number_input(
                "Quiet minutes after the last change", 0.0, None, rules["quiet_minutes"]
            ),
            "runs_per_week": int(
                left.number_input("Trainings in seven days, at most", 0, None, rules["runs_per_week"])
            ),
            "minutes_per_week": right.number_input(
                "Minutes in seven days, at most", 0.0, None, rules["minutes_per_week"], placeholder="any"
            ),
        }
        saved = st.form_submit_button("Keep these rules", icon=":material/check:")
    if saved:
        _keep(author, "training", values, rules, found["own_rules"])
    _back(author, "training", found["own_rules"])


def _gate_form(author: str, found: Mapping[str, Any]) -> None:
    rules = found["gate"]
    with st.form(f"gate-rules-{author}", border=False):
        left, right = st.columns(2)
        values = {
            "margin": left.number_input(
                "Loss below its base's, share", -1.0, 1.0, rules["margin"], 0.001, format="%.3f"
            ),
            "champion": right.selectbox(
                "Against the version that writes", list(CHAMPION), list(CHAMPION).index(rules["champion"]),
                format_func=CHAMPION.__getitem__,
            ),
            "champion_margin": left.number_input(
                "… that may be better by, share", 0.0, 1.0, rules["champion_margin"], 0.005, format="%.3f"
            ),
            "voice_points": right.number_input("Voice points another may be ahead by", 0.0, 100.0,
                                               rules["voice_points"]),
            "judged_margin": left.number_input("Judged lower by, share", 0.0, 1.0, rules["judged_margin"], 0.05),
            "memorised_words": int(
                right.number_input("Words in a row copied, at most", 5, None, rules["memorised_words"])
            ),
            "format_failures": left.number_input("Texts against their form, share", 0.0, 1.0,
                                                 rules["format_failures"], 0.05),
            "required": right.multiselect(
                "Decides nothing without", list(RULES), rules["required"],
                format_func=RULES.__getitem__,
            ),
        }  # fmt: skip
        saved = st.form_submit_button("Keep these rules", icon=":material/check:")
    if saved:
        _keep(author, "gate", values, rules, found["own_gate"])
    _back(author, "gate", found["own_gate"])


def _keep(author: str, kind: str, values: Mapping[str, Any], rules: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    changed = {name: value for name, value in values.items() if value is not None and value != rules[name]}
    if not changed:
        st.info("Nothing was changed.", icon=":material/info:")
        return
    _set(author, kind, {**own, **changed}, "The rules are kept.")


def _back(author: str, kind: str, own: Mapping[str, Any]) -> None:
    if own and st.button("Back to the deployment's rules", icon=":material/undo:", type="tertiary", key=f"back-{kind}"):
        _set(author, kind, {}, "The deployment's rules hold again.")


def _set(author: str, kind: str, values: dict[str, Any], said: str) -> None:
    try:
        state.serving().set_rules(author, kind, values)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    state.say(said)
    st.rerun()
