"""A long history that a platform gives in portions: every run goes on where the last one was broken off."""

import json

import pytest
from pydantic import SecretStr

from demo.linkedin import TOKEN
from demo.messages import Response
from tests.integration.collecting import LOGIN, collect, counts, platforms, rows, workspace  # noqa: F401
from twin_assets.core.collection import add_source
from twin_assets.core.errors import LakeError
from twin_assets.core.ledger import SourceStates
from twin_assets.core.sources import files

PROSE = "The watermark moves only after the rows are counted, because a reader that trusts it must never be early."


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """A platform that asked to wait may be asked again at once."""
    monkeypatch.setattr("twin_assets.core.collection._Collector._check_wait", lambda *_: None)


def in_portions(workspace, platform: str, prepare, most: int = 12) -> list:
    """Results of runs until one ends well; `prepare` is called before each."""
    results = []
    while not results or (results[-1].status != "ok" and len(results) < most):
        prepare()
        results.append(collect(workspace, platform))
    assert results[-1].status == "ok", results[-1]
    assert len(results) > 1
    assert not any(result.removed or result.changed for result in results)
    assert sum(result.new for result in results) == len(rows(workspace))
    version = workspace.lake.version("raw_documents")
    prepare()
    again = collect(workspace, platform)
    assert (again.new, again.changed, again.removed) == (0, 0, 0)
    assert workspace.lake.version("raw_documents") == version
    return results


def asked(platforms, part: str) -> list[str]:
    return [request.path for request in platforms.requests if part in request.path and request.status == 200]


def test_issues_of_a_person_who_wrote_many(platforms, workspace):
    stamps = [f"2026-01-{1 + n // 60:02}T{n % 24:02}:{n % 60:02}:00Z" for n in range(1200)]
    address = {"html_url": "https://github.com/o/r/issues", "repository_url": "https://api.github.com/repos/o/r"}
    issues = [
        {"number": n, "title": f"{n}", "body": f"{PROSE} {n}", "updated_at": stamps[n], "created_at": stamps[n]}
        | address
        for n in range(1200)
    ]
    platforms.content.write("github/issues.json", json.dumps(issues))
    add_source(workspace, "ada", "github", LOGIN, api_url=f"{platforms.url}/github")
    in_portions(workspace, "github", lambda: platforms.set_github_quota(9))
    assert len([name for name in rows(workspace) if name.startswith(":issues/")]) == 1200
    # 12 pages, one again of each later portion, which begins at the time the last one ended, and one of the run after.
    assert len(asked(platforms, "/search/issues")) <= 12 + 4


def test_gists_of_a_person_who_has_many(platforms, workspace):
    gists = [
        {"id": f"g{n}", "html_url": "u", "public": True, "updated_at": "2026-01-01T00:00:00Z",
         "files": {"a.md": {"content": f"{PROSE} {n}", "truncated": False}}}
        for n in range(20)
    ]  # fmt: skip
    platforms.content.write("github/gists.json", json.dumps(gists))
    add_source(workspace, "ada", "github", LOGIN, api_url=f"{platforms.url}/github")
    in_portions(workspace, "github", lambda: platforms.set_github_quota(10))
    read = asked(platforms, "/gists/")
    assert sorted(read) == sorted({*read})
    assert len(read) == 20


class Quota:
    """Lets so many requests of a kind through, and then answers 429."""

    def __init__(self, platforms, part: str) -> None:
        self.left = 0
        self.part = part
        self.honest = platforms.respond
        platforms.respond = self

    def __call__(self, request):
        if self.part in request.path:
            self.left -= 1
            if self.left < 0:
                return Response(429, b"", {"Retry-After": "900"})
        return self.honest(request)

    def refill(self, number: int) -> None:
        self.left = number


def test_notes_of_a_person_who_wrote_many(platforms, workspace):
    posts = json.loads(platforms.content["substack/archive.json"])
    posts = [row | {"publishedBylines": [{"id": 41}]} for row in posts]
    platforms.content.write("substack/archive.json", json.dumps(posts))
    notes = [
        {"type": "comment", "context": {"type": "note"},
         "comment": {"id": number, "body": f"Thought {number}.", "user_id": 41, "date": "2025-01-01T00:00:00Z"}}
        for number in range(70, 0, -1)
    ]  # fmt: skip
    platforms.content.write("substack/notes/41.json", json.dumps(notes))
    add_source(workspace, "ada", "substack", f"{platforms.url}/substack")
    quota = Quota(platforms, "/reader/feed/")
    in_portions(workspace, "substack", lambda: quota.refill(2))
    assert len([name for name in rows(workspace) if name.startswith("note/")]) == 70
    assert len(asked(platforms, "/reader/feed/")) <= 6 + 1
    assert len(asked(platforms, "/api/v1/posts/")) == len(posts)


def test_linkedins_snapshot_of_a_person_who_wrote_much(platforms, workspace):
    header, *_ = platforms.content.text("linkedin/Shares.csv").split("\n", 1)
    shares = [
        f"2025-07-01 14:33:22,https://x/urn%3Ali%3Ashare%3A{n},{PROSE.replace(',', '')} {n},,,X" for n in range(38)
    ]
    twice = shares[0].replace("14:33:22", "15:00:00").replace("watermark", "high-water mark")  # a link with two texts
    platforms.content.write("linkedin/Shares.csv", "\n".join([header, *shares, twice]))
    workspace.settings = workspace.settings.model_copy(update={"linkedin_token": SecretStr(TOKEN)})
    add_source(workspace, "ada", "linkedin", "https://www.linkedin.com/in/ada", api_url=f"{platforms.url}/linkedin")
    quota = Quota(platforms, "memberSnapshotData")
    in_portions(workspace, "linkedin", lambda: quota.refill(3))
    stored = rows(workspace)
    assert len([name for name in stored if name.startswith("share:")]) == 39
    assert "watermark moves" in stored["share:0"]["content"]
    assert "high-water" in stored["share:0/2025-07-01 15:00:00"]["content"]
    assert len(asked(platforms, "domain=MEMBER_SHARE_INFO")) == 8


def test_a_folder_of_many_files(workspace, tmp_path, monkeypatch):
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.md").write_text(f"# {number}\n\n{PROSE}")
    add_source(workspace, "ada", "files", str(folder))
    monkeypatch.setattr("twin_assets.core.collection.RESUMABLE", 2)
    monkeypatch.setattr("twin_assets.core.collection.SAVING_SHARE", float("inf"))
    save, saved = SourceStates.save, []

    def failing(self, *arguments, **options):
        saved.append(options["status"])
        if len(saved) == 4:
            raise LakeError("The disk is full.")
        save(self, *arguments, **options)

    monkeypatch.setattr(SourceStates, "save", failing)
    with pytest.raises(LakeError):
        collect(workspace, "files")
    opened, found = [], files._found
    monkeypatch.setattr(files, "_found", lambda reading, name, data: opened.append(name) or found(reading, name, data))
    assert counts(collect(workspace, "files")) == ("ok", 1, 0, 8, 0, 0)
    assert opened == ["6.md", "7.md", "8.md"]
