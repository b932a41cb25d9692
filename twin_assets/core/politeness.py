"""Manners towards a host: few requests at a time with pauses between, and its robots.txt obeyed for pages."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twin_assets.core.errors import DisallowedError, FetchError
from twin_assets.core.web_answers import WebResponse, shown

if TYPE_CHECKING:
    from protego import Protego

ROBOT = "llm-twin"  # the name a site can address in its robots.txt
REMEMBERED = 24 * 3600.0  # seconds a robots.txt holds, as RFC 9309 says
LONGEST_DELAY = 30.0  # seconds; a Crawl-delay of more is taken as this


@dataclass
class _Host:
    free: threading.Condition = field(default_factory=threading.Condition)
    busy: int = 0
    next_turn: float = 0.0


class Turns:
    """A few requests at a time to a host and `interval` seconds between the starts of two, whoever makes them."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, host: str, interval: float, sleep: Callable[[float], None], connections: int = 1) -> Iterator[None]:
        """Hold one of the host's `connections` for one request; `sleep` is how to wait for the pause to end."""
        with self._lock:
            state = self._hosts.setdefault(host, _Host())
        with state.free:
            state.free.wait_for(lambda: state.busy < connections)
            state.busy += 1
            now = time.monotonic()
            turn = max(now, state.next_turn)
            state.next_turn = turn + interval
        try:
            if turn > now:
                sleep(turn - now)
            yield
        finally:
            with state.free:
                state.busy -= 1
                state.free.notify_all()  # they may wait for different numbers


TURNS = Turns()  # the process's own: two clients do not make a host's pauses half as long


class Robots:
    """The robots.txt of every host met, read with `fetch` once a day (RFC 9309)."""

    def __init__(self, fetch: Callable[[str], WebResponse]) -> None:
        self._fetch = fetch
        self._rules: dict[str, tuple[float, Protego | None]] = {}
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}

    def check(self, url: str) -> float:
        """Seconds the host wants between two pages (0: does not say).

        Raises DisallowedError where it does not let programs read this page, FetchError where it cannot be asked.
        """
        rules = self._of(url)
        if rules is None:
            return 0.0
        if not rules.can_fetch(url, ROBOT):
            raise DisallowedError(
                f"The robots.txt of {urlsplit(url).hostname} does not let programs read {shown(url)}; use the site's "
                "feed or export, or paste the text.",
                url=shown(url),
            )
        return min(float(rules.crawl_delay(ROBOT) or 0.0), LONGEST_DELAY)

    def _of(self, url: str) -> "Protego | None":
        """The rules for a URL's host, None where there are none: an answer of 400 to 499 allows everything."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            asking = self._asking.setdefault(origin, threading.Lock())
        with asking:  # of several threads one asks and the others wait for its answer
            read_at, rules = self._rules.get(origin, (float("-inf"), None))
            if time.monotonic() - read_at >= REMEMBERED:
                rules = self._read(origin)
                self._rules[origin] = (time.monotonic(), rules)
            return rules

    def _read(self, origin: str) -> "Protego | None":
        from protego import Protego

        response = self._fetch(f"{origin}/robots.txt")
        if response.status >= 500:
            raise FetchError(
                f"{shown(response.url)} cannot be read (status {response.status}), and without it no page of the site "
                "is; try again later.",
                url=shown(response.url), status=response.status,
            )  # fmt: skip
        return Protego.parse(response.text) if response.status < 400 else None
