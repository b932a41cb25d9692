"""LinkedIn's Member Data Portability API over the demo content: snapshot and change log, for a token.

The snapshot of posts is the export's Shares.csv, that of comments its Comments.csv; `linkedin-api/ARTICLES.json` and
`linkedin-api/changes.json` (events) may be added to the content.
"""

import csv
import io
import json
from typing import Any

from demo.content import Content
from demo.messages import Request, Response

PAGE = 5  # rows of a snapshot's page
TOKEN = "portable"  # noqa: S105 (of the demo)


class LinkedIn:
    """Answers paths below /linkedin/rest/."""

    def __init__(self, content: Content) -> None:
        self.content = content

    def respond(self, request: Request, path: str) -> Response:
        """A page of a domain's snapshot, or of the change log."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _answer(401, {"message": "Empty oauth2_access_token", "serviceErrorCode": 65604, "status": 401})
        if request.headers.get("linkedin-version") != "202312":
            return _answer(426, {"message": "Requested version is not active", "status": 426})
        if path == "/rest/memberSnapshotData" and request.query.get("q") == "criteria":
            return self._snapshot(request.query.get("domain", ""), int(request.query.get("start", "0")))
        if path == "/rest/memberChangeLogs" and request.query.get("q") == "memberAndApplication":
            return self._changes(request.query)
        return _answer(404, {"message": "Resource not found", "status": 404})

    def _snapshot(self, domain: str, page: int) -> Response:
        rows = self._rows(domain)[page * PAGE : (page + 1) * PAGE]
        if not rows:
            return _answer(404, {"message": "No data found for this memberId and domain", "status": 404})
        # The total LinkedIn gives is too small, as its makers say.
        paging = {"start": page, "count": 10, "total": 1, "links": []}
        return _answer(200, {"paging": paging, "elements": [{"snapshotDomain": domain, "snapshotData": rows}]})

    def _rows(self, domain: str) -> list[dict[str, Any]]:
        if domain == "MEMBER_SHARE_INFO" and "linkedin/Shares.csv" in self.content:
            return list(csv.DictReader(io.StringIO(self.content.text("linkedin/Shares.csv"), newline="")))
        if domain == "ALL_COMMENTS" and "linkedin/Comments.csv" in self.content:
            table = io.StringIO(self.content.text("linkedin/Comments.csv"), newline="")
            return list(csv.DictReader(table, escapechar="\\"))
        rows: list[dict[str, Any]] = json.loads(self.content.get(f"linkedin-api/{domain}.json", b"[]"))
        return rows

    def _changes(self, query: dict[str, str]) -> Response:
        since, start = int(query.get("startTime", "0")), int(query.get("start", "0"))
        events = json.loads(self.content.get("linkedin-api/changes.json", b"[]"))
        events = sorted((each for each in events if each["processedAt"] >= since), key=lambda each: each["processedAt"])
        page = events[start : start + min(int(query.get("count", "10")), 50)]
        return _answer(200, {"paging": {"start": start, "count": len(page), "total": 0}, "elements": page})


def _answer(status: int, answer: dict[str, Any]) -> Response:
    return Response(status, json.dumps(answer, ensure_ascii=False).encode(), {"Content-Type": "application/json"})
