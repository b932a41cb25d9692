"""What was composed is kept, listed, found again and forgotten."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from twin_assets.core.authors import Author
from twin_assets.core.errors import InputError, LakeError
from twin_assets.core.forgetting_traces import Quotes, doomed
from twin_assets.core.workspace import Workspace
from twin_serving.composing.history import (
    Keeper,
    UnknownCompositionError,
    composition,
    compositions,
    keep_composition,
    keep_feedback,
)
from twin_serving.schemas import FeedbackRequest

START = datetime(2026, 5, 1, tzinfo=UTC)
SENTENCE = 'She said "we ship small changes every day" and left the room.'


def answer(number: int, text: str, document: str = "") -> dict[str, Any]:
    draft: dict[str, Any] = {
        "draft_id": f"d{number}", "kind": "assembled", "text": text, "sentences": [], "scores": {},
        "nearest": {"document_id": document} if document else None,
    }  # fmt: skip
    return {
        "author": "ada", "format": "post", "prompt": f"Write {number}", "request": {"length": "short"},
        "created_at": (START + timedelta(hours=number)).isoformat(), "trace_id": f"t{number}", "index_version": "i",
        "model_version": None, "dataset_version": None, "links": [], "drafts": [draft],
    }  # fmt: skip


@pytest.fixture
def kept(workspace: Workspace) -> Workspace:
    workspace.authors.save(Author(id="ada", name="Ada"))
    for number, text in enumerate(["Plain.\n\nWords.", f"As I wrote: {SENTENCE}", "Other words."]):
        keep_composition(workspace, answer(number, text, document="doc7" if number == 2 else ""))
    return workspace


def test_they_are_listed_newest_first_and_by_pages(kept: Workspace) -> None:
    listed = compositions(kept, "ada", 2, None)
    assert [row["trace_id"] for row in listed] == ["t2", "t1"]
    older = compositions(kept, "ada", 2, datetime.fromisoformat(listed[-1]["created_at"]))
    assert [(row["trace_id"], row["beginning"], row["drafts"]) for row in older] == [("t0", "Plain. Words.", 1)]


def test_one_is_as_it_was_with_the_latest_of_each_kind_of_feedback(kept: Workspace) -> None:
    again = composition(kept, "ada", "t0")
    assert again["drafts"][0].pop("feedback") is None
    assert again == answer(0, "Plain.\n\nWords.")
    for said in ({"rating": 2, "comment": "No."}, {"rating": 5}, {"chosen": True}):
        keep_feedback(kept, FeedbackRequest(author="ada", draft_id="d0", **said))
    (draft,) = composition(kept, "ada", "t0")["drafts"]
    assert draft["feedback"] == {"rating": 5, "edited_text": None, "comment": "No.", "chosen": True}
    with pytest.raises(UnknownCompositionError, match="no composition 't9'"):
        composition(kept, "ada", "t9")
    with pytest.raises(InputError, match="says nothing"):
        keep_feedback(kept, FeedbackRequest(author="ada", draft_id="d0"))


def test_forgetting_finds_those_that_quote_or_name_a_document(kept: Workspace) -> None:
    quotes = Quotes(["doc7"], [SENTENCE], ["Nothing else."], [])
    key, found = doomed(kept.lake, "ada", "compositions", ["doc7"], quotes)
    assert (key, sorted(found)) == ("trace_id", ["t1", "t2"])


def test_a_keeper_writes_in_order_and_what_cannot_be_written_stops_nothing(kept: Workspace) -> None:
    keeper = Keeper(kept)
    for number in (7, 8):
        keeper.keep(answer(number, "Words."))
    keeper.keep({"trace_id": "broken"})
    keeper.keep(answer(9, "Last words."))
    keeper.flush()
    assert [row["trace_id"] for row in compositions(kept, "ada", 3, None)] == ["t9", "t8", "t7"]
    keeper.close()


def test_what_the_lake_refuses_is_written_when_it_takes_it_again(
    kept: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keeper, append = Keeper(kept), kept.lake.append
    with monkeypatch.context() as away:

        def refuse(table: str, rows: Any) -> int:
            if table == "compositions":  # after the drafts
                raise LakeError("Table compositions cannot be written: no room.\nRow: Write 7")
            return append(table, rows)

        away.setattr(kept.lake, "append", refuse)
        keeper.keep(answer(7, "Words."))
        for waiting in keeper._waiting:
            waiting.result()
    assert "no room" in caplog.text
    assert "Write 7" not in caplog.text, "no prompt in a log"
    assert [row["trace_id"] for row in compositions(kept, "ada", 1, None)] == ["t2"]
    keeper.flush()
    assert [row["trace_id"] for row in compositions(kept, "ada", 1, None)] == ["t7"]
    assert keep_feedback(kept, FeedbackRequest(author="ada", draft_id="d7", rating=5))
    assert kept.lake.read("drafts", "ada")["draft_id"].to_list().count("d7") == 1
    keeper.close()
