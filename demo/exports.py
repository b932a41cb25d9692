"""The ZIPs that LinkedIn, Medium and Substack send people who ask for their data, from the demo content."""

import csv
import io
import json
import zipfile
from pathlib import Path

from demo.content import PLATFORMS, Content

_MOMENT = (2026, 1, 1, 0, 0, 0)  # one date for all entries: the same content gives the same bytes
_COLUMNS = [
    *("post_id", "post_date", "is_published", "email_sent_at", "inbox_sent_at"),
    *("type", "audience", "title", "subtitle", "podcast_url"),
]


def linkedin_export(path: Path, content: Path = PLATFORMS) -> Path:
    """Write LinkedIn's export ZIP to `path`, from the content folder; returns the path."""
    return _write(path, export_bytes("linkedin", Content(content)))


def medium_export(path: Path, content: Path = PLATFORMS) -> Path:
    """Write Medium's export ZIP to `path`, from the content folder; returns the path."""
    return _write(path, export_bytes("medium", Content(content)))


def substack_export(path: Path, content: Path = PLATFORMS) -> Path:
    """Write Substack's export ZIP to `path`, from the content folder; returns the path."""
    return _write(path, export_bytes("substack", Content(content)))


def export_bytes(platform: str, content: Content) -> bytes:
    """One platform's export ZIP as bytes. Raises KeyError for a platform that has none."""
    entries = {
        "linkedin": lambda: content.under("linkedin"),
        "medium": lambda: content.under("medium/export"),
        "substack": lambda: _substack_entries(content),
    }[platform]()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, entries[name])
    return packed.getvalue()


def _substack_entries(content: Content) -> dict[str, bytes]:
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, restval="", extrasaction="ignore")
    writer.writeheader()
    entries: dict[str, bytes] = {}
    for row in json.loads(content["substack/archive.json"]):
        key = f"{row['id']}.{row['slug']}"
        sent = {"email_sent_at": row["post_date"], "inbox_sent_at": row["post_date"]}
        writer.writerow(row | sent | {"post_id": key, "is_published": "true"})
        post = json.loads(content[f"substack/posts/{row['slug']}.json"])
        entries[f"posts/{key}.html"] = (post.get("body_html") or "").encode()
    entries["posts.csv"] = table.getvalue().encode()
    # Somebody else's data: whoever reads the export must not open this file.
    entries["email_list.demo.csv"] = b"email,active_subscription,created_at\r\nreader@example.org,false,2025-01-01\r\n"
    return entries


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
