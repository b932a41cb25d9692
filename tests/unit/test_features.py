"""The feature pipeline on real stores: incremental, complete after any kill, equal to a rebuild."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tests.embedding_models import make_tiny_model
from twin_assets.core import features, index_edge
from twin_assets.core.documents import RawDocument
from twin_assets.core.embedding import Embedder
from twin_assets.core.errors import LakeError
from twin_assets.core.features import (
    corpus,
    corpus_version,
    update_chunks,
    update_corpus,
    update_embeddings,
    update_index,
)
from twin_assets.core.housekeeping import tidy_former_models
from twin_assets.core.lake import rows_frame
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

STEPS = (update_corpus, update_chunks, update_embeddings, update_index)
TEXTS = {
    "queues": "Queues hide the work nobody wants to see. Don't let them.",
    "friday": "Ship on Friday?\n\nOnly if you'd ship on Monday. 🚀",
    "tests": "A test that can't fail is a comment with a green tick.",
    "email": "Write to me at someone.else@mail.dev — I answer.",
}


def raw(texts: dict[str, str], author: str = "ada", quarantine: str | None = None) -> pl.DataFrame:
    now = datetime(2024, 5, 1, tzinfo=UTC)
    rows = [
        RawDocument(
            author, "linkedin", name, "post", "files:export", f"https://example.org/{name}", "", text, "text/plain",
            now, quarantine=quarantine,
        ).row() | {"collected_at": now, "removed_at": None}
        for name, text in texts.items()
    ]  # fmt: skip
    return rows_frame("raw_documents", rows)


def collect(workspace: Workspace, texts: dict[str, str]) -> None:
    """Put the raw documents there as a collector would: changed rows replaced, gone rows marked."""
    frame = raw(texts)
    before = workspace.lake.read("raw_documents", "ada")
    gone = before.filter(~pl.col("document_id").is_in(frame["document_id"].to_list()))
    gone = gone.with_columns(removed_at=pl.lit(datetime(2024, 6, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC")))
    rows = pl.concat([frame.select(before.columns), gone])
    workspace.lake.replace("raw_documents", "ada", "document_id", rows["document_id"].to_list(), rows)


@pytest.fixture
def workspace(tmp_path, tmp_path_factory):
    return make_workspace(tmp_path / "home", tmp_path_factory.getbasetemp().parent / "embedder-export")


def make_workspace(home: Path, export: Path) -> Workspace:
    workspace = Workspace(Settings(home=home))
    workspace.__dict__["embedder"] = Embedder(export)  # one export for all the tests of a run
    return workspace


def run(workspace: Workspace) -> list:
    return [step(workspace, "ada") for step in STEPS]


def test_only_what_changed_is_done(workspace):
    collect(workspace, TEXTS)
    documents, _, embeddings, index = run(workspace)
    assert (documents.new, embeddings.written, index.upserted, index.removed) == (4, 4, 4, 0)
    first = corpus_version(workspace.lake, "ada")

    versions = [workspace.lake.version(table) for table in ("documents", "chunks", "embeddings")]
    for update in run(workspace)[:3]:
        assert update.touched == 0
    again = update_index(workspace, "ada")
    assert (again.version, again.upserted, again.removed, again.unchanged) == (index.version, 0, 0, 4)
    assert versions == [workspace.lake.version(table) for table in ("documents", "chunks", "embeddings")]

    collect(workspace, {**TEXTS, "tests": "A test that can't fail proves nothing."})
    documents, _, embeddings, edited = run(workspace)
    assert (documents.changed, embeddings.written, edited.upserted, edited.removed, edited.unchanged) == (1, 1, 1, 1, 3)

    collect(workspace, TEXTS)
    _, _, embeddings, restored = run(workspace)
    assert embeddings.written == 0, "a text is never embedded twice"
    assert restored.version == index.version
    assert corpus_version(workspace.lake, "ada") == first

    collect(workspace, {"queues": TEXTS["queues"]})
    documents, _, _, smaller = run(workspace)
    assert (documents.removed, smaller.removed, smaller.unchanged) == (3, 3, 1)
    hits = workspace.retriever.search("ada", "ship on a Friday")
    assert [hit.text for hit in hits] == [TEXTS["queues"]]


def test_a_question_finds_the_passage(workspace):
    collect(workspace, TEXTS)
    run(workspace)
    hit = workspace.retriever.search("ada", "is it safe to deploy before the weekend, on Friday?", limit=2)[0]
    assert hit.text == TEXTS["friday"]
    assert hit.published_at == datetime(2024, 5, 1, tzinfo=UTC)
    document = corpus(workspace.lake, "ada").row(by_predicate=pl.col("document_id") == hit.document_id, named=True)
    assert document["text"][hit.start : hit.end] == hit.text
    assert json.loads(json.dumps(hit.to_dict()))["platform"] == "linkedin"


def test_what_is_quarantined_or_private_reaches_nothing(workspace):
    collect(workspace, TEXTS)
    workspace.lake.append("raw_documents", raw({"wall": "Just a moment…"}, quarantine="it is a challenge page"))
    run(workspace)
    documents = workspace.lake.read("documents", "ada")
    assert documents.filter(pl.col("rejected").is_not_null())["rejected"].to_list() == ["it is a challenge page"]
    assert corpus(workspace.lake, "ada").height == workspace.lake.read("chunks", "ada").height == 4
    assert documents["redactions"].sum() == 1
    hits = workspace.retriever.search("ada", "write to me by mail")
    assert all("@mail.dev" not in hit.text for hit in hits)
    assert all("challenge" not in hit.text for hit in hits)


def test_an_author_without_text_has_an_empty_index(workspace):
    update = run(workspace)[-1]
    assert update.upserted == update.unchanged == 0
    assert workspace.retriever.search("ada", "anything") == []
    assert corpus(workspace.lake, "ada").is_empty()


def counted(workspace: Workspace) -> list[str]:
    """The texts that are embedded from now on."""
    embed, seen = workspace.embedder.embed, list[str]()
    workspace.embedder.embed = lambda texts, progress=None: seen.extend(texts) or embed(texts, progress)
    return seen


def tiny(home: Path, model: Path) -> Workspace:
    return Workspace(Settings(home=home, embedding_model=str(model)))


def test_an_edit_embeds_only_the_passages_it_changes(tmp_path):
    workspace = tiny(tmp_path / "home", make_tiny_model(tmp_path / "tiny", 8, 1))
    sections = [f"# Part {number}\n\n" + f"Sentence {number} says its thing again. " * 7 for number in range(6)]
    kinds = {"category": pl.lit("article"), "content_type": pl.lit("text/markdown")}
    frame = raw({"essay": "\n\n".join(sections)}).with_columns(**kinds)
    workspace.lake.append("raw_documents", frame)
    assert run(workspace)[2].written == 6

    seen = counted(workspace)
    sections[2] = sections[2].replace("again", "twice")  # of the same length: the places of the others stay
    edited = frame.with_columns(content=pl.lit("\n\n".join(sections)), raw_hash=pl.lit("edited"))
    workspace.lake.replace("raw_documents", "ada", "document_id", frame["document_id"].to_list(), edited)
    _, _, _, index = run(workspace)
    assert seen == [sections[2].strip()]
    assert (index.upserted, index.removed, index.unchanged) == (1, 1, 5)


def test_a_new_chunker_embeds_no_text_again(tmp_path, monkeypatch):
    workspace = tiny(tmp_path / "home", make_tiny_model(tmp_path / "tiny", 8, 1))
    collect(workspace, TEXTS)
    run(workspace)
    seen = counted(workspace)
    monkeypatch.setattr(features, "CHUNKER_VERSION", "next")
    _, chunks, embeddings, index = run(workspace)
    assert (chunks.changed, embeddings.written, seen) == (4, 0, [])
    assert (index.upserted, index.unchanged) == (0, 4)


def test_a_new_model_is_built_beside_the_old_one(tmp_path, monkeypatch):
    home = tmp_path / "home"
    old = tiny(home, make_tiny_model(tmp_path / "old", 8, 1))
    collect(old, TEXTS)
    run(old)
    reader = tiny(home, tmp_path / "old").retriever  # a server that was started before
    assert reader.search("ada", "Queues hide the work")[0].text == TEXTS["queues"]
    version = old.index.version("ada")

    new = tiny(home, make_tiny_model(tmp_path / "new", 12, 2))
    seen = counted(new)
    update_chunks(new, "ada")
    update_embeddings(new, "ada")
    assert len(seen) == 4
    assert new.lake.read("embeddings", "ada").height == 8, "the old model's stay"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index_edge.files, "swap_pointer", killed)
        with pytest.raises(KeyboardInterrupt):
            update_index(new, "ada")
    for retriever in (reader, new.retriever):
        assert old.index.version("ada") == version
        assert retriever.search("ada", "Queues hide the work")[0].text == TEXTS["queues"], "the old one serves on"

    update_index(new, "ada")
    assert new.index.schema("ada").endswith(new.embedder.model_id)
    for retriever in (reader, new.retriever):
        (hit, *_) = retriever.search("ada", "A test that can't fail")
        assert hit.text == TEXTS["tests"], "asked with the publication's model, whatever is set"

    back = tiny(home, tmp_path / "old")
    seen = counted(back)
    run(back)
    assert (seen, back.index.version("ada")) == ([], version), "going back embeds nothing"
    assert tidy_former_models(back, "ada", dry_run=False) == 4
    assert back.lake.read("embeddings", "ada")["derived_version"].unique().to_list() == [back.embedder.model_id]


def test_indexing_before_embedding_is_an_error(workspace):
    collect(workspace, TEXTS)
    update_corpus(workspace, "ada")
    update_chunks(workspace, "ada")
    with pytest.raises(LakeError, match="4 passages of 'ada' have no embedding"):
        update_index(workspace, "ada")
    assert workspace.index.version("ada") is None


KILLED = """
import os, sys
sys.path.insert(0, "tests/unit")
from pathlib import Path
from test_features import STEPS, make_workspace
from twin_assets.core import corpus, features, lake, publication

workspace = make_workspace(Path(sys.argv[1]), Path(sys.argv[2]))
step = int(sys.argv[3])
for name in ("EMBEDDING_BATCH", "INDEX_BATCH"):
    setattr(features, name, 2)
derive = features.derive
features.derive = corpus.derive = lambda lake, **options: derive(lake, **{**options, "batch_size": 2})


def killed(done, total):
    os.kill(os.getpid(), 9)


for number, update in enumerate(STEPS[: step + 1]):
    update(workspace, "ada", progress=killed if number == step else None)
"""


def snapshot(workspace: Workspace) -> dict:
    tables = {}
    for table in ("documents", "chunks", "embeddings"):
        frame = workspace.lake.read(table, "ada")
        tables[table] = frame.select(pl.exclude("vector")).sort(pl.all()).rows()
    return {**tables, "index": (workspace.index.version("ada"), workspace.index.state("ada"))}


def test_a_run_killed_at_any_step_is_completed_by_the_next(workspace, tmp_path):
    export = workspace.embedder.folder
    collect(workspace, TEXTS)
    run(workspace)
    rebuilt = snapshot(workspace)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    other = make_workspace(tmp_path / "killed", export)
    collect(other, {**TEXTS, "tests": "An older text.", "old": "One that is gone later."})
    run(other)
    published = other.index.version("ada")
    collect(other, TEXTS)
    for step in range(len(STEPS)):
        arguments = [str(tmp_path / "killed"), str(export), str(step)]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
        assert other.index.version("ada") == published, "nothing half-done is published"
    run(other)
    finished = snapshot(other)
    kept = {row[1:] for row in finished.pop("embeddings")}
    assert {row[1:] for row in rebuilt.pop("embeddings")} <= kept, "embeddings of gone texts are kept"
    assert finished == rebuilt
