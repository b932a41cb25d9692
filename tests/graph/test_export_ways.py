"""Every platform's export is recognised by its contents whichever way it comes: upload, command or inbox."""

import json
import zipfile
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from demo.exports import linkedin_export, medium_export, substack_export
from tests.graph.ticks import empty_instance, instance, resource, settle, tick  # noqa: F401  fixtures
from twin_assets.cli import app
from twin_assets.core.authors import Author
from twin_assets.core.collection import collect_platform
from twin_assets.core.sources import PLATFORMS
from twin_assets.defs.collection.sensors import inbox
from twin_assets.settings import get_settings
from twin_serving.api.twins import twin_routes


def x_archive(path: Path) -> Path:
    tweet = {
        "id_str": "1", "full_text": "A thought of my own.", "created_at": "Wed Sep 04 13:51:55 +0000 2019",
        "entities": {},
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/tweets.js", f"window.YTD.tweets.part0 = {json.dumps([{'tweet': tweet}])}")
    return path


EXPORTS = {"linkedin": linkedin_export, "medium": medium_export, "substack": substack_export, "x": x_archive}
# A name that says nothing, or something else.
NAMES = {"linkedin": "takeout.zip", "medium": "substack.zip", "substack": "download (3).zip", "x": "medium export.zip"}


def by_upload(workspace, export: Path, request) -> None:
    routes = FastAPI()
    routes.include_router(twin_routes(workspace))
    with TestClient(routes) as client, export.open("rb") as file:
        assert client.post("/v1/twins/ada/imports", files={"file": (export.name, file)}).status_code == 201


def by_command(workspace, export: Path, request) -> None:
    patch = request.getfixturevalue("monkeypatch")
    patch.setenv("TWIN_HOME", str(workspace.settings.home))
    get_settings.cache_clear()
    answered = CliRunner().invoke(app, ["import", str(export)])
    assert answered.exit_code == 0, answered.output
    assert export.name in answered.output


def by_inbox(workspace, export: Path, request) -> None:
    folder = workspace.settings.inbox_folder / "ada"
    folder.mkdir(parents=True)
    settle(export.rename(folder / export.name))
    (asked,) = tick(inbox, request.getfixturevalue("instance"), request.getfixturevalue("resource")).run_requests
    assert asked.partition_key == "ada"


def test_every_platform_with_an_export_is_tried():
    assert set(EXPORTS) == {name for name, platform in PLATFORMS.items() if platform.archive}


@pytest.mark.parametrize("way", [by_upload, by_command, by_inbox])
@pytest.mark.parametrize("platform", EXPORTS)
def test_an_export_is_known_by_its_contents(workspace, tmp_path, request, platform, way):
    workspace.authors.save(Author(id="ada", name="Ada"))
    way(workspace, EXPORTS[platform](tmp_path / NAMES[platform]), request)
    author = workspace.authors.get("ada")
    assert [source.platform for source in author.sources] == [platform]
    (result,) = collect_platform(workspace, author, platform)
    assert (result.status, result.new > 0) == ("ok", True)
