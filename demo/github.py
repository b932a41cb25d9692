"""GitHub's API over the demo content: paging, quota, conditional requests, a tarball per commit, what people wrote.

Beside `user.json`, `repos.json` and `repositories/` the content may have `releases/<name>.json`,
`commits/<name>.json`, `contributors/<name>.json`, `gists.json` (each gist whole), `issues.json` (what the search
finds) and `discussions.json` (GraphQL nodes); what is missing is empty.
"""

import base64
import gzip
import hashlib
import io
import json
import re
import tarfile
import time
from dataclasses import dataclass
from typing import Any

from demo.content import Content
from demo.github_rows import JSON_TYPE, GitHubRows, error
from demo.messages import Request, Response, conditional

_REPOSITORY = re.compile(r"/repos/([^/]+)/([^/]+)(?:/(commits|tarball|readme|releases|contributors)(?:/(.+))?)?")
_CODELOAD = re.compile(r"/codeload/([^/]+)/([^/]+)/legacy\.tar\.gz/(.+)")


@dataclass
class Quota:
    """What one caller has left in the hour; `reset` is an epoch second."""

    limit: int
    remaining: int
    reset: float


class GitHub(GitHubRows):
    """Answers paths below `/github`; `address` is the prefix that links in the answers start with.

    Without a token a caller has 60 requests an hour, with one 5,000 for each token.
    """

    def __init__(self, content: Content, address: str) -> None:
        self.content = content
        self.address = address
        self.quotas: dict[str, Quota] = {}
        self._commits: dict[tuple[str, str], dict[str, bytes]] = {}

    def set_quota(self, remaining: int, *, token: str | None = None, resets_in: float = 3600.0) -> None:
        """Leave a caller this many requests for `resets_in` seconds; no token: the anonymous caller."""
        limit = 5000 if token else 60
        self.quotas[token or ""] = Quota(limit, remaining, time.time() + resets_in)

    def respond(self, request: Request, path: str) -> Response:
        """The answer to `path`, which no longer has its `/github`; counts it against the caller's quota."""
        if path.startswith("/codeload/"):
            return self._codeload(path)
        if not request.headers.get("user-agent"):
            return error(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent.",
            )
        quota = self._quota(request)
        if path == "/rate_limit":
            core = {"limit": quota.limit, "remaining": quota.remaining, "reset": int(quota.reset)}
            return Response(
                200,
                json.dumps({"resources": {"core": core}, "rate": core}).encode(),
                {"Content-Type": JSON_TYPE},
            )
        if quota.remaining <= 0:
            response = error(
                403, "API rate limit exceeded for 127.0.0.1. Authenticated requests get a higher rate limit."
            )
        else:
            response = self._route(request, path)
            if not (response.status == 304 and "authorization" in request.headers):
                quota.remaining -= 1
        response.headers |= {
            "X-RateLimit-Limit": str(quota.limit),
            "X-RateLimit-Remaining": str(quota.remaining),
            "X-RateLimit-Used": str(quota.limit - quota.remaining),
            "X-RateLimit-Reset": str(int(quota.reset)),
            "X-RateLimit-Resource": "core",
        }
        return response

    def _quota(self, request: Request) -> Quota:
        token = request.headers.get("authorization", "").split(" ")[-1]
        quota = self.quotas.get(token)
        if quota is None or quota.reset <= time.time():
            limit = 5000 if token else 60
            quota = self.quotas[token] = Quota(limit, limit, time.time() + 3600)
        return quota

    def _route(self, request: Request, path: str) -> Response:
        user = json.loads(self.content["github/user.json"])
        login = user["login"].lower()
        if path.lower() == f"/users/{login}":
            return self._json(request, user, "github/user.json")
        if path.lower() == f"/users/{login}/repos":
            return self._listing(request, path)
        if path.lower() == f"/users/{login}/gists":
            rows = [row | {"files": {}} for row in self._stored("github/gists.json")]
            return self._paged(request, path, rows, "github/gists.json")
        if path.startswith("/gists/"):
            gist = next((row for row in self._stored("github/gists.json") if f"/gists/{row['id']}" == path), None)
            return error(404, "Not Found") if gist is None else self._json(request, gist, "github/gists.json")
        if path == "/search/issues":
            return self._search(request, path)
        if path == "/graphql":
            return self._graphql(request)
        found = _REPOSITORY.fullmatch(path)
        row = self.repository(found[2]) if found and found[1].lower() == login else None
        if found is None or row is None:
            return error(404, "Not Found")
        if found[3] is None:
            return self._json(request, row, "github/repos.json")
        if found[3] in ("releases", "contributors") or (found[3] == "commits" and found[4] is None):
            return self._written(request, path, user, row, found[3])
        files = self.files(row, found[4])
        if files is None:
            empty = found[3] == "commits" and not self.content.under(f"github/repositories/{row['name']}")
            return error(409, "Git Repository is empty.") if empty else error(404, "Not Found")
        sha = commit_sha(files)
        if found[3] == "tarball":
            place = f"{self.address}/codeload/{found[1]}/{row['name']}/legacy.tar.gz/{sha}"
            return Response(302, b"", {"Location": place})
        if found[3] == "commits":
            return self._commit(request, user, row, sha)
        return self._readme(request, row, files)

    def repository(self, name: str) -> dict[str, Any] | None:
        """One repository's row, None where there is none of that name."""
        return next((row for row in self.rows() if row["name"].lower() == name.lower()), None)

    def files(self, row: dict[str, Any], reference: str | None) -> dict[str, bytes] | None:
        """A repository's files at a branch, HEAD or (short) commit this server has shown; None: unknown."""
        files = self.content.under(f"github/repositories/{row['name']}")
        if not files:
            return None
        self._commits[row["name"], commit_sha(files)] = files
        branch = row.get("default_branch", "main")
        if reference is None or reference.removeprefix("refs/heads/") in ("HEAD", branch):
            return files
        if not re.fullmatch("[0-9a-f]{7,40}", reference):
            return None
        shown = (
            tree for (name, sha), tree in self._commits.items() if name == row["name"] and sha.startswith(reference)
        )
        return next(shown, None)

    def _listing(self, request: Request, path: str) -> Response:
        order = request.query.get("sort", "full_name")
        key = {"created": "created_at", "updated": "updated_at", "pushed": "pushed_at"}.get(order, "name")
        falling = request.query.get("direction", "asc" if key == "name" else "desc") == "desc"
        rows = sorted(self.rows(), key=lambda row: str(row.get(key, "")), reverse=falling)
        return self._paged(request, path, rows, "github/repos.json")

    def _commit(self, request: Request, user: dict[str, Any], row: dict[str, Any], sha: str) -> Response:
        person = {
            "name": user.get("name") or user["login"],
            "email": user.get("email") or f"{user['login']}@users.noreply.github.com",
            "date": row.get("pushed_at"),
        }
        author = {"login": user["login"], "id": user.get("id"), "type": "User"}
        commit = {
            "message": f"Update {row['name']}",
            "author": person,
            "committer": person,
            "tree": {"sha": sha},
        }
        answer = {"sha": sha, "commit": commit, "author": author, "committer": author, "parents": []}
        return self._json(request, answer, "github/repos.json")

    def _readme(self, request: Request, row: dict[str, Any], files: dict[str, bytes]) -> Response:
        name = next((each for each in files if re.fullmatch(r"readme(\.\w+)?", each, re.IGNORECASE)), None)
        if name is None:
            return error(404, "Not Found")
        source = f"github/repositories/{row['name']}/{name}"
        if source not in self.content:
            source = "github/repos.json"
        if "raw" in request.headers.get("accept", ""):
            return conditional(
                request,
                files[name],
                "application/vnd.github.raw; charset=utf-8",
                self.content.changed(source),
            )
        answer = {
            "type": "file",
            "name": name,
            "path": name,
            "size": len(files[name]),
            "encoding": "base64",
            "content": base64.encodebytes(files[name]).decode(),
        }
        return self._json(request, answer, source)

    def _codeload(self, path: str) -> Response:
        found = _CODELOAD.fullmatch(path)
        row = self.repository(found[2]) if found else None
        files = self.files(row, found[3]) if found and row else None
        if found is None or row is None or files is None:
            return Response(404, b"404: Not Found", {"Content-Type": "text/plain; charset=utf-8"})
        sha = commit_sha(files)
        folder = f"{found[1]}-{row['name']}-{sha[:7]}"
        return Response(
            200,
            tarball(files, folder, sha),
            {
                "Content-Type": "application/x-gzip",
                "Content-Disposition": f"attachment; filename={folder}.tar.gz",
                "ETag": f'W/"{sha}"',
            },
        )


def commit_sha(files: dict[str, bytes]) -> str:
    """A commit's 40 hex digits, which stand for the files' names and bytes."""
    digest = hashlib.sha1(usedforsecurity=False)
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


def tarball(files: dict[str, bytes], folder: str, sha: str) -> bytes:
    """A gzip tar as `git archive` writes it: commit in the global header, all below one top folder."""
    packed = io.BytesIO()
    headers = {"comment": sha}
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        top = tarfile.TarInfo(folder)
        top.type, top.mode = tarfile.DIRTYPE, 0o775
        archive.addfile(top)
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(files[name]), 0o664
            archive.addfile(entry, io.BytesIO(files[name]))
    return gzip.compress(packed.getvalue(), mtime=0)
