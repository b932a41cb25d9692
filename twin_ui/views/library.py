"""Library: what was collected, and searching it."""

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import charts, parts, state

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
    with parts.card("counts"):
        left, right = st.columns([1, 2], vertical_alignment="center")
        left.metric("Documents", f"{twin['documents']:,}")
        right.altair_chart(charts.documents_by_platform(twin["by_platform"]), width="stretch")
    if not twin["index_version"]:
        parts.empty(
            "manage_search",
            "Not searchable yet",
            "The search index is built when collecting ends.",
            "sources",
            "Go to Sources",
        )
        return
    _search(twin["id"])


def _search(author: str) -> None:
    st.subheader("Search", anchor=False)
    query = st.text_input(
        "Words or an idea", key="query", bind="query-params", placeholder="what I learned from failing"
    )
    category = st.segmented_control(
        "Kind",
        list(CATEGORIES),
        default="all",
        required=True,
        format_func=lambda name: CATEGORIES[name],
        label_visibility="collapsed",
        key="kind",
        bind="query-params",
    )
    if not query.strip():
        return
    try:
        with st.spinner("Searching…"):
            wanted = None if category == "all" else category
            found = state.serving().search(author, query.strip(), limit=LIMIT, category=wanted)
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
        parts.passage(hit)
