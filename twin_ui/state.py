"""What a page visit knows: its author (in the address), the two clients, the drafts it looks at."""

from typing import Any

import streamlit as st

from twin_assets.settings import get_settings
from twin_serving.client import TwinClient
from twin_ui.pipeline import PipelineClient


@st.cache_resource
def serving() -> TwinClient:
    """The client of the serving API, one for all visits."""
    settings = get_settings()
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return TwinClient(settings.serving_url, api_key=key)


@st.cache_resource
def pipeline() -> PipelineClient:
    """The client of Dagster, one for all visits."""
    return PipelineClient(get_settings().dagster_url)


@st.cache_data(ttl=600)
def platform_titles() -> dict[str, str]:
    """The name of each platform as it writes itself, as the serving API has them."""
    return {platform["name"]: platform["title"] for platform in serving().platforms()}


@st.cache_data(ttl=300, max_entries=64, show_spinner=False)
def composition(author: str, trace_id: str) -> dict[str, Any]:
    """What was composed, as the serving API kept it; clear it when feedback is given."""
    return serving().composition(author, trace_id)


@st.cache_data(ttl=300, max_entries=16, show_spinner=False)
def statistics(author: str, index_version: str | None, documents: int) -> dict[str, Any]:
    """What was collected, in figures; asked for again when the index or the number of documents is another."""
    return serving().statistics(author)


def choose_draft(trace_id: str) -> None:
    """Put this composition into the address, so that a reload shows it again."""
    st.session_state["draft"] = st.query_params["draft"] = trace_id


def chosen_draft() -> str | None:
    """The composition that the address names, else the visit's last."""
    trace_id: str | None = st.query_params.get("draft") or st.session_state.get("draft")
    if trace_id:
        st.query_params["draft"] = trace_id
    return trace_id


def choose_author(author: str) -> None:
    """Make this the author of the visit."""
    if st.session_state.get("author") not in (None, author):
        st.session_state.pop("draft", None)
        st.query_params.pop("draft", None)
    st.session_state["author"] = st.query_params["author"] = author


def chosen_author(known: list[str]) -> str | None:
    """The author of the address, else of the visit, else the first, written back to the address; None: no author."""
    if not known:
        return None
    wanted = (st.query_params.get("author"), st.session_state.get("author"))
    author = next((name for name in wanted if name in known), known[0])
    choose_author(author)
    return author


def say(message: str) -> None:
    """Show this once, after the rerun that follows."""
    st.session_state["said"] = message


def show_said() -> None:
    """Show what `say` left."""
    if message := st.session_state.pop("said", None):
        st.toast(message, icon=":material/check_circle:")
