"""The registry on a real MLflow SQLite store: versions, the alias, decisions, rollback, files."""

import sqlite3
import subprocess
import sys

import pytest

from twin_assets.core.errors import GateError, ModelError, UnknownModelError
from twin_assets.core.registry import Registry


@pytest.fixture
def empty(tmp_path):
    return Registry(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}", tmp_path / "models")


@pytest.fixture
def registry(tmp_path):
    return Registry(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}", tmp_path / "models")


def add(registry, tmp_path, author="ada", fingerprint="f1", **metrics):
    folder = tmp_path / f"trained-{author}-{fingerprint}"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(fingerprint.encode())
    run_id = registry.start_run(author, "sft", {"epochs": 3})
    version = registry.register(
        author, run_id=run_id, folder=folder, base_model="nano", is_nano=True, base_identity="nano",
        dataset_version="d1", dataset_delta_version=3,
        corpus_version="c1", code_version="1", fingerprint=fingerprint, metrics=metrics,
    )  # fmt: skip
    registry.end_run(run_id)
    return version


def test_nothing_is_made_by_asking(empty, tmp_path):
    assert empty.approved("ada") is None
    assert empty.versions("ada") == []
    assert not (tmp_path / "mlflow").exists()


def test_the_way_of_a_version(registry, tmp_path):
    first = add(registry, tmp_path, fingerprint="f1", loss=3.5)
    second = add(registry, tmp_path, fingerprint="f2", loss=3.25)
    add(registry, tmp_path, author="bob", fingerprint="f1")
    assert (first.status, first.metrics, first.is_nano) == ("candidate", {"loss": 3.5}, True)
    assert [v.version for v in registry.versions("ada")] == ["2", "1"]
    assert registry.find("ada", "f1").version == "1"
    assert registry.find("ada", "unheard-of") is None
    assert registry.approved("ada") is None
    with pytest.raises(UnknownModelError, match="known: 2, 1"):
        registry.get("ada", "9")

    registry.approve("ada", "1", "first model beats its base", by="gate")
    assert registry.approved("ada").version == "1"
    with pytest.raises(GateError, match="no earlier approved"):
        registry.rollback("ada")
    registry.approve("ada", "2", "better", by="ada")
    assert {v.version: v.status for v in registry.versions("ada")} == {"1": "retired", "2": "approved"}
    with pytest.raises(GateError, match="being served"):
        registry.reject("ada", "2", "dislike", by="ada")

    assert registry.rollback("ada").version == "1"
    assert registry.approved("ada").version == "1"
    assert {v.version: v.status for v in registry.versions("ada")} == {"1": "approved", "2": "retired"}
    assert registry.reject("ada", second.version, "worse", by="ada").status == "rejected"
    assert [d["action"] for d in registry.decisions("ada", "2")] == ["approve", "rollback", "reject"]
    assert registry.decisions("ada", "1")[0] | {"at": None} == {
        "action": "approve", "reason": "first model beats its base", "by": "gate", "at": None, "figures": {"loss": 3.5},
    }  # fmt: skip
    assert registry.approved("bob") is None


def test_a_killed_promotion_leaves_the_old_version(registry, tmp_path, monkeypatch):
    add(registry, tmp_path, fingerprint="f1")
    add(registry, tmp_path, fingerprint="f2")
    registry.approve("ada", "1", "first", by="gate")

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(registry._client), "set_registered_model_alias", kill)
        with pytest.raises(KeyboardInterrupt):
            registry.approve("ada", "2", "second", by="gate")
    assert {v.version: v.status for v in registry.versions("ada")} == {"1": "approved", "2": "candidate"}
    assert registry.history("ada") == ["1"]
    registry.approve("ada", "2", "second", by="gate")
    assert registry.history("ada") == ["1", "2"]


def test_files_and_reports_without_a_server(registry, tmp_path):
    add(registry, tmp_path)
    assert registry.report("ada", "1") is None
    registry.record_report("ada", "1", {"samples": 4}, {"voice": 61.0}, {"voice.png": b"\x89PNG"})
    assert registry.report("ada", "1") == {"samples": 4}
    assert registry.get("ada", "1").metrics == {"voice": 61.0}
    folder = registry.folder("ada", "1")
    assert (folder / "adapter" / "adapter_model.safetensors").read_bytes() == b"f1"
    (folder / "adapter" / "training_args.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="only safetensors"):
        registry.folder("ada", "1")


def test_a_database_that_is_none_is_said_in_a_sentence(tmp_path):
    database = tmp_path / "mlflow.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    connection.execute("INSERT INTO alembic_version VALUES ('of another program')")
    connection.commit()
    connection.close()
    with pytest.raises(ModelError, match=r"registry at .* cannot be used"):
        Registry(f"sqlite:///{database}", tmp_path / "files").versions("ann")


def test_a_moved_home_finds_its_files(registry, tmp_path):
    add(registry, tmp_path)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "models").rename(moved / "models")
    folder = Registry(registry.tracking_uri, moved / "models").folder("ada", "1")
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


def test_importing_the_registry_is_light():
    code = "import sys, twin_assets.core.registry; sys.exit(bool({'torch', 'mlflow', 'dagster'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
