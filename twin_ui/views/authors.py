"""Adding an author: on the first visit and from the sidebar."""

import re
import unicodedata

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import state


def author_id(name: str) -> str:
    """The id a name gives: "Zoë van Dam" -> "zoe-van-dam"; "" where it has no Latin letter or digit."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")


def add_author_form(key: str) -> None:
    """Ask for a name (and an id where the name gives none) and add the author; then it is the chosen one."""
    with st.form(key, border=False):
        name = st.text_input(
            "Author's name", placeholder="Ada Example", help="As it stands under what they publish.", max_chars=120
        )
        identifier = st.text_input(
            "Short id (optional)",
            placeholder="made from the name",
            help="Lower-case letters, digits and hyphens. It names the twin in addresses and files.",
            max_chars=63,
        )
        if not st.form_submit_button("Add author", type="primary", icon=":material/person_add:"):
            return
    wanted = identifier.strip() or author_id(name)
    if not name.strip():
        st.error("The author needs a name: write it as it stands under what they publish.")
    elif not wanted:
        st.error("This name gives no id: write one in the second field, in lower-case letters, digits and hyphens.")
    else:
        try:
            state.serving().add_twin(wanted, name.strip())
        except ServingError as error:
            st.error(str(error))
        else:
            state.choose_author(wanted)
            state.say(f"{name.strip()} is added. Next: where do they publish?")
            st.rerun()


@st.dialog("Add an author")
def add_author_dialog() -> None:
    """The same form over the page."""
    add_author_form("add-author-dialog")
