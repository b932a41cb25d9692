"""One polite, guarded HTTP client: every remote read of the project goes through WebClient.

Guarded: http(s) only; the address is checked when the socket is opened, not when the name is written, so
neither a redirect nor a second answer of the name server reaches a private address. Bounded in size, time and
redirects. Polite: few requests at a time to a host and a pause between two, robots.txt for pages, Retry-After and
GitHub's quota headers obeyed, a User-Agent that names the project. Proxies from the environment are not used:
behind one the address could not be checked.
"""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

from twin_assets.core.errors import FetchError
from twin_assets.core.network_guard import Deadline, GuardedBackend, GuardedTransport, is_allowed
from twin_assets.core.politeness import ROBOT, TURNS, Robots
from twin_assets.core.web_answers import (
    PassingError,
    WebResponse,
    asked_wait,
    rate_limited,
    read_body,
    refusal,
    shown,
)

__all__ = ["USER_AGENT", "WebClient", "WebResponse", "shown"]

USER_AGENT = f"{ROBOT}/0.1 (reads what its owner has published)"
MAXIMUM_REDIRECTS = 5
ATTEMPTS = 3
LONGEST_WAIT = 30.0  # seconds; what asks for more ends the read with RateLimitedError
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
ROBOTS_BYTES = 2_000_000
CONNECTIONS = 2  # to a host at once, all that HTTP/1.1 allowed a client while it named a number (RFC 2616, 8.1.4)


class WebClient:
    """Context manager over one connection pool; safe to use from several threads.

    allowed_hosts: names (host or host:port) that may be private and are read without pauses, being the
    operator's own; timeout: seconds one request may take, body included; max_bytes: largest body, unpacked;
    interval: seconds between the starts of two requests to a host; connections: requests to a host at once, of the
    operator's own as well; sleep: how to wait.
    """

    def __init__(
        self,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        timeout: float = 20.0,
        max_bytes: int = 20_000_000,
        interval: float = 0.25,
        connections: int = CONNECTIONS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.interval = interval
        self.connections = connections
        self._sleep = sleep
        self._deadline = Deadline()
        self._transport = GuardedTransport(GuardedBackend(self.allowed_hosts, self._deadline))
        self._client = httpx.Client(transport=self._transport, trust_env=False, follow_redirects=False)
        self._robots = Robots(lambda url: self.get(url, raise_for_status=False, max_bytes=ROBOTS_BYTES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        etag: str | None = None,
        last_modified: str | None = None,
        token: str | None = None,
        interval: float | None = None,
        connections: int | None = None,
        timeout: float | None = None,
        max_bytes: int | None = None,
        raise_for_status: bool = True,
        page: bool = False,
    ) -> WebResponse:
        """Read a URL, following redirects and trying again where the host is in trouble.

        etag, last_modified: validators of an earlier read, which may give a 304; token: sent as a bearer to
        the first host only; interval, connections, timeout, max_bytes: instead of the client's, where a platform's
        rule is another one; raise_for_status: with False an answer of 400 and above is returned, not raised; page:
        with True the robots.txt of every host on the way is obeyed, as a page made for people asks for and a feed, an
        API or a file of one's own does not.
        Raises FetchError, and of its kinds BlockedAddressError, DisallowedError and RateLimitedError.
        """
        sent = dict(headers or {})
        if etag:
            sent["If-None-Match"] = etag
        if last_modified:
            sent["If-Modified-Since"] = last_modified
        _checked(url)
        target = str(httpx.URL(url, params=params) if params else url)
        limits = _Limits(
            timeout or self.timeout,
            max_bytes or self.max_bytes,
            self.interval if interval is None else interval,
            connections or self.connections,
            page,
        )
        response = self._follow(_Question("GET", target, sent), token, limits)
        if raise_for_status and response.status >= 400:
            raise FetchError(refusal(response), url=shown(response.url), status=response.status)
        if response.not_modified and not (etag or last_modified):
            raise FetchError(
                f"{shown(url)} says that nothing has changed although nobody asked that; try again later.",
                url=shown(url), status=304,
            )  # fmt: skip
        return response

    def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        interval: float | None = None,
        connections: int | None = None,
    ) -> WebResponse:
        """Send a question that does not fit an address (GraphQL's); it must be one that can be asked twice.

        Raises what get() raises.
        """
        interval = self.interval if interval is None else interval
        limits = _Limits(self.timeout, self.max_bytes, interval, connections or self.connections, page=False)
        response = self._follow(_Question("POST", url, dict(headers or {}), body), token, limits)
        if response.status >= 300:
            raise FetchError(refusal(response), url=shown(response.url), status=response.status)
        return response

    def _follow(self, question: "_Question", token: str | None, limits: "_Limits") -> WebResponse:
        """The answer at the end of the redirects (for a POST: the first one)."""
        sent = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip", **question.headers}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        target = question.url
        for _ in range(MAXIMUM_REDIRECTS + 1):
            hop = limits
            if limits.page:
                _checked(target)
                hop = limits.slowed(self._robots.check(target))
            response = self._patiently(_Question(question.method, target, sent, question.body), hop)
            location = response.headers.get("location")
            if question.method != "GET" or response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            following = _joined(target, location)
            if not _may_see_token(urlsplit(target), urlsplit(following)):
                sent.pop("Authorization", None)
            target = following
        raise FetchError(
            f"{shown(question.url)} redirects more than {MAXIMUM_REDIRECTS} times; open it in a browser and use the "
            "address it ends at.",
            url=shown(question.url),
        )

    def _patiently(self, question: "_Question", limits: "_Limits") -> WebResponse:
        """One hop, tried again after a pause where that may help."""
        url = question.url
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._once(question, limits)
            except PassingError as error:
                if attempt == ATTEMPTS:
                    raise FetchError(str(error), url=shown(url)) from error
                self._sleep(_backoff(attempt))
                continue
            wait = asked_wait(response)
            limited = response.status == 429 or (response.status == 403 and wait is not None)
            if not limited and response.status not in RETRIED:
                return response
            if limited and (attempt == ATTEMPTS or (wait or 0) > LONGEST_WAIT):
                raise rate_limited(url, response.status, wait)
            if attempt == ATTEMPTS or (wait or 0) > LONGEST_WAIT:
                return response
            self._sleep(_backoff(attempt) if wait is None else wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, question: "_Question", limits: "_Limits") -> WebResponse:
        url = question.url
        parts = _checked(url)
        try:
            with self._turn(parts.netloc, limits):
                self._deadline.start(limits.timeout)
                with self._client.stream(
                    question.method, url, headers=question.headers, content=question.body, timeout=limits.timeout
                ) as response:
                    body = read_body(response, limits.max_bytes, url)
                    return WebResponse(response.status_code, url, response.headers, body)
        except httpx.TimeoutException as error:
            raise PassingError(
                f"{shown(url)} took longer than {limits.timeout:g} s to answer; try again later, or raise "
                "TWIN_REQUEST_TIMEOUT."
            ) from error
        except httpx.RemoteProtocolError as error:
            raise PassingError(f"{shown(url)} broke off its answer ({error}); try again later.") from error
        except (httpx.TransportError, OSError) as error:
            raise PassingError(
                f"{parts.hostname} cannot be reached ({_reason(error)}); check the address {shown(url)} and "
                "the connection."
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"{url!r} is not an address ({error}); correct it.", url=url) from error

    def _turn(self, host: str, limits: "_Limits") -> AbstractContextManager[None]:
        """The host's turn for one request; the operator's own hosts are read without pauses."""
        own = is_allowed(self.allowed_hosts, *_host_and_port(host))
        return TURNS.turn(host, 0.0 if own else limits.interval, self._sleep, limits.connections)


@dataclass(frozen=True)
class _Question:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass(frozen=True)
class _Limits:
    timeout: float
    max_bytes: int
    interval: float
    connections: int
    page: bool

    def slowed(self, interval: float) -> "_Limits":
        """The same with at least this pause between two requests, which a site asks for that wants one at a time."""
        if interval <= self.interval:
            return self
        return replace(self, interval=interval, connections=1)


def _checked(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise FetchError(f"{url!r} is not an address ({error}); correct it.", url=url) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{shown(url)!r} is not a web address; give one that starts with https://.", url=shown(url))
    return parts


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchError(f"{shown(url)} redirects to no address ({error}).", url=shown(url)) from error


def _may_see_token(asked: Any, following: Any) -> bool:
    """Whether a redirect stays with the host that the token is for, and does not leave encryption."""
    return asked.netloc == following.netloc and (asked.scheme, following.scheme) != ("https", "http")


def _host_and_port(netloc: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{netloc}")
    return parts.hostname or "", parts.port


def _backoff(attempt: int) -> float:
    """Seconds to wait after attempt number 1, 2, …: 0.5, 1, 2 …, each between half and the whole of it."""
    return float(0.5 * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
