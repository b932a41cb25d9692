"""An OpenAI-compatible server as generator: the stream as servers send it, and their faults."""

import time

import pytest

from tests.stream_server import StreamServer
from twin_assets.core.chat_streaming import Delta, StreamingEndpoint
from twin_assets.core.errors import EndpointError, ModelError
from twin_assets.settings import Settings
from twin_serving.engines.endpoint_engine import EndpointEngine, generator_name, generator_of
from twin_serving.engines.streaming import Generation, Piece

ASK = [{"role": "user", "content": "Write about bread."}]
# A character of four bytes, and one that Python takes for the end of a line but an event stream does not.
TEXTS = ["Bread ", "rises\u2028slowly", " 🍞", ".\n\n", "Wait."]
WHOLE = "".join(TEXTS)


def deltas(server: StreamServer, seconds: float = 20.0, **options: object) -> list[Delta]:
    with StreamingEndpoint(server.url, "some", "a-key", sleep=lambda _: None) as endpoint:
        return list(endpoint.stream(ASK, {"max_tokens": 20, **options}, seconds))


def text(found: list[Delta]) -> str:
    return "".join(delta.text for delta in found)


@pytest.mark.parametrize("fault", ["", "odd", "no_usage", "picky"])
def test_the_stream_is_read_as_it_is_sent(fault: str) -> None:
    with StreamServer(TEXTS, fault) as server:
        found = deltas(server, temperature=0.3)
    assert text(found) == WHOLE
    assert found[-1].finish == "stop"
    assert found[-1].usage is not None
    if fault == "no_usage":
        assert found[-1].usage.output_tokens > 3
    else:
        assert (found[-1].usage.input_tokens, found[-1].usage.output_tokens) == (7, len(TEXTS))
    asked = server.requests[-1]
    assert (asked["model"], asked["messages"], asked["temperature"], asked["stream"]) == ("some", ASK, 0.3, True)
    assert server.keys[-1] == "Bearer a-key"


def test_a_server_that_does_not_stream_is_read_whole() -> None:
    with StreamServer(TEXTS, "whole") as server:
        found = deltas(server)
    assert (text(found), found[-1].finish) == (WHOLE, "length")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("off", "broke off"),
        ("error", "reports an error in the middle"),
        ("nonsense", "no JSON"),
        ("401", "status 401; check its address"),
        ("404", "status 404"),
        ("503", "status 503"),
    ],
)
def test_faults_are_errors_and_never_half_an_answer(fault: str, sentence: str) -> None:
    with StreamServer(TEXTS, fault) as server, pytest.raises(EndpointError, match=sentence) as caught:
        deltas(server)
    assert "a-key" not in str(caught.value)
    assert "bread" not in str(caught.value)


def test_a_server_in_trouble_is_asked_again() -> None:
    with StreamServer(TEXTS, "429", times=2) as server:
        assert text(deltas(server)) == WHOLE
    assert len(server.requests) == 3


def test_a_server_that_says_nothing_is_given_up() -> None:
    started = time.monotonic()
    with StreamServer(TEXTS, "hang") as server, pytest.raises(EndpointError, match="took longer"):
        deltas(server, seconds=0.5)
    assert time.monotonic() - started < 15
    with pytest.raises(EndpointError, match="is not reached"):
        deltas(server)


def test_what_a_model_thinks_aloud_is_left_out() -> None:
    for texts in (
        ["<th", "ink>The user", " wants bread.</thi", "nk>\n\nBread", " rises."],
        ["<think></think>", "\nBread", " rises."],
        ["Bread", " rises", "."],
        ["<b>", "Bread rises."],
    ):
        with StreamServer(texts) as server:
            assert text(deltas(server)).removeprefix("<b>") == "Bread rises."
    with StreamServer(["<think>without", " an end"]) as server:
        assert text(deltas(server)) == ""


def test_the_engine_cuts_at_stop_strings_and_closes_the_connection() -> None:
    with (
        StreamServer([f"word{number} " for number in range(5000)]) as server,
        StreamingEndpoint(server.url, "x") as end,
    ):
        engine = EndpointEngine(end, 4096)
        stops = ("word3 w", "never", "1", "2", "3", "word2 ")
        pieces = list(engine.generate(Generation(ASK, stop=("word3 word4", *stops[1:2]))))
        assert "".join(piece.text for piece in pieces) == "word0 word1 word2 "
        assert pieces[-1].finish == "stop"
        assert server.gone.wait(10)
        # More than a server takes: the rest is looked for here.
        many = Generation(ASK, stop=("a1", "a2", "a3", "a4", "word2"))
        assert "".join(piece.text for piece in engine.generate(many)) == "word0 word1 "
        assert len(server.requests[-1]["stop"]) == 4


def test_an_engine_without_its_server_says_so() -> None:
    with (
        StreamServer(TEXTS, "500") as server,
        StreamingEndpoint(server.url, "x", attempts=1) as endpoint,
        pytest.raises(ModelError, match=r"The generator does not answer: .*status 500"),
    ):
        list(EndpointEngine(endpoint, 4096).generate(Generation(ASK)))


def test_the_generator_of_a_deployment() -> None:
    assert generator_of(Settings()) is None
    with StreamServer(TEXTS) as server:
        settings = Settings(generator_url=server.url, generator_model="big", generator_key="secret")
        engine = generator_of(settings)
        assert engine is not None
        pieces = list(engine.generate(Generation(ASK, seed=3, max_tokens=9)))
    assert pieces[-1] == Piece("", 7, len(TEXTS), "stop")
    assert generator_name(settings) == "generator:big"
    assert (server.requests[0]["seed"], server.requests[0]["max_tokens"]) == (3, 9)
    assert server.keys == ["Bearer secret"]
