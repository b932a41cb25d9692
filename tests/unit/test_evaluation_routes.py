"""Reports, decisions and rules over HTTP and on the command line, and what the page makes of them."""

import json

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.serving_models import register
from tests.unit.test_evaluation_gate import held_out, report
from twin_assets.cli import app
from twin_assets.core.authors import Author
from twin_assets.core.evaluation.intervals import mean_interval
from twin_assets.core.evaluation.release import settle
from twin_assets.core.evaluation.report import Champion
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings, get_settings
from twin_serving.api.answers import add_error_answers
from twin_serving.api.releases import release_routes
from twin_ui.views.reports import beside, interval_rows, systems_of


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """An author with one version that the gate has approved."""
    folder = tmp_path_factory.mktemp("evaluated")
    workspace = Workspace(Settings(home=folder / "home"))
    author = Author(id="ada", name="Ada")
    workspace.authors.save(author)
    (folder / "model").mkdir()
    save_file({"weights": np.zeros(1)}, folder / "model" / "adapter_model.safetensors")
    register(workspace.registry, "ada", folder / "model", "f")
    found = report("1", champion=Champion(version="0", held_out=held_out(5.2)))
    found.generated.intervals["voice"] = mean_interval([50.0, 70.0])
    workspace.registry.record_report("ada", "1", found.model_dump(mode="json"), found.metrics())
    assert settle(workspace, author).action == "approved"
    return workspace


@pytest.fixture
def client(evaluated):
    server = FastAPI()
    add_error_answers(server)
    server.include_router(release_routes(evaluated))
    return TestClient(server)


def test_a_report_comes_with_the_gates_reasons_and_is_shown_side_by_side(client):
    found = client.get("/v1/twins/ada/models/1/report").json()
    assert found["improvement"] == pytest.approx(1 - 5.0 / 5.5)
    assert found["gate"]["passed"]
    assert [each["action"] for each in found["decisions"]] == ["approve"]
    assert "texts" not in found["held_out"]
    systems = systems_of(found)
    assert list(systems) == ["Candidate", "The author"]
    (row,) = (row for row in interval_rows(systems) if row["who"] == "Candidate")
    assert (row["figure"], row["value"], row["samples"]) == ("voice", 60.0, 2)
    assert beside(systems)["copied words"] == ["5", "5"]
    missing = client.get("/v1/twins/ada/models/9/report")
    assert missing.status_code in (404, 409)
    assert "version '9'" in missing.json()["error"]["message"]


def test_rules_are_set_and_wrong_ones_refused_over_http(client, evaluated):
    found = client.get("/v1/twins/ada/training").json()
    assert not found["wanted"]
    assert found["rules"]["minimum_new_samples"] == 20
    changed = client.put("/v1/twins/ada/rules/training", json={"runs_per_week": 2}).json()
    assert changed["rules"]["runs_per_week"] == 2
    assert changed["own_rules"] == {"runs_per_week": 2}
    wrong = client.put("/v1/twins/ada/rules/gate", json={"margin": 7})
    assert wrong.status_code == 400
    assert "margin: Input should be less than or equal to 1" in wrong.json()["error"]["message"]
    assert client.put("/v1/twins/ada/rules/luck", json={}).status_code in (400, 422)
    assert evaluated.authors.get("ada").training.runs_per_week == 2


def test_the_command_line_shows_and_sets_the_rules(evaluated, monkeypatch):
    monkeypatch.setenv("TWIN_HOME", str(evaluated.settings.home))
    get_settings.cache_clear()
    runner = CliRunner()
    told = runner.invoke(app, ["policy", "ada", "--set", "runs_per_week=3"])
    assert told.exit_code == 0, told.output
    assert "Does not train" in told.output
    assert evaluated.authors.get("ada").training.runs_per_week == 3
    runner.invoke(app, ["policy", "ada", "--set", "runs_per_week="])
    assert evaluated.authors.get("ada").training.runs_per_week is None
    told = runner.invoke(app, ["gate", "ada", "--set", "required=leaks,memorised", "--json"])
    assert json.loads(told.output)["rules"]["required"] == ["leaks", "memorised"]
    assert any("9 held-out texts" in reason for reason in json.loads(told.output)["reasons"])
