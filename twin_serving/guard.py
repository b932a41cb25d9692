"""The guard in front of the app: API key, requests that a foreign page made a browser send, and size of bodies."""

import hashlib
import hmac
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twin_serving.answers import error_body

MEBIBYTE = 1024 * 1024
BODY_LIMIT = 2 * MEBIBYTE
# A complete LinkedIn archive with its pictures can be this large; the part with the writing is a few MB.
UPLOAD_LIMIT = 512 * MEBIBYTE
OPEN_PATHS = frozenset({"/health"})


LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


class Guard:
    """ASGI middleware. api_key None: no key is asked for (bound to loopback)."""

    def __init__(self, app: ASGIApp, api_key: str | None = None) -> None:
        self.app = app
        self._key = None if api_key is None else _digest(api_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 401, 403 or 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = UPLOAD_LIMIT if scope["path"].endswith("/imports") else BODY_LIMIT
        refusal = self._refusal(scope["path"], headers, limit)
        if refusal is None:
            await self.app(scope, _limited(receive, limit), send)
        else:
            status, message = refusal
            await JSONResponse(error_body(message, status), status)(scope, receive, send)

    def _refusal(self, path: str, headers: Headers, limit: int) -> tuple[int, str] | None:
        if path in OPEN_PATHS:
            return None
        if not self._may_enter(headers):
            return 401, "The API key is missing or wrong; send it as `Authorization: Bearer <key>` or `X-API-Key`."
        if self._key is None and _name_of(headers.get("host", "")) not in LOOPBACK_NAMES:
            # A page whose name was pointed at this machine sends that name: without a key only loopback's are let in.
            return 403, "Without an API key this server answers on 127.0.0.1 and localhost only."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return 403, f"Pages of {origin} may not use this server."
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            return 413, _too_large(limit)
        return None

    def _may_enter(self, headers: Headers) -> bool:
        if self._key is None:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        presented = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        # Digests have one length, so that the comparison's time says nothing about the key's.
        return hmac.compare_digest(_digest(presented), self._key)


def _limited(receive: Receive, limit: int) -> Receive:
    """Bodies without a length in their header are counted as they come."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> str:
    return f"The request is larger than {limit // MEBIBYTE} MB; send less at once."


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
