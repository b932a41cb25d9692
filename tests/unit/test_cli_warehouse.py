"""`twin sql`, `twin versions` and `twin vacuum` as a person types them."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from twin_assets.cli import app
from twin_assets.core.authors import Author
from twin_assets.core.documents import Document
from twin_assets.core.errors import InputError
from twin_assets.core.lake import Lake
from twin_assets.settings import get_settings


def row(name: str, text: str) -> dict:
    document = Document(name, "files", name, "post", f"https://example.org/{name}", f"[{name}]", text).row()
    return document | {"author": "ada", "input_hash": "x", "derived_version": "1"}


@pytest.fixture
def lake(workspace, monkeypatch) -> Lake:
    monkeypatch.setenv("TWIN_HOME", str(workspace.settings.home))
    get_settings.cache_clear()
    workspace.authors.save(Author(id="ada", name="Ada"))
    workspace.lake.append("documents", [row("a", "one"), row("b", "two")])
    workspace.lake.replace("documents", "ada", "document_id", ["a", "b", "c"], [row("a", "one, edited"), row("c", "x")])
    return workspace.lake


def twin(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_sql_answers_as_table_json_and_csv(lake):
    statement = "select title, text, [1, 2] as numbers from documents order by title"
    assert json.loads(twin("sql", statement, "--json"))[0] == {"title": "[a]", "text": "one, edited", "numbers": [1, 2]}
    rows = list(csv.DictReader(io.StringIO(twin("sql", statement, "--format", "csv"))))
    assert rows[0] == {"title": "[a]", "text": "one, edited", "numbers": "[1, 2]"}
    assert "[a]" in twin("sql", statement)
    assert "[b]" in twin("sql", "select title from documents", "--at", "documents=0")
    assert json.loads(twin("sql", "select * from documents", "--as-of", "2020-01-01", "--json")) == []
    with pytest.raises(InputError, match="is not table=version"):
        twin("sql", "select 1", "--at", "documents")


def test_versions_are_listed_compared_and_shown(lake):
    listed = json.loads(twin("versions", "list", "corpus", "--json"))
    assert [(version["delta_version"], version["rows"]) for version in listed] == [(1, 2), (0, 2)]
    assert listed[0]["content"][:12] in twin("versions", "list", "corpus", "--author", "ada")
    found = json.loads(twin("versions", "diff", "corpus", "0", "--json"))
    assert [[r["document_id"] for r in found[part]] for part in ("added", "removed", "changed")] == [
        ["c"],
        ["b"],
        ["a"],
    ]
    assert "1 added, 1 removed, 1 changed, 0 unchanged" in twin("versions", "diff", "corpus", listed[1]["content"][:12])
    then = json.loads(twin("versions", "show", "corpus", "0", "--json"))
    assert [document["text"] for document in then] == ["one", "two"]
    assert "[b]" in twin("versions", "show", "corpus", "0")


def test_vacuum_says_what_it_would_do_and_does_nothing_under_the_retention(lake):
    would = json.loads(twin("vacuum", "--dry-run", "--keep-days", "1", "--json"))
    assert (would["dry_run"], would["keep_days"]) == (True, 1)
    assert "0 unused embeddings and 0 replaced exports removed" in twin("vacuum")
    assert json.loads(twin("versions", "show", "corpus", "0", "--json"))[0]["text"] == "one"
