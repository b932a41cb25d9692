"""A twin taken from one home to another in one file: the same answers and search, and nothing it must not hold."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from typer.testing import CliRunner

from tests.embedding_models import make_tiny_model
from tests.serving_models import make_adapter, make_base
from tests.unit.test_evaluation_gate import report
from tests.unit.training_corpus import fill
from twin_assets.cli import app
from twin_assets.core import features
from twin_assets.core.bundle_parts import read_reports
from twin_assets.core.bundles import export_bundle, import_bundle, is_bundle
from twin_assets.core.datasets import load_dataset, update_samples
from twin_assets.core.errors import GateError, InputError
from twin_assets.core.evaluation.release import settle
from twin_assets.core.lineage import learners, lineage
from twin_assets.core.prompts import encode_prompt, messages
from twin_assets.core.registry_files import refuse_unsafe
from twin_assets.core.registry_versions import LINEAGE
from twin_assets.core.training.loading import load_version
from twin_assets.core.voice_profile import build_profile, load_profile, save_profile
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.api.answers import add_error_answers
from twin_serving.api.lineage import lineage_routes

SECRET = "s3cr3t-of-this-machine"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A home with a served tiny model, an index and a measured voice."""
    folder = tmp_path_factory.mktemp("here")
    words = make_tiny_model(folder / "words", 8, seed=1)
    workspace = Workspace(Settings(home=folder / "home", embedding_model=str(words), github_token=SecretStr(SECRET)))
    fill(workspace)
    for step in (features.update_chunks, features.update_embeddings, features.update_index, update_samples):
        step(workspace, "demo")
    dataset = load_dataset(workspace.lake, "demo")
    base = make_base(folder / "trained" / "base")
    make_adapter(base, folder / "trained" / "adapter", seed=3)
    for file in base.glob("tokenizer*"):
        (folder / "trained" / "adapter" / file.name).write_bytes(file.read_bytes())
    run = workspace.registry.start_run("demo", "test", {})
    workspace.registry.register(
        "demo", run_id=run, folder=folder / "trained", base_model="nano", base_identity="nano", is_nano=True,
        dataset_version=dataset.version, dataset_delta_version=dataset.delta_version, corpus_version="c1",
        code_version="t1", fingerprint="f1", metrics={"held_out_loss": 2.5},
    )  # fmt: skip
    workspace.registry.end_run(run)
    target = dataset.split("test")["target"][0]
    report = {"left_out": {"faithfulness": "no judge is set"}, "answers": [{"target": target, "text": "x"}]}
    workspace.registry.record_report("demo", "1", report)
    workspace.registry.approve("demo", "1", "better than its base", by="gate")
    save_profile(workspace, "demo", build_profile(features.corpus(workspace.lake, "demo")))
    return workspace


@pytest.fixture(scope="module")
def bundle(here, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "twin.zip"
    export_bundle(here, "demo", path, merged=True)
    return path


@pytest.fixture(scope="module")
def there(here, bundle, tmp_path_factory):
    """Another machine's home, into which the bundle was taken."""
    settings = Settings(home=tmp_path_factory.mktemp("there") / "home", embedding_model=here.settings.embedding_model)
    workspace = Workspace(settings)
    workspace.__dict__["taken"] = import_bundle(workspace, bundle)
    return workspace


def answer(workspace, model=None):
    """What the model says, always taking the likeliest token."""
    import torch

    model, tokenizer = model or load_version(workspace, workspace.registry.get("demo", "1"))
    tokens = torch.tensor([encode_prompt(tokenizer, messages("Demo Author", "post", "Write about tests."))])
    with torch.no_grad():
        made = model.generate(input_ids=tokens, max_new_tokens=24, do_sample=False)
    return made[0, tokens.shape[1] :].tolist()


def test_the_same_answers_and_the_same_search_on_another_machine(here, there):
    taken = there.__dict__["taken"]
    assert (taken.author, taken.version, taken.status) == ("demo", "1", "candidate")
    assert there.registry.approved("demo") is None, "nothing is approved by itself"
    assert answer(there) == answer(here)
    question = "tests and releases"
    found, same = (workspace.retriever.search("demo", question) for workspace in (there, here))
    assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in same] != []
    assert there.index.version("demo") == here.index.version("demo")
    assert there.authors.get("demo").name == "Demo Author"
    assert load_profile(there, "demo") == load_profile(here, "demo")


def test_what_it_learned_is_known_there(here, there):
    told, original = lineage(there, "demo", "1"), lineage(here, "demo", "1")
    assert (told.told_by, original.told_by) == ("record", "dataset")
    assert told.documents == original.documents != ()
    assert told.addresses == original.addresses
    (learned,) = learners(there, "demo", [next(d.document_id for d in told.documents if d.learned)])
    assert learned.how == "learned"
    told = there.registry.report("demo", "1", "imported-report")
    assert told == {"left_out": {"faithfulness": "no judge is set"}, "answers": []}


def test_what_was_measured_elsewhere_promotes_nothing_here(there, tmp_path):
    version = there.registry.get("demo", "1")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "report.json").write_text(report("1").model_dump_json())
    (tmp_path / "lineage.json").write_text(there.registry._files("demo", version.run_id).read(LINEAGE))
    read_reports(there, version, tmp_path)
    assert there.registry.report("demo", "1", "imported-report")["version"] == "1"
    settings = there.settings.model_copy(update={"approval": "auto"})
    with pytest.raises(GateError, match="Version 1 of 'demo' has no evaluation"):
        settle(Workspace(settings), there.authors.get("demo"))
    assert there.registry.approved("demo") is None
    assert there.registry.get("demo", "1").status == "candidate"


def test_lineage_is_served(here, there):
    service = FastAPI()
    add_error_answers(service)
    service.include_router(lineage_routes(there))
    client = TestClient(service)
    told = client.get("/v1/twins/demo/lineage/models/1").json()
    assert told["addresses"] == lineage(here, "demo", "1").addresses
    document = next(each for each in told["documents"] if each["learned"])
    for name in (document["document_id"], document["urls"][0]):
        found = client.get("/v1/twins/demo/lineage/documents", params={"document": name}).json()
        assert found["documents"] == [document["document_id"]]
        assert [(model["version"], model["how"]) for model in found["models"]] == [("1", "learned")]
    unknown = client.get("/v1/twins/demo/lineage/documents", params={"document": "https://example.org/none"})
    assert unknown.status_code == 400
    assert client.get("/v1/twins/demo/lineage/models/9").status_code == 404


def test_taking_it_in_again_changes_nothing(there, bundle):
    again = import_bundle(there, bundle)
    assert (again.version, len(there.registry.versions("demo"))) == ("1", 1)
    assert again.notes == ("the index of demo here stays",)


def test_merged_weights_answer_like_the_adapter(here, bundle, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if name.startswith("merged/")])
    merged = refuse_unsafe(tmp_path / "merged")
    loaded = AutoModelForCausalLM.from_pretrained(merged).eval(), AutoTokenizer.from_pretrained(merged)
    assert answer(here, loaded) == answer(here)


def test_no_writing_and_no_secret_is_in_it_beside_the_index(here, bundle, tmp_path):
    bare = export_bundle(here, "demo", tmp_path / "bare.zip", index=False)
    assert bare.passages is None
    targets = load_dataset(here.lake, "demo").samples["target"].to_list()
    long = [target[:60] for target in targets if len(target) > 60]
    for path, index in ((bundle, True), (tmp_path / "bare.zip", False)):
        with zipfile.ZipFile(path) as archive:
            assert ("index.parquet" in archive.namelist()) is index
            texts = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".parquet")}
        whole = b"".join(texts.values())
        assert SECRET.encode() not in whole
        assert str(here.settings.home).encode() not in whole
        assert not [target for target in long if json.dumps(target)[1:-1].encode() in whole or target.encode() in whole]
        assert "faithfulness (no judge is set)" in texts["model_card.md"].decode()
        assert "| train |" in texts["dataset_card.md"].decode()


def changed(bundle: Path, target: Path, change) -> Path:
    """A copy of the bundle whose files (name to bytes) were changed, with hashes that fit."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(files, manifest)
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def listed(files, manifest):
    entries = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    manifest["files"] = entries


def damage(files, manifest):
    files["model_card.md"] += b"."
    manifest["files"]["model_card.md"]["size"] += 1


def smuggle(name):
    def change(files, manifest):
        files[name] = b"x"
        listed(files, manifest)

    return change


def unlisted(files, manifest):
    files["model/adapter/more.json"] = b"{}"


def without_model(files, manifest):
    for name in [name for name in files if name.startswith("model/")]:
        del files[name]
    listed(files, manifest)


def strange(files, manifest):
    manifest["more"] = 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (damage, "is damaged: 'model_card.md'"),
        (smuggle("model/adapter/weights.pt"), "does not belong in a bundle"),
        (smuggle("authors/demo.json"), "does not belong in a bundle"),
        (smuggle("../outside.json"), "points outside"),
        (smuggle("voice/../../outside.json"), "points outside"),
        (unlisted, "does not hold what its manifest lists"),
        (without_model, "holds no model"),
        (strange, "no bundle that this version can read"),
    ],
)
def test_what_is_damaged_or_does_not_belong_is_refused(bundle, tmp_path, change, problem):
    workspace = Workspace(Settings(home=tmp_path / "home"))
    with pytest.raises(InputError, match=problem):
        import_bundle(workspace, changed(bundle, tmp_path / "odd.zip", change))
    assert workspace.authors.ids() == []
    assert not (tmp_path / "outside.json").exists()
    assert not list((tmp_path / "home").glob(".bundle-*"))


def test_without_a_served_model_there_is_nothing_to_take_along(here, tmp_path):
    here.authors.save(here.authors.get("demo").model_copy(update={"id": "other"}))
    with pytest.raises(GateError, match="say which one"):
        export_bundle(here, "other", tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_the_commands(here, bundle, tmp_path, monkeypatch):
    from twin_assets.settings import get_settings

    assert is_bundle(bundle)
    monkeypatch.setenv("TWIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TWIN_EMBEDDING_MODEL", here.settings.embedding_model)
    get_settings.cache_clear()
    twin = CliRunner()
    answered = twin.invoke(app, ["import", str(bundle), "--author", "twin-of-demo", "--approve", "--json"])
    taken = json.loads(answered.output)
    assert (taken["author"], taken["status"]) == ("twin-of-demo", "approved")
    told = json.loads(twin.invoke(app, ["lineage", "twin-of-demo", "--json"]).output)
    assert told["addresses"]
    document = told["documents"][0]["document_id"]
    shown = twin.invoke(app, ["lineage", "twin-of-demo", "1"])
    assert document[:12] in shown.output
    again = twin.invoke(app, ["export", "twin-of-demo", str(tmp_path / "again.zip"), "--no-index"])
    assert "no passages" in again.output
    assert is_bundle(tmp_path / "again.zip")
