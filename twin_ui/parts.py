"""Pieces every page is made of: its heading, cards, empty states, problems, names of things."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any, Literal

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import state

# The step that collects a platform, or checks what it collected.
_COLLECTS = re.compile(r"raw_([a-z0-9]+)")
# What the steps of the graph are called for somebody who has not read its code.
STEP_TITLES = {
    "cleaned_corpus": "Clean and sort the writing",
    "chunks": "Cut it into passages",
    "qdrant_collections": "Build the search index",
    "voice_profile": "Measure the voice",
    "instruct_dataset": "Prepare what the model learns from",
    "preference_dataset": "Gather your edits",
    "fine_tuned_model": "Train the model",
    "eval_report": "Evaluate the model",
    "approved_model": "Approve the model",
}
# A found passage longer than this opens on request.
PASSAGE_CHARACTERS = 360


def style() -> None:
    """The page's few rules of its own; everything else is .streamlit/config.toml."""
    st.html(f"<style>{files('twin_ui').joinpath('page.css').read_text(encoding='utf-8')}</style>")


def step_title(key: str) -> str:
    """A step's name for people."""
    asset = _asset(key)
    if asset != key:
        return f"Check: {key.removeprefix(asset).strip('_').replace('_', ' ')}"
    collected = _COLLECTS.match(key)
    if collected:
        return f"Read {platform_title(collected.group(1))}"
    return STEP_TITLES.get(key, key.replace("_", " ").capitalize())


def is_check(key: str) -> bool:
    """Whether a step checks an asset (its name then is the asset's and the check's) instead of making one."""
    return _asset(key) != key


def _asset(key: str) -> str:
    """The asset a step makes or checks."""
    collected = _COLLECTS.match(key)
    if collected:
        return collected.group()
    return next((name for name in STEP_TITLES if key == name or key.startswith(f"{name}_")), key)


def platform_title(name: str) -> str:
    """A platform's name as it writes itself."""
    try:
        titles = state.platform_titles()
    except ServingError:
        titles = {}  # the page says by itself that the API is down
    return titles.get(name, name.replace("_", " ").capitalize())


def heading(title: str, lead: str) -> None:
    """The top of a page: its name and what it is for."""
    st.title(title, anchor=False)
    st.html(f'<p class="lead">{escape(lead)}</p>')


def card(key: str, height: Literal["content", "stretch"] = "content") -> Any:
    """A bordered block of a page; stretched: as high as its neighbours."""
    return st.container(border=True, key=f"card-{key}", height=height)


def empty(icon: str, title: str, text: str, page: str | None = None, action: str = "") -> None:
    """What stands where there is nothing yet: why, and the next step (a link to the named page)."""
    with st.container(border=True, key=f"empty-{title}", horizontal_alignment="center"):
        st.markdown(f"### :material/{icon}: {title}", text_alignment="center")
        st.markdown(text, text_alignment="center")
        if page:
            go(page, action, "arrow_forward", kind="primary")


def scrolling(html: str, label: str) -> None:
    """HTML in a frame of its own that scrolls, by keyboard as well."""
    st.html(f'<div class="scrolling" tabindex="0" role="region" aria-label="{escape(label)}">{html}</div>')


def no_author(twin: Mapping[str, Any] | None) -> bool:
    """Whether there is no author yet; says so with the next step."""
    if twin is None:
        empty("person_add", "No author yet", "A twin is of somebody: add the author first.", "sources", "Add an author")
    return twin is None


def go(page: str, label: str, icon: str, kind: Literal["primary", "secondary"] = "secondary") -> None:
    """A button that leads to a page and keeps the author."""
    if st.button(label, icon=f":material/{icon}:", type=kind, key=f"go-{page}-{label}"):
        st.switch_page(
            st.session_state["pages"][page],
            query_params={name: st.query_params[name] for name in st.query_params if name == "author"},
        )


def problem(error: Exception | str, key: str) -> None:
    """Show what went wrong in its own sentence, with a way to try again."""
    st.error(str(error), icon=":material/error:")
    st.button("Try again", key=f"again-{key}", icon=":material/refresh:")


@contextmanager
def reporting(key: str) -> Iterator[None]:
    """Show a ServingError raised inside and stop the page there."""
    try:
        yield
    except ServingError as error:
        problem(error, key)
        st.stop()


def plain(text: str) -> str:
    """Text from outside, so that Markdown shows it as it is written."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~$:-])", r"\\\1", text).replace("\n", " ")


def sentence(text: str) -> str:
    """The text with a capital (unless an address stands first) and a full stop."""
    return (text if text.startswith("http") else text[:1].upper() + text[1:]) + (
        "" if text.endswith((".", "!", "?")) else "."
    )


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 document`, `12 documents`, `1,200 documents`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def moment(value: Any) -> str:
    """An ISO time or epoch seconds as `3 May 2026, 14:05` in local time; "never" for None."""
    if value in (None, ""):
        return "never"
    if isinstance(value, int | float):
        when = datetime.fromtimestamp(value).astimezone()
    else:
        when = datetime.fromisoformat(str(value).replace("Z", "+00:00")).astimezone()
    return f"{when.day} {when:%b %Y, %H:%M}"


def seconds(value: float) -> str:
    """`0.4 s`, `12 s`, `2 min 5 s`."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def passage(hit: Mapping[str, Any]) -> Any:
    """A found passage: where it stands, when, and its words; returns its frame, for what else belongs there."""
    platform = platform_title(hit["platform"])
    title = escape(hit["title"] or f"{platform} {hit['category']}")
    address = str(hit["url"] or "")
    if address.startswith(("http://", "https://")):
        title = f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{title}</a>'
    about = [
        platform,
        hit.get("heading") or "",
        moment(hit["published_at"]).split(",")[0] if hit.get("published_at") else "",
    ]
    frame = st.container(border=True, key=f"passage-{hit['chunk_id']}")
    with frame:
        st.html(
            f'<div class="passage-title">{title}</div>{_quotation(hit["text"])}'
            f'<div class="about">{escape(" · ".join(filter(None, about)))}</div>'
        )
    return frame


def _quotation(text: str) -> str:
    """The words as HTML; long ones open on request."""
    cut = text.rfind(" ", 0, PASSAGE_CHARACTERS)
    if len(text) <= PASSAGE_CHARACTERS + 80 or cut < 0:
        return f'<div class="quote">{escape(text)}</div>'
    rest = f'<details><summary>Show the rest</summary><div class="quote">{escape(text[cut + 1 :])}</div></details>'
    return f'<div class="quote">{escape(text[:cut])} …</div>{rest}'
