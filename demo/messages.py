"""Requests and responses of the demo's servers, and conditional answers."""

import email.utils
import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple


class LoggedRequest(NamedTuple):
    """One answered request; `path` has its query, `status` 0: no answer was sent, header names are lower case.

    size: bytes of the answer's body.
    """

    method: str
    path: str
    status: int
    headers: dict[str, str]
    size: int = 0


@dataclass(frozen=True)
class Request:
    """A parsed request: `path` is percent-decoded and has no query; `target` is what was sent."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Delivery:
    """How an answer's bytes leave: not at all (`silent`), cut after some, held for seconds, or repeated."""

    silent: bool = False
    cut_after: int | None = None
    seconds: float = 0.0
    repeat: int = 1


@dataclass
class Response:
    """An answer and how its bytes leave the server."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Delivery = field(default_factory=Delivery)


def conditional(request: Request, body: bytes, content_type: str, modified: float, *, salt: str = "") -> Response:
    """A cacheable 200, or the 304 that `If-None-Match` (it wins, RFC 9110) or `If-Modified-Since` asks for.

    `modified` is in epoch seconds; `salt` makes the ETag depend on more than the body.
    """
    tag = '"' + hashlib.sha256(body + salt.encode()).hexdigest()[:32] + '"'
    headers = {"ETag": tag, "Last-Modified": email.utils.formatdate(modified, usegmt=True)}
    if "if-none-match" in request.headers:
        known = [each.strip().removeprefix("W/") for each in request.headers["if-none-match"].split(",")]
        unchanged = tag in known or "*" in known
    else:
        unchanged = _not_modified_since(request.headers.get("if-modified-since"), modified)
    if unchanged:
        return Response(304, headers=headers)
    return Response(200, body, {"Content-Type": content_type} | headers)


def _not_modified_since(header: str | None, modified: float) -> bool:
    if not header:
        return False
    try:
        return email.utils.parsedate_to_datetime(header).timestamp() >= int(modified)
    except ValueError:
        return False  # RFC 9110: a date that cannot be read is ignored
