"""Training by hand, with a tiny base: preflight, a sweep against a champion that writes through the real server, what
was trained side by side, and approval, none of it twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig
from typer.testing import CliRunner

from tests.unit.training_corpus import AUTHOR, fill, tiny_model
from twin_assets.cli import app
from twin_assets.core import datasets, features
from twin_assets.core.training.train import train
from twin_assets.core.voice_edits import VoiceEdits, save_edits
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings, get_settings
from twin_serving.client import TwinClient

SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 400,
    "max_position_embeddings": 1024,
}  # fmt: skip
SHORT = {"epochs": 1, "length": 64, "checkpoint_steps": 0, "rank": 4, "learning_rate": 5e-3}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An author whose first version, on a tiny random base, is served; the environment is the commands'."""
    base = tiny_model(tmp_path / "tiny", LlamaConfig(**SIZES))
    environment = {
        "TWIN_HOME": str(tmp_path / "home"), "TWIN_BASE_MODEL": str(base), "TWIN_TRAINING_RECIPE": json.dumps(SHORT),
        "TWIN_HUB_ENDPOINT": "http://127.0.0.1:9", "TWIN_APPROVAL": "manual", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    workspace = Workspace(Settings())
    fill(workspace, count=40)
    features.update_chunks(workspace, AUTHOR.id)
    features.update_embeddings(workspace, AUTHOR.id)
    features.update_index(workspace, AUTHOR.id)
    datasets.update_samples(workspace, AUTHOR.id)
    version = train(workspace, AUTHOR, datasets.load_dataset(workspace.lake, AUTHOR.id)).version
    workspace.registry.approve(AUTHOR.id, version.version, "the first", by="test")
    return workspace


def twin(*arguments: str) -> str:
    """What a command prints; its failure fails the test."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.output


def _listening(asked: list[str]) -> Callable[..., dict[str, Any]]:
    """The client's chat, which keeps the system prompt of each question."""
    chat = TwinClient.chat

    def listening(client: TwinClient, model: str, messages: list[dict[str, str]], **options: Any) -> dict[str, Any]:
        asked.append(messages[0]["content"])
        return chat(client, model, messages, **options)

    return listening


def test_from_preflight_to_the_best_of_a_sweep_against_the_champion(served, monkeypatch):
    author, registry = AUTHOR.id, served.registry
    (estimate,) = json.loads(twin("preflight", author, "--base", served.settings.base_model, "--json"))
    assert (estimate["fits"], estimate["method"]) == (True, "lora")
    assert "No setting makes it fit" in twin("preflight", author)
    assert json.loads(twin("policy", author, "--json"))["reason"] == "version 1 learned this very dataset"

    save_edits(served, author, VoiceEdits(note="Never begin with a question."))
    asked: list[str] = []
    monkeypatch.setattr(TwinClient, "chat", _listening(asked))
    twin("sweep", author, "--set", "rank=2", "--set", "learning_rate=1e-5,1e-2")
    rows = json.loads(twin("experiments", author, "--json"))
    assert [(row["rank"], row["learning_rate"], row["version"]) for row in rows] == [
        ("2", "0.01", "2"), ("4", "0.005", "1"), ("2", "1e-05", None),
    ]  # fmt: skip
    assert "lora 2" in twin("experiments", author)
    report = registry.report(author, "2")
    assert report is not None
    written = {system: len(answers) for system, answers in report["answers"].items()}
    assert written["champion"] == written["candidate"] == written["baseline"] > 0
    assert "champion" not in report["left_out"]
    assert report["champion"]["version"] == "1"
    assert report["champion"]["generated"]["samples"] == written["champion"]

    assert len(asked) == sum(written[system] for system in ("candidate", "champion", "baseline"))
    assert all("Never begin with a question." in system for system in asked), "asked as the composer asks"

    made = report["evaluated_at"]
    twin("train", author, "--set", "rank=2", "--set", "learning_rate=0.01")
    assert [version.version for version in registry.versions(author)] == ["2", "1"], "nothing is trained twice"
    assert registry.report(author, "2")["evaluated_at"] == made
    assert "version 2 is approved" in twin("approve", author)
    assert "version 1 is approved" in twin("rollback", author)
