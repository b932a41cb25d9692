"""Taking a source away: what goes, what another source keeps, what may be interrupted, and that it asks first."""

import json

import polars as pl
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from demo.exports import linkedin_export, medium_export
from tests.integration.collecting import collect_all, platforms, rows, workspace  # noqa: F401  fixtures
from twin_assets.cli import app
from twin_assets.core import features, source_removal
from twin_assets.core.authors import Author, Source
from twin_assets.core.collection import add_source, import_export, source_states
from twin_assets.core.errors import ConfigurationError
from twin_assets.core.source_removal import plan_removal, remove_source
from twin_assets.settings import get_settings
from twin_serving.api.answers import add_error_answers
from twin_serving.api.twins import twin_routes


@pytest.fixture
def medium(workspace, platforms, tmp_path):
    """Ada's Medium feed and export, both collected: (feed, export)."""
    add_source(workspace, "ada", "medium", f"{platforms.url}/medium/feed/@maren-oduya")
    export = import_export(workspace, "ada", medium_export(tmp_path / "medium.zip"))
    collect_all(workspace, "medium")
    (feed,) = [source for source in workspace.authors.get("ada").sources if source != export]
    return feed, export


def test_what_another_source_holds_stays_and_becomes_its_own(workspace, medium):
    feed, export = medium
    before = set(rows(workspace))
    listed = _listed(workspace)
    removal = remove_source(workspace, "ada", export.key)
    assert set(rows(workspace)) == before & listed[feed.key]
    assert removal.documents == len(before - listed[feed.key]) > 0
    assert removal.kept == len(before & listed[feed.key] & listed[export.key]) > 0
    assert {row["source"] for row in rows(workspace).values()} == {feed.key}
    assert workspace.authors.get("ada").sources == (feed,)
    assert [state["source"] for state in source_states(workspace, "ada")] == [feed.key]
    (again,) = collect_all(workspace, "medium")
    assert (again.status, again.new, again.removed) == ("ok", 0, 0)

    remove_source(workspace, "ada", feed.key)
    assert rows(workspace) == {}
    assert set(rows(workspace, live=False)) == before, "tombstones keep what was there"


def _listed(workspace) -> dict[str, set[str]]:
    states = workspace.lake.read("source_state", "ada").to_dicts()
    return {state["source"]: set(json.loads(state["cursor"])["listed"]) for state in states}


def test_the_next_run_takes_the_documents_out_of_the_corpus(workspace, tmp_path):
    source = import_export(workspace, "ada", linkedin_export(tmp_path / "linkedin.zip"))
    collect_all(workspace, "linkedin")
    features.update_corpus(workspace, "ada")
    kept = workspace.settings.home / source.location
    assert kept.is_file()
    assert features.corpus(workspace.lake, "ada").height > 0
    removal = remove_source(workspace, "ada", source.key)
    assert removal.files == (source.location,)
    assert not kept.exists()
    assert features.update_corpus(workspace, "ada").removed == removal.documents
    assert features.corpus(workspace.lake, "ada").height == 0


def test_planning_changes_nothing(workspace, medium):
    _feed, export = medium
    author, versions = workspace.authors.get("ada"), _versions(workspace)
    assert plan_removal(workspace, "ada", export.key).files
    assert workspace.authors.get("ada") == author
    assert _versions(workspace) == versions
    assert (workspace.settings.home / export.location).is_file()


def _versions(workspace) -> list[int | None]:
    return [workspace.lake.version(table) for table in ("raw_documents", "source_state")]


@pytest.mark.parametrize("step", ["_bury", "replace"])
def test_a_removal_that_was_interrupted_is_finished_by_the_next(workspace, medium, monkeypatch, step):
    feed, export = medium

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "_bury":
            patch.setattr(source_removal, "_bury", killed)
        else:
            patch.setattr(type(workspace.lake), "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_source(workspace, "ada", export.key)
    remove_source(workspace, "ada", export.key)
    assert {row["source"] for row in rows(workspace).values()} == {feed.key}
    assert not (workspace.settings.home / export.location).exists()
    with pytest.raises(ConfigurationError, match="has no source"):
        remove_source(workspace, "ada", export.key)


def test_the_last_export_takes_along_those_it_replaced(workspace, platforms, tmp_path):
    first = import_export(workspace, "ada", medium_export(tmp_path / "1.zip"))
    collect_all(workspace, "medium")
    newer = tmp_path / "2.zip"
    _with_another_entry(tmp_path / "1.zip", newer)
    second = import_export(workspace, "ada", newer)
    assert workspace.authors.get("ada").sources == (second,) != (first,)
    remove_source(workspace, "ada", second.key)
    assert rows(workspace) == {}
    assert not (workspace.settings.home / first.location).exists()
    assert source_states(workspace, "ada") == []


def _with_another_entry(source, target) -> None:
    import shutil
    import zipfile

    shutil.copy(source, target)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("README.txt", "newer")


def test_other_platforms_and_other_authors_are_left_alone(workspace, medium, platforms):
    feed, export = medium
    workspace.authors.save(Author(id="ben", name="Ben", sources=(feed,)))
    add_source(workspace, "ada", "feed", f"{platforms.url}/blog/feed.xml")
    collect_all(workspace, "feed")
    blog = [row for row in rows(workspace).values() if row["platform"] == "feed"]
    remove_source(workspace, "ada", feed.key)
    remove_source(workspace, "ada", export.key)
    assert list(rows(workspace).values()) == blog
    assert workspace.authors.get("ben").sources == (feed,)


def test_a_file_outside_the_imports_is_never_deleted(workspace, tmp_path):
    outside = workspace.settings.home / "precious.zip"
    outside.write_bytes(b"not an import")
    source = Source(platform="medium", location="imports/../precious.zip")
    workspace.authors.save(Author(id="ada", name="Ada", sources=(source,)))
    assert remove_source(workspace, "ada", source.key).files == ()
    assert outside.exists()


@pytest.fixture
def twin(workspace, monkeypatch):
    """The `twin` command on this deployment."""
    monkeypatch.setenv("TWIN_HOME", str(workspace.settings.home))
    get_settings.cache_clear()
    return lambda *arguments, **more: CliRunner().invoke(app, list(arguments), **more)


def test_the_command_says_what_happens_and_asks_first(workspace, medium, twin):
    feed, export = medium
    refused = twin("source", "remove", "ada", export.key, input="n\n")
    assert refused.exit_code == 1
    assert "leave the corpus and the index with the next run" in refused.output
    assert export.location in refused.output
    assert export in workspace.authors.get("ada").sources
    assert isinstance(twin("source", "remove", "ada", export.key, "--json").exception, ConfigurationError)
    assert export in workspace.authors.get("ada").sources
    done = json.loads(twin("source", "remove", "ada", export.key, "--yes", "--json").output)
    assert done["documents"] > 0
    assert workspace.authors.get("ada").sources == (feed,)
    unknown = twin("source", "remove", "ada", "medium:@nobody", "--yes").exception
    assert feed.key in str(unknown), "the sentence lists what there is"


@pytest.fixture
def api(workspace):
    """The routes the page uses."""
    routes = FastAPI()
    add_error_answers(routes)
    routes.include_router(twin_routes(workspace))
    with TestClient(routes) as client:
        yield client


def test_the_page_can_ask_what_goes_take_it_away_and_is_told_what_is_wrong(workspace, medium, api):
    feed, export = medium
    address = "/v1/twins/ada/sources"
    plan = api.delete(address, params={"source": export.key, "dry_run": True}).json()
    assert "leave the corpus" in plan["sentence"]
    assert export in workspace.authors.get("ada").sources
    assert api.delete(address, params={"source": export.key}).json() == plan
    assert workspace.authors.get("ada").sources == (feed,)
    refused = api.delete(address, params={"source": "../../x:y"})
    assert refused.status_code == 400
    assert feed.key in refused.json()["error"]["message"]


def test_the_page_can_set_and_stop_the_timetable(workspace, api):
    workspace.settings.time_zone = "Europe/Amsterdam"
    saved = api.put("/v1/twins/ada/schedule", json={"schedule": "0 6 * * *"}).json()
    assert (saved["schedule"], saved["time_zone"]) == ("0 6 * * *", "Europe/Amsterdam")
    assert "T06:00:00+0" in saved["next_run"]
    refused = api.put("/v1/twins/ada/schedule", json={"schedule": "0 6 30 2 *"})
    assert refused.status_code == 400
    assert "no cron expression" in refused.json()["error"]["message"]
    assert workspace.authors.get("ada").schedule == "0 6 * * *"
    assert api.put("/v1/twins/ada/schedule", json={"schedule": None}).json()["next_run"] is None
    assert workspace.authors.get("ada").schedule is None


def test_the_page_can_set_the_other_names_an_author_signs_with(workspace, api):
    assert api.get("/v1/twins/ada").json()["names"] == []
    saved = api.put("/v1/twins/ada/names", json={"names": [" Ada Byron ", "", "Ada Byron", "A. A. L."]}).json()
    assert saved == {"names": ["Ada Byron", "A. A. L."]}
    assert workspace.authors.get("ada").names == ("Ada Byron", "A. A. L.")
    assert api.get("/v1/twins/ada").json()["names"] == ["Ada Byron", "A. A. L."]
    assert api.put("/v1/twins/nobody/names", json={"names": []}).status_code == 404


def test_a_source_that_is_added_again_is_told_by_its_own_location(workspace, api):
    feed, blog = ({"platform": "feed", "location": f"https://{name}.example/feed"} for name in ("ada", "blog"))
    for source in (feed, blog, feed):
        assert api.post("/v1/twins/ada/sources", json=source).json() == source


def test_status_tells_of_every_source_and_every_link_in_quarantine(workspace, medium, platforms, twin):
    _feed, export = medium
    add_source(workspace, "ada", "substack", f"{platforms.url}/substack")
    add_source(workspace, "ada", "feed", f"{platforms.url}/nothing/feed.xml")
    add_source(workspace, "ada", "gitlab", "maren")
    for platform in ("substack", "feed"):
        collect_all(workspace, platform)
    changed = twin("author", "add", "ada", "--schedule", "7 6 * * *")
    assert "'7 6 * * *' (UTC), next " in changed.output
    (status,) = json.loads(twin("status", "ada", "--json").output)
    told = {row["platform"]: row for row in status["sources"] if row["source"] != export.key}
    assert status["next_run"].endswith("06:15:00+00:00"), "timetables are looked at every quarter of an hour"
    assert {row["next_run"] for row in told.values()} == {status["next_run"]}
    assert told["gitlab"]["status"] == "new"
    assert "twin collect ada" in told["gitlab"]["do"]
    assert (told["feed"]["status"], told["feed"]["succeeded_at"]) == ("failed", None)
    assert f"{platforms.url}/nothing/feed.xml" in told["feed"]["do"]
    assert (told["medium"]["status"], told["medium"]["new"] > 0) == ("ok", True)
    held = workspace.lake.read("raw_documents", "ada", where=pl.col("quarantine").is_not_null())
    assert {row["url"] for row in status["quarantined"]} == set(held["url"])
    assert all(row["reason"] and row["remedy"] for row in status["quarantined"])
    assert told["substack"]["quarantined"] + told["medium"]["quarantined"] > 0
    shown = twin("status", "ada").output
    assert "twin collect ada" in shown
    assert "in quarantine" in shown
    off = twin("author", "add", "ada", "--schedule", "off")
    assert "when somebody starts it" in off.output
    assert workspace.authors.get("ada").schedule is None


def test_one_authors_broken_file_hides_nobody_elses_status(workspace, twin):
    (workspace.settings.authors_folder / "ben.json").write_text("{half a file")
    told = twin("status")
    assert told.exit_code == 1
    assert "Ada (ada): 0 documents" in told.stdout
    assert "ben.json is unreadable" in told.stderr
