"""What a source is: a Platform descriptor whose reader yields Found, Kept, Checkpoint and, at the end, Done."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from twin_assets.core.archives import Archive
from twin_assets.core.authors import Author, Source
from twin_assets.core.cleaning.boilerplate import is_tracking_parameter
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import InputError, TwinError
from twin_assets.core.web import WebClient
from twin_assets.settings import Settings

CLOCKS_DIFFER = timedelta(days=1)  # a date this far ahead is a time zone's or a clock's doing
IMPORTS = "imports/"  # a location that starts so is an imported export, relative to settings.home


@dataclass(frozen=True)
class Found:
    """A document the platform holds now; `replaces` are ids the same document had where less was known of it."""

    document: RawDocument
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """A document, or every document below a prefix that ends in "/", is still there and was not read again."""

    external_id: str


@dataclass(frozen=True)
class Gone:
    """The platform says that a document was deleted there."""

    external_id: str


@dataclass(frozen=True)
class Checkpoint:
    """What was found so far need not be read again by a reader that starts from this cursor.

    The reader may go on filling the cursor's parts after it has yielded what they stand for: nothing is copied.
    """

    cursor: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """The reading is over.

    complete: what was found and kept is everything the source holds, so that what it held before is removed;
    unchanged: the platform said that nothing changed, so that all it held before is kept; message: for the reader.
    """

    cursor: Mapping[str, Any]
    complete: bool = False
    unchanged: bool = False
    message: str = ""


Event = Found | Kept | Gone | Checkpoint | Done


class WaitingError(TwinError):
    """The source can say nothing until its owner does something; the sentence says what."""


@dataclass(frozen=True)
class Reading:
    """What a reader is given: whose source, from which cursor, and what to read it with.

    known: external id to address of every document of the platform that the lake holds.
    """

    author: Author
    source: Source
    cursor: Mapping[str, Any]
    web: WebClient
    settings: Settings
    known: Callable[[], Mapping[str, str]] = field(default=lambda: {})

    def document(self, **values: Any) -> RawDocument:
        """A RawDocument of this source, under its canonical address.

        A date that cannot be (see is_sane) is kept as `stated_date` in the metadata, and the document has none. Halves
        of surrogate pairs, which no table can hold, become U+FFFD.
        """
        values = {name: _storable(value) if isinstance(value, str) else value for name, value in values.items()}
        values["url"] = canonical(values["url"])
        stated = values.get("published_at")
        if stated is not None and not is_sane(stated):
            values |= {"published_at": None, "metadata": {**values.get("metadata", {}), "stated_date": str(stated)}}
        return RawDocument(author=self.author.id, platform=self.source.platform, source=self.source.key, **values)

    @property
    def exports(self) -> bool:
        """True where the author has imported an export of this platform."""
        return any(is_export(s) for s in self.author.sources if s.platform == self.source.platform)


@dataclass(frozen=True)
class Platform:
    """One place people publish. A module of this package that defines PLATFORM adds one.

    order: place in lists; reads: what the form asks for; normalise: the one form of a location, raising InputError;
    collect: reads a location; is_export: whether an archive is this platform's export, raising InputError where it
    is one without any text; read_export: the documents of an export.
    """

    name: str
    title: str
    hint: str
    order: int
    reads: Literal["link", "folder"]
    normalise: Callable[[str], str]
    collect: Callable[[Reading], Iterator[Event]]
    is_export: Callable[[Archive], bool] | None = None
    read_export: Callable[[Reading, Archive], Iterator[Event]] | None = None

    @property
    def archive(self) -> bool:
        """True where the platform gives its members an export that can be imported."""
        return self.read_export is not None


def is_export(source: Source) -> bool:
    """True where the source is an imported export."""
    return source.location.startswith(IMPORTS)


def collect_export(reading: Reading, platform: Platform) -> Iterator[Event]:
    """The events of an imported export; a file that was read before says so and is not opened."""
    if platform.read_export is None:
        raise InputError(f"{platform.title} has no export that could be read; remove {reading.source.location}.")
    if reading.cursor.get("read"):
        yield Done(reading.cursor, unchanged=True, message=str(reading.cursor.get("message", "")))
        return
    with Archive(reading.settings.home / reading.source.location) as archive:
        for event in platform.read_export(reading, archive):
            if isinstance(event, Done):
                cursor = {"read": True, "message": event.message}
                event = Done(cursor, complete=True, message=event.message)
            yield event


def web_address(location: str) -> tuple[str, str, list[str]]:
    """(scheme and host, host, parts of the path) of what a person typed as a link; raises InputError."""
    text = location.strip()
    bare = not re.match(r"https?://", text, re.IGNORECASE)  # then a name without a dot is no host, but a typing error
    if bare:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError as error:
        raise InputError(f"{location!r} is not a web address ({error}); correct it.") from error
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*|[0-9a-f:]*:[0-9a-f:]*", host) or (bare and "." not in host):
        raise InputError(f"{location!r} is not a web address; give one such as https://example.org.")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}", host, [p for p in parts.path.split("/") if p]


def _storable(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def moment(text: object) -> datetime | None:
    """A platform's date (ISO 8601, RFC 822, "2021-03-04 02:56:15 UTC") as UTC; None where it is none."""
    value = str(text or "").strip().removesuffix(" UTC")
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            parsed = parse(value)
        except (ValueError, TypeError, IndexError):
            continue
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    return None


def is_sane(date: datetime) -> bool:
    """Whether something can have been published then: not in the future, and not at a computer's zero (1970, year 1).

    A day ahead is taken, as clocks and time zones differ.
    """
    first, last = datetime(1900, 1, 1, tzinfo=UTC), datetime.now(UTC) + CLOCKS_DIFFER
    return first < date <= last and date.date() != datetime(1970, 1, 1).date()


def canonical(url: str) -> str:
    """An address without what only says where a reader came from; every other address stays as it is."""
    address, mark, rest = url.partition("?")
    query, hash_, fragment = rest.partition("#")
    parts = query.split("&")
    kept = [part for part in parts if not any(is_tracking_parameter(*pair) for pair in parse_qsl(part, True))]
    if not mark or len(kept) == len(parts):
        return url
    return address + ("?" + "&".join(kept) if kept else "") + hash_ + fragment


def plain_words(content: str, content_type: str) -> int:
    """Number of words of a body without its tags: how full it is."""
    text = re.sub(r"<[^>]+>", " ", content) if content_type == "text/html" else content
    return len(text.split())


def folder_of(home: Path, author: str, platform: str) -> Path:
    """Where imported exports of an author's platform are kept."""
    return home / IMPORTS / author / platform
