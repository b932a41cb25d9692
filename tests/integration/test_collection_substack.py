"""Substack's notes and guests, and its long histories, over the loopback platform."""

import json
import re
import time
from collections import Counter

import pytest

from demo.history import HistoryServer
from tests.integration.collecting import collect, counts, platforms, rows, workspace  # noqa: F401
from twin_assets.core.collection import add_source
from twin_assets.core.lake import Lake
from twin_assets.core.ledger import SourceStates

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
        row["publishedBylines"] = [{"id": GUEST, "name": "Tom `Hale`"} if number == 0 else {"id": ADA, "name": "Ada"}]
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
    assert held["quarantine"] == "another author"
    assert '`twin author add ada --also-known-as "Tom Hale"`' in held["remedy"]
    assert [row["quarantine"] for row in rows(workspace).values()].count("another author") == 1
    start = len(substack.requests)
    with workspace.authors.changing("ada") as ada:
        workspace.authors.save(ada.model_copy(update={"names": ("tom hale",)}))
    assert collect(workspace, "substack").changed == 1, "and the author says that this is a name of theirs"
    assert rows(workspace)[substack.guest]["quarantine"] is None
    assert sum("/api/v1/posts/" in request.path for request in substack.requests[start:]) == 1


@pytest.fixture
def history(workspace):
    """A publication of 60 posts: five pages of its archive and one that is empty."""
    with HistoryServer(60) as server:
        add_source(workspace, "ada", "substack", f"{server.url}/substack")
        yield server


def asked(server: HistoryServer, start: int = 0) -> dict[str, int]:
    """Requests by what they asked for."""
    kinds = (re.search(r"archive|posts/|feed", request.path) for request in server.requests[start:])
    return dict(Counter(kind.group() for kind in kinds if kind))


def test_a_long_archive_is_listed_to_its_known_posts_and_once_a_week_to_its_end(history, workspace, monkeypatch):
    assert collect(workspace, "substack").new == 60
    assert asked(history) == {"archive": 6, "posts/": 60, "feed": 1}
    start = len(history.requests)
    assert counts(collect(workspace, "substack"))[:5] == ("ok", 0, 0, 60, 0)
    assert asked(history, start) == {"archive": 1, "feed": 1}
    history.posts, history.edited, start = 75, {52, 3}, len(history.requests)
    assert counts(collect(workspace, "substack"))[:5] == ("ok", 15, 1, 59, 0)  # 52 is on the third page, 3 too far back
    assert asked(history, start) == {"archive": 3, "posts/": 16, "feed": 1}
    later, start = time.time() + 8 * 86_400, len(history.requests)
    monkeypatch.setattr("twin_assets.core.sources.substack.time.time", lambda: later)
    assert counts(collect(workspace, "substack"))[:5] == ("ok", 0, 1, 74, 0)
    assert asked(history, start)["archive"] == 8
    assert rows(workspace)["3"]["content"].endswith(", 3.</p>")


def test_new_posts_whose_reading_was_broken_off_are_all_read_by_the_next(history, workspace, monkeypatch):
    monkeypatch.setattr("twin_assets.core.collection.RESUMABLE", 1)
    collect(workspace, "substack")
    history.posts = 100
    history.fail("/substack/api/v1/posts/post-86", status=429, retry_after=900, times=None)
    stopped = collect(workspace, "substack")
    assert (stopped.status, stopped.new) == ("waiting", 14)
    history.clear_faults()
    later = time.time() + 901
    monkeypatch.setattr("twin_assets.core.collection.time.time", lambda: later)
    assert counts(collect(workspace, "substack"))[:5] == ("ok", 26, 0, 74, 0)


def test_a_history_of_more_documents_than_a_batch_goes_on_where_it_was_killed(history, workspace, monkeypatch):
    monkeypatch.setattr("twin_assets.core.collection.BATCH", 7)
    monkeypatch.setattr("twin_assets.core.collection.RESUMABLE", 10)
    monkeypatch.setattr("twin_assets.core.collection.SAVING_SHARE", 1e9)
    honest, saved = SourceStates.save, []

    def save(self, cursor, listed, *, status, **values):
        honest(self, cursor, listed, status=status, **values)
        saved.append(len(listed))
        if len(saved) == 3:
            raise KeyboardInterrupt  # no handler of the program's sees it

    monkeypatch.setattr(SourceStates, "save", save)
    with pytest.raises(KeyboardInterrupt):
        collect(workspace, "substack")
    assert saved == [10, 20, 30]
    monkeypatch.setattr(SourceStates, "save", honest)
    start = len(history.requests)
    assert counts(collect(workspace, "substack"))[:5] == ("ok", 30, 0, 30, 0)
    assert asked(history, start)["posts/"] == 30


def test_what_the_lake_never_saw_is_appended_and_the_rest_replaced(history, workspace, monkeypatch):
    honest, keys = Lake.replace, []

    def replace(self, table, author, key, names, found):
        if table == "raw_documents":
            keys.append(len(names))
        return honest(self, table, author, key, names, found)

    monkeypatch.setattr(Lake, "replace", replace)
    collect(workspace, "substack")
    assert keys == [0, 0]
    keys.clear()
    history.posts, history.edited = 62, {55, 56}
    assert counts(collect(workspace, "substack"))[:3] == ("ok", 2, 2)
    assert keys == [0, 2]
    frame = workspace.lake.read("raw_documents", "ada")
    assert frame["document_id"].n_unique() == frame.height == 62
