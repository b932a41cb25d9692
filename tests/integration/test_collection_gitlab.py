"""GitLab, the source that came as one module: its own loopback server, its own tests, and nothing else."""

import json
from pathlib import Path

import pytest

import twin_assets
from demo.github import commit_sha, tarball
from demo.loopback import LoopbackServer
from demo.messages import Request, Response
from tests.integration.collecting import collect, counts, rows, workspace  # noqa: F401
from twin_assets.core.collection import add_source
from twin_assets.core.errors import InputError
from twin_assets.core.sources import PLATFORMS

PROSE = "The watermark moves only after the rows are counted, because a reader that trusts it must never be early."


class GitLab(LoopbackServer):
    """The part of GitLab's API v4 a public profile shows; `projects` are rows, `files` the files of each."""

    def __init__(self) -> None:
        super().__init__()
        self.projects: list[dict] = []
        self.files: dict[int, dict[str, bytes]] = {}
        self.releases: dict[int, list[dict]] = {}
        self.contributors: dict[int, list[dict]] = {}

    def add(self, number: int, name: str, files: dict[str, bytes], **more) -> None:
        """A project of ada's."""
        row = {"id": number, "name": name, "path_with_namespace": f"ada/{name}", "default_branch": "main"}
        row |= {"web_url": f"https://gitlab.com/ada/{name}", "last_activity_at": "2026-01-01T00:00:00Z"}
        self.projects.append(row | {"created_at": "2024-01-01T00:00:00Z", "visibility": "public"} | more)
        self.files[number] = files

    def respond(self, request: Request) -> Response:
        parts = request.path.removeprefix("/api/v4/").split("/")
        match parts:
            case ["users"]:
                found = [{"id": 7, "username": "ada", "name": "Ada L"}] if request.query["username"] == "ada" else []
                return self.answer_rows(found)
            case ["users", "7", "projects"]:
                page = int(request.query.get("page", "1"))
                links = {"Link": f'<{self.url}{request.path}?page={page + 1}>; rel="next"'}
                return self.answer_rows(
                    self.projects[2 * page - 2 : 2 * page], links if self.projects[2 * page :] else {}
                )
            case ["projects", number, "releases"]:
                return self.answer_rows(self.releases.get(int(number), []))
            case ["projects", number, "repository", "contributors"]:
                return self.answer_rows(self.contributors.get(int(number), []))
            case ["projects", number, "repository", "commits", "main"] if self.files[int(number)]:
                return self.answer_rows({"id": commit_sha(self.files[int(number)])})
            case ["projects", number, "repository", "archive.tar.gz"]:
                files = self.files[int(number)]
                return Response(200, tarball(files, "project-main", request.query["sha"]))
        return Response(404, b'{"message": "404 Not Found"}')

    @staticmethod
    def answer_rows(found: object, headers: dict | None = None) -> Response:
        return Response(200, json.dumps(found).encode(), {"Content-Type": "application/json"} | (headers or {}))


@pytest.fixture
def gitlab(workspace):
    with GitLab() as server:
        server.add(1, "quay", {"README.md": b"# Quay\n\nWords.", "vendor/x.py": b"x = 1", "a.py": b"x = 1\n"})
        server.add(2, "empty", {}, default_branch=None)
        server.add(3, "fork", {"README.md": b"Theirs"}, forked_from_project={"id": 9})
        server.add(4, "team", {"README.md": b"# Team\n\nWords."})
        server.contributors[4] = [{"name": "Ada L", "commits": 10}, {"name": "Bob", "commits": 30}]
        server.releases[1] = [
            {"tag_name": "v1", "name": "One", "description": PROSE, "author": {"username": "ada"},
             "released_at": "2026-01-02T03:04:05Z"},
            {"tag_name": "v2", "name": "Two", "description": PROSE, "author": {"username": "bob"}},
        ]  # fmt: skip
        add_source(workspace, "ada", "gitlab", f"{server.url}/ada")
        yield server


def test_own_files_and_release_notes_are_read_and_kept(gitlab, workspace):
    first = collect(workspace, "gitlab")
    assert counts(first) == ("ok", 3, 0, 0, 0, 0)
    assert "The files of ada/team are mostly other people's" in first.message
    stored = rows(workspace)
    assert {name: row["category"] for name, row in stored.items()} == {
        "ada/quay/README.md": "article", "ada/quay/a.py": "code", "ada/quay/:releases/v1": "post",
    }  # fmt: skip
    assert stored["ada/quay/README.md"]["url"] == "https://gitlab.com/ada/quay/-/blob/main/README.md"
    version = workspace.lake.version("raw_documents")
    assert counts(collect(workspace, "gitlab")) == ("ok", 0, 0, 3, 0, 0)
    assert workspace.lake.version("raw_documents") == version
    assert sum("archive" in request.path for request in gitlab.requests) == 1
    gitlab.files[1] = {"README.md": b"# Quay\n\nOther words.", "b.py": b"y = 1\n"}
    assert counts(collect(workspace, "gitlab")) == ("ok", 1, 1, 1, 1, 0)


@pytest.mark.parametrize("fault", ["truncated", "truncated_gzip", "malformed", "challenge", "redirect_loop", "timeout"])
@pytest.mark.parametrize("prefix", ["/api/v4/users", "/api/v4/projects/1/repository/archive"])
def test_no_fault_removes_a_document(gitlab, workspace, fault, prefix):
    collect(workspace, "gitlab")
    gitlab.files[1] = gitlab.files[1] | {"README.md": b"# Quay\n\nOther words."}
    gitlab.fail(prefix, fault=fault, times=None, seconds=0.01)
    failed = collect(workspace, "gitlab")
    assert (failed.status, failed.removed) == ("failed", 0)
    assert len(rows(workspace)) == 3
    gitlab.clear_faults()
    assert counts(collect(workspace, "gitlab")) == ("ok", 0, 1, 2, 0, 0)


def test_nobody_of_that_name(gitlab, workspace):
    workspace.authors.save(workspace.authors.get("ada").model_copy(update={"sources": ()}))
    add_source(workspace, "ada", "gitlab", f"{gitlab.url}/nobody")
    assert "There is no GitLab user 'nobody'" in collect(workspace, "gitlab").message


def test_profile_links():
    normalise = PLATFORMS["gitlab"].normalise
    assert normalise("ada") == normalise("@ada") == normalise("https://gitlab.com/ada/") == "https://gitlab.com/ada"
    assert normalise("git.ada.dev/ada") == "https://git.ada.dev/ada"
    for wrong in ("https://gitlab.com/ada/project", "https://github.com/ada", "a b", "gitlab.com"):
        with pytest.raises(InputError, match=r"looks like|web address"):
            normalise(wrong)


def test_nothing_but_its_module_makes_gitlab_a_source():
    """The proof that a source is one module: no other names it where sources are collected, shown or asked for."""
    root = Path(twin_assets.__file__).parent.parent
    rooms = ("twin_assets/defs", "twin_assets/cli", "twin_assets/resources", "twin_assets/core/sources", "twin_ui")
    files = [path for room in rooms for path in (root / room).rglob("*.py")]
    files += [root / f"twin_assets/core/{name}.py" for name in ("collection", "ledger", "archives", "web", "status")]
    naming = [path.name for path in files if "gitlab" in path.read_text().lower()]
    assert naming == ["gitlab.py"]
