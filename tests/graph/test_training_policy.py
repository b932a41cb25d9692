"""Training by itself, tested by ticks: when it starts, what it leaves alone, a failure retried once and told."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from tests.graph.ticks import empty_instance, instance, resource, tick  # noqa: F401  fixtures
from tests.serving_models import register
from twin_assets.core.authors import Author
from twin_assets.core.datasets import load_dataset, load_preferences, update_preferences
from twin_assets.core.documents import Sample
from twin_assets.core.errors import InputError
from twin_assets.core.lake import rows_frame
from twin_assets.core.rules import TrainingRules, set_rules
from twin_assets.core.training import policy
from twin_assets.core.workspace import Workspace
from twin_assets.defs.partitions import AUTHOR_PARTITION
from twin_assets.defs.release.sensors import new_model
from twin_assets.defs.training.sensors import enough_is_new, feedback_given

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
RULES = TrainingRules(minimum_new_samples=5, minimum_new_pairs=4, quiet_minutes=10, runs_per_week=3)


class Deployment:
    """An author with samples, a clock that the test turns, and the sensor's ticks."""

    def __init__(self, workspace, instance, resource, monkeypatch, tmp_path) -> None:
        self.workspace, self.instance, self.resource, self.folder = workspace, instance, resource, tmp_path
        self.now, self.told = MONDAY, []
        monkeypatch.setattr("twin_assets.defs.training.sensors.clock", lambda: self.now)
        monkeypatch.setattr("twin_assets.defs.training.sensors.send", lambda alert, settings: self.told.append(alert))
        workspace.authors.save(Author(id="ada", name="Ada", training=RULES))
        instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada"])

    def write(self, first: int, count: int) -> None:
        """Put samples of the author's into the lake."""
        rows = []
        for i in range(first, first + count):
            split = "test" if i == 0 else "train"
            sample = Sample(
                document_id=f"d{i}", position=0, form="post", instruction="Write.", context="",
                target=f"Text number {i} " + "word " * 80, group_id=f"d{i}", split=split, excluded=None,
            )  # fmt: skip
            rows.append(sample.row() | {"author": "ada", "input_hash": "x", "derived_version": "1"})
        self.workspace.lake.append("samples", rows_frame("samples", rows))

    def choose(self, first: int, count: int) -> None:
        """Say of drafts which of two is better."""
        names, lake = [f"{i}{half}" for i in range(first, first + count) for half in "ab"], self.workspace.lake
        draft = {"author": "ada", "created_at": self.now, "kind": "assembled", "prompt": "Write."}
        lake.append("drafts", [draft | {"draft_id": n, "trace_id": n[:-1], "text": f"Text {n}."} for n in names])
        said = {"author": "ada", "created_at": self.now, "chosen": True}
        lake.append("feedback", [said | {"feedback_id": n, "draft_id": n} for n in names if n.endswith("b")])

    def feedback(self) -> list[str]:
        """The run keys that the feedback's sensor asks for."""
        return [request.run_key for request in tick(feedback_given, self.instance, self.resource).run_requests or []]

    def train(self, tuned: bool = False) -> None:
        """What a training that went well leaves behind."""
        pairs = load_preferences(self.workspace.lake, "ada")
        made_of = {"preferences_version": pairs.version, "preferences_delta_version": pairs.delta_version}
        dataset = load_dataset(self.workspace.lake, "ada")
        model = self.folder / "model"
        model.mkdir(exist_ok=True)
        (model / "notes.txt").write_text("weights")
        register(
            self.workspace.registry, "ada", model, dataset.version, dataset_version=dataset.version,
            dataset_delta_version=dataset.delta_version, metrics={"train_samples": float(dataset.counts["train"])},
            **(made_of if tuned else {}),
        )  # fmt: skip

    def tick(self, minutes: float = 1) -> list[str]:
        """Look again after some minutes; the run keys that were asked for."""
        self.now += timedelta(minutes=minutes)
        return [request.run_key for request in tick(enough_is_new, self.instance, self.resource).run_requests or []]

    @property
    def decision(self) -> policy.TrainingDecision:
        """What the page would show now."""
        return policy.training_wanted(self.workspace, self.workspace.authors.get("ada"), self.now)


@pytest.fixture
def ada(workspace, instance, resource, monkeypatch, tmp_path, head_start) -> Deployment:
    """The author with enough text for a first model."""
    head_start.copy_to(workspace.settings.home / "mlflow" / "mlflow.db")
    deployment = Deployment(workspace, instance, resource, monkeypatch, tmp_path)
    deployment.write(0, 12)
    return deployment


def test_the_first_model_waits_for_quiet_and_trains_once(ada):
    assert ada.tick() == []
    assert "has to be quiet for 10 minutes" in ada.decision.reason
    assert ada.tick(5) == []
    ada.write(12, 1)
    assert ada.tick(6) == [], "it has changed again"
    assert len(ada.tick(11)) == 1
    ada.train()
    for _ in range(3):
        assert ada.tick(60) == []
    assert "learned this very dataset" in ada.decision.reason


def test_further_models_need_enough_that_is_new_in_number_and_share(ada):
    ada.train()
    ada.write(12, 3)
    ada.tick(), ada.tick(20)
    assert "3 new samples since version 1, 5 start a training" in ada.decision.reason
    ada.write(15, 3)
    assert ada.tick() == []
    assert len(ada.tick(11)) == 1
    set_rules(ada.workspace, "ada", "training", {**RULES.model_dump(exclude_none=True), "minimum_new_share": 1.0})
    assert "6 new samples since version 1, 11 start a training" in ada.decision.reason
    with pytest.raises(InputError, match="minimum_new_share: Input should be less than or equal to 1"):
        set_rules(ada.workspace, "ada", "training", {"minimum_new_share": 7})


def test_a_failing_training_is_retried_once_then_told_and_left_until_something_changes(ada):
    ada.tick()
    first = ada.tick(11)
    second = ada.tick(30)
    assert len(first) == len(second) == 1
    assert first != second
    for _ in range(3):
        assert ada.tick(60) == []
    (alert,) = ada.told
    assert alert.author == "ada"
    assert "failed 2 times" in alert.error
    assert ada.decision.failed
    ada.workspace.authors.save(ada.workspace.authors.get("ada").model_copy(update={"base_model": "nano"}))
    assert len(ada.tick()) == 1, "another base is another attempt"
    ada.train()
    assert ada.tick(60) == []
    assert len(ada.told) == 1


def test_the_weeks_budget_holds_and_comes_back(ada):
    for week in range(3):
        ada.write(12 + 6 * week, 6)
        ada.tick()
        assert len(ada.tick(11)) == 1
        ada.train()
        ada.tick(30)
    ada.write(40, 6)
    ada.tick()
    assert ada.tick(11) == []
    assert "3 trainings are used up" in ada.decision.reason
    set_rules(ada.workspace, "ada", "training", {"minimum_new_samples": 5, "minutes_per_week": 60})
    assert ada.tick(11) == []
    assert "60 minutes of training are used up (90)" in ada.decision.reason
    assert len(ada.tick(60 * 24 * 8)) == 1


def test_enough_feedback_becomes_pairs_and_enough_pairs_a_preference_tuning(ada, monkeypatch):
    monkeypatch.setattr("twin_assets.core.training.preferences.MINIMUM_PAIRS", 6)
    ada.train()
    ada.choose(0, 3)
    assert ada.feedback() == [], "too few"
    ada.choose(3, 2)
    (key,) = ada.feedback()
    assert ada.feedback() == [key], "Dagster starts no second run of the same key"
    update_preferences(ada.workspace, "ada")
    assert ada.feedback() == []
    ada.tick(), ada.tick(20)
    assert ada.decision.new_pairs == 0, "five pairs are too few to be tuned on, however new"
    ada.choose(5, 4)
    assert ada.feedback() != [key]
    update_preferences(ada.workspace, "ada")
    assert ada.tick() == [], "it has just changed"
    assert len(ada.tick(11)) == 1
    assert "9 new pairs of the author's own, 4 start a preference tuning" in ada.decision.reason
    ada.train(tuned=True)
    ada.choose(9, 3)
    update_preferences(ada.workspace, "ada")
    ada.tick(60)
    assert ada.tick(60) == []
    assert ada.decision.new_pairs == 3


def test_what_forgetting_withdrew_is_trained_anew_where_that_is_the_policy(ada):
    ada.train()
    lake, registry = ada.workspace.lake, ada.workspace.registry
    lake.replace("samples", "ada", "document_id", ["d3"], [])
    ada.tick(), ada.tick(20)
    registry.withdraw("ada", "1", "it learned what was forgotten", by="test")
    assert not ada.decision.wanted
    settings = ada.workspace.settings.model_copy(update={"forget_policy": "retrain"})
    decision = policy.training_wanted(Workspace(settings), ada.workspace.authors.get("ada"), ada.now)
    assert decision.wanted
    assert "no model yet" in decision.reason


def test_switched_off_or_unreadable_nothing_starts_and_the_reason_is_shown(ada):
    set_rules(ada.workspace, "ada", "training", {"automatic": False})
    ada.tick()
    assert ada.tick(20) == []
    assert "switched off" in ada.decision.reason
    set_rules(ada.workspace, "ada", "training", {})
    path = ada.workspace.settings.home / "policy" / "ada.json"
    assert "word" not in path.read_text()
    path.write_text(json.dumps({"attempts": 3}))
    assert ada.tick(20) == []
    assert "cannot be read" in ada.decision.reason


def test_an_evaluation_that_was_killed_is_run_again_once(ada):
    ada.train()
    requests = tick(new_model, ada.instance, ada.resource).run_requests
    (request,) = requests
    for _ in range(2):
        ada.instance.add_run(_ended(ada.instance, request.tags))
        requests = tick(new_model, ada.instance, ada.resource).run_requests
        assert len(requests) <= 1
        assert all(each.run_key != request.run_key for each in requests)
    assert requests == []


def _ended(instance, tags) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="release", status=dg.DagsterRunStatus.FAILURE, tags=dict(tags))


def test_new_samples_are_those_whose_text_was_not_learned(ada):
    ada.train()
    lake = ada.workspace.lake
    rows = lake.read("samples", "ada").with_columns(
        target=pl.when(pl.col("split") == "train").then(pl.col("target") + " edited").otherwise(pl.col("target"))
    )
    lake.replace_author("samples", "ada", rows)
    assert ada.decision.new_samples == 11
