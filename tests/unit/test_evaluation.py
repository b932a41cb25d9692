"""Evaluation of a really trained nano model, through a function and over HTTP; the gate's decisions."""

import json
from datetime import UTC, datetime

import pytest
from training_corpus import AUTHOR, fill

from demo.loopback import LoopbackServer
from demo.messages import Request, Response
from twin_assets.core import datasets
from twin_assets.core.errors import GateError, ServingError, UnknownModelError
from twin_assets.core.evaluation.evaluate import evaluate, evaluation_samples
from twin_assets.core.evaluation.gate import decide
from twin_assets.core.evaluation.report import HeldOut, Report, TextFigures
from twin_assets.core.evaluation.similarity import similarities
from twin_assets.core.prompts import encode_prompt
from twin_assets.core.training.loading import load_version
from twin_assets.core.training.train import train
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    workspace = Workspace(Settings(home=home, training_minutes=0.1, base_model="nano"))
    fill(workspace, count=50)
    datasets.update_samples(workspace, AUTHOR.id)
    version = train(workspace, AUTHOR, datasets.load_dataset(workspace.lake, AUTHOR.id)).version
    return workspace, version


class ChatServer(LoopbackServer):
    """The chat endpoint of an OpenAI-compatible server over a function."""

    def __init__(self, answer) -> None:
        self.write = answer
        self.asked = []
        super().__init__()

    def respond(self, request: Request) -> Response:
        body = json.loads(request.body)
        self.asked.append(body)
        message = {"role": "assistant", "content": self.write(body["messages"], body["max_tokens"])}
        return Response(200, json.dumps({"choices": [{"message": message}]}).encode())


def test_a_real_model_over_http_is_reported_and_kept(trained):
    import torch

    workspace, version = trained
    model, tokenizer = load_version(workspace, version)

    def answer(conversation, tokens):
        ids = torch.tensor([encode_prompt(tokenizer, conversation)])
        written = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=min(tokens, 12), do_sample=False
        )
        return tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)

    dataset = datasets.load_dataset(workspace.lake, AUTHOR.id)
    samples = evaluation_samples(dataset, is_nano=True)
    assert set(samples["split"]) == {"test"}
    copied = dataset.split("train")["target"][0]
    with ChatServer(answer) as server:
        report = evaluate(
            workspace, AUTHOR.id, version.version, server.url, assembled={samples["sample_id"][0]: copied}
        )
        count = len(server.asked)
        assert count == samples.height == len(report.answers)
        assert server.asked[0]["model"] == AUTHOR.id
        assert evaluate(workspace, AUTHOR.id, version.version, server.url) == report
        assert len(server.asked) == count, "evaluated once"
    assert report.held_out.samples == dataset.counts["test"]
    assert report.held_out.loss == pytest.approx(version.metrics["held_out_loss"], rel=0.02)
    assert report.held_out.loss < report.held_out.loss_base
    assert report.assembled.longest_overlap == len(copied.replace("’", " ").split()) or (
        report.assembled.longest_overlap > 10
    )
    expected = {
        "bleu_score", "rouge_score", "chrf_score", "non_llm_string_similarity", "semantic_similarity",
    }  # fmt: skip
    assert set(report.generated.similarity) == expected
    assert report.left_out["faithfulness"] == "no judge endpoint is configured"
    assert "not prose" in report.notice
    kept = workspace.registry.get(AUTHOR.id, version.version)
    assert kept.metrics["held_out_loss_per_character"] == report.held_out.loss_per_character
    folder = workspace.registry.folder(AUTHOR.id, version.version).parent
    assert (folder / "evaluation" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert decide(report, None).passed


def test_a_server_that_is_not_there_is_an_error(trained, home):
    workspace, version = trained
    with pytest.raises(UnknownModelError):
        evaluate(workspace, AUTHOR.id, "99", None)
    fresh = workspace.registry.report
    workspace.registry.report = lambda *_: None
    try:
        with pytest.raises(ServingError, match="did not answer"):
            evaluate(workspace, AUTHOR.id, version.version, "http://127.0.0.1:9")
    finally:
        workspace.registry.report = fresh


def test_similarities_tell_same_from_different(workspace):
    text = "Looms hum. They never stop.\n\nWhy would they?"
    same = similarities([(text, text)], None)
    other = similarities([(text, "Quarterly revenue rose. Nobody knew it. It fell again."), (text, "")], None)
    assert same["bleu_score"] == pytest.approx(1.0)
    assert all(same[name] > 0.99 > 0.5 > other[name] for name in same)
    assert similarities([], None) == {}


def report(version="2", loss=5.0, base=5.5, character=2.0, overlap=5, leaks=0, voice=60.0, **changes) -> Report:
    generated = TextFigures(samples=4, words=50, voice=voice, longest_overlap=overlap, leaks=leaks)
    values = {
        "author": "ada", "version": version, "base_model": "nano", "is_nano": True, "dataset_version": "d1",
        "evaluated_at": datetime.now(UTC), "generated": generated, "assembled": None, "own": generated,
        "held_out": HeldOut(
            samples=9, tokens=900, characters=2000, loss=loss, loss_base=base, loss_per_character=character
        ),
        "median_seconds": 1.0, "left_out": {},
    }  # fmt: skip
    return Report(**(values | changes))


@pytest.mark.parametrize(
    ("candidate", "champion", "passed", "word"),
    [
        (report(), None, True, "held-out texts"),
        (report(loss=5.5), None, False, "base's"),
        (report(loss=6.0), None, False, "base's"),
        (report(overlap=60), None, False, "copied"),
        (report(leaks=1), None, False, "personal data"),
        (report(generated=None), None, False, "no text was generated"),
        (report(), report("1"), True, "version 1"),
        (report(character=2.1), report("1"), False, "per character"),
        (report(character=1.5), report("1"), True, "per character"),
        (report(voice=20.0), report("1"), False, "voice score"),
        (report(voice=None), report("1"), True, "per character"),
    ],
)
def test_gate(candidate, champion, passed, word):
    decision = decide(candidate, champion)
    assert decision.passed is passed
    mark = "passed" if passed else "failed"
    assert any(reason.startswith(mark) and word in reason for reason in decision.reasons)


def test_the_gate_compares_on_the_same_texts_only():
    with pytest.raises(GateError, match="the same one"):
        decide(report(), report("1", dataset_version="d0"))
    assert not decide(report(loss=5.4), None, margin=0.05).passed
