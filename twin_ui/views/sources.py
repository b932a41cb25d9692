"""Sources: where the author publishes, collecting it, and what was found."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, progress, state
from twin_ui.views import connected
from twin_ui.views.authors import add_author_form


def render() -> None:
    """The page."""
    chosen = st.session_state["twin"]
    if chosen is None:
        _first_visit()
        return
    author = chosen["id"]
    parts.heading("Sources", f"Where {chosen['name']} publishes. Their twin writes from what is found there.")
    with parts.reporting("sources"):
        twin = state.serving().twin(author)
        platforms = state.serving().platforms()
    if not twin["sources"]:
        with parts.card("add"):
            st.subheader("Where do they publish?", anchor=False)
            _add(author, platforms)
        return
    connected_platforms = {source["platform"] for source in twin["sources"]}
    idle = {f"raw_{name}" for name in state.platform_titles() if name not in connected_platforms}
    panel = progress.RunPanel(author, progress.COLLECTING, hidden=idle)
    with parts.card("connected"):
        connected.show_sources(twin, collecting=panel.active)
        with st.expander("Add another source", icon=":material/add_link:", key=f"add-{len(twin['sources'])}"):
            _add(author, platforms)
        connected.other_names(twin)
    _collect(twin, panel)
    connected.show_set_aside(twin["quarantined"])


def _first_visit() -> None:
    parts.heading(
        "Your twin writes from what you have published",
        "It reads your own posts and articles, learns how you sound, and drafts in your voice. "
        "Every sentence shows where it comes from. Everything stays on this machine.",
    )
    st.markdown(
        """<ol class="steps">
        <li><strong>1 Add an author</strong>A name is enough to begin.</li>
        <li><strong>2 Say where they publish</strong>Profile links, or the export you download
        from LinkedIn, Medium or Substack.</li>
        <li><strong>3 Collect, then compose</strong>Give a prompt and a link; get drafts with their sources.</li>
        </ol>""",
        unsafe_allow_html=True,
    )
    with parts.card("first-author"):
        st.subheader("Who is the twin of?", anchor=False)
        add_author_form("first-author")


def _add(author: str, platforms: Sequence[Mapping[str, Any]]) -> None:
    links, exports = st.tabs([":material/link: Profile links", ":material/upload_file: Export file"])
    with links:
        _links_form(author, platforms)
    with exports:
        _upload(author, [p["title"] for p in platforms if p["archive"]])


def _links_form(author: str, platforms: Sequence[Mapping[str, Any]]) -> None:
    round_number = st.session_state.setdefault("links_round", 0)
    with st.form(f"links-{author}-{round_number}", border=False):
        st.markdown("Fill in the ones that apply; the rest stay empty.")
        columns = st.columns(2, gap="medium")
        entered: dict[str, str] = {}
        for position, platform in enumerate(platforms):
            label = (
                platform["title"] if platform["reads"] == "link" else f"{platform['title']} (a folder on this computer)"
            )
            with columns[position % 2]:
                entered[platform["name"]] = st.text_input(
                    label, placeholder=platform["hint"], key=f"link-{author}-{platform['name']}-{round_number}"
                )
        submitted = st.form_submit_button("Save sources", type="primary", icon=":material/add_link:")
    if submitted:
        _save_links(author, {name: value.strip() for name, value in entered.items() if value.strip()})


def _save_links(author: str, entered: Mapping[str, str]) -> None:
    if not entered:
        st.error("No link was entered: paste at least one profile link, or upload an export file.")
        return
    problems = []
    for platform, location in entered.items():
        try:
            state.serving().add_source(author, platform, location)
        except ServingError as error:
            problems.append(f"{parts.platform_title(platform)}: {error}")
    if problems:
        for problem in problems:
            st.error(problem, icon=":material/error:")
        if len(problems) < len(entered):
            st.info("The other sources are saved; correct this one and save again.", icon=":material/info:")
        return
    st.session_state["links_round"] += 1
    state.say(f"{parts.count(len(entered), 'source')} saved. Next: start collecting.")
    st.rerun()


def _upload(author: str, archives: list[str]) -> None:
    named = " or ".join(filter(None, [", ".join(archives[:-1]), archives[-1] if archives else ""]))
    round_number = st.session_state.setdefault("upload_round", 0)
    file = st.file_uploader(
        f"The ZIP you downloaded from {named}" if named else "Export file",
        type=["zip"],
        key=f"upload-{author}-{round_number}",
        help="As it came, unopened. Which platform it is from is recognised by its contents.",
    )
    if file is None:
        return
    try:
        with st.spinner(f"Reading {file.name}…"):
            source = state.serving().upload(author, file.getvalue(), file.name)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state["upload_round"] += 1
    state.say(f"{parts.platform_title(source['platform'])} export added. Next: start collecting.")
    st.rerun()


def _collect(twin: Mapping[str, Any], panel: progress.RunPanel) -> None:
    with parts.card("collect"):
        st.subheader("Collect", anchor=False)
        st.markdown(
            "Reads what is new at every source and makes it searchable; then drafts can be composed. "
            "Training a model takes longer, begins by itself once enough is new, and is not needed for a first draft."
        )
        with st.container(horizontal=True):
            panel.button("Start collecting", "collect", "play_arrow", primary=True)
            panel.button("Collect and train", "twin", "model_training")
        connected.timetable(twin)
        panel.show()
        if twin["documents"]:
            _found(twin)


def _found(twin: Mapping[str, Any]) -> None:
    counted = ", ".join(f"{number:,} from {parts.platform_title(name)}" for name, number in twin["by_platform"].items())
    st.success(
        f"**{parts.count(twin['documents'], 'document')}** in the library: {counted}.", icon=":material/library_books:"
    )
    with st.container(horizontal=True):
        parts.go("compose", "Compose a draft", "edit_note", kind="primary")
        parts.go("library", "Look through the library", "library_books")
