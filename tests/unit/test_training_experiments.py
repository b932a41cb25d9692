"""A sweep: every combination once, side by side in MLflow, the best one becomes the candidate; several processes."""

import json
from pathlib import Path

import pytest
from training_corpus import AUTHOR, fill
from training_models import QUICK, one_thread, posts_dataset, tiny_base  # noqa: F401

from twin_assets.core import datasets
from twin_assets.core.errors import ConfigurationError, ModelError
from twin_assets.core.training import train as training
from twin_assets.core.training.experiments import CRITERION, combinations, experiments, sweep
from twin_assets.core.training.launch import run, write_job
from twin_assets.core.training.recipes import changed
from twin_assets.core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"epochs": 1, "length": 64, "checkpoint_steps": 0, "dropout": 0.0}


def test_a_sweep_trains_each_once_and_registers_the_best(home, tiny_base, monkeypatch):
    settings = {"base_model": str(tiny_base), "training_recipe": SHORT, "hub_endpoint": "http://127.0.0.1:9"}
    workspace = Workspace(home.model_copy(update=settings))
    fill(workspace, count=40)
    datasets.update_samples(workspace, AUTHOR.id)
    dataset = datasets.load_dataset(workspace.lake, AUTHOR.id)
    grid = {"learning_rate": ["1e-5", "5e-3"], "rank": [4]}
    found = sweep(workspace, AUTHOR, dataset, grid)
    assert [trial.changes["learning_rate"] for trial in found.trials] == ["5e-3", "1e-5"], "best first"
    assert found.trials[0].metrics[CRITERION] < found.trials[1].metrics[CRITERION]
    assert [version.version for version in workspace.registry.versions(AUTHOR.id)] == ["1"], "one candidate, no more"
    assert found.best.version.metrics["validation_loss"] == found.trials[0].metrics["validation_loss"]

    rows = experiments(workspace, AUTHOR.id)
    assert [row["learning_rate"] for row in rows] == ["0.005", "1e-05"]
    assert [row["version"] for row in rows] == ["1", None]
    client = workspace.registry._client
    parent = client.get_run(rows[0]["run"]).data.tags["mlflow.parentRunId"]
    assert client.get_run(rows[1]["run"]).data.tags["mlflow.parentRunId"] == parent

    executed = []
    execute = training.execute
    monkeypatch.setattr(
        "twin_assets.core.training.experiments.execute",
        lambda *args: executed.append(args[3].changes["learning_rate"]) or execute(*args),
    )
    again = sweep(workspace, AUTHOR, dataset, {"learning_rate": ["0.00001", 5e-3], "rank": ["4"]})
    assert not executed, "nothing is trained twice"
    assert not again.best.trained
    assert again.best.version.version == "1"


def test_grids_are_checked():
    assert len(combinations({"rank": [8, 16], "epochs": [1, 2, 3]})) == 6
    with pytest.raises(ConfigurationError, match="at least one value for rank"):
        combinations({"rank": []})
    with pytest.raises(ConfigurationError, match="at most 64"):
        combinations({"rank": list(range(65))})


def test_two_processes_train_as_one_and_go_on_within_an_epoch(tiny_base, tmp_path):
    from safetensors.numpy import load_file

    from twin_assets.core.training.sft import fine_tune

    alone = fine_tune(tiny_base, "tiny", AUTHOR.name, posts_dataset(), QUICK, tmp_path / "alone")
    recipe = changed(QUICK, {"checkpoint_steps": 3})
    write_job(tmp_path / "two", tiny_base, "tiny", AUTHOR.name, posts_dataset(), recipe, None)
    launcher, stages = ROOT / "deploy" / "accelerate" / "cpu.yaml", []

    def stop(*told: object) -> None:
        stages.append(told)
        if len(stages) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(launcher, tmp_path / "two", stop)
    assert not _processes_on(tmp_path / "two"), "nobody trains on"
    again = []
    metrics = run(launcher, tmp_path / "two", lambda *told: again.append(told))
    assert len(again) < 8 - 3, "it went on from a checkpoint"
    assert metrics["training_steps"] == alone["training_steps"] == 8, "a step is of as many examples"
    assert again[-1] == ("fine-tuning", 1.0)
    weights = load_file(tmp_path / "two" / "adapter" / "adapter_model.safetensors")
    assert weights.keys() == load_file(tmp_path / "alone" / "adapter" / "adapter_model.safetensors").keys()
    assert metrics["validation_loss"] == pytest.approx(alone["validation_loss"], abs=0.02)


def _processes_on(folder: Path) -> list[str]:
    """Command lines of processes that were given a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().decode("utf-8", "replace")
        except OSError:  # it has ended meanwhile
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_a_fault_in_the_processes_is_told(tmp_path):
    with pytest.raises(ModelError, match="no accelerate configuration"):
        run(tmp_path / "missing.yaml", tmp_path)


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_every_configuration(path):
    from accelerate.commands.config.config_args import load_config_from_file

    found = load_config_from_file(str(path))
    assert found.num_processes >= 2
    assert json.dumps(found.to_dict())
