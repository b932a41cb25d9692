"""LinkedIn's Member Data Portability API (DMA): a member's posts, articles and comments, in the EEA and Switzerland.

The snapshot is the whole history and lags by days; the change log is what happened in the last 28 days. A text the
change log brought is therefore not taken back by an older snapshot.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.errors import SourceError
from twin_assets.core.sources.base import Reading
from twin_assets.core.web import WebResponse, shown

PUBLIC_API = "https://api.linkedin.com"
DOMAINS = ("MEMBER_SHARE_INFO", "ARTICLES", "ALL_COMMENTS")
VERSION = "202312"  # the only one LinkedIn takes
LOG_DAYS = 28.0  # how far back the change log reaches
SNAPSHOT_DAYS = 7.0  # how old a snapshot may be before it is read again
MOST_PAGES = 2000
_ENDS = ("no data found for this memberid", "no data found for this domain")
_POSTS = ("ugcPosts", "shares", "posts")


@dataclass
class Change:
    """What the change log says last of a post: its new text, or (`text` None) that it is gone."""

    urn: str
    text: str | None
    at: int  # epoch milliseconds


@dataclass
class PortabilityApi:
    """The API as one reading asks it; the token is the member's own."""

    reading: Reading
    notes: list[str] = field(default_factory=list)

    def snapshot(self, domain: str, first: int = 0) -> Iterator[tuple[int, list[dict[str, str]]]]:
        """(page, its rows) of a domain from a page on, keyed like the export's columns.

        `start` counts pages, and an error marks the end.
        """
        before: Any = None
        for page in range(first, MOST_PAGES):
            response = self._get("memberSnapshotData", {"q": "criteria", "domain": domain, "start": page})
            if response is None:
                if page == 0:
                    self.notes.append(f"{domain}: LinkedIn has no data (it prepares them within a day of the consent)")
                return
            elements = _json(response).get("elements") or []
            if not elements or elements == before:
                return
            before = elements
            own = [element for element in elements if element.get("snapshotDomain", domain) == domain]
            rows = [row for element in own for row in element.get("snapshotData") or []]
            yield page, [{str(name): str(value or "") for name, value in row.items()} for row in rows]

    def changes(self, since: int) -> tuple[dict[str, Change], int]:
        """(last change of every post touched since then, time of the newest event), in epoch milliseconds.

        The event at the cursor comes again each time; failed events are left to their replay.
        """
        found: dict[str, Change] = {}
        newest, start = since, 0
        while True:
            query: dict[str, str | int] = {"q": "memberAndApplication", "count": 50, "start": start}
            if since:
                query["startTime"] = since
            response = self._get("memberChangeLogs", query)
            events = _json(response).get("elements") or [] if response is not None else []
            for event in events:
                newest = max(newest, int(event.get("processedAt") or 0))
                change = read_change(event)
                if change is not None:
                    found[change.urn] = change
            if len(events) < 50 or start > 50 * MOST_PAGES:
                return found, newest
            start += len(events)

    def _get(self, resource: str, params: Mapping[str, str | int]) -> WebResponse | None:
        """An answer, None for the error that means that there is no more; raises SourceError for every other."""
        reading = self.reading
        token = reading.settings.linkedin_token
        response = reading.web.get(
            f"{(reading.source.api_url or PUBLIC_API).rstrip('/')}/rest/{resource}",
            params=params, token=token.get_secret_value() if token else None, raise_for_status=False,
            headers={"LinkedIn-Version": VERSION, "X-Restli-Protocol-Version": "2.0.0"},
        )  # fmt: skip
        if response.status < 400:
            return response
        said = response.text[:2000].lower()
        if any(end in said for end in _ENDS):
            return None
        if response.status in (401, 403):
            raise SourceError(
                f"LinkedIn does not let the token in TWIN_LINKEDIN_TOKEN read {resource} (status {response.status}); "
                "make a new one with the scope r_dma_portability_self_serve (members in the EEA and Switzerland), or "
                "import the export."
            )
        raise SourceError(f"{shown(response.url)} answered with status {response.status}; try again later.")


def read_change(event: Mapping[str, Any]) -> Change | None:
    """What an event of the change log says of a post; None where it is about something else or failed."""
    if event.get("resourceName") not in _POSTS or event.get("activityStatus") == "FAILURE":
        return None
    activity = event.get("activity") or {}
    urn = str(activity.get("id") or event.get("resourceId") or "")
    at = int(event.get("capturedAt") or event.get("processedAt") or 0)
    if event.get("method") == "DELETE":
        return Change(urn, None, at) if urn else None
    values = (activity.get("patch") or {}).get("$set") or activity
    content = (values.get("specificContent") or {}).get("com.linkedin.ugc.ShareContent") or {}
    text = (content.get("shareCommentary") or {}).get("text") or values.get("commentary") or ""
    state = values.get("lifecycleState", "PUBLISHED")
    if not urn or not text.strip() or state not in ("PUBLISHED", "PUBLISHED_EDITED"):
        return None
    return Change(urn, str(text), at)


def stale(read_at: float) -> bool:
    """Whether a snapshot read then (epoch seconds) is to be read again."""
    return time.time() - read_at > SNAPSHOT_DAYS * 86_400


def recent(changed: Mapping[str, int]) -> dict[str, int]:
    """The posts the change log told of so lately that a snapshot may not know it yet."""
    limit = (time.time() - LOG_DAYS * 86_400) * 1000
    return {name: at for name, at in changed.items() if at > limit}


def moment_of(milliseconds: int) -> datetime:
    """An epoch millisecond as UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def article_row(row: Mapping[str, str]) -> dict[str, str]:
    """title, url, content and date of a row of ARTICLES, whose columns LinkedIn names in several ways."""
    plain = {"".join(filter(str.isalpha, name.lower())).removeprefix("article"): value for name, value in row.items()}
    names = {
        "title": ("title", "headline"), "url": ("link", "url", "permalink"), "content": ("content", "body", "text"),
        "date": ("publishedat", "publisheddate", "published", "date", "createdat", "createddate"),
    }  # fmt: skip
    return {key: next((plain[name] for name in keys if plain.get(name)), "") for key, keys in names.items()}


def _json(response: WebResponse) -> dict[str, Any]:
    try:
        answer = json.loads(response.content)
    except ValueError as error:
        raise SourceError(f"{shown(response.url)} is no JSON ({error}); try again later.") from error
    return answer if isinstance(answer, dict) else {}
