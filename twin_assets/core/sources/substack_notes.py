"""Substack's notes: the short posts of a person's profile; restacks and answers to others are left out."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twin_assets.core.authors import Author
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import FetchError, RateLimitedError, SourceError
from twin_assets.core.sources.base import Event, Found, Kept, Reading, moment
from twin_assets.core.sources.bylines import foreign_remedy, is_signed_by
from twin_assets.core.web import shown

NOTES = "note/"
MOST_PAGES = 2000


def main_author(rows: Iterable[Mapping[str, Any]]) -> int | None:
    """Id of the person who wrote most of a publication's posts, None where its listing names nobody."""
    people = Counter(person["id"] for row in rows for person in row.get("publishedBylines") or [] if person.get("id"))
    return people.most_common(1)[0][0] if people else None


def is_foreign(row: Mapping[str, Any], person: int | None, author: Author) -> bool:
    """True for a post that names its authors, and neither this person nor one of the author's names among them."""
    people = row.get("publishedBylines") or []
    if person is None or not people or any(each.get("id") == person for each in people):
        return False
    return not any(is_signed_by(str(each.get("name") or ""), author) for each in people)


def guest_remedy(row: Mapping[str, Any], author: Author) -> str:
    """What to do about a post that is_foreign()."""
    names = [str(each["name"]) for each in row.get("publishedBylines") or [] if each.get("name")]
    return foreign_remedy(names, author) if names else "a guest wrote it; nothing is to be done"


def notes(
    reading: Reading, person: int, state: Mapping[str, Any], interval: float
) -> Iterator[Event | dict[str, Any] | str]:
    """A person's notes, newest first, as far as they are not known; after each page the state to go on from.

    state: `known` {id: time of change} of a whole reading; one that was broken off has `seen` some and goes on `after`
    them. A page of nothing but known notes ends the reading. Where Substack refuses, a sentence says so.
    """
    base = (reading.source.api_url or reading.source.location).rstrip("/")  # every publication's host answers it
    known: Mapping[str, str] = state.get("known", {})
    seen: dict[str, str] = dict(state.get("seen", {}))
    after = str(state.get("after", ""))
    yield from map(Kept, seen)
    for _ in range(MOST_PAGES):
        query: dict[str, str | int] = {"types": "note", **({"cursor": after} if after else {})}
        try:
            response = reading.web.get(
                f"{base}/api/v1/reader/feed/profile/{person}", params=query, interval=interval
            )  # fmt: skip
            answer = _object(response.content, response.url)
        except RateLimitedError:
            raise
        except (FetchError, SourceError) as error:
            yield Kept(NOTES)
            yield {"known": known}
            yield f"Notes could not be read ({error})"
            return
        page = [row["comment"] for row in answer.get("items") or [] if _is_own(row, person)]
        stamps = {f"{NOTES}{row['id']}": str(row.get("edited_at") or row.get("date")) for row in page}
        for row in page:
            yield Found(_document(reading, row))
        over = bool(stamps) and all(known.get(name) == stamp for name, stamp in stamps.items())
        seen |= stamps
        if over:
            yield Kept(NOTES)
            yield {"known": {**known, **seen}}
            return
        if not answer.get("nextCursor") or answer["nextCursor"] == after:
            break
        after = str(answer["nextCursor"])
        yield {"known": known, "seen": seen, "after": after}
    yield {"known": seen}


def _is_own(row: Mapping[str, Any], person: int) -> bool:
    note = row.get("comment") or {}
    original = (row.get("context") or {}).get("type") == "note" and not note.get("ancestor_path")
    return original and note.get("user_id") == person and bool(str(note.get("body") or "").strip())


def _document(reading: Reading, row: Mapping[str, Any]) -> RawDocument:
    return reading.document(
        external_id=f"{NOTES}{row['id']}",
        category="post",
        url=f"https://substack.com/@{row.get('handle') or row.get('user_id')}/note/c-{row['id']}",
        title="",
        content=str(row["body"]).strip(),
        content_type="text/plain",
        published_at=moment(row.get("date")),
        metadata={"kind": "note"},
    )


def _object(content: bytes, url: str) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise SourceError(f"{shown(url)} is no JSON ({error}); try again later.") from error
    return answer if isinstance(answer, dict) else {}
