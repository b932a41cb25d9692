"""The page: `streamlit run twin_ui/app.py`. Chooses the author once, in the sidebar, for every page."""

from pathlib import Path
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, state
from twin_ui.views import compose, library, models, monitoring, sources, voice
from twin_ui.views.authors import add_author_dialog

SIDEBAR_PIXELS = 244
RETRY_SECONDS = 3.0


def _asset(name: str) -> str:
    return str(Path(__file__).with_name(name))


def _sidebar(twins: list[dict[str, Any]]) -> dict[str, Any] | None:
    with st.sidebar:
        if not twins:
            return None
        names = {twin["id"]: twin["name"] for twin in twins}
        st.session_state["author_choice"] = state.chosen_author(list(names))
        st.selectbox(
            "Author",
            list(names),
            key="author_choice",
            format_func=lambda author: names.get(author, author),
            on_change=lambda: state.choose_author(st.session_state["author_choice"]),
        )
        if st.button("Add an author", icon=":material/person_add:", type="tertiary"):
            add_author_dialog()
        return next(twin for twin in twins if twin["id"] == st.session_state["author"])


@st.fragment(run_every=RETRY_SECONDS)
def _go_on_when_back() -> None:
    try:
        state.serving().health()
    except ServingError:
        return
    st.rerun(scope="app")


def main() -> None:
    """Lay the frame (navigation, author, messages) and run the page that was asked for."""
    st.set_page_config(
        page_title="LLM Twin",
        page_icon=_asset("icon.svg"),  # an icon by name would be fetched from the network
        layout="wide",
        initial_sidebar_state=SIDEBAR_PIXELS,
        menu_items={"about": "LLM Twin drafts in your voice, with receipts. Everything stays on this machine."},
    )
    pages = {
        "sources": st.Page(sources.render, title="Sources", icon=":material/input:", url_path="sources", default=True),
        "compose": st.Page(compose.render, title="Compose", icon=":material/edit_note:", url_path="compose"),
        "library": st.Page(library.render, title="Library", icon=":material/library_books:", url_path="library"),
        "voice": st.Page(voice.render, title="Voice", icon=":material/graphic_eq:", url_path="voice"),
        "models": st.Page(models.render, title="Models", icon=":material/model_training:", url_path="models"),
        "monitoring": st.Page(
            monitoring.render, title="Monitoring", icon=":material/monitoring:", url_path="monitoring"
        ),
    }
    st.session_state["pages"] = pages
    page = st.navigation(list(pages.values()))
    st.logo(_asset("logo.svg"), size="large")
    parts.style()
    try:
        twins = state.serving().twins()
    except ServingError as error:
        parts.heading("The twin's server does not answer", "Nothing is lost; the page goes on as soon as it is back.")
        parts.problem(error, "serving")
        _go_on_when_back()
        return
    st.session_state["twin"] = _sidebar(twins)
    state.show_said()
    page.run()


main()
