"""Collecting from the loopback platforms into a real lake: incremental, merged, removed, failing alone."""

import json
import time
import zipfile
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from demo.exports import linkedin_export, medium_export, substack_export
from demo.server import PlatformServer
from tests.integration.collecting import (  # noqa: F401
    LOGIN,
    collect,
    collect_all,
    counts,
    platforms,
    rows,
    workspace,
)
from twin_assets.core.authors import Author
from twin_assets.core.cleaning import clean_documents
from twin_assets.core.collection import add_source, import_export, source_states
from twin_assets.core.errors import InputError, UnknownAuthorError
from twin_assets.core.ledger import SourceStates
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

SHARES = "Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\n"


def shares(path: Path, **posts: str) -> Path:
    """A LinkedIn export with these posts, by the number of their share."""
    lines = [
        f'2025-07-01 14:33:22,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A{name},"{text}","","",X\n'
        for name, text in posts.items()
    ]
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("Shares.csv", SHARES + "".join(lines))
    return path


SOURCES = {
    "medium": (f"/medium/feed/@{LOGIN}", "/medium"),
    "substack": ("/substack", "/substack"),
    "feed": ("/blog/feed.xml", "/blog"),
}


def add(workspace: Workspace, platforms: PlatformServer, platform: str) -> None:
    if platform == "github":
        add_source(workspace, "ada", "github", LOGIN, api_url=f"{platforms.url}/github")
    else:
        add_source(workspace, "ada", platform, platforms.url + SOURCES[platform][0])


@pytest.mark.parametrize("platform", ["medium", "substack", "github", "feed"])
def test_a_second_run_with_nothing_new_writes_no_document(workspace, platforms, platform):
    add(workspace, platforms, platform)
    first = collect(workspace, platform)
    assert first.status == "ok"
    assert first.new == len(rows(workspace)) > 0
    version, asked = workspace.lake.version("raw_documents"), len(platforms.requests)
    second = collect(workspace, platform)
    assert counts(second) == ("ok", 0, 0, first.new, 0, first.quarantined)
    assert workspace.lake.version("raw_documents") == version
    requests = platforms.requests[asked:]
    # One conditional request; Substack's listing and its end, which cannot be asked conditionally, its feed, its notes;
    # GitHub's repositories, gists and the search, which cannot be asked conditionally.
    assert len(requests) == {"substack": 4, "github": 3}.get(platform, 1)
    assert requests[0].status == 304


@pytest.mark.parametrize("platform", ["medium", "substack", "github", "feed"])
def test_an_edit_and_a_new_document_are_told_apart(workspace, platforms, platform):
    add(workspace, platforms, platform)
    before = collect(workspace, platform)
    stored = rows(workspace)
    name, row = next((name, row) for name, row in sorted(stored.items()) if not row["quarantine"])
    at_home = name.removeprefix(f"{LOGIN}/") if platform == "github" else name
    server = "blog" if platform == "feed" else platform
    platforms.change_post(server, at_home, "Every word of this one is new. " * 60)
    title = f"{at_home.split('/')[0]}/docs/new.md" if platform == "github" else "Something new"
    platforms.add_post(server, title, "# Something new\n\nA text that was not there. " * 40)
    after = collect(workspace, platform)
    assert (after.new, after.changed, after.removed) == (1, 1, 0)
    now = rows(workspace)
    assert len(now) == before.new + 1
    assert "Every word of this one is new." in now[name]["content"]
    assert now[name]["document_id"] == row["document_id"]
    assert {key: r["raw_hash"] for key, r in now.items() if key != name and key in stored} == {
        key: r["raw_hash"] for key, r in stored.items() if key != name
    }


@pytest.mark.parametrize(("platform", "removed"), [("substack", 1), ("github", 1), ("medium", 0), ("feed", 0)])
def test_removals_are_believed_only_of_complete_listings(workspace, platforms, platform, removed):
    add(workspace, platforms, platform)
    first = collect(workspace, platform)
    name = sorted(rows(workspace))[0]
    at_home = name.removeprefix(f"{LOGIN}/") if platform == "github" else name
    platforms.remove_post("blog" if platform == "feed" else platform, at_home)
    assert collect(workspace, platform).removed == removed
    assert (name in rows(workspace)) is (not removed)
    tombstone = rows(workspace, live=False)[name]
    assert (tombstone["removed_at"] is not None) is bool(removed)
    assert tombstone["content"]
    assert len(rows(workspace, live=False)) == first.new
    assert collect(workspace, platform).removed == 0


def test_an_edit_that_substacks_listing_does_not_show_is_seen_in_its_feed(workspace, platforms):
    add(workspace, platforms, "substack")
    collect(workspace, "substack")
    name, row = next((n, r) for n, r in rows(workspace).items() if not r["quarantine"])
    swapped = row["content"].replace(" the ", " this ")
    platforms.change_post("substack", name, swapped)
    assert collect(workspace, "substack").changed == 1
    assert rows(workspace)[name]["content"] == swapped


def test_a_refused_archive_falls_back_to_the_feed_and_is_one_document_later(workspace, platforms):
    add(workspace, platforms, "substack")
    platforms.fail("/substack/api/", status=403, times=None)
    fallen = collect(workspace, "substack")
    assert fallen.status == "ok"
    assert "only the feed's newest posts were read" in fallen.message
    assert all(name.startswith("p/") for name in rows(workspace))
    platforms.clear_faults()
    collect(workspace, "substack")
    slugs = [json.loads(row["metadata"])["slug"] for row in rows(workspace).values()]
    assert len(slugs) == len(set(slugs)) == len(json.loads(platforms.content["substack/archive.json"]))
    assert all(name.isdigit() for name in rows(workspace))
    platforms.fail("/substack/api/", status=403, times=None)
    assert collect(workspace, "substack").removed == 0
    assert all(name.isdigit() for name in rows(workspace))


def test_feed_and_export_are_one_document_and_the_whole_text_wins(workspace, platforms, tmp_path):
    add(workspace, platforms, "medium")
    collect(workspace, "medium")
    from_feed = rows(workspace)
    import_export(workspace, "ada", medium_export(tmp_path / "medium.zip"))
    by_feed, by_export = collect_all(workspace, "medium")
    assert by_feed.unchanged == len(from_feed)
    both = rows(workspace)
    names = [row["external_id"] for row in both.values()]
    assert len(names) == len(set(names)) == len(from_feed) + by_export.new
    assert by_export.new + by_export.changed + by_export.unchanged > by_export.new
    kinds = [json.loads(row["metadata"])["kind"] for row in both.values()]
    assert set(kinds) == {"article", "response"}
    version = workspace.lake.version("raw_documents")
    assert all(result.new == result.changed == 0 for result in collect_all(workspace, "medium"))
    assert workspace.lake.version("raw_documents") == version


def test_a_paid_preview_is_held_back_until_the_export_brings_the_text(workspace, platforms, tmp_path):
    add(workspace, platforms, "substack")
    assert collect(workspace, "substack").quarantined == 1
    name, held = next((n, r) for n, r in rows(workspace).items() if r["quarantine"])
    assert held["quarantine"] == "truncated preview"
    assert "import your Substack export" in held["remedy"]
    # The demo's own export holds the same preview; a real one holds what subscribers see.
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(substack_export(tmp_path / "substack.zip")) as thin, zipfile.ZipFile(whole, "w") as packed:
        for entry in thin.namelist():
            paid = entry.startswith(f"posts/{name}.")
            packed.writestr(entry, b"<p>" + b"All of it, for everyone. " * 200 + b"</p>" if paid else thin.read(entry))
    import_export(workspace, "ada", whole)
    collect_all(workspace, "substack")
    row = rows(workspace)[name]
    assert (row["quarantine"], row["url"]) == (None, held["url"])
    assert row["content"].startswith("<p>All of it")
    platforms.fail("/substack/feed", status=503, times=None)
    assert [result.changed for result in collect_all(workspace, "substack")] == [0, 0]
    assert rows(workspace)[name]["quarantine"] is None


def test_a_newer_export_replaces_the_older_one(workspace, tmp_path):
    first = import_export(workspace, "ada", shares(tmp_path / "a.zip", **{"1": "one", "2": "two", "3": "three"}))
    assert first.location.startswith("imports/ada/linkedin/")
    assert collect(workspace, "linkedin").new == 3
    assert import_export(workspace, "ada", tmp_path / "a.zip") == first
    assert counts(collect(workspace, "linkedin")) == ("ok", 0, 0, 3, 0, 0)
    second = import_export(workspace, "ada", shares(tmp_path / "b.zip", **{"2": "two!", "3": "three", "4": "four"}))
    assert workspace.authors.get("ada").sources == (second,)
    assert counts(collect(workspace, "linkedin")) == ("ok", 1, 1, 1, 1, 0)
    assert {row["content"] for row in rows(workspace).values()} == {"two!", "three", "four"}
    assert [row["source"] for row in source_states(workspace, "ada")] == [second.key]
    back = import_export(workspace, "ada", tmp_path / "a.zip")
    result = collect(workspace, "linkedin")
    assert (result.new, result.changed, result.removed) == (1, 1, 1)
    assert workspace.authors.get("ada").sources == (back,)


def test_exports_of_two_accounts_stay_side_by_side(workspace, tmp_path):
    import_export(workspace, "ada", shares(tmp_path / "a.zip", **{"1": "one"}))
    import_export(workspace, "ada", shares(tmp_path / "b.zip", **{"2": "two"}))
    assert [result.new for result in collect_all(workspace, "linkedin")] == [1, 1]
    import_export(workspace, "ada", shares(tmp_path / "c.zip", **{"2": "two", "3": "three"}))
    assert [counts(r)[1:5] for r in collect_all(workspace, "linkedin")] == [(0, 0, 1, 0), (1, 0, 1, 0)]
    assert len(rows(workspace)) == 3


def test_a_complete_listing_that_is_suddenly_empty_removes_nothing(workspace, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nText.")
    add_source(workspace, "ada", "files", str(folder))
    assert counts(collect(workspace, "files")) == ("ok", 1, 0, 0, 0, 0)
    (folder / "a.md").unlink()
    emptied = collect(workspace, "files")
    assert emptied.status == "failed"
    assert "nothing was removed" in emptied.message
    folder.rmdir()
    assert "is not there" in collect(workspace, "files").message
    assert list(rows(workspace)) == ["a.md"]


def test_a_folder_is_followed(workspace, tmp_path):
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.md").write_text(
        "---\ntitle: Pagers\ndate: 2024-01-02\ncanonical_url: https://ada.dev/a\n---\nIt’s on."
    )
    (folder / "deep" / "b.txt").write_bytes("A short note – naïve.".encode("cp1252"))
    (folder / "draft.md").write_text("---\ndraft: true\n---\nNot yet")
    (folder / "picture.png").write_bytes(b"\0")
    add_source(workspace, "ada", "files", str(folder))
    assert collect(workspace, "files").new == 2
    a, b = rows(workspace)["a.md"], rows(workspace)["deep/b.txt"]
    assert (a["title"], a["content"], a["category"], a["url"]) == ("Pagers", "It’s on.", "article", "https://ada.dev/a")
    assert a["published_at"].isoformat() == "2024-01-02T00:00:00+00:00"
    assert (b["content"], b["category"]) == ("A short note – naïve.", "post")
    (folder / "a.md").write_text("# Pagers\n\nNow off.")
    (folder / "deep" / "b.txt").unlink()
    assert counts(collect(workspace, "files")) == ("ok", 0, 1, 0, 1, 0)


def test_a_source_that_fails_fails_alone_and_says_what_to_do(workspace, platforms):
    add(workspace, platforms, "feed")
    add_source(workspace, "ada", "feed", "http://127.0.0.1:9/feed.xml")
    good, dead = collect_all(workspace, "feed")
    assert good.status == "ok"
    assert dead.status == "failed"
    assert "127.0.0.1 cannot be reached" in dead.message
    states = {row["source"]: row for row in source_states(workspace, "ada")}
    assert states[dead.source]["message"] == dead.message
    assert states[dead.source]["succeeded_at"] is None
    assert states[good.source]["new"] == good.new
    platforms.fail("/blog", fault="malformed")
    platforms.add_post("blog", "Something new", "A text that was not there. " * 40)
    failed = collect_all(workspace, "feed")[0]
    assert "is cut off" in failed.message
    assert len(rows(workspace)) == good.new
    after = collect_all(workspace, "feed")[0]
    assert (after.status, after.new) == ("ok", 1)


@pytest.mark.parametrize("platform", ["medium", "feed"])
@pytest.mark.parametrize("fault", ["challenge", "redirect_loop", "timeout", "wrong_encoding", "huge", "not_modified"])
def test_no_fault_of_a_feed_adds_or_removes_a_document(workspace, platforms, platform, fault):
    add(workspace, platforms, platform)
    before = collect(workspace, platform)
    stored = {name: row["title"] for name, row in rows(workspace).items()}
    platforms.fail(SOURCES[platform][1], fault=fault, seconds=0.01)
    result = collect(workspace, platform)
    assert (result.new, result.removed) == (0, 0)
    assert set(rows(workspace)) == set(stored)
    platforms.clear_faults()
    assert collect(workspace, platform).status == "ok"
    assert {name: row["title"] for name, row in rows(workspace).items()} == stored
    assert len(stored) == before.new


def test_a_reading_that_breaks_off_keeps_what_it_has_and_goes_on(workspace, platforms):
    add(workspace, platforms, "substack")
    listed = len(json.loads(platforms.content["substack/archive.json"]))
    slugs = [row["slug"] for row in platforms.publishing.archive()]
    platforms.fail(f"/substack/api/v1/posts/{slugs[2]}", status=500, times=None)
    broken = collect(workspace, "substack")
    assert (broken.status, broken.new) == ("failed", 2)
    platforms.clear_faults()
    asked = len(platforms.requests)
    rest = collect(workspace, "substack")
    assert (rest.status, rest.new, rest.unchanged) == ("ok", listed - 2, 2)
    assert sum("/posts/" in request.path for request in platforms.requests[asked:]) == listed - 2


@pytest.mark.parametrize("platform", ["medium", "substack", "github"])
def test_a_run_killed_between_documents_and_cursor_is_finished_by_the_next(workspace, platforms, monkeypatch, platform):
    add(workspace, platforms, platform)
    with monkeypatch.context() as patch:
        patch.setattr(SourceStates, "save", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect_all(workspace, platform)
    stored, version = rows(workspace), workspace.lake.version("raw_documents")
    assert stored
    assert source_states(workspace, "ada") == []
    again = collect(workspace, platform)
    assert (again.status, again.new, again.changed, again.unchanged) == ("ok", 0, 0, len(stored))
    assert workspace.lake.version("raw_documents") == version


def test_githubs_quota_ends_the_run_well_and_the_next_goes_on(workspace, platforms, monkeypatch):
    add(workspace, platforms, "github")
    platforms.set_github_quota(2, resets_in=600)
    waiting = collect(workspace, "github")
    assert waiting.status == "waiting"
    assert "asks to wait" in waiting.message
    (state,) = source_states(workspace, "ada")
    assert 590 < (state["retry_at"] - state["attempted_at"]).total_seconds() <= 601
    platforms.set_github_quota(60)
    asked = len(platforms.requests)
    early = collect(workspace, "github")
    assert (early.status, len(platforms.requests)) == ("waiting", asked)
    assert "asked to wait until" in early.message
    assert source_states(workspace, "ada")[0]["retry_at"] == state["retry_at"]
    later = time.time() + 601
    monkeypatch.setattr("twin_assets.core.collection.time.time", lambda: later)
    done = collect(workspace, "github")
    assert done.status == "ok"
    assert done.new == len(rows(workspace)) > 0
    assert source_states(workspace, "ada")[0]["retry_at"] is None


def test_a_new_token_need_not_wait_for_the_old_ones_quota(workspace, platforms):
    add(workspace, platforms, "github")
    platforms.set_github_quota(0, resets_in=600)
    assert collect(workspace, "github").status == "waiting"
    workspace.settings = workspace.settings.model_copy(update={"github_token": SecretStr("fresh")})
    assert collect(workspace, "github").status == "ok"


def test_github_reads_own_files_with_the_token_and_shows_it_nowhere(platforms, tmp_path, monkeypatch):
    settings = Settings(home=tmp_path, allowed_hosts="127.0.0.1", github_token=SecretStr("s3cret-token"))
    workspace = Workspace(settings)
    workspace.authors.save(Author(id="ada", name="Ada"))
    add(workspace, platforms, "github")
    result = collect(workspace, "github")
    assert platforms.requests[0].headers["authorization"] == "Bearer s3cret-token"
    names = set(rows(workspace))
    assert f"{LOGIN}/keelson/README.md" in names
    assert not [name for name in names if "vendor" in name or "lock" in name or "LICENSE" in name]
    assert {row["category"] for row in rows(workspace).values()} == {"article", "code"}
    frame = workspace.lake.read("raw_documents", "ada").write_json() + workspace.lake.read("source_state").write_json()
    assert "s3cret" not in frame + result.message


def test_a_wrong_name_is_told(workspace, platforms):
    add_source(workspace, "ada", "github", "nobody-here", api_url=f"{platforms.url}/github")
    assert "There is no GitHub user 'nobody-here'" in collect(workspace, "github").message
    add_source(workspace, "ada", "medium", f"{platforms.url}/medium/feed/@nobody")
    assert "does not exist; check the address" in collect(workspace, "medium").message
    with pytest.raises(UnknownAuthorError):
        add_source(workspace, "bob", "medium", "@bob")
    with pytest.raises(InputError, match="There is no platform 'myspace'"):
        add_source(workspace, "ada", "myspace", "@ada")


def test_a_linkedin_profile_waits_for_its_export(workspace, tmp_path):
    add_source(workspace, "ada", "linkedin", "https://www.linkedin.com/in/ada")
    waiting = collect(workspace, "linkedin")
    assert waiting.status == "waiting"
    assert "import the ZIP" in waiting.message
    import_export(workspace, "ada", linkedin_export(tmp_path / "export.zip"))
    assert [result.status for result in collect_all(workspace, "linkedin")] == ["ok", "ok"]


def test_no_source_no_result(workspace):
    assert collect_all(workspace, "x") == []
    assert source_states(workspace, "ada") == []


def test_the_real_linkedin_export_arrives_whole(workspace, shared_data):
    import_export(workspace, "ada", shared_data / "linkedin_export_sanand")
    result = collect(workspace, "linkedin")
    assert (result.new, result.unchanged, result.quarantined) == (184 + 323, 0, 0)
    assert result.message.startswith("188 rows with text are 184 posts")
    texts = [row["content"] for name, row in rows(workspace).items() if not name.startswith("comment:")]
    assert sum("\n" in text for text in texts) >= 169
    assert any("𝗪𝗛𝗔𝗧?" in text for text in texts)
    raw = workspace.lake.read("raw_documents", "ada").sort("external_id")
    some = pl.concat([raw.head(5), raw.tail(5)])  # comments are collected and kept out of the corpus
    assert clean_documents(some)["rejected"].to_list() == ["it is a comment on somebody else's words"] * 5 + [None] * 5
    assert counts(collect(workspace, "linkedin"))[:4] == ("ok", 0, 0, 184 + 323)
