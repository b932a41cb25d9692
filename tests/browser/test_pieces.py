"""What the page cuts, names and asks, without a browser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.server import PlatformServer
from twin_serving.client import ServingError
from twin_serving.server import free_port
from twin_ui.draft import pieces
from twin_ui.pipeline import PipelineClient, Run, _apply_event, _apply_state
from twin_ui.views.authors import author_id
from twin_ui.views.compose import links_of


@given(st.text(max_size=400), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), max_size=12))
def test_pieces_lose_and_double_nothing(text: str, spans: list[tuple[int, int]]):
    sentences = [{"start": start, "end": start + length} for start, length in spans]
    cut = pieces(text, sentences, 210, 3)
    assert "".join(piece["before"] + piece["after"] for piece in cut) == text
    assert sum(piece["fold"] for piece in cut) == (len(text) > 210 or text.count("\n") > 2)


def test_pieces_know_their_sentences_behind_an_emoji():
    text = "🙂🙂 First one.\n\nSecond one."
    cut = pieces(text, [{"start": 3, "end": 13}, {"start": 15, "end": 26}])
    assert [piece["before"] for piece in cut if piece["sentence"] is not None] == ["First one.", "Second one."]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Zoë van Dam", "zoe-van-dam"), ("  J. R. R.  ", "j-r-r"), ("李小龍", ""), ("A" * 90, "a" * 63)],
)
def test_a_name_gives_an_id(name: str, expected: str):
    assert author_id(name) == expected


def test_links_are_told_apart_and_completed():
    typed = "https://a.example/x, b.example/y\n\nhttps://a.example/x http://c.example"
    assert links_of(typed) == ["https://a.example/x", "https://b.example/y", "http://c.example"]


def test_a_dagster_that_is_away_is_said_with_its_address():
    client = PipelineClient(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServingError, match=r"does not answer at http://127\.0\.0\.1:\d+ .*make up"):
        client.recent("ada")


def test_a_server_that_is_not_dagster_is_said():
    with PlatformServer() as platforms, pytest.raises(ServingError, match="is not Dagster; check TWIN_DAGSTER_URL"):
        PipelineClient(platforms.url).recent("ada")


def test_a_failed_step_keeps_the_sentence_of_its_cause():
    run = Run("r1")
    state = {"jobName": "collect", "status": "FAILURE", "creationTime": 1.0, "startTime": 2.0, "endTime": 9.0}
    steps = [{"stepKey": "raw_medium", "status": "FAILURE", "startTime": 2.0, "endTime": 9.0}]
    _apply_state(run, {**state, "stepKeysToExecute": ["raw_medium", "chunks"], "stepStats": steps})
    sentence = "https://medium.com/feed/@x answered HTTP 503; try again later."
    error = {
        "message": "dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred while executing op\n",
        "causes": [{"message": f"twin_assets.core.errors.FetchError: {sentence}\n"}],
    }
    _apply_event(run, {"__typename": "ExecutionStepFailureEvent", "stepKey": "raw_medium", "error": error})
    assert run.steps["raw_medium"].error == sentence
    assert run.steps["chunks"].status == "waiting"
    assert not run.active
