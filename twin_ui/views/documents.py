"""The documents of the library: a list with filters, one of them in full, leaving it out of learning, forgetting it."""

from collections.abc import Mapping
from datetime import date
from html import escape
from math import ceil
from typing import Any

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, state

PAGE = 20


def listed(twin: Mapping[str, Any], category: str | None) -> None:
    """The author's documents, newest first, a page at a time; what is filtered by stands in the address."""
    author = twin["id"]
    restrictions = _filters(twin) | {"category": category}
    # A page of what was filtered otherwise would be another one.
    key = str(sorted((name, str(value)) for name, value in restrictions.items()))
    if st.session_state.setdefault("listed_by", key) != key:
        st.session_state["listed_by"], st.session_state["page"] = key, 1
    page = int(st.session_state.get("page") or _number(st.query_params.get("page")))
    with parts.reporting("documents"):
        found = state.serving().documents(author, limit=PAGE, offset=(page - 1) * PAGE, **restrictions)
    if not found["total"]:
        parts.empty("filter_alt_off", "Nothing like that", "No document passes these filters; take one away.")
        return
    st.caption(parts.count(found["total"], "document") + ", newest first")
    with parts.card("documents"):
        for row in found["documents"]:
            _row(author, row)
    pages = ceil(found["total"] / PAGE)
    if pages > 1:
        with st.container(horizontal_alignment="center"):
            st.pagination(pages, key="page", bind="query-params")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() and text != "0" else 1


def _filters(twin: Mapping[str, Any]) -> dict[str, Any]:
    """What the list is restricted to."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        platform = st.selectbox(
            "Platform", ["", *twin["by_platform"]], key="platform", bind="query-params", width=180,
            format_func=lambda name: parts.platform_title(name) if name else "Every platform",
        )  # fmt: skip
        words = st.text_input("With these words", key="words", bind="query-params", width=240)
        first = st.date_input("From", None, key="from", bind="query-params", width=140, max_value=date.today())
        last = st.date_input("To", None, key="to", bind="query-params", width=140)
    values = {"platform": platform, "text": (words or "").strip(), "published_from": first, "published_until": last}
    return {name: str(value) for name, value in values.items() if value}


def _row(author: str, row: Mapping[str, Any]) -> None:
    with st.container(horizontal=True, wrap=False, vertical_alignment="top", key=f"document-{row['document_id']}"):
        out = '<span class="chip">Left out of learning</span>' if row["excluded"] else ""
        about = [
            parts.platform_title(row["platform"]),
            row["category"],
            parts.moment(row["published_at"]).split(",")[0] if row["published_at"] else "",
            parts.count(row["words"], "word"),
        ]
        st.html(
            f'<div class="document"><div class="passage-title">{_title(row)}{out}</div>'
            f'<div class="beginning">{escape(" ".join(row["beginning"].split()))}</div>'
            f'<div class="about">{escape(" · ".join(filter(None, about)))}</div></div>',
            width="stretch",
        )
        named = row["title"] or " ".join(row["beginning"].split())[:40]
        if st.button("Read", type="tertiary", key=f"open-{row['document_id']}", help=f"All of “{parts.plain(named)}”"):
            document_dialog(author, row["document_id"])


def _title(row: Mapping[str, Any]) -> str:
    title = escape(row["title"] or f"{parts.platform_title(row['platform'])} {row['category']}")
    address = str(row["url"] or "")
    if not address.startswith(("http://", "https://")):
        return title
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{title}</a>'


def found(author: str, hit: Mapping[str, Any]) -> None:
    """A passage that a search found, with a way to the whole document."""
    with parts.passage(hit):
        if st.button("Read all of it", type="tertiary", key=f"open-{hit['chunk_id']}", icon=":material/open_in_full:"):
            document_dialog(author, hit["document_id"])


@st.dialog("Document", width="large")
def document_dialog(author: str, document_id: str) -> None:
    """One document in full, and what to do with it."""
    with parts.reporting("document"):
        row = state.serving().document(author, document_id)
    st.html(f'<div class="passage-title">{_title(row)}</div>')
    about = [parts.platform_title(row["platform"]), row["category"], parts.count(row["words"], "word")]
    if row["published_at"]:
        about.append(parts.moment(row["published_at"]).split(",")[0])
    if row["learned_by"]:
        about.append(f"learned by version {', '.join(row['learned_by'])}")
    st.caption(parts.plain(" · ".join(about)))
    parts.scrolling(f'<div class="words">{escape(row["text"])}</div>', "Text of the document")
    _exclusion(author, row)
    _forgetting(author, row)


def _exclusion(author: str, row: Mapping[str, Any]) -> None:
    if row["excluded"]:
        label, told, said = (
            "Let it be learned again",
            "It is left out of learning: no next model sees it. Drafts may still quote it.",
            "The next training may learn it again.",
        )
    else:
        label, told, said = (
            "Leave out of learning",
            "The next models do not learn it; drafts may still quote it, and it stays in the library.",
            "Left out. The next training does not see it.",
        )
    st.markdown(told)
    if st.button(label, icon=":material/school:", key="exclude"):
        try:
            state.serving().exclude_document(author, row["document_id"], excluded=not row["excluded"])
        except ServingError as error:
            st.error(str(error), icon=":material/error:")
        else:
            state.say(said)
            st.rerun()


def _forgetting(author: str, row: Mapping[str, Any]) -> None:
    if not st.toggle("Forget it altogether", key="forget", help="Shows first what goes with it."):
        return
    try:
        with st.spinner("Looking for everything that holds it…"):
            plan = state.serving().forget_document(author, row["document_id"], dry_run=True)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.warning("\n".join(f"- {parts.plain(line)}" for line in consequences(plan)), icon=":material/delete_forever:")
    if not st.button("Forget it for ever", type="primary", icon=":material/delete_forever:", key="forget-now"):
        return
    try:
        with st.spinner("Forgetting…", show_time=True):
            state.serving().forget_document(author, row["document_id"])
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
    else:
        state.say("Forgotten. Start collecting to bring the datasets up to date.")
        st.rerun()


def consequences(plan: Mapping[str, Any]) -> list[str]:
    """What forgetting takes away, a sentence each; plan: Forgetting as plain data."""
    others = len(plan["documents"]) - 1
    lines = ["It leaves the library, the index, the datasets and every older state of them. This cannot be undone."]
    if others > 0:
        lines.append(
            f"{parts.count(others, 'other document')} with the same text {'go' if others > 1 else 'goes'} too."
        )
    if plan["files"]:
        lines.append(f"{parts.count(len(plan['files']), 'exported file')} that hold it are deleted.")
    if plan["models"]:
        versions = ", ".join(str(model["version"]) for model in plan["models"])
        lines.append(f"Versions that learned it: {versions}.")
    if plan["withdrawn"]:
        served = f"version {plan['served']} writes then" if plan["served"] else "no model writes then"
        lines.append(f"Withdrawn from serving: version {', '.join(plan['withdrawn'])}; {served}.")
    return lines
