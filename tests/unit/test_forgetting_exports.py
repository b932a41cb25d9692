"""Exports written anew without a document: every other document stays, and no sentence of the one that went."""

import json
import zipfile
from pathlib import Path

import pytest

from demo.exports import linkedin_export, medium_export, substack_export
from twin_assets.core import features
from twin_assets.core.authors import Author
from twin_assets.core.collection import collect_platform, import_export
from twin_assets.core.forgetting_exports import Exports, exports_that_hold, take_out_of_exports
from twin_assets.core.forgetting_traces import Quotes
from twin_assets.core.workspace import Workspace

TWEETS = {
    "1": "The loom that stands in our hall was my grandmother's, and it still weaves.",
    "2": "Ship on Mondays, so that Friday stays quiet; nobody thanks you for the courage of a late release.",
    "3": "Short.",
    "4": "A test that cannot fail says nothing, “however” green it is — and costs a minute each time.",
}


def x_export(path: Path) -> Path:
    """An X archive with a picture of its first tweet."""
    rows = [
        {"tweet": {"id_str": name, "full_text": text, "created_at": f"Sat Oct 0{name} 10:00:00 +0000 2022"}}
        for name, text in TWEETS.items()
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/tweets.js", f"window.YTD.tweets.part0 = {json.dumps(rows)}")
        archive.writestr("data/account.js", 'window.YTD.account.part0 = [{"account": {"username": "ada"}}]')
        archive.writestr("data/tweets_media/1-abc.jpg", b"\xff\xd8picture")
    return path


@pytest.mark.parametrize(
    ("platform", "write"),
    [("linkedin", linkedin_export), ("medium", medium_export), ("substack", substack_export), ("x", x_export)],
)
def test_an_export_keeps_all_but_the_document(workspace, tmp_path, platform, write):
    location = _collected(workspace, write(tmp_path / "export.zip"), platform)
    path, before = workspace.settings.home / location, _documents(workspace)
    original = path.read_bytes()
    longest = sorted(before, key=lambda each: len(before[each]), reverse=True)
    for document in longest[:2]:
        path.write_bytes(original)
        quotes = Quotes.of(workspace.lake, "ada", [document])
        exports = exports_that_hold(workspace, "ada", [document], quotes)
        assert (exports.rewritten, exports.deleted) == ((location,), ())
        assert path.read_bytes() == original, "planning changes nothing"
        take_out_of_exports(workspace, "ada", [document], quotes, exports)
        assert path.stat().st_size < len(original)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            said = [archive.read(name).decode("utf-8", "replace") for name in archive.namelist()]
        assert not any(stretch in text for stretch in quotes.stretches for text in said)
        assert exports_that_hold(workspace, "ada", [document], quotes).rewritten == ()
        other = next(each for each in longest if each != document)
        assert exports_that_hold(workspace, "ada", [other], Quotes.of(workspace.lake, "ada", [other])).rewritten
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing is left beside it"


def test_a_tweets_picture_goes_with_it(workspace, tmp_path):
    location = _collected(workspace, x_export(tmp_path / "x.zip"), "x")
    _forget(workspace, TWEETS["1"])
    with zipfile.ZipFile(workspace.settings.home / location) as archive:
        assert archive.namelist() == ["data/account.js", "data/tweets.js"]
        assert (
            "“however”"
            in json.loads(archive.read("data/tweets.js").decode().partition("=")[2])[-1]["tweet"]["full_text"]
        )


def test_a_file_that_only_repeats_it_goes_as_a_whole(workspace, tmp_path):
    path = x_export(tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data/likes.js", f"window.YTD.likes = {json.dumps({'all': [{'text': TWEETS['2']}]})}")
    location = _collected(workspace, path, "x")
    _forget(workspace, TWEETS["2"])
    with zipfile.ZipFile(workspace.settings.home / location) as archive:
        assert "data/likes.js" not in archive.namelist()


def test_an_export_that_cannot_be_written_without_it_is_deleted(workspace, tmp_path):
    location = _collected(workspace, x_export(tmp_path / "x.zip"), "x")
    path = workspace.settings.home / location
    path.write_bytes(path.read_bytes()[:300])
    exports = _forget(workspace, TWEETS["2"])
    assert (exports.rewritten, exports.deleted) == ((), (location,))
    assert not path.exists()


def _forget(workspace: Workspace, text: str) -> Exports:
    """Take the document of this text out of the exports."""
    (document,) = (each for each, said in _documents(workspace).items() if said == text)
    quotes = Quotes.of(workspace.lake, "ada", [document])
    exports = exports_that_hold(workspace, "ada", [document], quotes)
    take_out_of_exports(workspace, "ada", [document], quotes, exports)
    return exports


def _collected(workspace: Workspace, path: Path, platform: str) -> str:
    """Import and collect an export; where it lies, relative to the home."""
    workspace.authors.save(Author(id="ada", name="Ada"))
    source = import_export(workspace, "ada", path)
    assert source.platform == platform
    collect_platform(workspace, workspace.authors.get("ada"), platform)
    features.update_corpus(workspace, "ada")
    return source.location


def _documents(workspace: Workspace) -> dict[str, str]:
    """What was collected, by id."""
    return dict(workspace.lake.read("raw_documents", "ada", columns=["document_id", "content"]).iter_rows())
