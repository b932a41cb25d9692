"""Reads the links a draft is to draw on. What a page says is material to quote, never an instruction to follow."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from twin_assets.core.errors import FetchError, SourceError
from twin_serving.telemetry.metrics import count_cache

if TYPE_CHECKING:
    from twin_assets.core.web import WebClient

Kind = Literal["page", "pdf", "arxiv", "github", "feed item", "text"]
# How long a text that was read stands for its address, in seconds: a second draft on it is then quick.
REMEMBERED = 15 * 60.0
MOST_REMEMBERED = 200


@dataclass(frozen=True, slots=True)
class LinkText:
    """A link and its main text; where it could not be read, `text` is empty and `message` says why and what to do.

    orders: sentences of the page that address a model and were left out of the text.
    """

    url: str
    title: str
    text: str
    status: Literal["read", "failed"]
    message: str = ""
    kind: Kind = "page"
    orders: tuple[str, ...] = field(default=(), repr=False)

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
    from twin_serving.links.kinds import LinkReader

    return _side_by_side(_wanted(urls), LinkReader(web).read)


class LinkMemory:
    """Reads links and remembers for some minutes what was read; safe to share between threads."""

    def __init__(
        self, open_web: Callable[[], AbstractContextManager["WebClient"]], seconds: float = REMEMBERED
    ) -> None:
        self._open_web = open_web
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, LinkText]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, urls: Sequence[str]) -> list[LinkText]:
        """As read_links(); what failed is tried again each time."""
        wanted = _wanted(urls)
        with self._lock:
            known = {
                url: text for url, (until, text) in self._kept.items() if url in wanted and until > time.monotonic()
            }
        missing = [url for url in wanted if url not in known]
        for url in wanted:
            count_cache("links", url in known)
        if missing:
            with self._open_web() as web:
                found = read_links(missing, web)
            known |= {link.url: link for link in found}
            self._keep([link for link in found if link.status == "read"])
        return [known[url] for url in wanted]

    def _keep(self, links: Sequence[LinkText]) -> None:
        until = time.monotonic() + self._seconds
        with self._lock:
            for link in links:
                self._kept[link.url] = until, link
                self._kept.move_to_end(link.url)
            while len(self._kept) > MOST_REMEMBERED:
                self._kept.popitem(last=False)


def _wanted(urls: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(url.strip() for url in urls if url.strip()))


def _side_by_side(urls: Sequence[str], read: Callable[[str], LinkText]) -> list[LinkText]:
    def one(url: str) -> LinkText:
        try:
            return read(url)
        except (FetchError, SourceError) as error:
            return LinkText(url, "", "", "failed", str(error))

    if len(urls) < 2:
        return [one(url) for url in urls]
    with ThreadPoolExecutor(max_workers=len(urls), thread_name_prefix="link") as pool:
        return list(pool.map(one, urls))
