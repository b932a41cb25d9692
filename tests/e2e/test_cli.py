"""The command line as a person meets it: quick help, JSON, one clear sentence for bad input."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from demo.run import AUTHOR


def twin(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "twin_assets.cli", *arguments],
        env=os.environ | environment | {"TWIN_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from twin_assets.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "heavy = {'dagster', 'torch', 'mlflow', 'transformers', 'polars', 'fastembed', 'litserve', 'httpx'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_square_brackets_in_what_people_published_are_shown_as_they_are(capsys):
    from twin_assets.cli.shared import table

    table([{"text": "call [/api/v1] with array[i], see [note] here"}])
    assert "call [/api/v1] with array[i], see [note] here" in capsys.readouterr().out


def test_an_author_is_added_listed_shown_and_changed(tmp_path):
    added = twin("author", "add", "ada", "--name", "Ada", "--source", "medium=@ada", "--json", home=tmp_path)
    assert json.loads(added.stdout)["sources"][0]["platform"] == "medium"
    assert twin("author", "add", "ada", "--approval", "manual", home=tmp_path).returncode == 0
    (listed,) = json.loads(twin("author", "list", "--json", home=tmp_path).stdout)
    assert (listed["name"], listed["approval"], len(listed["sources"])) == ("Ada", "manual", 1)
    assert "medium" in twin("author", "show", "ada", home=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nobody"], "add one with `twin author add nobody`"),
        (["author", "add", "Ada!"], "lower-case letters, digits and hyphens"),
        (["author", "add", "ada", "--source", "medium"], "is not platform=location"),
        (["author", "add", "ada", "--source", "myspace=ada"], "myspace"),
        (["author", "add", "ada", "--source", "linkedin=https://example.org/cat"], "is not a LinkedIn profile"),
        (["author", "add", "ada", "--approval", "maybe"], "approval"),
        (["author", "add", "ada", "--schedule", "sometimes"], "no cron expression"),
        (["sql", "select * from nowhere"], "The query failed"),
        (["import", "nothing.zip", "--author", "nobody"], "There is no author 'nobody'"),
    ],
)
def test_bad_input_gets_one_clear_sentence(tmp_path, arguments, sentence):
    done = twin(*arguments, home=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_export_that_is_not_there_is_named(tmp_path):
    twin("author", "add", "ada", home=tmp_path)
    assert "nothing.zip" in twin("import", "nothing.zip", home=tmp_path).stderr


def test_a_zip_that_is_no_export_is_refused_and_nothing_is_lost(tmp_path):
    twin("author", "add", "ada", home=tmp_path)
    path = tmp_path / "holiday.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("beach.txt", "sand")
    done = twin("import", str(path), "--author", "ada", "--json", home=tmp_path)
    assert done.returncode == 1
    assert "holiday.zip" in json.loads(done.stdout)["error"]["message"]
    assert path.exists()
    assert json.loads(twin("author", "show", "ada", "--json", home=tmp_path).stdout)["sources"] == []


def test_an_author_with_no_text_is_told_so(tmp_path):
    twin("author", "add", "ada", "--base-model", "nano", home=tmp_path)
    done = twin("run", "ada", home=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "text" in done.stdout + done.stderr


def test_an_unknown_base_model_is_named(demo_deployment):
    authors = demo_deployment.workspace.authors
    known = authors.get(AUTHOR)
    authors.save(known.model_copy(update={"base_model": "/no/such/folder"}))
    done = twin("run", AUTHOR, home=Path(demo_deployment.environment["TWIN_HOME"]), **demo_deployment.environment)
    authors.save(known)
    assert done.returncode == 1
    assert "/no/such/folder" in done.stdout + done.stderr


def test_status_search_and_sql_answer_in_json(demo_deployment):
    home = Path(demo_deployment.environment["TWIN_HOME"])
    (status,) = json.loads(twin("status", "--json", home=home).stdout)
    assert status["id"] == AUTHOR
    assert status["documents"] > 120
    assert {row["reason"] for row in status["quarantined"]}
    found = json.loads(twin("search", AUTHOR, "backups nobody tested", "--json", home=home).stdout)
    assert len(found["hits"]) == 8
    (row,) = json.loads(twin("sql", "select count(*) as n from documents", "--json", home=home).stdout)
    assert row["n"] > 120


def test_a_search_before_anything_was_indexed_says_what_to_do(tmp_path):
    twin("author", "add", "ada", home=tmp_path)
    done = twin("search", "ada", "anything", home=tmp_path)
    assert done.returncode == 1
    assert "twin run ada" in done.stderr


def test_approving_rejecting_and_rolling_back_answer(demo_deployment):
    home = Path(demo_deployment.environment["TWIN_HOME"])
    assert "no" in twin("rollback", AUTHOR, home=home).stderr.lower()
    approved = json.loads(twin("approve", AUTHOR, "--json", home=home).stdout)
    assert approved["status"] == "approved"
    assert "99" in twin("approve", AUTHOR, "99", home=home).stderr
