"""One polite, guarded HTTP client: every remote read of the project goes through WebClient.

Guarded: http(s) only; the address is checked when the socket is opened, not when the name is written, so
neither a redirect nor a second answer of the name server reaches a private address. Bounded in size, time and
redirects. Polite: a pause between two requests to a host, Retry-After and GitHub's quota headers obeyed, a
User-Agent that names the project. Proxies from the environment are not used: behind one the address could not
be checked.
"""

import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

from twin_assets.core.errors import FetchError, RateLimitedError
from twin_assets.core.network_guard import Deadline, GuardedBackend, GuardedTransport, is_allowed

USER_AGENT = "llm-twin/0.1 (reads what its owner has published)"
MAXIMUM_REDIRECTS = 5
ATTEMPTS = 3
LONGEST_WAIT = 30.0  # seconds; what asks for more ends the read with RateLimitedError
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class WebResponse:
    """An answer read whole; `url` is where redirects led, `headers` are case-insensitive."""

    status: int
    url: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body decoded by the header's charset, else the document's own declaration, else UTF-8."""
        declared = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.I)
        inside = re.search(rb"(?:charset|encoding)=[\"']?([\w.:-]+)", self.content[:2048], re.I)
        name = declared.group(1) if declared else inside.group(1).decode() if inside else "utf-8"
        try:
            return self.content.decode(name, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    @property
    def etag(self) -> str | None:
        """Validator for the next conditional read."""
        return self.headers.get("etag")

    @property
    def last_modified(self) -> str | None:
        """Validator for the next conditional read."""
        return self.headers.get("last-modified")

    @property
    def not_modified(self) -> bool:
        """True for 304: nothing changed since the validators given."""
        return self.status == 304

    @property
    def next_url(self) -> str | None:
        """The page after this one, from the Link header."""
        found = re.search(r'<([^>]+)>\s*;[^,]*\brel="?next\b', self.headers.get("link", ""))
        return urljoin(self.url, found.group(1)) if found else None


class WebClient:
    """Context manager over one connection pool; safe to use from several threads.

    allowed_hosts: names (host or host:port) that may be private and are read without pauses, being the
    operator's own; timeout: seconds one request may take, body included; max_bytes: largest body, unpacked;
    interval: seconds between two requests to a host; sleep: how to wait.
    """

    def __init__(
        self,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        timeout: float = 20.0,
        max_bytes: int = 20_000_000,
        interval: float = 0.25,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.interval = interval
        self._sleep = sleep
        self._turns: dict[str, float] = {}
        self._lock = threading.Lock()
        self._deadline = Deadline()
        self._transport = GuardedTransport(GuardedBackend(self.allowed_hosts, self._deadline))
        self._client = httpx.Client(transport=self._transport, trust_env=False, follow_redirects=False)

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
        timeout: float | None = None,
        max_bytes: int | None = None,
        raise_for_status: bool = True,
    ) -> WebResponse:
        """Read a URL, following redirects and trying again where the host is in trouble.

        etag, last_modified: validators of an earlier read, which may give a 304; token: sent as a bearer to
        the first host only; interval, timeout, max_bytes: instead of the client's; raise_for_status: with
        False an answer of 400 and above is returned, not raised.
        Raises FetchError, and of its kinds BlockedAddressError and RateLimitedError.
        """
        sent = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip", **(headers or {})}
        if etag:
            sent["If-None-Match"] = etag
        if last_modified:
            sent["If-Modified-Since"] = last_modified
        if token:
            sent["Authorization"] = f"Bearer {token}"
        target = str(httpx.URL(url, params=params) if params else url)
        limits = _Limits(timeout or self.timeout, max_bytes or self.max_bytes, interval or self.interval)
        for _ in range(MAXIMUM_REDIRECTS + 1):
            response = self._patiently(target, sent, limits)
            location = response.headers.get("location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                if raise_for_status and response.status >= 400:
                    raise FetchError(_refusal(response), url=shown(target), status=response.status)
                return response
            following = urljoin(target, location)
            if urlsplit(following).netloc != urlsplit(target).netloc:
                sent.pop("Authorization", None)
            target = following
        raise FetchError(
            f"{shown(url)} redirects more than {MAXIMUM_REDIRECTS} times; open it in a browser and use the "
            "address it ends at.",
            url=shown(url),
        )

    def _patiently(self, url: str, headers: Mapping[str, str], limits: "_Limits") -> WebResponse:
        """One hop, tried again after a pause where that may help."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._once(url, headers, limits)
            except _PassingError as error:
                if attempt == ATTEMPTS:
                    raise FetchError(str(error), url=shown(url)) from error
                self._sleep(_backoff(attempt))
                continue
            wait = _asked_wait(response)
            limited = response.status == 429 or (response.status == 403 and wait is not None)
            if not limited and response.status not in RETRIED:
                return response
            if limited and (attempt == ATTEMPTS or (wait or 0) > LONGEST_WAIT):
                raise _rate_limited(url, response.status, wait)
            if attempt == ATTEMPTS or (wait or 0) > LONGEST_WAIT:
                return response
            self._sleep(_backoff(attempt) if wait is None else wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, url: str, headers: Mapping[str, str], limits: "_Limits") -> WebResponse:
        parts = _checked(url)
        self._wait_turn(parts.netloc, limits.interval)
        self._deadline.start(limits.timeout)
        try:
            with self._client.stream("GET", url, headers=dict(headers), timeout=limits.timeout) as response:
                body = _read_body(response, limits.max_bytes, url)
                return WebResponse(response.status_code, url, response.headers, body)
        except httpx.TimeoutException as error:
            raise _PassingError(
                f"{shown(url)} took longer than {limits.timeout:g} s to answer; try again later, or raise "
                "TWIN_REQUEST_TIMEOUT."
            ) from error
        except httpx.RemoteProtocolError as error:
            raise _PassingError(f"{shown(url)} broke off its answer ({error}); try again later.") from error
        except (httpx.TransportError, OSError) as error:
            raise _PassingError(
                f"{parts.hostname} cannot be reached ({_reason(error)}); check the address {shown(url)} and "
                "the connection."
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError(f"{url!r} is not an address ({error}); correct it.", url=url) from error

    def _wait_turn(self, host: str, interval: float) -> None:
        """Keep `interval` seconds between two requests to a host, whichever threads make them."""
        if is_allowed(self.allowed_hosts, *_host_and_port(host)):
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._turns.get(host, 0.0))
            self._turns[host] = turn + interval
        if turn > now:
            self._sleep(turn - now)


@dataclass(frozen=True)
class _Limits:
    timeout: float
    max_bytes: int
    interval: float


class _PassingError(Exception):
    """A failure that may be over at the next attempt."""


def shown(url: str) -> str:
    """A URL as errors and logs may show it: without password, query and fragment, where secrets travel."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _checked(url: str) -> Any:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{shown(url)!r} is not a web address; give one that starts with https://.", url=shown(url))
    return parts


def _host_and_port(netloc: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{netloc}")
    return parts.hostname or "", parts.port


def _read_body(response: httpx.Response, max_bytes: int, url: str) -> bytes:
    """The body, unpacked here and not by httpx, which takes a gzip stream that is cut off for a whole one."""
    encoding = response.headers.get("content-encoding", "identity").lower().strip()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise FetchError(f"{shown(url)} answers in an encoding nobody asked for ({encoding}).", url=shown(url))
    unpack = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    parts: list[bytes] = []
    size = 0
    try:
        for chunk in response.iter_raw(65_536):
            data = chunk if unpack is None else unpack.decompress(chunk, max_bytes + 1 - size)
            parts.append(data)
            size += len(data)
            if size > max_bytes:
                raise FetchError(
                    f"{shown(url)} sends more than {max_bytes / 1e6:g} MB; it was not read.", url=shown(url)
                )
    except zlib.error as error:
        raise _PassingError(f"{shown(url)} sent damaged gzip ({error}); try again later.") from error
    if unpack is not None and size and not unpack.eof:
        raise _PassingError(f"{shown(url)} broke off its answer (gzip is cut off); try again later.")
    return b"".join(parts)


def _backoff(attempt: int) -> float:
    """Seconds to wait after attempt number 1, 2, …: 0.5, 1, 2 …, each between half and the whole of it."""
    return float(0.5 * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))


def _asked_wait(response: WebResponse) -> float | None:
    """Seconds the answer asks to wait: Retry-After (seconds or a date), else GitHub's quota reset."""
    asked = response.headers.get("retry-after", "").strip()
    if asked:
        try:
            return max(0.0, float(asked))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        except (ValueError, TypeError):
            return None
    spent = response.status in (403, 429) and response.headers.get("x-ratelimit-remaining") == "0"
    reset = response.headers.get("x-ratelimit-reset", "")
    return max(1.0, float(reset) - time.time()) if spent and reset.isdigit() else None


def _rate_limited(url: str, status: int, wait: float | None) -> RateLimitedError:
    retry_at = None if wait is None else time.time() + wait
    when = "later"
    if retry_at is not None:
        when = time.strftime("after %Y-%m-%d %H:%M:%S UTC", time.gmtime(retry_at))
    return RateLimitedError(
        f"{urlsplit(url).hostname} asks to wait (status {status} at {shown(url)}); run it again {when}.",
        url=shown(url), status=status, retry_at=retry_at,
    )  # fmt: skip


def _refusal(response: WebResponse) -> str:
    """One sentence for a status of 400 and above."""
    where = shown(response.url)
    if response.headers.get("cf-mitigated") == "challenge":
        return (
            f"{where} answers programs with a challenge page (status {response.status}); use the platform's "
            "feed or export, or paste the text."
        )
    reasons = {
        401: "wants a login or a valid token; check the token in the environment",
        403: "refuses the read; check the address and, where the platform has one, the token",
        404: "does not exist; check the address",
        410: "is gone for good; remove it or give the new address",
    }
    default = "refuses the read; check the address"
    if response.status >= 500:
        default = "is in trouble; try again later"
    return f"{where} {reasons.get(response.status, default)} (status {response.status})."


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
