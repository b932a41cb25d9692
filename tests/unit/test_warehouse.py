"""The lake as a warehouse: SQL that only reads, versions listed, compared and read, and what a retention keeps."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from twin_assets.core.authors import Author, Source
from twin_assets.core.documents import TABLES, Chunk, Document
from twin_assets.core.errors import ConfigurationError, InputError, LakeError, ModelError, VersionGoneError
from twin_assets.core.features import corpus_version
from twin_assets.core.housekeeping import needed_versions, tidy
from twin_assets.core.lake import Lake, rows_frame
from twin_assets.core.registry import ModelVersion, Registry
from twin_assets.core.warehouse import (
    ask,
    compare,
    content_version,
    list_versions,
    parse_moment,
    read_version,
    resolve,
)

NOW = timedelta(0)


def documents(*pairs: tuple[str, str], author: str = "ada") -> pl.DataFrame:
    rows = [Document(n, "files", n, "post", f"https://example.org/{n}", f"Title {n}", text).row() for n, text in pairs]
    return rows_frame(
        "documents", [row | {"author": author, "input_hash": "x", "derived_version": "1"} for row in rows]
    )


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Versions 0 to 3 of ada's corpus, the third written by somebody else, the last a change and a removal."""
    lake = Lake(tmp_path / "lake")
    lake.append("documents", documents(("a", "one"), ("b", "two")))
    lake.append("documents", documents(("c", "three")))
    lake.append("documents", documents(("z", "not hers"), author="ben"))
    lake.replace("documents", "ada", "document_id", ["a", "b"], documents(("a", "one, edited")))
    return lake


def test_sql_reads_every_table_and_writes_nothing(lake, tmp_path):
    assert ask(lake, "select count(*) as n from documents")["n"].item() == 3
    for table in TABLES:
        assert set(ask(lake, f"select * from {table}").columns) == set(TABLES[table])
    assert set(ask(lake, "show tables")["name"]) == set(TABLES)
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    for statement in (
        f"select * from read_csv('{tmp_path}/secret.csv')",
        f"select * from '{tmp_path}/secret.csv'",
        "select * from lake",  # a variable of the calling code is no table
        "select nothing from nowhere",
    ):
        with pytest.raises(LakeError, match="query failed"):
            ask(lake, statement)
    for statement in (
        "create table mine as select 1",
        f"copy documents to '{tmp_path}/out.csv'",
        f"attach '{tmp_path}/out.db'",
        "select 1; select 2",
        "",
    ):
        with pytest.raises(LakeError, match="Ask one question"):
            ask(lake, statement)


def test_sql_reads_as_of_a_version_and_as_of_a_moment(lake):
    count = "select count(*) as n from documents"
    assert ask(lake, count, versions={"documents": 0})["n"].item() == 2
    assert ask(lake, count, moment=datetime.now(UTC))["n"].item() == 3
    assert ask(lake, count, moment=datetime(2020, 1, 1, tzinfo=UTC))["n"].item() == 0
    with pytest.raises(LakeError, match="has no version 9; its newest is 3"):
        ask(lake, count, versions={"documents": 9})
    with pytest.raises(LakeError, match="no table 'document'"):
        ask(lake, count, versions={"document": 1})


def test_versions_are_those_that_changed_the_authors_rows(lake):
    found = list(list_versions(lake, "ada", "corpus"))
    assert [(version.delta_version, version.rows) for version in found] == [(3, 2), (1, 3), (0, 2)]
    assert [version.content for version in found] == [
        content_version(lake, "ada", "corpus", version.delta_version)[0] for version in found
    ]
    assert found[0].content == corpus_version(lake, "ada"), "what the registry knows a corpus by"
    assert [v.delta_version for v in list_versions(lake, "ben", "corpus")] == [2]
    assert len(list(list_versions(lake, "ada", "corpus", limit=1))) == 1
    assert list(list_versions(lake, "ada", "dataset")) == []


def test_a_commit_that_changes_nothing_is_no_version(lake):
    before = [v.delta_version for v in list_versions(lake, "ada", "corpus")]
    lake.replace("documents", "ada", "document_id", ["c"], documents(("c", "three")))
    assert lake.version("documents") == 4
    assert [v.delta_version for v in list_versions(lake, "ada", "corpus")] == before


def test_two_versions_are_compared(lake):
    found = compare(lake, "ada", "corpus", 0, 3)
    assert found.added["title"].to_list() == ["Title c"]
    assert found.removed["title"].to_list() == ["Title b"]
    assert found.changed["title"].to_list() == ["Title a"]
    assert found.unchanged == 0
    assert read_version(lake, "ada", "corpus", 0)["text"].to_list() == ["one", "two"]


def test_samples_are_compared_by_their_place_in_the_document(tmp_path):
    lake = Lake(tmp_path)
    sample = {
        "author": "ada", "document_id": "a", "position": 0, "form": "post", "instruction": "Write.", "context": "",
        "target": "one", "group_id": "a", "split": "train", "excluded": None, "sample_id": "s",
    }  # fmt: skip
    lake.append("samples", [sample, sample | {"position": 1, "target": "two"}])
    changed = [sample | {"split": "test"}, sample | {"position": 2}, sample | {"position": 3, "excluded": "short"}]
    lake.replace("samples", "ada", "document_id", ["a"], changed)
    found = compare(lake, "ada", "dataset", 0, 1)
    assert [part["position"].to_list() for part in (found.added, found.removed, found.changed)] == [[2], [1], [0]]
    assert [version.rows for version in list_versions(lake, "ada", "dataset")] == [2, 2]


def test_a_version_goes_by_many_names(lake):
    first = next(v for v in list_versions(lake, "ada", "corpus") if v.delta_version == 0)
    assert first.content is not None
    assert resolve(lake, "ada", "corpus", first.content[:10]) == 0
    assert resolve(lake, "ada", "corpus", "now") == 3
    assert resolve(lake, "ada", "corpus", "1") == 1
    assert resolve(lake, "ada", "corpus", f"{datetime.now(UTC):%Y-%m-%d}") == 3
    assert resolve(lake, "ada", "corpus", first.written_at.isoformat()) == 0
    for name, sentence in (
        ("7", "no version 7; its newest is 3"),
        ("0" * 12, "has the hash 000000000000"),
        ("2020-01-01", "no corpus yet on 2020-01-01"),
        ("yesterday", "names no version"),
    ):
        with pytest.raises(InputError, match=sentence):
            resolve(lake, "ada", "corpus", name)
    with pytest.raises(InputError, match="no dataset yet"):
        resolve(lake, "ada", "dataset", "now")
    assert parse_moment("2026-05-01T12:00+02:00") == datetime(2026, 5, 1, 10, tzinfo=UTC)


def model(**made_from) -> ModelVersion:
    """A registered version as the registry gives it."""
    values: dict[str, Any] = {
        "author": "ada", "version": "1", "run_id": "r", "base_model": "nano", "is_nano": True, "dataset_version": "",
        "corpus_version": "", "code_version": "1", "fingerprint": "f", "status": "approved",
        "created_at": datetime.now(UTC),
    }  # fmt: skip
    return ModelVersion(**(values | made_from))


def test_the_models_made_from_a_version_are_named(lake):
    content, _ = content_version(lake, "ada", "corpus", 1)
    models = [model(version="10", corpus_version=content), model(version="9", corpus_version=content), model()]
    found = {version.delta_version: version.models for version in list_versions(lake, "ada", "corpus", models)}
    assert found == {3: (), 1: ("9", "10"), 0: ()}


def test_the_retention_keeps_the_present_and_what_a_model_was_made_from(workspace, monkeypatch):
    workspace.authors.save(Author(id="ada", name="Ada"))
    lake = workspace.lake
    for n in range(12):
        lake.append("documents", documents((f"d{n}", f"text {n}")))
    wanted = content_version(lake, "ada", "corpus")
    made = model(corpus_version=wanted[0])
    monkeypatch.setattr(Registry, "versions", lambda self, author: [made])
    lake.replace("documents", "ada", "document_id", ["d0"], [])
    lake.append("documents", documents(("new", "text")))
    present = content_version(lake, "ada", "corpus")

    would = tidy(workspace, NOW, shortest=NOW, dry_run=True)
    assert lake.version("documents") == 13, "a dry run writes nothing"
    done = tidy(workspace, NOW, shortest=NOW)
    told = {table.table: table for table in done.tables}["documents"]
    assert told.kept == (11,)
    tuned = model(dataset_delta_version=5, preferences_version="p", preferences_delta_version=3)
    monkeypatch.setattr(Registry, "versions", lambda self, author: [made, tuned])
    assert needed_versions(workspace) == {"samples": {5}, "preferences": {3}, "documents": {11}}
    assert told.merged == {table.table: table for table in would.tables}["documents"].merged == 12
    assert content_version(lake, "ada", "corpus") == present
    assert content_version(lake, "ada", "corpus", 11) == wanted, "a model was made from it"
    # Version 11 needs the first document's file; that of the last, merged away since, nobody needs.
    with pytest.raises(VersionGoneError, match="before the retention"):
        lake.read("documents", "ada", version=13)
    gone = [version for version in list_versions(lake, "ada", "corpus") if version.content is None]
    assert [version.delta_version for version in gone] == [13]

    version = lake.version("documents")
    again = tidy(workspace, NOW, shortest=NOW)
    assert lake.version("documents") == version, "nothing to do is nothing written"
    assert sum(table.merged + table.removed for table in again.tables) == 0


def test_within_the_retention_everything_can_be_read(workspace):
    lake = workspace.lake
    lake.append("documents", documents(("a", "one")))
    lake.replace("documents", "ada", "document_id", ["a"], documents(("a", "two")))
    tidy(workspace, timedelta(days=1))
    assert read_version(lake, "ada", "corpus", 0)["text"].item() == "one"
    with pytest.raises(ConfigurationError, match="too short"):
        tidy(workspace, timedelta(hours=1))


def test_nothing_is_removed_while_the_registry_cannot_be_asked(workspace):
    workspace.authors.save(Author(id="ada", name="Ada"))
    workspace.lake.append("documents", documents(("a", "one")))
    workspace.lake.replace("documents", "ada", "document_id", ["a"], documents(("a", "two")))
    path = workspace.settings.home / "mlflow" / "mlflow.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database")
    with pytest.raises(ModelError, match="cannot be used"):
        tidy(workspace, NOW, shortest=NOW)
    assert read_version(workspace.lake, "ada", "corpus", 0)["text"].item() == "one"


def chunk(text: str) -> dict:
    row = Chunk("a", 0, text, 0, len(text), "post", "files", "", "").row()
    return row | {"author": "ada", "input_hash": "x", "derived_version": "1"}


def test_embeddings_go_when_no_passage_has_had_them_for_the_retention(workspace):
    lake = workspace.lake
    first, second = chunk("one"), chunk("two")
    vectors = [
        {"author": "ada", "text_hash": row["text_hash"], "input_hash": row["text_hash"],
         "derived_version": workspace.embedder.model_id,
         "vector": [1.0, 2.0]}
        for row in (first, second)
    ]  # fmt: skip
    lake.append("chunks", [first])
    lake.append("embeddings", vectors)
    lake.replace("chunks", "ada", "document_id", ["a"], [second])
    assert tidy(workspace, timedelta(days=1)).embeddings == 0, "it was in use a moment ago"
    assert lake.read("embeddings").height == 2
    time.sleep(0.01)
    assert tidy(workspace, NOW, shortest=NOW, dry_run=True).embeddings == 1
    assert tidy(workspace, NOW, shortest=NOW).embeddings == 1
    assert lake.read("embeddings")["text_hash"].to_list() == [second["text_hash"]]
    assert lake.read("embeddings")["vector"].to_list() == [[1.0, 2.0]]


def test_exports_that_were_replaced_go_after_the_retention(workspace):
    folder = workspace.settings.imports_folder / "ada" / "linkedin"
    folder.mkdir(parents=True)
    for name in ("old.zip", "used.zip", "young.zip"):
        (folder / name).write_bytes(b"x")
        if name != "young.zip":
            os.utime(folder / name, (1, 1))
    used = Source(platform="linkedin", location="imports/ada/linkedin/used.zip")
    workspace.authors.save(Author(id="ada", name="Ada", sources=(used,)))
    assert tidy(workspace, timedelta(days=1)).imports == ["imports/ada/linkedin/old.zip"]
    assert sorted(path.name for path in folder.iterdir()) == ["used.zip", "young.zip"]
