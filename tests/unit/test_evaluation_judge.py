"""Ragas' judged metrics through a loopback judge: what it says, and what is left out when it is down or babbles."""

import json
import re

import pytest

from tests.chat_server import ChatServer
from twin_assets.core.embedding import Embedder
from twin_assets.core.evaluation.judge import JUDGED, OF_TEXTS, judge
from twin_assets.core.evaluation.report import Answer
from twin_assets.settings import Settings

CONTEXTS = {"s0": ["The looms ran at night.", "A shuttle costs four euros."], "s1": ["Dye fades in the sun."]}


def answer(sample: str, text: str) -> Answer:
    target = "The looms ran at night and nobody slept."
    return Answer(sample_id=sample, form="post", instruction="Write a post about looms.", target=target, text=text)


ANSWERS = {
    "candidate": [answer("s0", "The looms ran at night. They cost a fortune."), answer("s1", "Dye fades.")],
    "baseline": [answer("s0", "Looms are machines."), answer("s1", "")],
}


def judging(body) -> str:
    """What a model of some quality would answer to each of Ragas' prompts, told apart by the form they ask for."""
    asked = body["messages"][0]["content"]  # the last is "that does not fit" where it is asked again
    fields = set(body["response_format"]["json_schema"]["schema"]["properties"])
    if fields == {"statements"} and "NLI" in body["response_format"]["json_schema"]["name"]:
        given = json.loads(re.findall(r'"statements": (\[.*?\])', asked, re.DOTALL)[-1])
        verdicts = [
            {"statement": each, "reason": "compared with the context", "verdict": int("fortune" not in each)}
            for each in given
        ]
        return json.dumps({"statements": verdicts})
    if fields == {"statements"}:
        text = re.findall(r'"answer": "(.*?)"', asked)[-1]
        return "Here they are:\n```json\n" + json.dumps({"statements": text.split(". ")}) + "\n```"
    if "question" in fields:
        return json.dumps({"question": "Could you write a post about looms?", "noncommittal": 0})
    if "score" in fields:
        return json.dumps({"feedback": "The rhythm agrees, the words less so.", "score": 4})
    if "classifications" in fields:
        found = [{"statement": "ran at night", "reason": "first passage", "attributed": 1}]
        found.append({"statement": "nobody slept", "reason": "nowhere", "attributed": 0})
        return json.dumps({"classifications": found})
    assert fields == {"reason", "verdict"}
    return json.dumps({"reason": "it tells of looms", "verdict": 1 if "looms ran" in asked else 0})


@pytest.fixture(scope="module")
def embedder(tmp_path_factory) -> Embedder:
    """One export for all the tests of a run."""
    return Embedder(tmp_path_factory.getbasetemp().parent / "embedder-export")


@pytest.fixture
def server():
    with ChatServer(judging) as server:
        yield server


def settings(server, **values) -> Settings:
    return Settings(judge_url=server.url, judge_model="small", **values)


def test_a_judge_is_asked_for_every_system_and_metric(server, embedder):
    found = judge(settings(server, judge_input_price=2.0), embedder, ANSWERS, CONTEXTS)
    assert found.left_out == {}
    candidate = found.values["candidate"]
    assert set(candidate) == set(OF_TEXTS)
    assert candidate["faithfulness"] == {"s0": 0.5, "s1": 1.0}
    assert candidate["style_rubric"] == {"s0": 4.0, "s1": 4.0}
    assert 0.5 < candidate["answer_relevancy"]["s0"] <= 1.0
    assert set(found.values["baseline"]["style_rubric"]) == {"s0"}, "an empty text is not judged"
    assert found.values["retrieval"]["context_recall"] == {"s0": 0.5, "s1": 0.5}
    assert found.values["retrieval"]["context_precision"]["s0"] == pytest.approx(1.0)
    assert found.usage.requests == len(server.requests)
    assert found.usage.cost == pytest.approx(found.usage.input_tokens * 2.0 / 1e6)


def test_without_a_judge_nothing_is_asked_and_that_is_said(embedder):
    found = judge(Settings(), embedder, ANSWERS, CONTEXTS)
    assert set(found.left_out) == set(JUDGED)
    assert found.values == {}
    assert found.usage is None


@pytest.mark.parametrize(
    ("fault", "word"),
    [("401", "refuses with status 401"), ("nonsense", "no JSON object"), ("slow", "took longer"), ("empty", "no JSON")],
)
def test_a_judge_in_trouble_leaves_its_figures_out_with_the_reason(server, embedder, fault, word):
    server.fail(fault, times=None)
    short = {"candidate": ANSWERS["candidate"][:1]}
    found = judge(settings(server, judge_timeout=0.2), embedder, short, CONTEXTS)
    assert found.values == {}
    assert set(found.left_out) == set(JUDGED)
    assert all(word in why and "judged for only 0 of 1" in why for why in found.left_out.values())
    if fault in ("401", "slow"):
        assert len(server.requests) < 16, "one that is down is not asked for everything"


def test_numbers_off_the_scale_are_no_figures(server, embedder):
    def generous(body):
        fields = set(body["response_format"]["json_schema"]["schema"]["properties"])
        return json.dumps({"feedback": "Superb.", "score": 99}) if "score" in fields else judging(body)

    server.answers = generous
    found = judge(settings(server), embedder, {"candidate": ANSWERS["candidate"]}, CONTEXTS)
    assert "outside the scale of 1 to 5" in found.left_out["style_rubric"]
    assert set(found.values["candidate"]) == {"faithfulness", "answer_relevancy"}


def test_a_judge_that_takes_too_long_altogether_is_stopped(server, embedder):
    found = judge(settings(server, judge_minutes=1e-9), embedder, ANSWERS, CONTEXTS)
    assert server.requests == []
    assert all("TWIN_JUDGE_MINUTES" in why for why in found.left_out.values())
