"""Reads the links a draft is to draw on. What a page says is material to quote, never an instruction to follow."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from twin_assets.core.errors import FetchError

if TYPE_CHECKING:
    from twin_assets.core.web import WebClient, WebResponse

# Seconds and bytes a page may take: a person waits for it.
PAGE_SECONDS = 15.0
PAGE_BYTES = 5_000_000
PLAIN_TYPES = ("text/plain", "text/markdown", "text/x-markdown")
HTML_TYPES = ("text/html", "application/xhtml+xml", "")


Kind = Literal["page", "pdf", "arxiv", "github", "feed item", "text"]


@dataclass(frozen=True, slots=True)
class LinkText:
    """A link and its main text; where it could not be read, `text` is empty and `message` says why and what to do."""

    url: str
    title: str
    text: str
    status: Literal["read", "failed"]
    message: str = ""
    kind: Kind = "page"

    def to_dict(self) -> dict[str, str | int]:
        """The link as a compose answer lists it: how much was read, not the text itself."""
        return {
            "url": self.url,
            "title": self.title,
            "status": self.status,
            "message": self.message,
            "characters": len(self.text),
            "kind": self.kind,
        }


def read_links(urls: Sequence[str], web: "WebClient") -> list[LinkText]:
    """The main text of each link, in the order given, read side by side; a link that fails stops no other."""
    wanted = list(dict.fromkeys(url.strip() for url in urls if url.strip()))
    if not wanted:
        return []
    with ThreadPoolExecutor(max_workers=len(wanted), thread_name_prefix="link") as pool:
        return list(pool.map(lambda url: _read(url, web), wanted))


def _read(url: str, web: "WebClient") -> LinkText:
    try:
        response = web.get(url, timeout=PAGE_SECONDS, max_bytes=PAGE_BYTES, raise_for_status=False, page=True)
    except FetchError as error:
        return _failed(url, str(error))
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*PLAIN_TYPES, *HTML_TYPES):
        return _failed(url, f"{url} is {kind}, not a page of text; give a page, or paste what matters into the prompt.")
    return _judged(url, response, kind in PLAIN_TYPES)


def _judged(url: str, response: "WebResponse", plain: bool) -> LinkText:
    from twin_assets.core.cleaning import main_text
    from twin_assets.core.sources.quarantine import judge_page

    barred = judge_page(response.text, status=response.status, url=url)
    if barred is not None:
        return _failed(url, f"{url} could not be used ({barred.reason}): {barred.remedy}.")
    if plain:
        text = response.text.strip()
        return LinkText(url, text.splitlines()[0].lstrip("# ")[:120], text, "read", kind="text")
    title, text = main_text(response.text, response.url)
    if not text.strip():
        return _failed(url, f"{url} has no readable main text; paste what matters into the prompt.")
    return LinkText(url, title or url, text.strip(), "read")


def _failed(url: str, message: str) -> LinkText:
    return LinkText(url, "", "", "failed", message)
