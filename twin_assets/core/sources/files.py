"""A folder of Markdown, text, HTML, PDF and DOCX files; front matter (YAML or TOML) is read.

Left out, as the makers of sites leave them out: drafts (by front matter, or in a folder of drafts) and what its front
matter dates in the future, which is read when its day has come.
"""

import html
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twin_assets.core.documents import Category, RawDocument
from twin_assets.core.errors import InputError, SourceError
from twin_assets.core.sources.base import (
    CLOCKS_DIFFER,
    Checkpoint,
    Done,
    Event,
    Found,
    Kept,
    Platform,
    Reading,
    moment,
    plain_words,
)
from twin_assets.core.sources.office_files import read_docx, read_pdf
from twin_assets.core.sources.quarantine import EMPTY, judge_page

TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".mdx": "text/markdown",
    ".txt": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "text/plain",
    ".docx": "text/html",
}
OFFICE = (".pdf", ".docx")
LARGEST = 5_000_000  # bytes; no prose file is larger
LARGEST_OFFICE = 100_000_000  # bytes of a PDF or DOCX, which hold pictures
SHORT = 1500  # characters; what is shorter and has no title is a post
_DRAFTS = re.compile(r"(.+[-_]|_)?drafts", re.IGNORECASE)  # a folder of drafts
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n\1[ \t]*(?:\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"\A\s*(?:#[ \t]+(.+?)[ \t]*#*|(.+)\n=+)[ \t]*$", re.MULTILINE)


def normalise(location: str) -> str:
    """The folder's absolute path."""
    folder = Path(location.strip()).expanduser()
    if not folder.is_dir():
        raise InputError(f"There is no folder {location!r}; give the path of a folder with Markdown or text files.")
    return folder.resolve().as_posix()


def collect(reading: Reading) -> Iterator[Event]:
    """Every text file below the folder; a file whose size and time of change are the old ones is not opened."""
    folder = Path(reading.source.location)
    if not folder.is_dir():
        raise SourceError(f"The folder {folder} is not there; restore it or remove the source.")
    before = reading.cursor.get("files", {})
    so_far = dict(before)
    seen: dict[str, list[int]] = {}
    unreadable: dict[str, str] = {}
    scheduled = 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            facts = path.stat()
            seen[name] = [facts.st_mtime_ns, facts.st_size]
            if before.get(name) == seen[name]:
                yield Kept(name)
                continue
            if path.suffix.lower() in OFFICE and facts.st_size <= LARGEST_OFFICE:
                yield Found(_office_document(reading, name, path))
            elif facts.st_size <= LARGEST:
                yield from _found(reading, name, path.read_bytes())
            so_far[name] = seen[name]
            yield Checkpoint({"files": so_far})
        except _ScheduledError:
            scheduled += 1
            del seen[name]
        except OSError as error:
            unreadable[name] = error.strerror or "cannot be opened"
        except InputError as error:
            unreadable[name] = str(error)
        if name in unreadable:
            seen.pop(name, None)
            yield Kept(name)
    yield Done({"files": seen}, complete=True, message=_message(unreadable, scheduled))


class _ScheduledError(Exception):
    """A file's day has not come."""


def _message(unreadable: dict[str, str], scheduled: int) -> str:
    parts = []
    if unreadable:
        name, why = next(iter(unreadable.items()))
        parts.append(f"{len(unreadable)} files cannot be read, among them {name}: {why}.")
    if scheduled:
        parts.append(f"{scheduled} files are dated in the future and are read when their day has come.")
    return " ".join(parts)


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """(fields, body) of a text; no fields where there is no front matter or it cannot be read."""
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}, text
    import yaml

    try:
        parse = yaml.safe_load if found.group(1) == "---" else tomllib.loads
        fields = parse(found.group(2))
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError):
        return {}, text
    if not isinstance(fields, dict):
        return {}, text
    return {str(name).lower(): value for name, value in fields.items()}, text[found.end() :]


def decode(data: bytes) -> str:
    """Bytes as text: UTF-8, else Windows-1252; line ends become "\\n"."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def heading(body: str) -> str:
    """The title a Markdown text starts with, "" where it starts otherwise."""
    found = _HEADING.match(body)
    return (found.group(1) or found.group(2)).strip() if found else ""


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "node_modules" for part in parts)
        hidden = hidden or any(_DRAFTS.fullmatch(part) for part in parts[:-1])
        if path.suffix.lower() in TYPES and not hidden and path.is_file() and not path.is_symlink():
            yield path


def _found(reading: Reading, name: str, data: bytes) -> Iterator[Found]:
    if b"\0" in data[:8192]:
        return
    fields, body = split_front_matter(decode(data))
    kind = TYPES[Path(name).suffix.lower()]
    if fields.get("draft") is True or fields.get("published") is False or not body.strip():
        return
    dated = moment(fields.get("date") or fields.get("published_at"))
    if dated is not None and dated > datetime.now(UTC) + CLOCKS_DIFFER:
        raise _ScheduledError
    title = str(fields.get("title") or "").strip() or heading(body)
    problem = None
    if kind == "text/html" and re.search(r"<(html|body)\b", body[:5000], re.IGNORECASE):
        problem = judge_page(body, status=200, url=name)
        page_title, text = _page_text(body)
        title = title or page_title
        if text:
            body, kind = text, "text/markdown"
    url = next((str(fields[key]) for key in ("canonical_url", "canonical", "url", "link") if fields.get(key)), "")
    category: Category = "article" if title or len(body) >= SHORT else "post"
    yield Found(
        reading.document(
            external_id=name,
            category=category,
            url=url if url.startswith("http") else "",
            title=title,
            content=body,
            content_type=kind,
            published_at=dated,
            metadata={"path": name},
            quarantine=problem.reason if problem else None,
            remedy=problem.remedy if problem else None,
        )
    )


def _page_text(markup: str) -> tuple[str, str]:
    """(title, main text) of a saved page; no text where most of what it shows would be lost."""
    from twin_assets.core.cleaning import main_text

    title, text = main_text(markup, "")
    tag = re.search(r"<title[^>]*>(.*?)</title>", markup, re.DOTALL | re.IGNORECASE)
    title = title or (" ".join(html.unescape(tag.group(1)).split()) if tag else "")
    shown = plain_words(re.sub(r"(?s)<(head|script|style|nav|header|footer|aside)\b.*?</\1>", "", markup), "text/html")
    return title, text if len(text.split()) >= 0.5 * shown else ""


def _office_document(reading: Reading, name: str, path: Path) -> RawDocument:
    """A PDF or DOCX as a document; one without words is held back. Raises InputError where it cannot be read."""
    read = read_pdf(path.read_bytes()) if path.suffix.lower() == ".pdf" else read_docx(path)
    empty = plain_words(read.content, read.content_type) == 0
    return reading.document(
        external_id=name,
        category="article",
        url="",
        title=read.title or path.stem.replace("_", " ").replace("-", " ").strip(),
        content=read.content,
        content_type=read.content_type,
        published_at=read.made_at,
        metadata={"path": name},
        quarantine=EMPTY if empty else None,
        remedy="the file holds pictures of text; save it with its text, or add the text as a file" if empty else None,
    )


PLATFORM = Platform(
    name="files",
    title="Files",
    hint="a folder of Markdown, text, HTML, PDF or Word files",
    order=70,
    reads="folder",
    normalise=normalise,
    collect=collect,
)
