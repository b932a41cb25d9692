"""The gate rule by rule, per author, and what becomes of a version; figures as a report carries them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from tests.serving_models import register
from twin_assets.core.authors import Author
from twin_assets.core.errors import ConfigurationError
from twin_assets.core.evaluation.gate import decide
from twin_assets.core.evaluation.held_out import of_texts
from twin_assets.core.evaluation.intervals import Interval
from twin_assets.core.evaluation.release import settle
from twin_assets.core.evaluation.report import Champion, JudgeUsage, Report, TextFigures, TextLoss
from twin_assets.core.rules import GateRules, gate_rules
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

ADA = Author(id="ada", name="Ada")
JUDGE = JudgeUsage(model="judge", requests=9, input_tokens=900, output_tokens=90, seconds=1.0, cost=None)


def held_out(loss: float, base: float = 5.5, scatter: float = 0.0):
    """Nine texts of 100 tokens; scatter: how far every second text lies above and below."""
    texts = []
    for i in range(9):
        shift = scatter * (-1) ** i if i < 8 else 0.0
        texts.append(TextLoss(
            sample_id=f"s{i}", nats=100 * (loss + shift), nats_base=100 * base, tokens=100, characters=300
        ))  # fmt: skip
    return of_texts(texts)


def report(version="2", loss=5.0, base=5.5, overlap=5, leaks=0, broken=0, scatter=0.0, **changes) -> Report:
    generated = TextFigures(
        samples=4, words=50, voice=60.0, longest_overlap=overlap, leaks=leaks,
        broken={f"s{i}": ["there is no text"] for i in range(broken)},
    )  # fmt: skip
    values = {
        "author": "ada", "version": version, "base_model": "tiny", "is_nano": False, "dataset_version": "d1",
        "evaluated_at": datetime.now(UTC), "generated": generated, "assembled": None, "own": generated,
        "held_out": held_out(loss, base, scatter), "left_out": {},
    }  # fmt: skip
    return Report(**(values | changes))


def difference(value: float, figure: str = "voice", other: str = "baseline") -> dict:
    return {other: {figure: Interval(value=value, low=value - 5, high=value + 5, samples=4)}}


def against(loss: float) -> tuple:
    return "1", held_out(loss)


@pytest.mark.parametrize(
    ("candidate", "champion", "passed", "rule", "word"),
    [
        (report(), None, True, "base_loss", "9 held-out texts"),
        (report(loss=5.5), None, False, "base_loss", "base's"),
        (report(loss=6.0), None, False, "base_loss", "-9.09%"),
        (report(overlap=60), None, False, "memorised", "60 words"),
        (report(leaks=1), None, False, "leaks", "personal data"),
        (report(broken=3), None, False, "format", "3 of 4"),
        (report(broken=2), None, True, "format", "no text"),
        (report(), against(5.0), True, "champion_loss", "version 1"),
        (report(loss=5.1), against(5.0), False, "champion_loss", "at most 1% worse"),
        (report(loss=4.0), against(5.0), True, "champion_loss", "+20.00%"),
        (report(differences=difference(-30)), None, False, "baseline_voice", "stock base with retrieval"),
        (report(differences=difference(-3)), None, True, "baseline_voice", "4 texts"),
        (report(differences=difference(-0.3, "faithfulness"), judge=JUDGE), None, False, "faithfulness", "-0.3"),
        (report(differences=difference(-0.3, "style_rubric"), judge=JUDGE), None, True, "style_rubric", "0.4 less"),
    ],
)
def test_rules(candidate, champion, passed, rule, word):
    decision = decide(candidate, gate_rules(Settings(), ADA), champion)
    assert decision.passed is passed
    assert decision.refused is not passed
    (found,) = (each for each in decision.rules if each.name == rule)
    assert found.outcome == ("passed" if passed else "failed")
    assert word in found.sentence


def test_what_could_not_be_measured_is_said_and_decides_nothing():
    decision = decide(report(generated=None), gate_rules(Settings(), ADA))
    assert not decision.passed
    assert not decision.refused
    assert decision.missing == ["memorised", "leaks"]
    assert "no text was generated" in " ".join(decision.reasons)
    judged = report(judge=JUDGE, left_out={"faithfulness": "judged for only 0 of 4 texts: the judge is down"})
    decision = decide(judged, gate_rules(Settings(), ADA))
    assert decision.passed, "a judge that is down neither promotes nor blocks"
    assert any("not applied" in reason and "the judge is down" in reason for reason in decision.reasons)
    strict = gate_rules(Settings(gate_required="base_loss,faithfulness"), ADA)
    assert decide(judged, strict).missing == ["faithfulness"]
    assert decide(report(), strict).missing == ["faithfulness"], "no judge is set"


@pytest.mark.parametrize(
    ("champion", "loss", "scatter", "passed"),
    [
        ("measured", 5.02, 0.5, True),
        ("not_worse", 5.02, 0.5, False),
        ("not_worse", 4.9, 0.0, True),
        ("better", 4.9, 0.0, True),
        ("better", 4.9, 0.5, False),
        ("better", 5.0, 0.0, False),
    ],
)
def test_how_sure_it_has_to_be_against_the_champion(champion, loss, scatter, passed):
    author = Author(id="ada", name="Ada", gate=GateRules(champion=champion))
    decision = decide(report(loss=loss, scatter=scatter), gate_rules(Settings(), author), against(5.0))
    assert decision.passed is passed, decision.reasons


def test_an_author_has_rules_of_their_own_and_wrong_ones_are_refused(workspace):
    workspace.authors.save(Author(id="ada", name="Ada", gate=GateRules(margin=0.2, required=("leaks",))))
    rules = gate_rules(Settings(gate_margin=0.05), workspace.authors.get("ada"))
    assert (rules.margin, rules.required, rules.memorised_words) == (0.2, ("leaks",), 25)
    assert not decide(report(), rules).passed
    with pytest.raises(ValidationError):
        GateRules(margin=7)
    path = workspace.settings.authors_folder / "ada.json"
    path.write_text(path.read_text().replace("leaks", "luck"))
    with pytest.raises(ConfigurationError, match=r"ada\.json is unreadable"):
        workspace.authors.get("ada")
    with pytest.raises(ConfigurationError, match="names no rule; the rules are base_loss"):
        gate_rules(Settings(gate_required="luck"), ADA)


@pytest.fixture(scope="module")
def versions(tmp_path_factory) -> Workspace:
    """A workspace with three registered versions of an author."""
    workspace = Workspace(Settings(home=tmp_path_factory.mktemp("home")))
    workspace.authors.save(ADA)
    for name in ("one", "two", "three"):
        folder = tmp_path_factory.mktemp(name)
        save_file({"weights": np.zeros(1)}, folder / "adapter_model.safetensors")
        register(workspace.registry, "ada", folder, name)
        number = workspace.registry.versions("ada")[0].version
        found = report(number, **OUTCOMES[number])
        workspace.registry.record_report("ada", number, found.model_dump(mode="json"), found.metrics())
        workspace.settled = [*getattr(workspace, "settled", []), settle(workspace, ADA)]
    return workspace


OUTCOMES = {
    "1": {},
    "2": {"loss": 5.3, "champion": Champion(version="1", held_out=held_out(5.0))},
    "3": {"loss": 4.8, "champion": Champion(version="1", held_out=held_out(5.0))},
}


def test_versions_are_settled_recorded_and_rolled_back(versions):
    first, worse, better = versions.settled
    assert [each.action for each in versions.settled] == ["approved", "refused", "approved"]
    assert any("-6.00% better than that of version 1" in reason for reason in worse.reasons)
    registry = versions.registry
    (decision,) = registry.decisions("ada", "2")
    assert decision["action"] == "reject"
    assert decision["by"] == "gate"
    assert decision["figures"]["held_out_loss"] == pytest.approx(5.3)
    assert "champion" not in " ".join(first.reasons)
    kept = registry.report("ada", "3", "gate")
    assert kept["passed"]
    assert kept["reasons"] == list(better.reasons)
    assert settle(versions, ADA).action == "unchanged"
    assert registry.approved("ada").version == "3"
    assert registry.rollback("ada").version == "1"
    assert settle(versions, ADA).action == "unchanged", "what was rolled back is not promoted again"
    assert registry.approved("ada").version == "1"
