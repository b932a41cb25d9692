"""Rows of GitHub's API as pages, and what people wrote: releases, commits, contributors, issues, discussions."""

import json
import re
from typing import Any
from urllib.parse import quote_plus

from demo.content import Content
from demo.messages import Request, Response, conditional

JSON_TYPE = "application/json; charset=utf-8"


class GitHubRows:
    """Answers from lists of rows; `address` is the prefix that links in the answers start with."""

    content: Content
    address: str

    def rows(self) -> list[dict[str, Any]]:
        """The repositories as `repos.json` lists them."""
        return self._stored("github/repos.json")

    def _json(self, request: Request, answer: object, name: str, extra: dict[str, str] | None = None) -> Response:
        body = json.dumps(answer, ensure_ascii=False).encode()
        salt = request.headers.get("authorization", "")  # GitHub's ETags differ from token to token
        changed = self.content.changed(name if name in self.content else "github/repos.json")
        response = conditional(request, body, JSON_TYPE, changed, salt=salt)
        response.headers |= extra or {}
        return response

    def _paged(self, request: Request, path: str, rows: list[Any], name: str) -> Response:
        """One page of rows, with the links to the others; `name` is the content that dates them."""
        size = min(max(number(request.query.get("per_page"), 30), 1), 100)
        page = max(number(request.query.get("page"), 1), 1)
        last = max(1, -(-len(rows) // size))
        pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        if page >= last:
            del pages["next"], pages["last"]
        if page == 1:
            del pages["prev"], pages["first"]
        kept = "".join(f"{name}={quote_plus(value)}&" for name, value in request.query.items() if name != "page")
        links = ", ".join(f'<{self.address}{path}?{kept}page={number}>; rel="{name}"' for name, number in pages.items())
        extra = {"Link": links} if links else {}
        return self._json(request, rows[(page - 1) * size : page * size], name, extra)

    def _stored(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.content.get(name, b"[]"))
        return rows

    def _written(self, request: Request, path: str, user: dict[str, Any], row: dict[str, Any], what: str) -> Response:
        """Release notes, commits (of one author, where the query says so) or contributors of a repository."""
        name = f"github/{what}/{row['name']}.json"
        rows = self._stored(name)
        if what == "contributors" and not rows:
            rows = [{"login": user["login"], "type": "User", "contributions": 1}]
        author = request.query.get("author")
        if what == "commits" and author:
            rows = [each for each in rows if ((each.get("author") or {}).get("login") or "").lower() == author.lower()]
        return self._paged(request, path, rows, name)

    def _search(self, request: Request, path: str) -> Response:
        """Issues and pull requests of an author, newest change first; at most 1,000, as GitHub shows."""
        wanted = request.query.get("q", "")
        until = re.search(r"updated:<=(\S+)", wanted)
        rows = sorted(self._stored("github/issues.json"), key=lambda row: str(row["updated_at"]), reverse=True)
        rows = [row for row in rows if until is None or row["updated_at"] <= until[1]]
        if not re.search(rf"author:{re.escape(self.rows()[0]['owner']['login'])}\b", wanted, re.IGNORECASE):
            rows = []
        response = self._paged(request, path, rows[:1000], "github/issues.json")
        if response.status == 200:
            answer = {"total_count": len(rows), "incomplete_results": False, "items": json.loads(response.body)}
            response.body = json.dumps(answer, ensure_ascii=False).encode()
        return response

    def _graphql(self, request: Request) -> Response:
        """The two questions the project asks: somebody's discussions, and who wrote a file's lines."""
        if "authorization" not in request.headers:
            return error(401, "This endpoint requires you to be authenticated.")
        question = json.loads(request.body or b"{}")
        if "repositoryDiscussions" in question.get("query", ""):
            nodes = {"nodes": self._stored("github/discussions.json"), "pageInfo": {"hasNextPage": False}}
            data: dict[str, Any] = {"user": {"repositoryDiscussions": nodes}}
        else:
            lines = self._stored(f"github/blame/{question['variables']['name']}.json")
            asked = re.findall(r'(f\d+): blame\(path: ("(?:[^"\\]|\\.)*")\)', question["query"])
            ranges = {row["path"]: row["ranges"] for row in lines}
            blames = {alias: {"ranges": ranges.get(json.loads(path), [])} for alias, path in asked}
            data = {"repository": {"object": blames}}
        return Response(200, json.dumps({"data": data}).encode(), {"Content-Type": JSON_TYPE})


def error(status: int, message: str) -> Response:
    """GitHub's answer to what it refuses."""
    answer = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return Response(status, json.dumps(answer).encode(), {"Content-Type": JSON_TYPE})


def number(text: str | None, default: int) -> int:
    """A number of the query, or the default."""
    return int(text) if text and text.isdigit() else default
