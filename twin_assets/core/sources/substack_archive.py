"""Substack's archive: the listing of a publication's posts, and one post."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twin_assets.core.documents import content_hash
from twin_assets.core.errors import SourceError
from twin_assets.core.sources.base import Reading
from twin_assets.core.web import shown

INTERVAL = 2.0  # seconds between two calls; Substack answers 429 to much more
PAGE = 50
_PRINTED = ("slug", "title", "subtitle", "post_date", "audience", "type", "wordcount", "updated_at")
_ROW = ("id", "canonical_url", "publishedBylines", *_PRINTED)  # what is kept of a listing's row


def listed(
    reading: Reading, base: str, known: Callable[[Mapping[str, Any]], bool], edited: set[str], newest: list[str]
) -> tuple[list[dict[str, Any]], bool]:
    """(rows of the archive, whether they are all); it ends where nothing further needs to be looked at.

    newest: the ids it began with the last time, which have to be there still; fewer than 50: it is read to its end.
    """
    rows: list[dict[str, Any]] = []
    for page in _pages(reading, base):
        rows += page
        before = [str(row["id"]) for row in rows if str(row["id"]) in newest]
        unbroken = len(newest) == PAGE and bool(before) and before == newest[: len(before)]
        if unbroken and edited <= {row["slug"] for row in rows} and all(map(known, page)):
            return rows, False
    return rows, True


def _pages(reading: Reading, base: str) -> Iterator[list[dict[str, Any]]]:
    """The archive page by page: it sends as many rows as it likes, and is over when it sends none that is new."""
    offset = 0
    seen: set[str] = set()
    while True:
        response = reading.web.get(
            f"{base}/api/v1/archive", interval=INTERVAL,
            params={"sort": "new", "search": "", "offset": offset, "limit": PAGE},
        )  # fmt: skip
        rows = _json(response.content, response.url)
        if not isinstance(rows, list):
            raise SourceError(f"{shown(response.url)} is no list of posts; check that this is a Substack publication.")
        fresh = [row for row in rows if str(row["id"]) not in seen]
        if not fresh:
            return
        seen.update(str(row["id"]) for row in fresh)
        offset += len(rows)
        wanted = [row for row in fresh if row.get("slug") and row.get("type") != "restack"]
        yield [{name: row[name] for name in _ROW if name in row} for row in wanted]


def read_post(reading: Reading, base: str, slug: str) -> Mapping[str, Any]:
    """A post of the API; raises FetchError, and SourceError where it holds none."""
    response = reading.web.get(f"{base}/api/v1/posts/{slug}", interval=INTERVAL)
    answer = _json(response.content, response.url)
    if isinstance(answer, dict):
        answer = answer.get("post", answer)
    if not isinstance(answer, dict) or "body_html" not in answer:
        raise SourceError(f"{shown(response.url)} holds no post; try again later.")
    return answer


def fingerprint(row: Mapping[str, Any]) -> str:
    """Hash of what a listing tells of a post."""
    return content_hash(*(row.get(name) for name in _PRINTED))


def _json(content: bytes, url: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise SourceError(f"{shown(url)} is no JSON ({error}); check that this is a Substack publication.") from error
