"""Files of every kind: their words, their titles, and what is held back or told instead of a text."""

import io
import zipfile
from datetime import timedelta
from pathlib import Path

import pypdf
import pytest
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from twin_assets.core.authors import Author, Source
from twin_assets.core.documents import RawDocument
from twin_assets.core.sources import files
from twin_assets.core.sources.base import Done, Found, Kept, Reading
from twin_assets.core.sources.office_files import reflow
from twin_assets.core.web import WebClient
from twin_assets.settings import Settings

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def read(folder: Path, cursor: dict | None = None) -> tuple[dict[str, RawDocument], list[str], Done]:
    """(documents by name, names kept, the end) of one reading of a folder."""
    source = Source(platform="files", location=str(folder))
    with WebClient() as web:
        events = list(files.collect(Reading(Author(id="ada", name="Ada"), source, cursor or {}, web, Settings())))
    found = {event.document.external_id: event.document for event in events if isinstance(event, Found)}
    kept = [event.external_id for event in events if isinstance(event, Kept)]
    assert isinstance(events[-1], Done)
    return found, kept, events[-1]


def pdf(*pages: list[str], password: str = "", title: str = "") -> bytes:
    writer = pypdf.PdfWriter()
    font = DictionaryObject({NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
                             NameObject("/BaseFont"): NameObject("/Helvetica")})  # fmt: skip
    for lines in pages:
        page = writer.add_blank_page(600, 800)
        stream = DecodedStreamObject()
        shown = "".join(f"({line}) Tj 0 -14 Td " for line in lines)
        stream.set_data(f"BT /F1 10 Tf 40 760 Td {shown}ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    writer.add_metadata({"/Title": title, "/CreationDate": "D:20240305101112Z"})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    packed = io.BytesIO()
    writer.write(packed)
    return packed.getvalue()


def docx(path: Path, body: str, title: str = "") -> None:
    core = (
        f'<c:p xmlns:c="x" xmlns:dc="y" xmlns:dcterms="z"><dc:title>{title}</dc:title>'
        "<dcterms:created>2024-03-05T10:11:12Z</dcterms:created></c:p>"
    )
    kinds = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("[Content_Types].xml", kinds)
        packed.writestr("word/document.xml", f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>')
        packed.writestr("docProps/core.xml", core)


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_a_pdf_is_paragraphs_again(tmp_path):
    first = ["Notes on the quay 1", "The crane planner has never written a line of code and he dis-",
             "trusts every screen that is larger than a postcard. For fourteen", "years he has been my mentor.",
             "We meet four times a year in a place from which one can see the"]  # fmt: skip
    second = ["Notes on the quay 2", "ships, and I bring a problem with me."]
    third = ["Notes on the quay 3", "Fewer cranes, he said."]
    (tmp_path / "a.pdf").write_bytes(pdf(first, second, third, title="On the quay"))
    found, _, done = read(tmp_path)
    document = found["a.pdf"]
    assert (document.title, document.published_at.isoformat()) == ("On the quay", "2024-03-05T10:11:00+00:00")
    assert document.content.split("\n\n") == [
        "The crane planner has never written a line of code and he distrusts every screen that is larger than a "
        "postcard. For fourteen years he has been my mentor.",
        "We meet four times a year in a place from which one can see the ships, and I bring a problem with me.",
        "Fewer cranes, he said.",
    ]
    assert read(tmp_path, dict(done.cursor))[1] == ["a.pdf"]


def test_a_word_document_is_its_paragraphs(tmp_path):
    docx(
        tmp_path / "on-pagers.docx",
        paragraph("A pager &amp; a bill") + paragraph("It comes in the night."),
        "On pagers",
    )
    docx(tmp_path / "no-title.docx", paragraph("Words"))
    found, _, _ = read(tmp_path)
    document = found["on-pagers.docx"]
    assert (document.title, document.content_type) == ("On pagers", "text/html")
    assert document.content == "<p>A pager &amp; a bill</p><p>It comes in the night.</p>"
    assert document.published_at.isoformat() == "2024-03-05T10:11:12+00:00"
    assert found["no-title.docx"].title == "no title"


def test_what_cannot_be_read_is_told_and_nothing_else_is_lost(tmp_path):
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (tmp_path / "locked.pdf").write_bytes(pdf(["Secret"], password="s3cret"))
    (tmp_path / "scanned.pdf").write_bytes(pdf([]))
    (tmp_path / "broken.docx").write_bytes(b"PK nothing")
    with zipfile.ZipFile(tmp_path / "bomb.docx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("word/document.xml", b"0" * 30_000_000)
    with zipfile.ZipFile(tmp_path / "sheet.docx", "w") as packed:
        packed.writestr("xl/workbook.xml", "x")
    (tmp_path / "good.md").write_text("# Good\n\nWords.")
    found, kept, done = read(tmp_path)
    assert set(found) == {"good.md", "scanned.pdf"}
    assert found["scanned.pdf"].quarantine == "empty body"
    assert sorted(kept) == ["bomb.docx", "broken.docx", "broken.pdf", "locked.pdf", "sheet.docx"]
    assert done.message.startswith("5 files cannot be read, among them bomb.docx: bomb.docx unpacks")
    assert set(done.cursor["files"]) == set(found)


def test_a_saved_page_is_its_text_and_a_saved_challenge_is_held_back(tmp_path):
    story = "The crane planner asked what would happen by Friday, and who was going to shout. " * 12
    (tmp_path / "page.html").write_text(
        f"<!DOCTYPE html><html><head><title>On &amp; off</title></head><body><nav>Home About Archive</nav><article><p>"
        f"{story}</p></article><footer>Subscribe for more</footer></body></html>"
    )
    (tmp_path / "wall.html").write_text("<html><head><title>Just a moment...</title></head><body>Verify</body></html>")
    (tmp_path / "bit.html").write_text("<p>A <b>bit</b> of markup.</p>")
    found, _, _ = read(tmp_path)
    page = found["page.html"]
    assert (page.title, page.content_type, page.quarantine) == ("On & off", "text/markdown", None)
    assert page.content.split() == story.split()
    assert found["wall.html"].quarantine == "challenge page"
    assert found["bit.html"].content == "<p>A <b>bit</b> of markup.</p>"


@pytest.mark.parametrize(
    ("pages", "text"),
    [
        ([], ""), ([""], ""), (["one line"], "one line"), (["a\n\nb"], "a\n\nb"),
        (["they went by way of Stoke-\nOn-Trent and on-\nwards"], "they went by way of Stoke-On-Trent and onwards"),
    ],
)  # fmt: skip
def test_reflow_of_little(pages, text):
    assert reflow(pages) == text


def test_drafts_and_what_is_dated_in_the_future_wait(tmp_path, monkeypatch):
    for name in ("drafts/a.md", "_drafts/b.md", "notes-drafts/c.md", "draftsman/d.md", "e.md", "f.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        dated = {"e.md": "2950-01-02", "f.md": "2020-01-02"}.get(name)
        path.write_text(f"---\ntitle: T\ndate: {dated}\n---\nWords." if dated else "# T\n\nWords.")
    found, _, done = read(tmp_path)
    assert set(found) == {"draftsman/d.md", "f.md"}
    assert done.message == "1 files are dated in the future and are read when their day has come."
    monkeypatch.setattr(files, "CLOCKS_DIFFER", timedelta(days=365_000))  # the day has come, and the file is as it was
    found, kept, done = read(tmp_path, dict(done.cursor))
    assert (set(found), sorted(kept), done.message) == ({"e.md"}, ["draftsman/d.md", "f.md"], "")
