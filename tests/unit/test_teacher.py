"""Instructions by a teacher: kept, resumed, bounded in cost, and made by rules where it fails."""

import json

import polars as pl
import pytest
from training_corpus import AUTHOR, fill

from tests.chat_server import ChatServer
from twin_assets.core import datasets, teacher
from twin_assets.core.errors import LakeError
from twin_assets.core.workspace import Workspace

POSTS = 20


def instruct(body) -> str:
    return json.dumps({"instruction": f"Say what you think of matter {hash(body['messages'][1]['content']) % 10**9}."})


@pytest.fixture
def server():
    with ChatServer(instruct) as server:
        yield server


@pytest.fixture
def taught(home, server):
    settings = home.model_copy(
        update={
            "teacher_url": server.url, "teacher_model": "tiny", "teacher_input_price": 1.0,
            "teacher_output_price": 10.0, "teacher_timeout": 5.0,
        }
    )  # fmt: skip
    workspace = Workspace(settings)
    fill(workspace, POSTS)
    return workspace


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("twin_assets.core.chat_endpoint.random.uniform", lambda *_: 0.0)


def used(workspace) -> pl.DataFrame:
    return datasets.load_dataset(workspace.lake, AUTHOR.id).samples.filter(pl.col("excluded").is_null())


def again(workspace, **changes) -> Workspace:
    return Workspace(workspace.settings.model_copy(update=changes))


def test_every_instruction_is_asked_for_once(taught, server):
    said: list[str] = []
    done = datasets.update_samples(taught, AUTHOR.id, say=said.append).teaching
    samples = used(taught)
    assert done.wanted == done.written == samples.height == len(server.requests)
    assert set(samples["instructed_by"]) == {"tiny"}
    assert samples["instruction"].str.starts_with("Say what you think of matter").all()
    assert "costs about" in said[0]
    assert done.cost == pytest.approx(done.written * (100 * 1 + 10 * 10) / 1e6)
    assert 0 < done.estimated < 20 * done.cost
    version = datasets.load_dataset(taught.lake, AUTHOR.id)

    unchanged = datasets.update_samples(taught, AUTHOR.id)
    assert unchanged.derivation.touched == unchanged.teaching.wanted == 0
    # Not even after the dataset was lost.
    taught.lake.replace_author("samples", AUTHOR.id)
    taught.lake.replace_author("passages", AUTHOR.id)
    assert datasets.update_samples(taught, AUTHOR.id).teaching.wanted == 0
    assert datasets.load_dataset(taught.lake, AUTHOR.id).version == version.version
    assert len(server.requests) == samples.height
    # Without the teacher the rules' are back, with it its own again.
    without = again(taught, teacher_url=None)
    assert datasets.update_samples(without, AUTHOR.id).derivation.changed == samples["document_id"].n_unique()
    assert used(without)["instructed_by"].null_count() == samples.height
    datasets.update_samples(taught, AUTHOR.id)
    assert datasets.load_dataset(taught.lake, AUTHOR.id).version == version.version
    assert len(server.requests) == samples.height


@pytest.mark.parametrize("fault", ["500", "nonsense", "half"])
def test_a_teacher_that_fails_is_replaced_and_asked_again(taught, server, fault):
    server.fail(fault, times=None)
    done = datasets.update_samples(taught, AUTHOR.id).teaching
    samples = used(taught)
    assert samples["instructed_by"].null_count() == samples.height
    assert (samples["instruction"].str.len_chars() > 5).all()
    assert done.written == 0
    assert sum(done.fallen_back.values()) == done.wanted == samples.height
    asked = len(server.requests)
    assert asked <= 70, "it is left alone after some failures in a row"
    server.recover()
    second = datasets.update_samples(taught, AUTHOR.id)
    assert second.teaching.written == samples.height
    assert second.derivation.changed == samples["document_id"].n_unique()


def test_one_bad_answer_costs_one_instruction(taught, server):
    victim = None

    def answer(body) -> str:
        nonlocal victim
        shown = body["messages"][1]["content"]
        if victim is None:
            victim = shown
        if shown == victim:
            return "no"
        return instruct(body)

    server.answers = answer
    done = datasets.update_samples(taught, AUTHOR.id).teaching
    assert done.fallen_back == {"answered something else": 1}
    assert done.written == done.wanted - 1
    assert used(taught)["instructed_by"].null_count() == 1


def test_a_copied_text_is_no_instruction():
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    schema = teacher._schema(text)
    with pytest.raises(ValueError, match="do not quote"):
        schema.model_validate({"instruction": f"Write: {text}"})
    assert schema.model_validate({"instruction": "Write about  counting\nto ten."})


def test_a_budget_ends_a_run_and_the_next_goes_on(taught, server):
    most = teacher.estimated_cost(teacher.Request("post", "", "", "x" * 600), taught.settings)
    bounded = again(taught, teacher_budget=2 * most)
    first = datasets.update_samples(bounded, AUTHOR.id).teaching
    assert 0 < first.written < first.wanted
    assert first.fallen_back == {"beyond the budget of a run": first.wanted - first.written}
    assert first.cost <= 2 * most
    second = datasets.update_samples(bounded, AUTHOR.id).teaching
    assert second.wanted == first.wanted - first.written
    assert second.written > 0


def test_a_killed_run_keeps_what_it_has(taught, server, monkeypatch):
    append = taught.lake.append
    written: list[dict] = []

    def dying(table, rows):
        if table == "instructions" and len(written) >= 1:
            raise LakeError("killed")
        if table == "instructions":
            written.extend(rows)
        return append(table, rows)

    monkeypatch.setattr(taught.lake, "append", dying)
    with pytest.raises(LakeError):
        datasets.update_samples(taught, AUTHOR.id)
    monkeypatch.undo()
    monkeypatch.setattr("twin_assets.core.chat_endpoint.random.uniform", lambda *_: 0.0)
    kept = taught.lake.read("instructions", AUTHOR.id).height
    assert kept == len(written) >= 1
    done = datasets.update_samples(taught, AUTHOR.id).teaching
    assert done.wanted == done.written == used(taught).height - kept
