"""The tables of LinkedIn's export, with the quirks of each; every reader takes lines and gives rows as it goes."""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.errors import InputError

WORDS = 12  # a media description with fewer words is a caption or a file's name
LONGEST_FIELD = 10_000_000  # characters
_PARAGRAPHS = re.compile(r'"(\r?\n)"')


def read_rich_media(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Rows of Rich_Media.csv whose description is a post's text; `Date` is when, "" where it cannot be read."""
    for row in _table(lines, "Media Description"):
        told = row.get("Date/Time", "")
        words = row["Media Description"].split()
        if len(words) >= WORDS and not re.search(r"profile|background|cover|message", told, re.IGNORECASE):
            yield {"Text": _PARAGRAPHS.sub("\n", row["Media Description"]), "Date": _told_date(told), **row}


def read_shares(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Rows of Shares.csv; ShareCommentary has its paragraphs back, which LinkedIn joins by quote, newline, quote."""
    return map(with_paragraphs, _table(lines, "ShareLink"))


def with_paragraphs(row: dict[str, str]) -> dict[str, str]:
    """A row whose ShareCommentary has its paragraphs back."""
    return {**row, "ShareCommentary": _PARAGRAPHS.sub("\n", row.get("ShareCommentary") or "")}


def read_comments(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Rows of Comments.csv, whose quotes are escaped by a backslash."""
    return _table(lines, "Message", escapechar="\\")


def _table(lines: Iterable[str], column: str, **dialect: Any) -> Iterator[dict[str, str]]:
    """Rows of a CSV whose header row has `column`; LinkedIn sometimes puts notes above it.

    lines: with their ends as they are in the file. Raises InputError where the table is damaged.
    """
    csv.field_size_limit(LONGEST_FIELD)
    header: list[str] = []
    try:
        for line in csv.reader(lines, **dialect):
            if not header:
                header = [name.strip() for name in line] if column in [name.strip() for name in line] else []
            elif any(line):
                yield dict(zip(header, line + [""] * (len(header) - len(line)), strict=False))
    except csv.Error as error:
        raise InputError(f"The export's table with {column} is damaged ({error}); download it again.") from error


def _told_date(text: str) -> str:
    """The moment in "You uploaded a feed photo on April 12, 2026 at 8:03 AM (GMT)" or a plain date, as ISO 8601."""
    found = re.search(r"([A-Z][a-z]+ \d{1,2}, \d{4})(?: at (\d{1,2}:\d\d [AP]M))?", text)
    if not found:
        return text
    try:
        parsed = datetime.strptime(f"{found.group(1)} {found.group(2) or '12:00 AM'}", "%B %d, %Y %I:%M %p")
    except ValueError:
        return ""
    return parsed.replace(tzinfo=UTC).isoformat()
