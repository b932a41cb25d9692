"""What a web answer is: WebResponse, and how its body, its waits and its refusals are read."""

import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import httpx

from twin_assets.core.errors import FetchError, RateLimitedError

# Seconds: a date beyond that, or milliseconds where seconds are meant, would put a source to rest for ever.
LONGEST_ASKED = 7 * 24 * 3600.0


@dataclass(frozen=True)
class WebResponse:
    """An answer read whole; `url` is where redirects led, `headers` are case-insensitive."""

    status: int
    url: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body decoded by the header's charset, else the document's own declaration, else UTF-8.

        Where the bytes belie it they are UTF-8 with some damage, if any of them is that, or else Windows-1252.
        """
        declared = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.I)
        inside = re.search(rb"(?:charset|encoding)=[\"']?([\w.:-]+)", self.content[:2048], re.I)
        name = declared.group(1) if declared else inside.group(1).decode() if inside else "utf-8"
        try:
            return self.content.decode(name)
        except (LookupError, ValueError):
            text = self.content.decode("utf-8", "replace")
        beyond_ascii = {character for character in text if not character.isascii()}
        return self.content.decode("cp1252", "replace") if beyond_ascii == {"\ufffd"} else text

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


class PassingError(Exception):
    """A failure that may be over at the next attempt."""


def shown(url: str) -> str:
    """A URL as errors and logs may show it: without password, query and fragment, where secrets travel."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_body(response: httpx.Response, max_bytes: int, url: str) -> bytes:
    """The body, unpacked here and not by httpx, which takes a gzip stream that is cut off for a whole one.

    Raises FetchError for more than `max_bytes`, PassingError where the answer breaks off.
    """
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
        raise PassingError(f"{shown(url)} sent damaged gzip ({error}); try again later.") from error
    if unpack is not None and size and not unpack.eof:
        raise PassingError(f"{shown(url)} broke off its answer (gzip is cut off); try again later.")
    return b"".join(parts)


def asked_wait(response: WebResponse) -> float | None:
    """Seconds the answer asks to wait, a week at the most: Retry-After (seconds or a date), else GitHub's quota reset.

    Points in time are counted from the answer's own Date, so that a clock that is wrong, here or there, does not
    make a wait of minutes one of hours or of none.
    """
    asked = response.headers.get("retry-after", "").strip()
    now = _server_time(response)
    if asked:
        if asked.isdecimal() and len(asked) < 10:
            return min(float(asked), LONGEST_ASKED)
        try:
            return min(max(0.0, parsedate_to_datetime(asked).timestamp() - now), LONGEST_ASKED)
        except (ValueError, TypeError):
            return None
    spent = response.status in (403, 429) and response.headers.get("x-ratelimit-remaining") == "0"
    reset = response.headers.get("x-ratelimit-reset", "")
    if not spent or not reset.isdecimal() or len(reset) > 15:
        return None
    return min(max(1.0, float(reset) - now), LONGEST_ASKED)


def rate_limited(url: str, status: int, wait: float | None) -> RateLimitedError:
    """The error for an answer that asks to wait (seconds, None: it does not say how long)."""
    retry_at = None if wait is None else time.time() + wait
    when = "later"
    if retry_at is not None:
        when = time.strftime("after %Y-%m-%d %H:%M:%S UTC", time.gmtime(retry_at))
    return RateLimitedError(
        f"{urlsplit(url).hostname} asks to wait (status {status} at {shown(url)}); run it again {when}.",
        url=shown(url), status=status, retry_at=retry_at,
    )  # fmt: skip


def refusal(response: WebResponse) -> str:
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


def _server_time(response: WebResponse) -> float:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return time.time()
