"""What the page cuts, names and asks, without a browser."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.server import PlatformServer
from twin_serving.client import ServingError, TwinClient
from twin_serving.server import free_port
from twin_ui.draft import format_named, pieces
from twin_ui.pipeline import PipelineClient, Run, _apply_event, _apply_state
from twin_ui.views.authors import author_id
from twin_ui.views.compose import links_of
from twin_ui.views.documents import consequences
from twin_ui.views.monitoring import waterfall


@given(st.text(max_size=400), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), max_size=12))
def test_pieces_lose_and_double_nothing(text: str, spans: list[tuple[int, int]]):
    sentences = [{"start": start, "end": start + length} for start, length in spans]
    cut = pieces(text, sentences, 210, 3)
    assert "".join(piece["before"] + piece["after"] for piece in cut) == text
    assert sum(piece["fold"] for piece in cut) == (len(text) > 210 or text.count("\n") > 2)


def test_linkedin_folds_behind_the_third_line_and_elsewhere_nothing_does():
    text = "One.\n\nTwo.\n\nThree."
    form = format_named("linkedin_post")
    cut = pieces(text, [{"start": 0, "end": 4}], form.fold, form.fold_lines)
    assert (
        "".join(piece["before"] for piece in cut[: 1 + [piece["fold"] for piece in cut].index(True)]) == "One.\n\nTwo."
    )
    assert not any(piece["fold"] for piece in pieces(text * 90, []))


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


def served(lines: list[str], status: int = 200) -> tuple[list[tuple[str, dict]], ServingError | None]:
    """What a client makes of a stream of these lines: the events, and the error it ended with."""
    body, kind = "\n".join(lines).encode(), "text/event-stream" if status == 200 else "application/json"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        events: list[tuple[str, dict]] = []
        with TwinClient(f"http://127.0.0.1:{server.server_port}") as client:
            try:
                events.extend(client.compose_stream("ada", "pipelines"))
            except ServingError as error:
                return events, error
    return events, None


def test_a_stream_is_read_to_its_end():
    lines = [
        ": working",
        "",
        "event: text",
        'data: {"delta": "A: b\\nc"}',
        "",
        "event: done",
        'data: {"drafts": []}',
        "",
    ]
    assert served(lines) == ([("text", {"delta": "A: b\nc"}), ("done", {"drafts": []})], None)


@pytest.mark.parametrize(
    ("lines", "status", "sentence"),
    [
        (["event: step", 'data: {"name": "links"}', ""], 200, "broke off before its end"),
        (["event: error", 'data: {"error": {"message": "The model is gone; roll back."}}', ""], 200, "roll back"),
        (['{"error": {"message": "There is no author ada."}}'], 404, "no author ada"),
        (["<html>"], 502, "not as a serving API does"),
    ],
)
def test_a_stream_that_ends_early_says_why(lines: list[str], status: int, sentence: str):
    _, error = served(lines, status)
    assert sentence in str(error)


def test_the_bars_of_a_trace_stay_inside_its_time():
    steps = [{"name": "links", "start_ms": 0, "ms": 250}, {"name": "<b>", "start_ms": 250, "ms": 750}]
    drawn = waterfall(steps, 900.0)
    assert "margin-inline-start:25.00%;width:75.00%" in drawn
    assert "<b>" not in drawn


def test_forgetting_says_what_goes_with_it():
    plan = {"documents": [{}, {}], "files": [], "models": [{"version": "3"}], "withdrawn": ["3"], "served": None}
    told = " ".join(consequences(plan))
    assert "1 other document with the same text goes too." in told
    assert "version 3; no model writes then" in told


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
