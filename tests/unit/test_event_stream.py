"""Server-sent events, cut anywhere."""

import json

from hypothesis import given
from hypothesis import strategies as st

from twin_assets.core.event_stream import events

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["\u2028", "a\x85b", "\r\n", ""]
)


@given(st.lists(st.tuples(st.sampled_from(["message", "text", "done"]), TEXT), max_size=5), st.data())
def test_events_are_read_whatever_they_hold_and_wherever_they_are_cut(
    said: list[tuple[str, str]], data: st.DataObject
) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    stream = "".join(
        (f"event: {name}{end}" if name != "message" else "") + f"data: {json.dumps(text, ensure_ascii=False)}{end}{end}"
        for name, text in said
    ).encode()
    if data.draw(st.booleans()):  # the last empty line is left out by some
        stream = stream.removesuffix(end.encode())
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    assert [(name, json.loads(one)) for name, one in events(chunks)] == said


def test_comments_and_names_without_data_are_no_events() -> None:
    assert list(events([b": still here\n\nevent: text\n\ndata: 1\n", b"data: 2\n\n"])) == [("message", b"1\n2")]


def test_a_stream_that_ends_at_once_has_none() -> None:
    assert list(events([])) == []
