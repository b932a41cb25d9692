"""The client of OpenAI-compatible endpoints, against a loopback server with the faults that these have."""

import json
import logging

import pytest
from pydantic import BaseModel, Field

from tests.chat_server import ChatServer
from twin_assets.core.chat_endpoint import ChatEndpoint, Usage, read_object
from twin_assets.core.errors import ConfigurationError, EndpointAnswerError, EndpointError

ASKED = [{"role": "user", "content": "a private question"}]


class Verdict(BaseModel):
    score: int = Field(ge=0, le=10)
    reason: str


GOOD = json.dumps({"score": 7, "reason": "fits"})


@pytest.fixture
def server():
    with ChatServer(lambda body: GOOD) as server:
        yield server


@pytest.fixture
def waits():
    return []


@pytest.fixture
def endpoint(server, waits):
    with ChatEndpoint(server.url, "small", "secret-key", timeout=5, sleep=waits.append) as endpoint:
        yield endpoint


def test_text_and_object_with_their_usage(server, endpoint):
    assert endpoint.complete(ASKED).value == GOOD
    answer = endpoint.complete(ASKED, Verdict, max_tokens=50)
    assert answer.value == Verdict(score=7, reason="fits")
    assert answer.usage == Usage(100, 10, 1)
    assert answer.usage.cost(1.0, 10.0) == pytest.approx(0.0002)
    assert server.requests[0]["messages"] == ASKED
    sent = server.requests[1]
    assert sent["response_format"]["json_schema"]["schema"]["required"] == ["score", "reason"]
    assert "JSON schema" in sent["messages"][-1]["content"]
    assert sent["max_tokens"] == 50
    assert server.keys == ["Bearer secret-key"] * 2


@pytest.mark.parametrize(
    "text",
    [
        f"Sure!\n```json\n{GOOD}\n```\nAnything else?",
        f"<think>{{maybe}} a seven</think>\n{GOOD}",
        '{"score": 7, "reason": "fi\nts"}',
        f'{{"draft": {{"x": }}}} {{"score": 99, "reason": "no"}} then {GOOD}',
    ],
)
def test_small_models_objects_are_found(server, endpoint, text):
    server.answers = lambda body: text
    assert endpoint.complete(ASKED, Verdict).value.score == 7
    assert len(server.requests) == 1


def test_a_server_without_response_format_is_asked_without_from_then_on(server, endpoint):
    server.fail("no_format", times=None)
    for _ in range(2):
        assert endpoint.complete(ASKED, Verdict).value.score == 7
    assert ["response_format" in body for body in server.requests] == [True, False, False]


@pytest.mark.parametrize("fault", ["nonsense", "half", "empty"])
def test_what_does_not_fit_is_asked_for_again_with_the_reason(server, endpoint, fault):
    server.fail(fault)
    answer = endpoint.complete(ASKED, Verdict)
    assert answer.value.score == 7
    assert answer.usage.requests == 2
    assert "That does not fit" in server.requests[1]["messages"][-1]["content"]
    server.fail(fault, times=None)
    with pytest.raises(EndpointAnswerError, match="3 attempts") as caught:
        endpoint.complete(ASKED, Verdict)
    assert isinstance(caught.value.usage, Usage)
    assert caught.value.usage.requests == 3


def test_a_wrong_value_is_named(server, endpoint):
    answers = iter([json.dumps({"score": 70, "reason": "x"}), GOOD])
    server.answers = lambda body: next(answers)
    assert endpoint.complete(ASKED, Verdict).value.score == 7
    assert "score: Input should be less than or equal to 10" in server.requests[1]["messages"][-1]["content"]


def test_trouble_is_waited_out_and_bounded(server, endpoint, waits):
    server.fail("429", retry_after=7)
    server.fail("500")
    assert endpoint.complete(ASKED).value == GOOD
    assert 6 < waits[0] <= 7
    assert len(waits) >= 2
    server.fail("503", times=None)
    with pytest.raises(EndpointError, match="status 503"):
        endpoint.complete(ASKED)
    assert len(server.requests) == 3 + endpoint.attempts
    server.recover()
    server.fail("429", retry_after=3_600)
    with pytest.raises(EndpointError, match="wait 3600 seconds"):
        endpoint.complete(ASKED)


def test_slow_refusing_and_absent_endpoints(server, caplog):
    caplog.set_level(logging.DEBUG, "twin_assets")
    server.fail("slow")
    with ChatEndpoint(server.url, "small", timeout=0.3, attempts=1) as endpoint:
        with pytest.raises(EndpointError, match=r"longer than 0.3 seconds"):
            endpoint.complete(ASKED)
        server.fail("401", times=None)
        with pytest.raises(EndpointError, match="status 401; check its address") as refused:
            endpoint.complete(ASKED, Verdict)
    assert "private" not in str(refused.value) + caplog.text
    with (
        ChatEndpoint("http://127.0.0.1:9/v1", "small", attempts=2, sleep=lambda _: None) as endpoint,
        pytest.raises(EndpointError, match="is not reached"),
    ):
        endpoint.complete(ASKED)
    with pytest.raises(ConfigurationError):
        ChatEndpoint("localhost:8000", "small")


def test_only_the_named_host_may_be_private(server):
    """A redirect is an answer that is refused, never followed."""
    from twin_assets.core.errors import BlockedAddressError

    with ChatEndpoint(server.url.replace("127.0.0.1", "localhost"), "small") as endpoint:
        assert endpoint.complete(ASKED).value == GOOD
        with pytest.raises(BlockedAddressError):
            endpoint._client.post("http://127.0.0.1:9/v1/chat/completions")


def test_an_object_is_read_or_the_reason_told():
    assert read_object("no braces", Verdict) == (None, "there is no JSON object in it")
    assert read_object('{"score": 3', Verdict)[1] == "the JSON is not complete or not valid"
    assert read_object("[1, 2]", Verdict)[0] is None
