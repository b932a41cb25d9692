"""The author's sources one by one: how each fares, when it is read next, what to do; and what was set aside."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from twin_serving.client import ServingError
from twin_ui import parts, state

STATUS = {"ok": "Read", "failed": "Failed", "waiting": "Waiting since", "reading": "Reading since"}
COUNTS = {
    "new": "new", "changed": "changed", "unchanged": "unchanged", "removed": "removed", "quarantined": "set aside",
}  # fmt: skip
SHOWN_SET_ASIDE = 12
OTHER = "Another time"
TIMETABLES = {
    "Never": None,
    "Every hour": "0 * * * *",
    "Every day at 06:00": "0 6 * * *",
    "Every Monday at 06:00": "0 6 * * 1",
}


def show_sources(twin: Mapping[str, Any], *, collecting: bool) -> None:
    """A row for each source with a way to take it away, which waits while a run collects."""
    st.subheader("Connected", anchor=False)
    st.caption(f"Times are in {twin['time_zone']}.")
    for position, row in enumerate(twin["source_states"]):
        with st.container(horizontal=True, wrap=False, vertical_alignment="top", key=f"source-{position}"):
            st.html(f'<ul class="rows">{_source_row(row, twin["time_zone"])}</ul>', width="stretch")
            if st.button(
                "Remove",
                type="tertiary",
                key=f"remove-{row['source']}",
                disabled=collecting,
                help="Wait for the run to end." if collecting else f"Take {_name(row)} away; it asks first.",
            ):
                _remove_dialog(twin["id"], row)


def place(location: str) -> str:
    """Where a source is, for people: an import's file is named by its content, which tells them nothing."""
    return f"Export file {Path(location).stem[:8]}" if location.startswith("imports/") else location


def _name(row: Mapping[str, Any]) -> str:
    return f"{parts.platform_title(row['platform'])}, {place(row['location'])}"


def _source_row(row: Mapping[str, Any], zone: str) -> str:
    status = row["status"]
    if status == "new":
        when, counted = "Not collected yet", ""
    else:
        when = f"{STATUS.get(status, status)} {clock(row['attempted_at'], zone)}"
        numbers = (f"{row[name]:,} {label}" for name, label in COUNTS.items() if row[name])
        counted = ", ".join(numbers) or "nothing found"
    if status not in ("ok", "new"):
        counted = f"Last read well: {clock(row['succeeded_at'], zone)}"
    below = [f"Next: {clock(row['next_run'], zone) if row['next_run'] else 'when you start collecting'}"]
    if status == "ok" and row["message"]:
        below.append(row["message"])
    lines = "".join(f'<span class="about">{_words(line)}</span>' for line in below)
    if row["do"] and status != "new":  # the page's own button says it for what is new
        lines += f"<span><strong>What to do:</strong> {_words(row['do'])}</span>"
    return (
        f'<li class="{escape(status)}"><div><strong>{escape(parts.platform_title(row["platform"]))}</strong>'
        f'<span class="about">{escape(place(row["location"]))}</span></div>'
        f'<div class="state"><span>{escape(when)}</span><span class="about">{escape(counted)}</span></div>'
        f'<div class="reason">{lines}</div></li>'
    )


def _words(sentence: str) -> str:
    """A sentence as HTML; what stands in backticks is a command."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(parts.sentence(sentence)))


def clock(value: str | None, zone: str) -> str:
    """An ISO time as `3 May 2026, 14:05` in the time zone; "never" for None."""
    if value is None:
        return "never"
    when = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(ZoneInfo(zone))
    return f"{when.day} {when:%b %Y, %H:%M}"


@st.dialog("Remove this source?")
def _remove_dialog(author: str, row: Mapping[str, Any]) -> None:
    try:
        plan = state.serving().remove_source(author, row["source"], dry_run=True)
    except ServingError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.markdown(f"**{parts.plain(_name(row))}**")
    st.markdown(parts.plain(parts.sentence(plan["sentence"])))
    with st.container(horizontal=True):
        confirmed = st.button("Remove it", type="primary", icon=":material/delete:")
        if st.button("Keep it"):
            st.rerun()
    if confirmed:
        try:
            done = state.serving().remove_source(author, row["source"])
        except ServingError as error:
            st.error(str(error), icon=":material/error:")
            return
        following = " Start collecting to bring the library up to date." if done["documents"] else ""
        state.say(f"{parts.platform_title(row['platform'])} is removed.{following}")
        st.rerun()


def timetable(twin: Mapping[str, Any]) -> None:
    """When the author is collected by itself, and a way to change that."""
    schedule, zone = twin["schedule"], twin["time_zone"]
    named = next((name for name, cron in TIMETABLES.items() if cron == schedule), OTHER)
    if twin["schedule_problem"]:
        st.error(parts.plain(twin["schedule_problem"]), icon=":material/error:")
    label = "Collect by itself: never" if schedule is None else f"Collect by itself: {_told(named, schedule)} ({zone})"
    with st.expander(label, icon=":material/schedule:", key=f"timetable-{twin['id']}-{schedule}"):
        if twin["next_run"]:
            st.markdown(f"Next: {clock(twin['next_run'], zone)} ({zone}), while Dagster runs (`make up`).")
        choice = st.selectbox(
            "When", [*TIMETABLES, OTHER], index=[*TIMETABLES, OTHER].index(named), key=f"when-{twin['id']}"
        )
        cron = TIMETABLES.get(choice)
        if choice == OTHER:
            cron = st.text_input(
                f"Cron expression, read in {zone}",
                value=schedule or "",
                placeholder="0 6 * * *",
                help="Minute, hour, day of the month, month, weekday. It is looked at every quarter of an hour. "
                "TWIN_TIME_ZONE sets the time zone.",
            )
        if st.button("Save timetable", icon=":material/save:"):
            _save_timetable(twin["id"], cron, choice == OTHER)


def _told(named: str, schedule: str) -> str:
    return f"at {schedule}" if named == OTHER else named[:1].lower() + named[1:]


def _save_timetable(author: str, cron: str | None, own: bool) -> None:
    if own and not (cron or "").strip():
        st.error("Write a cron expression, such as 0 6 * * * for six every day, or choose Never.")
        return
    try:
        saved = state.serving().set_schedule(author, cron)
    except ServingError as error:
        st.error(parts.plain(str(error)), icon=":material/error:")
        return
    when = saved["next_run"]
    state.say(
        f"Saved. Next: {clock(when, saved['time_zone'])} ({saved['time_zone']})."
        if when
        else "Saved. Nothing is collected by itself."
    )
    st.rerun()


def other_names(twin: Mapping[str, Any]) -> None:
    """The other names the author signs with, and a way to change them."""
    names = twin["names"]
    label = f"Also known as: {', '.join(names)}" if names else "Also known as: no other name"
    with st.expander(parts.plain(label), icon=":material/badge:", key=f"names-{twin['id']}-{'|'.join(names)}"):
        entered = st.text_area(
            "Other names they sign with, one a line",
            value="\n".join(names),
            max_chars=2000,
            key=f"other-names-{twin['id']}-{'|'.join(names)}",
            help="A text that is signed with somebody else's name is set aside; one under these names is not.",
        )
        if st.button("Save names", icon=":material/save:"):
            try:
                state.serving().set_names(twin["id"], entered.splitlines())
            except ServingError as error:
                st.error(parts.plain(str(error)), icon=":material/error:")
                return
            state.say("Saved. The next collection looks again at what was set aside.")
            st.rerun()


def show_set_aside(rows: Sequence[Mapping[str, Any]]) -> None:
    """Every link that was found and not used, with its reason and its remedy; a long list opens on request."""
    if not rows:
        return
    with parts.card("quarantine"):
        st.subheader(f"Set aside ({len(rows):,})", anchor=False)
        st.markdown("Found, but not used: what arrived was not the author's full text.")
        st.html(f'<ul class="rows">{"".join(map(_set_aside_row, rows[:SHOWN_SET_ASIDE]))}</ul>')
        if rest := rows[SHOWN_SET_ASIDE:]:
            with st.expander(f"Show {len(rest):,} more"):
                st.html(f'<ul class="rows">{"".join(map(_set_aside_row, rest))}</ul>')


def _set_aside_row(row: Mapping[str, Any]) -> str:
    title, remedy = row.get("title") or row["url"] or "Without a title", row.get("remedy")
    address = f'<span class="about">{escape(row["url"])}</span>' if row["url"] and row["url"] != title else ""
    platform = escape(parts.platform_title(row["platform"]))
    return (
        f'<li><div><strong>{escape(title)}</strong>{address}</div><div class="state">{platform}</div>'
        f'<div class="reason"><span>{escape(parts.sentence(row["reason"]))}</span>'
        + (f"<span><strong>What to do:</strong> {_words(remedy)}</span>" if remedy else "")
        + "</div></li>"
    )
