"""Substack's notes and guests, over the loopback platform."""

import json

import pytest

from tests.integration.collecting import collect, counts, platforms, rows, workspace  # noqa: F401
from twin_assets.core.collection import add_source

ADA, GUEST = 41, 42


def note(number: int, text: str = "A short thought.", person: int = ADA, kind: str = "note", **more) -> dict:
    row = {
        "id": number,
        "body": text,
        "user_id": person,
        "handle": "ada",
        "date": f"2025-01-01T00:00:{number % 60:02}Z",
    }
    return {
        "type": "comment",
        "context": {"type": kind},
        "comment": row | {"ancestor_path": "", "edited_at": None} | more,
    }


@pytest.fixture
def substack(platforms, workspace):
    """The demo's publication with bylines; `write(items)` fills its author's profile."""
    posts = json.loads(platforms.content["substack/archive.json"])
    for number, row in enumerate(posts):
        row["publishedBylines"] = [{"id": GUEST if number == 0 else ADA}]
    platforms.content.write("substack/archive.json", json.dumps(posts))
    platforms.guest = str(posts[0]["id"])
    platforms.write = lambda *items: platforms.content.write(f"substack/notes/{ADA}.json", json.dumps(items))
    add_source(workspace, "ada", "substack", f"{platforms.url}/substack")
    return platforms


def test_notes_are_read_as_far_as_they_are_not_known(substack, workspace):
    substack.write(*(note(n) for n in range(30, 0, -1)), note(90, person=7), note(91, kind="comment_restack"),
                   note(92, ancestor_path="5"))  # fmt: skip
    posts = len(json.loads(substack.content["substack/archive.json"]))
    assert collect(workspace, "substack").new == posts + 30
    start = len(substack.requests)
    assert counts(collect(workspace, "substack"))[:5] == ("ok", 0, 0, posts + 30, 0)
    assert sum("/reader/feed/" in request.path for request in substack.requests[start:]) == 1
    edited = note(30, "A better thought.", edited_at="2025-02-01T00:00:00Z")
    substack.write(note(31), edited, *(note(n) for n in range(29, 0, -1)))
    assert counts(collect(workspace, "substack"))[:5] == ("ok", 1, 1, posts + 29, 0)
    assert rows(workspace)["note/30"]["content"] == "A better thought."
    assert rows(workspace)["note/31"]["category"] == "post"


def test_notes_that_are_refused_lose_nothing(substack, workspace):
    substack.write(note(1))
    collect(workspace, "substack")
    substack.fail("/substack/api/v1/reader", fault="challenge", times=None)
    refused = collect(workspace, "substack")
    assert (refused.status, refused.removed) == ("ok", 0)
    assert "Notes could not be read" in refused.message
    assert "note/1" in rows(workspace)


def test_a_guests_post_is_held_back(substack, workspace):
    collect(workspace, "substack")
    held = rows(workspace)[substack.guest]
    assert (held["quarantine"], held["remedy"]) == ("another author", "a guest wrote it; nothing is to be done")
    assert [row["quarantine"] for row in rows(workspace).values()].count("another author") == 1
