"""The words of PDF and DOCX files, by pypdf and mammoth."""

import io
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from twin_assets.core.archives import Archive
from twin_assets.core.errors import InputError
from twin_assets.core.sources.base import moment

MOST_PAGES = 2000
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"
_ENDS = (".", "!", "?", "…", ":", '"', "”", "’", ")", "»")


@dataclass(frozen=True)
class OfficeText:
    """A file's words; `title` and `made_at` are what the file says of itself."""

    title: str
    content: str
    content_type: str
    made_at: datetime | None


def read_pdf(data: bytes, pages: int = MOST_PAGES) -> OfficeText:
    """A PDF's text with its paragraphs put together again; "" for one that holds pictures of text.

    pages: how many are read. Raises InputError where it is damaged or locked.
    """
    import pypdf

    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError("is locked with a password; save it without one")
        texts = [page.extract_text() or "" for page in reader.pages[:pages]]
        facts = reader.metadata
        title = str(facts.title or "").strip() if facts else ""
        made = str(facts.get("/CreationDate", "")) if facts else ""
    except InputError:
        raise
    except Exception as error:  # a damaged PDF breaks pypdf in many ways
        raise InputError(f"is a damaged PDF ({type(error).__name__})") from error
    return OfficeText(title, reflow(texts), "text/plain", _pdf_moment(made))


def read_docx(path: Path) -> OfficeText:
    """A DOCX's text as HTML without its pictures; raises InputError where it is damaged or unpacks to too much."""
    import mammoth

    with Archive(path) as archive:  # refuses bombs and paths that point outside
        names = set(archive.names)
        if "word/document.xml" not in names:
            raise InputError("is no Word document")
        core = archive.text("docProps/core.xml") if "docProps/core.xml" in names else ""
    try:
        with path.open("rb") as file:
            result = mammoth.convert_to_html(
                file, style_map=_STYLES, convert_image=mammoth.images.img_element(lambda image: {})
            )
    except Exception as error:  # what is inside may break the converter in many ways
        raise InputError(f"is a damaged Word document ({type(error).__name__})") from error
    markup = re.sub(r"<img[^>]*>|<a id=\"[^\"]*\"></a>", "", result.value)
    return OfficeText(_tag(core, "dc:title"), markup, "text/html", moment(_tag(core, "dcterms:created")))


def reflow(pages: list[str]) -> str:
    """Paragraphs of pages of lines, with an empty line between: running heads go, broken words and lines are joined."""
    lines = [[line.strip() for line in page.splitlines()] for page in pages]
    edges = Counter(_mask(line) for page in lines for line in {*page[:1], *page[-1:]} if line)
    running = {line for line, times in edges.items() if len(pages) > 2 and times > len(pages) / 2}
    kept = [
        line
        for page in lines
        for number, line in enumerate(page)
        if not (number in (0, len(page) - 1) and _mask(line) in running)
    ]
    width = max((len(line) for line in kept), default=0)
    paragraphs: list[str] = []
    fresh = True
    for line in kept:
        if not line:
            fresh = True
            continue
        if fresh or not paragraphs:
            paragraphs.append(line)
        elif re.search(r"\w-$", paragraphs[-1]):
            paragraphs[-1] = (paragraphs[-1][:-1] if line[:1].islower() else paragraphs[-1]) + line
        else:
            paragraphs[-1] += f" {line}"
        fresh = len(line) < 0.75 * width and (line.endswith(_ENDS) or len(paragraphs[-1]) < 0.75 * width)
    return "\n\n".join(paragraphs)


def _mask(line: str) -> str:
    """A line without its numbers: running heads differ in nothing else."""
    return re.sub(r"\d+", "0", line)


def _pdf_moment(text: str) -> datetime | None:
    found = re.match(r"D:(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?", text)
    if not found:
        return None
    year, month, day, hour, minute = (int(part or 0) for part in found.groups())
    return moment(f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00")


def _tag(xml: str, name: str) -> str:
    found = re.search(rf"<{name}[^>]*>([^<]*)</{name}>", xml)
    return found.group(1).strip() if found else ""
