"""Library: everything that was collected, drawn, found by meaning, listed by what it is."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import charts, parts, state
from twin_ui.views import documents

CATEGORIES = {"all": "Everything", "post": "Posts", "article": "Articles", "code": "Code"}
LIMIT = 10


def render() -> None:
    """The page."""
    twin = st.session_state["twin"]
    parts.heading("Library", "Everything the twin knows: what the author published, cleaned and searchable.")
    if parts.no_author(twin):
        return
    if not twin["documents"]:
        parts.empty(
            "library_books", "The library is empty", "Nothing has been collected yet.", "sources", "Go to Sources"
        )
        return
    drawn = st.container()
    query = st.text_input(
        "Words or an idea", key="query", bind="query-params", placeholder="what I learned from failing",
        icon=":material/search:",
    )  # fmt: skip
    category = st.segmented_control(
        "Kind",
        list(CATEGORIES),
        default="all",
        required=True,
        format_func=CATEGORIES.__getitem__,
        label_visibility="collapsed",
        key="kind",
        bind="query-params",
    )
    wanted = None if category == "all" else category
    if query and query.strip():
        _search(twin, query.strip(), wanted)
    else:
        documents.listed(twin, wanted)
    with drawn:
        _drawn(twin)


def _search(twin: Mapping[str, Any], query: str, category: str | None) -> None:
    if not twin["index_version"]:
        parts.empty(
            "manage_search",
            "Not searchable yet",
            "The search index is built when collecting ends.",
            "sources",
            "Go to Sources",
        )
        return
    try:
        with st.spinner("Searching…"):
            found = state.serving().search(twin["id"], query, limit=LIMIT, category=category)
    except ServingError as error:
        parts.problem(error, "search")
        return
    if found["understood"]:
        st.caption(f"Searched for “{found['searched_for']}”: {', '.join(found['understood'])}.")
    for notice in found["notices"] if found["hits"] else []:
        st.caption(notice)
    if not found["hits"]:
        parts.empty("search_off", "Nothing found", "Try other words, or look in everything.")
    for hit in found["hits"]:
        documents.found(twin["id"], hit)


def _drawn(twin: Mapping[str, Any]) -> None:
    """The figures of the whole library, one chart at a time."""
    with parts.card("counts"), parts.reporting("statistics"):
        found = state.statistics(twin["id"], twin["index_version"], twin["documents"])
        row = st.container(horizontal=True, gap="large")
        row.metric("Documents", f"{found['documents']:,}", width="content")
        row.metric("Words", f"{found['words']:,}", width="content")
        row.metric("Platforms", str(len(twin["by_platform"])), width="content")
        time, platform, length, vocabulary = st.tabs(["Over time", "By platform", "Length", "Vocabulary"])
        time.altair_chart(charts.over_time(found["months"]), width="stretch")
        platform.altair_chart(charts.documents_by_platform(twin["by_platform"]), width="stretch")
        length.altair_chart(charts.lengths(found["lengths"]), width="stretch")
        vocabulary.markdown("Different words used so far, and how many of them were new that year.")
        vocabulary.altair_chart(charts.vocabulary(found["vocabulary"]), width="stretch")
