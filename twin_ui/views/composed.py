"""What was composed: drafts while they stream in, drafts as they were kept, and those of earlier."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, state
from twin_ui.draft import format_named, show_draft, titled

# A draft is drawn again at most this often while it streams in.
DRAWN_SECONDS = 0.08
EARLIER = 10
RATINGS = {1: "1 far off", 2: "2", 3: "3", 4: "4", 5: "5 post it"}


class Stream:
    """The drafts of one composing, side by side, as its events come."""

    def __init__(self, expected: int, model_version: str | None) -> None:
        self.trace_id = ""
        self._model_version = model_version
        self._across = 1 if expected == 1 else 2
        self._texts: dict[str, str] = {}
        self._places: dict[str, Any] = {}
        self._drawn: dict[str, float] = {}
        self._status = st.status("Composing…", expanded=True)
        self._columns: Sequence[Any] = ()
        self._drafts = st.container()

    def show(self, event: str, data: Mapping[str, Any]) -> None:
        """Draw one event."""
        match event:
            case "step":
                self._status.update(label=f"{data['message'].rstrip('.…')}…", expanded=True)
                self._status.markdown(parts.plain(data["message"]))
            case "link":
                self._status.markdown(_link(data))
            case "sources":
                found = parts.count(len(data["sources"]), "passage")
                self._status.markdown(f":material/manage_search: {found} of the author's writing to draw on")
            case "start":
                self._start(data)
            case "text":
                self._texts[data["draft_id"]] += data["delta"]
                self._draw(data["draft_id"])
            case "draft":
                self._texts[data["draft_id"]] = data["text"]
                self._draw(data["draft_id"], done=True)
            case "done":
                self.trace_id = data["trace_id"]

    def failed(self, error: ServingError) -> None:
        """Say what ended it; what was written so far stays."""
        self._status.update(label="Composing ended early", state="error")
        st.error(str(error), icon=":material/error:")

    def _start(self, data: Mapping[str, Any]) -> None:
        position = len(self._places)
        if position % self._across == 0:
            self._columns = self._drafts.columns(self._across, gap="medium")
        place = self._columns[position % self._across].container(border=True, key=f"card-stream-{position}")
        place.markdown(f"**{titled(data, self._model_version)}**")
        if data.get("notice"):
            place.warning(data["notice"], icon=":material/science:")
        self._texts[data["draft_id"]] = ""
        self._places[data["draft_id"]] = place.empty()
        self._draw(data["draft_id"])

    def _draw(self, draft_id: str, done: bool = False) -> None:
        now = time.monotonic()
        if not done and now - self._drawn.get(draft_id, 0.0) < DRAWN_SECONDS:
            return
        self._drawn[draft_id] = now
        end = "" if done else '<span class="caret" aria-hidden="true">▍</span>'
        self._places[draft_id].html(f'<div class="stream" aria-live="off">{escape(self._texts[draft_id])}{end}</div>')


def show(twin: Mapping[str, Any]) -> None:
    """The composition that the address names, if it is this author's."""
    trace_id = state.chosen_draft()
    if not trace_id:
        return
    try:
        answer = state.composition(twin["id"], trace_id)
    except ServingError as error:
        st.info(f"{error} Compose anew, or choose one of the earlier ones below.", icon=":material/info:")
        return
    _head(answer)
    drafts = answer["drafts"]
    for first in range(0, len(drafts), 2):
        pair = drafts[first : first + 2]
        for column, draft in zip(st.columns(1 if len(drafts) == 1 else 2, gap="medium"), pair, strict=False):
            with column, parts.card(f"draft-{draft['draft_id']}", height="stretch"):
                _draft(answer, draft, twin["name"])
    _provenance(answer)


def _head(answer: Mapping[str, Any]) -> None:
    form = format_named(answer["format"])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Drafts", anchor=False, width="content")
        st.badge(form.title, icon=f":material/{form.icon}:", color="gray")
        for name in ("length", "tone", "audience", "language"):
            value = answer["request"].get(name)
            if value and value != "usual":
                st.badge(parts.plain(str(value)), color="gray")
    st.markdown(f"**Prompt:** {parts.plain(answer['prompt'])}")
    for link in answer["links"]:
        if link["status"] == "read":
            st.markdown(_link(link))
        else:
            st.warning(f"Not read: {parts.plain(link['message'] or link['url'])}", icon=":material/link_off:")


def _link(link: Mapping[str, Any]) -> str:
    if link["status"] == "read":
        return f":material/link: Read: {parts.plain(link['title'] or link['url'])}"
    return f":material/link_off: Not read: {parts.plain(link['message'] or link['url'])}"


def _draft(answer: Mapping[str, Any], draft: Mapping[str, Any], author_name: str) -> None:
    done = show_draft(answer, draft, author_name)
    if "edited" in done:
        _keep(answer, draft, "Your version is kept. It counts in the next training.", edited_text=done["edited"])
    if "chosen" in done:
        _keep(answer, draft, "Chosen. The twin learns which of them you took.", chosen=True)
    _rate(answer, draft)


@st.fragment
def _rate(answer: Mapping[str, Any], draft: Mapping[str, Any]) -> None:
    key, feedback = draft["draft_id"], draft["feedback"] or {}
    rated = feedback.get("rating")
    label = f"Rated {rated} of 5" if rated else "Rate it"
    with st.expander(label, icon=":material/rate_review:"), st.form(f"feedback-{key}", border=False):
        rating = st.radio(
            "How close was the draft?",
            list(RATINGS),
            index=rated - 1 if rated else None,
            horizontal=True,
            format_func=RATINGS.__getitem__,
            key=f"rating-{key}",
        )
        comment = st.text_input("Comment (optional)", feedback.get("comment") or "", key=f"comment-{key}")
        if not st.form_submit_button("Save rating", icon=":material/save:"):
            return
    if rating is None and not comment.strip():
        st.warning("Nothing to save yet: choose a rating or write a comment.")
        return
    _keep(answer, draft, "Saved. It counts in the next training.", rating=rating, comment=comment.strip() or None)


def _keep(answer: Mapping[str, Any], draft: Mapping[str, Any], said: str, **feedback: Any) -> None:
    try:
        state.serving().feedback(answer["author"], draft["draft_id"], **feedback)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    state.composition.clear(answer["author"], answer["trace_id"])
    state.say(said)
    st.rerun()


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
    when = parts.moment(answer["created_at"])
    st.caption(parts.plain(f"Made {when} with {', '.join(used)}. Trace {answer['trace_id']}."))


def earlier(author: str) -> None:
    """What was composed before; read when it is opened."""
    opened = st.expander("Earlier drafts", icon=":material/history:", key="earlier", on_change="rerun")
    if not opened.open:
        return
    with opened, parts.reporting("earlier"):
        before: str | None = st.session_state.get("earlier_before")
        found = state.serving().compositions(author, limit=EARLIER, before=before)
        if not found:
            st.markdown("No more." if before else "Nothing yet: what you compose is kept here.")
        for row in found:
            _earlier_row(row)
        with st.container(horizontal=True):
            if before and st.button("Newest", icon=":material/first_page:", type="tertiary"):
                _page_of_earlier(None)
            if len(found) == EARLIER and st.button("Older", icon=":material/chevron_right:", type="tertiary"):
                _page_of_earlier(found[-1]["created_at"])


def _page_of_earlier(before: str | None) -> None:
    st.session_state["earlier_before"] = before
    st.rerun()


def _earlier_row(row: Mapping[str, Any]) -> None:
    form = format_named(row["format"])
    prompt = row["prompt"] if len(row["prompt"]) <= 90 else f"{row['prompt'][:88]}…"
    with st.container(horizontal=True, vertical_alignment="center", key=f"row-{row['trace_id']}"):
        if st.button(parts.plain(prompt), type="tertiary", key=f"open-{row['trace_id']}",
                     icon=f":material/{form.icon}:", help=f"Show these drafts: {form.title}"):  # fmt: skip
            state.choose_draft(row["trace_id"])
            st.rerun()
        st.caption(f"{parts.moment(row['created_at'])} · {parts.count(row['drafts'], 'draft')}", width="content")
