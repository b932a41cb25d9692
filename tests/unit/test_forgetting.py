"""Forgetting on real stores: every byte under the home is looked at before and after."""

import json
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from demo.exports import linkedin_export
from tests.embedding_models import make_tiny_model
from twin_assets.cli import app
from twin_assets.core import features, forgetting
from twin_assets.core.authors import Author
from twin_assets.core.collection import collect_platform, import_export
from twin_assets.core.datasets import load_dataset, update_samples
from twin_assets.core.errors import ConfigurationError, GateError, InputError, UnknownAuthorError, VersionGoneError
from twin_assets.core.forgetting import forget, plan_forgetting
from twin_assets.core.forgetting_author import forget_author, plan_author
from twin_assets.core.lineage import learners, lineage
from twin_assets.core.publication import copy_sparse
from twin_assets.core.voice_profile import build_profile, load_profile, save_profile
from twin_assets.core.workspace import Workspace
from twin_assets.defs.launch import RunOutcome
from twin_assets.settings import Settings, get_settings
from twin_serving.server import free_port

STEPS = (
    features.update_corpus, features.update_chunks, features.update_embeddings, features.update_index, update_samples,
)  # fmt: skip
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A home in which an author's export was collected twice, with models, reports, drafts and a voice."""
    home = tmp_path_factory.mktemp("built")
    workspace = Workspace(Settings(home=home / "home", embedding_model=str(make_tiny_model(home / "words", 8, seed=1))))
    for author in ("ada", "ben"):
        workspace.authors.save(Author(id=author, name=author.title()))
        import_export(workspace, author, linkedin_export(home / "linkedin.zip"))
        collect_platform(workspace, workspace.authors.get(author), "linkedin")
        for step in STEPS:
            step(workspace, author)
    post = _post(workspace)
    add_model(workspace, home, "a model of everything", post["text"])
    # An older version of the text, and rows that were written and merged away since.
    raw = workspace.lake.read("raw_documents", "ada", where=pl.col("document_id") == post["document_id"])
    workspace.lake.replace("raw_documents", "ada", "document_id", [post["document_id"]], raw)
    save_profile(workspace, "ada", build_profile(features.corpus(workspace.lake, "ada")))
    quoted = _needle(workspace)
    workspace.lake.append("drafts", [draft("d1", f"As I wrote: {quoted}", post), draft("d2", "Something new.", None)])
    workspace.lake.append("feedback", [feedback("f1", "d1", "shorter"), feedback("f2", "d2", "Something else.")])
    workspace.index.query("ada", ["posts"], None, ([1], [1.0]), 1)
    return workspace


@pytest.fixture
def workspace(built, tmp_path):
    """That home, copied."""
    copy_sparse(built.settings.home, tmp_path / "home")
    workspace = Workspace(built.settings.model_copy(update={"home": tmp_path / "home"}))
    workspace.__dict__["embedder"] = built.embedder  # its tables take a second to make
    return workspace


def add_model(workspace, home, fingerprint, text, author="ada"):
    """A version made from the present dataset whose tokenizer and report hold words of a text, and approved."""
    folder = home / f"trained-{fingerprint}"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter" / "tokenizer.json").write_text(json.dumps({"vocab": [text]}))
    dataset = load_dataset(workspace.lake, author)
    run = workspace.registry.start_run(author, "test", {})
    version = workspace.registry.register(
        author, run_id=run, folder=folder, base_model="nano", is_nano=True, base_identity="nano",
        dataset_version=dataset.version, dataset_delta_version=dataset.delta_version, corpus_version="c",
        code_version="1", fingerprint=fingerprint, metrics={},
    )  # fmt: skip
    answers = [{"sample_id": "x", "target": text, "text": "a"}, {"sample_id": "y", "target": "of another", "text": "b"}]
    workspace.registry.record_report(author, version.version, {"samples": 2, "answers": answers})
    workspace.registry.end_run(run)
    return workspace.registry.approve(author, version.version, "good", by="test")


def draft(name, text, post):
    support = [{"kind": "own", "document_id": post["document_id"]}] if post else []
    values = dict.fromkeys(("index_version", "dataset_version", "trace_id", "model_version"), None)
    return values | {
        "author": "ada", "draft_id": name, "created_at": NOW, "kind": "assembled", "prompt": "a post", "links": "[]",
        "text": text, "sentences": json.dumps([{"text": text, "support": support}]), "scores": "{}",
    }  # fmt: skip


def feedback(name, draft_id, text):
    return {
        "author": "ada", "feedback_id": name, "created_at": NOW, "draft_id": draft_id, "rating": 1, "edited_text": text,
        "comment": None,
    }  # fmt: skip


def _post(workspace, author="ada"):
    """The document that is to be forgotten: the longest of those learned from."""
    used = load_dataset(workspace.lake, author).split("train")["document_id"]
    rows = features.corpus(workspace.lake, author).filter(pl.col("document_id").is_in(used.to_list()))
    return rows.sort(pl.col("text").str.len_chars(), "document_id", descending=True).row(0, named=True)


def _needle(workspace, author="ada"):
    """A sentence of it that no other document has."""
    text = _post(workspace, author)["text"]
    return max((line for line in text.splitlines()), key=len)


def places(folder: Path, needle: str) -> set[str]:
    """Files below a folder that hold the needle or its beginning, compressed ones opened; of the index, whose packed
    payloads are not, those that hold any of the needle's stretches of letters."""
    escaped = json.dumps(needle, ensure_ascii=False)[1:-1]
    wanted = {each.encode() for text in (needle, escaped, json.dumps(needle)[1:-1]) for each in (text, text[:40])}
    stretches = {needle[i : i + 12].encode() for i in range(len(needle) - 12)}
    for path in folder.rglob("lake/documents/*/*.parquet"):
        others = pl.read_parquet(path).filter(~pl.col("text").str.contains(needle, literal=True))
        stretches -= {each for each in stretches if any(each in text.encode() for text in others["text"])}

    def contents(path: Path) -> bytes:
        if path.suffix == ".parquet":
            return str(pl.read_parquet(path).to_dicts()).encode() + path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return b"".join(archive.read(name) for name in archive.namelist())
        return _data(path)

    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            held = contents(path)
            if any(each in held for each in (wanted | stretches if "index" in path.parts else wanted)):
                found.add(path.relative_to(folder).as_posix())
    return found


def _data(path: Path) -> bytes:
    """A file without its holes: a shard is 100 MB of them."""
    with path.open("rb") as file:
        parts, position, size = [], 0, path.stat().st_size
        while position < size:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            parts.append(os.pread(file.fileno(), position - start, start))
        return b"".join(parts)


def of(author: str, found: set[str]) -> set[str]:
    return {path for path in found if author in path.replace("=", "/").replace("-", "/").split("/")}


def test_a_document_is_gone_to_the_last_byte_and_its_models_are_withdrawn(workspace):
    home, lake = workspace.settings.home, workspace.lake
    post, needle = _post(workspace), _needle(workspace)
    before = of("ada", places(home, needle))
    kinds = {path.split("/")[0] for path in before}
    assert kinds >= {"lake", "imports", "index", "models"}, "what is looked for must be found where it is"
    tables = {path.split("/")[1] for path in before if path.startswith("lake/")}
    assert tables >= {"raw_documents", "cleaned", "documents", "chunks", "samples", "drafts"}
    others = features.corpus(lake, "ada").height - 1
    embeddings = lake.read("embeddings", "ada").height
    (found,) = learners(workspace, "ada", [post["document_id"]])
    assert (found.version, found.how) == ("1", "learned")

    plan = plan_forgetting(workspace, "ada", document=post["url"])
    assert of("ada", places(home, needle)) == before, "planning changes nothing"
    done = forget(workspace, "ada", document=post["url"])
    assert of("ada", places(home, needle)) == set()
    assert places(home / "lake" / "documents" / "_delta_log", needle) == of("ben", before)
    assert done.to_dict() == plan.to_dict()
    assert (done.withdrawn, done.served, [d.url for d in done.documents]) == (("1",), None, [post["url"]])
    assert done.rows["drafts"] == done.rows["feedback"] == 1
    assert lake.read("drafts", "ada")["draft_id"].to_list() == ["d2"]
    assert lake.read("feedback", "ada")["feedback_id"].to_list() == ["f2"]
    assert lake.read("embeddings", "ada").height < embeddings
    assert workspace.registry.get("ada", "1").status == "withdrawn"
    with pytest.raises(GateError, match="withdrawn"):
        workspace.registry.approve("ada", "1", "again", by="test")
    assert workspace.registry.report("ada", "1")["answers"] == [{"sample_id": "y", "target": "of another", "text": "b"}]
    profile = load_profile(workspace, "ada")
    assert profile is not None
    assert sum(voice.documents for voice in profile.categories.values()) == others

    for step in STEPS:
        step(workspace, "ada")
    assert features.corpus(lake, "ada").height == others
    assert of("ada", places(home, needle)) == set()
    told = lineage(workspace, "ada", "1")
    assert told.told_by == "record"
    (gone,) = [document for document in told.documents if document.forgotten]
    assert (gone.document_id, gone.urls, gone.title, gone.learned) == (post["document_id"], (), "", True)
    assert len(told.addresses) > 0
    (found,) = learners(workspace, "ada", [post["document_id"]])
    assert (found.version, found.status) == ("1", "withdrawn")
    with pytest.raises(VersionGoneError):
        lake.read("documents", "ada", version=0)
    assert lake.read("documents", "ben", version=lake.version("documents")).height > 0


def test_it_stays_forgotten_when_it_is_collected_again(workspace, tmp_path):
    post = _post(workspace)
    forget(workspace, "ada", document=post["document_id"])
    import_export(workspace, "ada", linkedin_export(tmp_path / "again.zip"))
    (result, *_) = collect_platform(workspace, workspace.authors.get("ada"), "linkedin")
    assert (result.status, result.new) == ("ok", 0)
    held = workspace.lake.read("raw_documents", "ada")["document_id"]
    assert post["document_id"] not in held
    assert post["document_id"] in set(workspace.lake.read("forgotten", "ada")["document_id"])
    assert set(workspace.lake.read("forgotten").columns) == {"author", "document_id", "asked_at", "finished_at"}


def test_a_policy_that_keeps_only_names_the_models(workspace):
    done = forget(workspace, "ada", document=_post(workspace)["document_id"], policy="keep")
    assert [model.version for model in done.models] == ["1"]
    assert (done.withdrawn, done.served) == ((), "1")
    assert (workspace.registry.folder("ada", "1") / "adapter").is_dir()


def test_an_earlier_clean_version_is_served_again(workspace, tmp_path):
    lake, post = workspace.lake, _post(workspace)
    whole = lake.read("samples", "ada")
    of_it = pl.col("context_documents").list.contains(post["document_id"])
    without = whole.filter(pl.col("document_id") != post["document_id"], ~of_it)
    assert without.height < whole.height - 1, "a sample may have notes of it, and has learned it then as well"
    lake.replace_author("samples", "ada", without)
    add_model(workspace, tmp_path, "clean", "nothing of it")
    lake.replace_author("samples", "ada", whole)
    add_model(workspace, tmp_path, "newest", "x")
    done = forget(workspace, "ada", document=post["document_id"])
    assert (done.withdrawn, done.served) == (("3", "1"), "2")
    assert workspace.registry.approved("ada").version == "2"
    with pytest.raises(GateError, match="no earlier"):
        workspace.registry.rollback("ada")
    told = lineage(workspace, "ada", "2")
    assert told.told_by == "record"
    assert not any(document.forgotten for document in told.documents)


@pytest.mark.parametrize("step", ["keep_record", "delete_rows", "purge_author"])
def test_what_was_interrupted_is_finished_by_the_next(workspace, monkeypatch, step):
    post, needle = _post(workspace), _needle(workspace)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        place = forgetting.traces if step == "delete_rows" else forgetting
        patch.setattr(place, step, killed)
        with pytest.raises(KeyboardInterrupt):
            forget(workspace, "ada", document=post["url"])
    stones = workspace.lake.read("forgotten", "ada")
    assert stones["finished_at"].to_list() == [None], "nothing claims to be forgotten before it is"
    done = forget(workspace, "ada", document=post["url"])
    assert done.unfinished == 1
    assert of("ada", places(workspace.settings.home, needle)) == set()
    assert workspace.registry.get("ada", "1").status == "withdrawn"
    assert workspace.lake.read("forgotten", "ada")["finished_at"].null_count() == 0
    with pytest.raises(InputError, match="no document"):
        forget(workspace, "ada", document="https://example.org/never")


def test_a_source_goes_with_all_its_documents(workspace):
    (source,) = workspace.authors.get("ada").sources
    done = forget(workspace, "ada", source=source.key)
    assert len(done.documents) > 5
    assert done.files == (source.location,)
    assert workspace.authors.get("ada").sources == ()
    assert workspace.lake.read("raw_documents", "ada").is_empty()
    assert of("ada", places(workspace.settings.home, _needle(workspace, "ben"))) == set()
    with pytest.raises(ConfigurationError, match="has no source"):
        forget(workspace, "ada", source=source.key)


def test_an_export_that_was_not_read_yet_is_not_lost(workspace, tmp_path):
    again = linkedin_export(tmp_path / "again.zip")
    with zipfile.ZipFile(again, "a") as archive:
        archive.writestr("Profile summary.txt", "newer")
    source = import_export(workspace, "ada", again)
    with pytest.raises(InputError, match="was not read yet"):
        forget(workspace, "ada", document=_post(workspace)["document_id"])
    assert (workspace.settings.home / source.location).is_file()


def test_nothing_is_forgotten_while_a_training_runs(workspace):
    from filelock import FileLock

    folder = workspace.settings.home / "training" / "ada"
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"), pytest.raises(ConfigurationError, match="training of 'ada' is running"):
        forget(workspace, "ada", document=_post(workspace)["document_id"])
    assert workspace.lake.read("forgotten", "ada").is_empty()


def test_an_author_leaves_nothing_behind(workspace):
    home = workspace.settings.home
    needle = _needle(workspace)
    bens = of("ben", places(home, needle))
    (home / "policy").mkdir()
    (home / "policy" / "ada.json").write_text("{}")
    plan = plan_author(workspace, "ada")
    assert plan.models == ("1",)
    assert "policy/ada.json" in plan.files
    assert plan.rows["documents"] > 5
    forget_author(workspace, "ada")
    assert places(home, needle) == bens
    assert not list((home / "policy").iterdir())
    names = {
        path.relative_to(home).as_posix()
        for path in home.rglob("*")
        if path.is_file() and "_delta_log" not in str(path)
    }
    assert of("ada", names) == set()
    assert b"twin-ada" not in (home / "mlflow" / "mlflow.db").read_bytes()
    assert workspace.registry.versions("ada") == []
    with pytest.raises(UnknownAuthorError):
        plan_author(workspace, "ada")
    assert features.corpus(workspace.lake, "ben").height > 5


def test_the_command_shows_what_goes_and_asks(workspace, monkeypatch):
    post = _post(workspace)
    monkeypatch.setenv("TWIN_HOME", str(workspace.settings.home))
    monkeypatch.setenv("TWIN_EMBEDDING_MODEL", workspace.settings.embedding_model)
    monkeypatch.setenv("TWIN_PORT", str(free_port()))
    get_settings.cache_clear()
    command = ["forget", "document", "ada", post["url"]]
    twin = CliRunner()
    planned = json.loads(twin.invoke(app, [*command, "--dry-run", "--json"]).output)
    assert planned["documents"][0]["url"] == post["url"]
    assert planned["rows"]["raw_documents"] == 1
    refused = twin.invoke(app, command, input="n\n")
    assert refused.exit_code == 1
    assert "withdrawn" in refused.output
    assert "This cannot be undone" in refused.output
    assert isinstance(twin.invoke(app, [*command, "--json"]).exception, ConfigurationError)
    assert features.corpus(workspace.lake, "ada").filter(pl.col("document_id") == post["document_id"]).height == 1
    done = twin.invoke(app, [*command, "--yes"])
    assert done.exit_code == 0, done.output
    assert "model version 1 learned it: withdrawn" in done.output
    assert features.corpus(workspace.lake, "ada").filter(pl.col("document_id") == post["document_id"]).is_empty()


def test_the_policy_retrain_withdraws_and_trains_anew_where_a_model_learned_it(workspace, monkeypatch):
    monkeypatch.setenv("TWIN_HOME", str(workspace.settings.home))
    monkeypatch.setenv("TWIN_EMBEDDING_MODEL", workspace.settings.embedding_model)
    monkeypatch.setenv("TWIN_PORT", str(free_port()))
    get_settings.cache_clear()
    post, started = _post(workspace), []

    def run(job, author, settings, *, quiet=False):
        held = Workspace(settings).lake.read("raw_documents", author)["document_id"].to_list()
        started.append((job, author, post["document_id"] in held))
        return RunOutcome("run", success=len(started) == 1)

    monkeypatch.setattr("twin_assets.progress.run_with_progress", run)
    command = ["forget", "document", "ada", "--yes", "--json", "--policy", "retrain"]
    done = CliRunner().invoke(app, [*command, post["document_id"]])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["withdrawn"] == ["1"]
    assert started == [("twin", "ada", False)], "the whole graph is run, once the document is gone"
    failed = CliRunner().invoke(app, [*command, _post(workspace)["document_id"]])
    assert (failed.exit_code, len(started)) == (1, 2), "a training that fails is not passed over"


def test_an_author_whose_removal_was_interrupted(workspace, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(type(workspace.index), "remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            forget_author(workspace, "ada")
    forget_author(workspace, "ada")
    assert workspace.authors.ids() == ["ben"]
    assert not (workspace.settings.home / "index" / "published" / "ada").exists()
