"""The guard in front of the app: keys and what they permit, requests that a foreign page made a browser send, sizes."""

from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twin_assets.core.errors import TwinError
from twin_serving.api.answers import error_body
from twin_serving.api.permission import PRINCIPAL, Buckets, Keys, NotPermittedError, Principal, check

MEBIBYTE = 1024 * 1024
BODY_LIMIT = 2 * MEBIBYTE
# A complete LinkedIn archive with its pictures can be this large; the part with the writing is a few MB.
UPLOAD_LIMIT = 512 * MEBIBYTE
# What an orchestrator asks, which sends no key; they tell nothing but that.
OPEN_PATHS = frozenset({"/health", "/ready"})
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


class RefusedError(Exception):
    """The answer to a request that does not get in."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class Guard:
    """ASGI middleware. Who asks is found under PRINCIPAL in the scope of every request that gets in."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app = app
        self.keys = keys
        self._buckets = Buckets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 401, 403, 413, 429 or 503."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no websockets here."})
            return
        limit = UPLOAD_LIMIT if scope["path"].endswith("/imports") else BODY_LIMIT
        receive = _limited(receive, limit)
        try:
            principal = self.admit(scope["path"], Headers(scope=scope), limit)
            if principal.client is not None:
                receive = await self._permit(principal, scope, receive)
        except RefusedError as refusal:
            body = error_body(str(refusal), refusal.status)
            await JSONResponse(body, refusal.status, refusal.headers)(scope, receive, send)
            return
        # In the scope itself: what stands before the guard reads from it which route answered.
        scope[PRINCIPAL] = principal
        await self.app(scope, receive, send)

    def admit(self, path: str, headers: Headers, limit: int) -> Principal:
        """Who asks; raises RefusedError for those who do not get in at all."""
        if path in OPEN_PATHS:
            return Principal()
        try:
            principal = self.keys.principal(_presented(headers))
        except TwinError as error:
            raise RefusedError(503, str(error)) from error
        if principal is None:
            raise RefusedError(
                401, "The API key is missing or wrong; send it as `Authorization: Bearer <key>` or `X-API-Key`."
            )
        if self.keys.open and _name_of(headers.get("host", "")) not in LOOPBACK_NAMES:
            # A page whose name was pointed at this machine sends that name: without a key only loopback's are let in.
            raise RefusedError(403, "Without an API key this server answers on 127.0.0.1 and localhost only.")
        origin = headers.get("origin")
        if origin is not None and (_host_of(origin) or None) != headers.get("host", ""):
            raise RefusedError(403, f"Pages of {origin} may not use this server.")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal() and int(length[:20]) <= limit):
            raise RefusedError(413, _too_large(limit))
        return principal

    async def _permit(self, principal: Principal, scope: Scope, receive: Receive) -> Receive:
        """Weigh a client's request; returns what the app receives, as the body had to be read for it."""
        assert principal.client is not None
        wait = self._buckets.take(principal.client)
        if wait is not None:
            rate = principal.client.requests_per_minute
            raise RefusedError(
                429, f"{principal.client.name} may ask {rate} times a minute; come again in {wait} s.",
                {"Retry-After": str(wait)},
            )  # fmt: skip
        body = b""
        if not scope["path"].endswith("/imports"):  # an upload names its author in the path
            body, receive = await _read(receive)
        try:
            check(principal, scope["method"], scope["path"], QueryParams(scope["query_string"]), body)
        except NotPermittedError as error:
            raise RefusedError(403, str(error)) from error
        return receive


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """A request's body, and what hands it out again and then what follows it."""
    body, more = b"", True
    while more:
        try:
            message = await receive()
        except HTTPException as error:
            raise RefusedError(error.status_code, str(error.detail)) from error
        if message["type"] != "http.request":
            raise RefusedError(400, "The request broke off before its end.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def _presented(headers: Headers) -> str | None:
    if "authorization" in headers:
        scheme, _, token = headers["authorization"].partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    return headers.get("x-api-key")


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


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
