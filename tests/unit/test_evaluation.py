"""Evaluation of a really trained nano model: its report, its figures with their intervals, and what stays of it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_corpus import AUTHOR, fill

from twin_assets.core import datasets
from twin_assets.core.embedding import Embedder
from twin_assets.core.errors import GateError, ModelError, ServingError, UnknownModelError
from twin_assets.core.evaluation.evaluate import Written, evaluate, evaluation_samples
from twin_assets.core.evaluation.formats import broken_rules
from twin_assets.core.evaluation.gate import decide
from twin_assets.core.evaluation.intervals import drawn_anew, mean_interval, paired_difference, share_less
from twin_assets.core.evaluation.measures import answer_of
from twin_assets.core.evaluation.plots import report_plot
from twin_assets.core.evaluation.release import decide_newest, recorded_report, settle
from twin_assets.core.evaluation.similarity import similarities
from twin_assets.core.prompts import encode_prompt, messages
from twin_assets.core.rules import gate_rules
from twin_assets.core.training.loading import load_version
from twin_assets.core.training.threads import fastest_threads
from twin_assets.core.training.train import train
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    workspace = Workspace(Settings(home=home, training_minutes=0.1, base_model="nano"))
    # One export for all the tests of a run.
    workspace.__dict__["embedder"] = Embedder(tmp_path_factory.getbasetemp().parent / "embedder-export")
    fill(workspace, count=50)
    datasets.update_samples(workspace, AUTHOR.id)
    version = train(workspace, AUTHOR, datasets.load_dataset(workspace.lake, AUTHOR.id)).version
    return workspace, version


class Models:
    """A writer over the trained model in this process: with its adapter, and its base without."""

    def __init__(self, workspace, version) -> None:
        self.workspace, self.count = workspace, 0
        self.model, self.tokenizer = load_version(workspace, version)

    def __call__(self, samples) -> Written:
        self.count += 1
        rows = list(samples.iter_rows(named=True))
        with fastest_threads():
            tuned = [self._answer(row) for row in rows]
            with self.model.disable_adapter():
                base = [self._answer(row) for row in rows]
        train = datasets.load_dataset(self.workspace.lake, AUTHOR.id).split("train")
        copied = [answer_of(rows[0], train["target"][0])]
        return Written(
            {"candidate": tuned, "baseline": base, "assembled": copied}, left_out={"champion": "nothing is served"}
        )

    def _answer(self, row):
        import torch

        ids = torch.tensor([encode_prompt(self.tokenizer, messages(AUTHOR.name, row["form"], row["instruction"]))])
        written = self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
        text = self.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
        return answer_of(row, text, seconds=0.1, prompt_tokens=ids.shape[1], written_tokens=12, finish="length")


def test_a_real_model_is_reported_beside_its_baseline_and_kept(trained):
    workspace, version = trained
    write = Models(workspace, version)
    dataset = datasets.load_dataset(workspace.lake, AUTHOR.id)
    samples = evaluation_samples(dataset, is_nano=True)
    assert set(samples["split"]) == {"test"}
    copied = dataset.split("train")["target"][0]

    report = evaluate(workspace, AUTHOR.id, version.version, write)
    assert evaluate(workspace, AUTHOR.id, version.version, write) == report
    assert write.count == 1, "evaluated once"
    assert recorded_report(workspace, AUTHOR.id, version.version) == report

    assert report.held_out.samples == dataset.counts["test"] == len(report.held_out.texts)
    assert report.held_out.loss == pytest.approx(version.metrics["held_out_loss"], rel=0.02)
    below = report.held_out.below_base
    assert below.value == pytest.approx(report.held_out.improvement)
    assert below.low <= below.value <= below.high
    assert report.assembled.longest_overlap > 10
    assert copied in [answer.text for answer in report.answers["assembled"]]
    assert [a.sample_id for a in report.answers["candidate"]] == [a.sample_id for a in report.answers["baseline"]]
    expected = {"bleu_score", "rouge_score", "chrf_score", "non_llm_string_similarity", "semantic_similarity"}
    for figures in (report.generated, report.baseline):
        assert set(figures.similarity) == expected
        assert all(figures.intervals[name].samples == samples.height for name in expected)
        assert figures.written_tokens == 12
    assert expected <= report.differences["baseline"].keys()
    assert "TWIN_JUDGE_URL" in report.left_out["faithfulness"]
    assert report.left_out["champion"] == "nothing is served"
    assert "not prose" in report.notice
    kept = workspace.registry.get(AUTHOR.id, version.version)
    assert kept.metrics["held_out_loss_per_character"] == report.held_out.loss_per_character
    assert kept.metrics["generated_samples"] == samples.height
    folder = workspace.registry.folder(AUTHOR.id, version.version).parent
    assert (folder / "evaluation" / "report.png").read_bytes().startswith(b"\x89PNG")
    # How well a nano of six seconds does depends on the machine; that the gate reads its figures does not.
    decision = decide(report, gate_rules(workspace.settings, AUTHOR))
    outcomes = {rule.name: rule.outcome for rule in decision.rules}
    assert (outcomes["base_loss"] == "passed") == (report.held_out.improvement >= 0.001)
    assert {"memorised", "leaks", "format"} <= outcomes.keys()
    assert outcomes["baseline_voice"] == "not applied"


def test_a_report_that_was_cut_short_decides_nothing_and_is_made_again(trained):
    workspace, version = trained
    write = Models(workspace, version)
    before = evaluate(workspace, AUTHOR.id, version.version, write)
    path = workspace.registry.folder(AUTHOR.id, version.version).parent / "evaluation" / "report.json"
    for broken in (path.read_text()[:100], json.dumps({**json.loads(path.read_text()), "held_out": None})):
        path.write_text(broken)
        with pytest.raises(GateError, match="cannot be read"):
            decide_newest(workspace, AUTHOR.id)
        with pytest.raises(GateError, match="cannot be read"):
            settle(workspace, AUTHOR)
        assert workspace.registry.approved(AUTHOR.id) is None
        made = evaluate(workspace, AUTHOR.id, version.version, write)
        assert made.held_out == before.held_out


def test_an_evaluation_that_ends_halfway_leaves_no_report(trained):
    workspace, version = trained
    before = evaluate(workspace, AUTHOR.id, version.version, Models(workspace, version))
    path = workspace.registry.folder(AUTHOR.id, version.version).parent / "evaluation" / "report.json"
    path.unlink()

    def killed(samples):
        raise ServingError("The server has gone.")

    with pytest.raises(ServingError):
        evaluate(workspace, AUTHOR.id, version.version, killed)
    with pytest.raises(GateError, match="has no evaluation"):
        settle(workspace, AUTHOR)
    assert workspace.registry.get(AUTHOR.id, version.version).status == "candidate"
    again = evaluate(workspace, AUTHOR.id, version.version, Models(workspace, version))
    assert again.generated.samples == before.generated.samples > 0
    with pytest.raises(UnknownModelError):
        evaluate(workspace, AUTHOR.id, "99", killed)


def test_a_registry_that_is_away_is_said(home):
    home = home.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    workspace = Workspace(home)
    workspace.authors.save(AUTHOR)
    with pytest.raises(ModelError, match=r"registry at 127\.0\.0\.1"):
        settle(workspace, AUTHOR)


def test_similarities_tell_same_from_different(workspace):
    text = "Looms hum. They never stop.\n\nWhy would they?"
    same = similarities([(text, text)], None)
    other = similarities([(text, "Quarterly revenue rose. Nobody knew it. It fell again."), (text, "")], None)
    assert same["bleu_score"] == pytest.approx([1.0])
    assert all(same[name][0] > 0.99 > 0.5 > np.mean(other[name]) for name in same)
    assert all(len(values) == 2 for values in other.values())
    assert similarities([], None) == {}


@pytest.mark.parametrize(
    ("form", "text", "broken"),
    [
        ("linkedin_post", "Short and good.", ""),
        ("linkedin_post", "x" * 3_001, "3,001 characters"),
        ("linkedin_post", "# Heading\n\ntext", "Markdown headings"),
        ("article", "# Heading\n\ntext", ""),
        ("thread", "One.\n\n" + "two " * 60, ""),
        ("thread", "One.\n\n" + "two " * 80, "a post of 319 characters"),
        ("instagram_caption", "#a " * 31, "31 hashtags"),
        ("post", " \n", "no text"),
        ("reply", "Yes.<|user|>And", "chat template"),
    ],
)
def test_a_text_is_held_against_its_form(form, text, broken):
    found = broken_rules(form, text)
    assert bool(found) == bool(broken)
    assert broken in "; ".join(found)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_an_interval_holds_its_figure_and_is_the_same_every_time(values):
    found = mean_interval(values)
    assert found == mean_interval(values)
    assert found.value == pytest.approx(np.mean(values))
    assert min(values) - 1e-6 <= found.low <= found.high <= max(values) + 1e-6


def test_paired_intervals_are_narrower_than_the_texts_scatter():
    generator = np.random.default_rng(1)
    hardness = generator.normal(5, 2, 60)
    ours = {str(i): value for i, value in enumerate(hardness)}
    theirs = {name: value + 0.1 + generator.normal(0, 0.05) for name, value in ours.items()}
    found = paired_difference(ours, theirs)
    assert found.low < -0.1 < found.high < 0
    assert found.high - found.low < 0.05 < mean_interval(list(hardness)).high - mean_interval(list(hardness)).low
    assert paired_difference(ours, {"other": 1.0}) is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Texts from a known population: 95% intervals of 40 texts hold the true mean in 88 to 99 of 100 cases."""
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(100):
        found = mean_interval(list(generator.exponential(3.0, 40)))
        hits += found.low <= 3.0 <= found.high
    assert 86 <= hits <= 99


def test_the_share_by_which_a_loss_is_less():
    found = share_less([9.0, 18.0], [10.0, 20.0])
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(found.high)
    assert share_less([], []) is None


def test_what_is_dear_is_measured_once_for_equal_draws():
    asked = []

    def measure(texts):
        asked.append(texts)
        return float(len(set(texts)))

    drawn = drawn_anew(["a", "b", "c"], measure)
    assert len(drawn) == 100
    assert len(asked) <= 10
    assert set(drawn) <= {1.0, 2.0, 3.0}


def test_the_plot_is_a_picture(trained):
    workspace, version = trained
    report = evaluate(workspace, AUTHOR.id, version.version, Models(workspace, version))
    assert report_plot(report).startswith(b"\x89PNG")
