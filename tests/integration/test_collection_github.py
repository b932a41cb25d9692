"""GitHub beyond files: what the person wrote, and only that; asked sparingly, resumed where a quota ended it."""

import json
import time

import pytest
from pydantic import SecretStr

from demo.messages import Response
from tests.integration.collecting import LOGIN, collect, counts, platforms, rows, workspace  # noqa: F401
from twin_assets.core.collection import add_source, source_states

REPOSITORY = f"{LOGIN}/keelson"
PROSE = "The watermark moves only after the rows are counted, because a reader that trusts it must never be early."
OWN = {"login": LOGIN, "type": "User"}
OTHER = {"login": "amina-k", "type": "User"}


def release(number: int, text: str = PROSE, **more) -> dict:
    page = f"https://github.com/{REPOSITORY}/releases/tag/v{number}"
    row = {"id": number, "html_url": page, "tag_name": f"v{number}", "name": f"Keelson {number}", "draft": False}
    return row | {"body": text, "author": OWN, "published_at": "2026-01-02T03:04:05Z"} | more


def commit(sha: str, message: str, author: dict | None = OWN, parents: int = 1) -> dict:
    return {
        "sha": sha * 10, "html_url": f"https://github.com/{REPOSITORY}/commit/{sha}", "author": author,
        "commit": {"message": message, "author": {"date": "2026-01-02T03:04:05Z"}}, "parents": [{}] * parents,
    }  # fmt: skip


def issue(number: int, text: str = PROSE, updated: str = "2026-02-01T00:00:00Z", **more) -> dict:
    row = {"number": number, "title": f"Issue {number}", "body": text, "updated_at": updated}
    address = {
        "html_url": f"https://github.com/o/r/issues/{number}",
        "repository_url": "https://api.github.com/repos/o/r",
    }
    return row | address | {"created_at": "2026-01-01T00:00:00Z"} | more


def gist(name: str, updated: str = "2026-01-01T00:00:00Z", public: bool = True, **files: str) -> dict:
    contents = {path.replace("_", "."): {"content": text, "truncated": False} for path, text in files.items()}
    row = {"id": name, "html_url": f"https://gist.github.com/{name}", "public": public, "description": "A gist"}
    return row | {"created_at": "2025-01-01T00:00:00Z", "updated_at": updated, "files": contents}


@pytest.fixture
def github(platforms, workspace):
    """The demo's GitHub; `write(name, rows)` fills what people wrote there, `asked()` are the paths since."""
    add_source(workspace, "ada", "github", LOGIN, api_url=f"{platforms.url}/github")
    platforms.write = lambda name, found: platforms.content.write(f"github/{name}.json", json.dumps(found))
    return platforms


def with_token(workspace) -> None:
    workspace.settings = workspace.settings.model_copy(update={"github_token": SecretStr("t0ken")})


def written(workspace) -> dict[str, dict]:
    return {name: row for name, row in rows(workspace).items() if ":" in name}


def test_release_notes_and_commit_messages_that_are_prose(github, workspace):
    github.write("releases/keelson", [
        release(1), release(2, draft=True), release(3, author=OTHER), release(4, "Fixes."),
        release(5, f"<!-- template -->\n{PROSE}"),
    ])  # fmt: skip
    github.write("commits/keelson", [
        commit("a", f"Count first\n\n{PROSE}\n\nSigned-off-by: Maren <m@x>"), commit("b", "Fix typo"),
        commit("c", f"Merge branch 'x'\n\n{PROSE}", parents=2), commit("d", f"Bump a from 1 to 2\n\n{PROSE}"),
        commit("e", f"Tidy\n\n{PROSE}", {"login": f"{LOGIN}", "type": "Bot"}), commit("f", f"Theirs\n\n{PROSE}", OTHER),
    ])  # fmt: skip
    assert collect(workspace, "github").status == "ok"
    found = written(workspace)
    assert {name: (row["title"], row["content"]) for name, row in found.items()} == {
        f"{REPOSITORY}/:releases/1": ("Keelson 1", PROSE), f"{REPOSITORY}/:releases/5": ("Keelson 5", PROSE),
        f"{REPOSITORY}/:commits/{'a' * 10}": ("Count first", PROSE),
    }  # fmt: skip
    assert {row["category"] for row in found.values()} == {"post"}
    files = len(rows(workspace)) - len(found)
    github.write("commits/keelson", [commit("g", f"Say why\n\n{PROSE}"), commit("a", f"Count first\n\n{PROSE}")])
    github.write("releases/keelson", [release(1, PROSE + " Mind the gap."), release(6)])
    github.change_post("github", "keelson/README.md", "# Keelson\n\nNew words.")
    assert counts(collect(workspace, "github")) == ("ok", 2, 2, files - 1 + 1, 1, 0)
    rewritten = [commit("z", f"All anew\n\n{PROSE}")]
    github.write("commits/keelson", rewritten)
    github.change_post("github", "keelson/README.md", "# Keelson\n\nNewer words.")
    assert counts(collect(workspace, "github"))[1:5:3] == (1, 2)


def test_edited_release_notes_are_seen_without_a_push_where_a_token_makes_asking_free(github, workspace):
    with_token(workspace)
    github.write("releases/keelson", [release(1)])
    collect(workspace, "github")
    start = len(github.requests)
    assert collect(workspace, "github").changed == 0
    # All but the search and GraphQL, which know no validators, cost nothing.
    assert [r.status for r in github.requests[start:]] == [304, 304, 304, 200, 200]
    github.write("releases/keelson", [release(1, PROSE + " And mind the clock.")])
    assert collect(workspace, "github").changed == 1


def test_issues_are_read_newest_change_first_and_only_as_far_as_needed(github, workspace):
    days = [f"2026-02-{n:02}T00:00:00Z" for n in range(1, 29)]
    github.write("issues", [issue(n, updated=days[n % 28]) for n in range(250)] + [issue(900, "+1"), issue(901, None)])
    collect(workspace, "github")
    names = {name for name in rows(workspace) if name.startswith(":issues/")}
    assert names == {f":issues/o/r#{n}" for n in range(250)}
    start = len(github.requests)
    assert collect(workspace, "github").new == 0
    assert sum("/search/" in r.path for r in github.requests[start:]) == 1
    later = issue(7, PROSE + " Again.", updated="2026-03-01T00:00:00Z", pull_request={})
    rest = [issue(n, updated=days[n % 28]) for n in range(250) if n not in (7, 8)]
    github.write("issues", [later, *rest, issue(900, "+1"), issue(901, None)])
    after = collect(workspace, "github")
    assert (after.new, after.changed, after.removed) == (0, 1, 1)  # 8 was deleted, which the total gives away
    assert json.loads(rows(workspace)[":issues/o/r#7"]["metadata"])["kind"] == "pull request"


def test_more_issues_than_a_search_shows_are_all_read(github, workspace):
    stamps = [f"2026-01-{1 + n // 60:02}T{n % 24:02}:{n % 60:02}:00Z" for n in range(1300)]
    github.write("issues", [issue(n, updated=stamps[n]) for n in range(1300)])
    collect(workspace, "github")
    assert len([name for name in rows(workspace) if name.startswith(":issues/")]) == 1300
    assert collect(workspace, "github").new == 0


def test_gists_are_read_again_only_where_they_changed(github, workspace):
    github.write("gists", [
        gist("g1", notes_md=f"# Notes\n\n{PROSE}", count_py="def count():\n    return 1\n", data_csv="1,2"),
        gist("g2", other_md=PROSE), gist("g3", public=False, secret_md=PROSE),
    ])  # fmt: skip
    collect(workspace, "github")
    found = written(workspace)
    assert {name: row["category"] for name, row in found.items()} == {
        ":gists/g1/notes.md": "article", ":gists/g1/count.py": "code", ":gists/g2/other.md": "article",
    }  # fmt: skip
    assert found[":gists/g1/notes.md"]["title"] == "Notes"
    start = len(github.requests)
    github.write("gists", [gist("g1", "2026-05-01T00:00:00Z", notes_md=PROSE), gist("g2", other_md=PROSE)])
    after = collect(workspace, "github")
    assert (after.changed, after.removed) == (1, 1)
    assert [r.path for r in github.requests[start:] if "/gists/" in r.path] == ["/github/gists/g1"]


def test_discussions_are_read_with_a_token_and_kept_without_one(github, workspace):
    row = {"number": 3, "title": "On counting", "body": PROSE, "url": "https://github.com/o/r/discussions/3",
           "createdAt": "2026-01-01T00:00:00Z", "repository": {"nameWithOwner": "o/r", "isPrivate": False}}  # fmt: skip
    github.write("discussions", [row, row | {"number": 4, "repository": {"nameWithOwner": "o/s", "isPrivate": True}}])
    collect(workspace, "github")
    assert not written(workspace)
    anonymous = workspace.settings
    with_token(workspace)
    collect(workspace, "github")
    assert set(written(workspace)) == {":discussions/o/r#3"}
    workspace.settings = anonymous
    assert collect(workspace, "github").removed == 0
    with_token(workspace)
    github.fail("/github/graphql", status=400)
    refused = collect(workspace, "github")
    assert (refused.status, refused.removed) == ("ok", 0)
    assert "Discussions could not be read" in refused.message


def test_a_spent_quota_that_graphql_tells_of_says_when_it_goes_on(github, workspace):
    with_token(workspace)
    honest = github.respond

    def spent(request):
        if request.path != "/github/graphql":
            return honest(request)
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 900)}
        return Response(200, b'{"errors": [{"type": "RATE_LIMITED", "message": "spent"}]}', headers)

    github.respond = spent
    result = collect(workspace, "github")
    assert (result.status, result.removed) == ("waiting", 0)
    assert result.new == len(rows(workspace)) > 0
    (state,) = source_states(workspace, "ada")
    assert 890 < (state["retry_at"] - state["attempted_at"]).total_seconds() <= 901


def test_files_of_a_repository_that_is_mostly_other_peoples_are_left_out(github, workspace):
    github.write("contributors/keelson", [OTHER | {"contributions": 90}, OWN | {"contributions": 10}])
    github.write("commits/keelson", [commit("a", f"Count first\n\n{PROSE}")])
    result = collect(workspace, "github")
    assert f"The files of {REPOSITORY} are mostly other people's" in result.message
    assert {name for name in rows(workspace) if name.startswith(REPOSITORY)} == {f"{REPOSITORY}/:commits/{'a' * 10}"}
    assert not any("/tarball/" in request.path for request in github.requests)


def test_with_a_token_every_file_is_judged_by_its_lines(github, workspace):
    with_token(workspace)
    github.write("contributors/keelson", [OTHER | {"contributions": 90}, OWN | {"contributions": 10}])

    def lines(login: str, first: int, last: int) -> dict:
        return {"startingLine": first, "endingLine": last, "commit": {"author": {"user": {"login": login}}}}

    github.write("blame/keelson", [
        {"path": "README.md", "ranges": [lines(LOGIN, 1, 30), lines("amina-k", 31, 40)]},
        {"path": "docs/watermarks.md", "ranges": [lines(LOGIN, 1, 3), lines("amina-k", 4, 40)]},
    ])  # fmt: skip
    collect(workspace, "github")
    found = set(rows(workspace))
    assert f"{REPOSITORY}/README.md" in found
    assert f"{REPOSITORY}/docs/watermarks.md" not in found


@pytest.mark.parametrize("quota", [6, 7, 9])
def test_a_quota_that_ends_anywhere_loses_and_doubles_nothing(github, workspace, quota, monkeypatch):
    github.write("releases/keelson", [release(1)])
    github.write("commits/keelson", [commit("a", f"Count first\n\n{PROSE}")])
    github.write("gists", [gist("g1", a_md=PROSE), gist("g2", b_md=PROSE)])
    github.write("issues", [issue(1), issue(2)])
    monkeypatch.setattr("twin_assets.core.collection._Collector._check_wait", lambda *_: None)
    results = []
    while not results or (results[-1].status == "waiting" and len(results) < 20):
        github.set_github_quota(quota)
        results.append(collect(workspace, "github"))
    assert results[0].status == "waiting"
    assert results[-1].status == "ok"
    assert sum(result.new for result in results) == len(rows(workspace))
    assert not any(result.removed or result.changed for result in results)
    assert len(written(workspace)) == 6
