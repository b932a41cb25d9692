"""Every request on its way in and out: counted, and refused while the server ends; and that end, in order.

Draining: told to end (SIGTERM), the server answers new requests with 503, finishes the running ones within
`serving_drain_seconds`, and then ends its processes.
"""

import multiprocessing
import secrets
import time

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twin_serving.api.answers import error_body
from twin_serving.telemetry.metrics import count_request

# Of the server itself: answered while it drains, and no work to wait for.
STATE_PATHS = frozenset({"/health", "/ready", "/metrics"})
# Another server, or this one started again, is likely there by then.
COME_AGAIN_SECONDS = 5
LOOK_SECONDS = 0.1


class Draining:
    """Shared by the server's process, which decides to end, and the web process, which has the requests."""

    def __init__(self) -> None:
        shared = multiprocessing.get_context("fork")
        self._ending = shared.Value("b", 0)
        self._running = shared.Value("i", 0)

    @property
    def ending(self) -> bool:
        """Whether no request is taken any more."""
        return bool(self._ending.value)

    def count(self, change: int) -> None:
        """A request has come (+1) or is answered (-1)."""
        with self._running.get_lock():
            self._running.value += change

    def drain(self, seconds: float) -> None:
        """Take no more requests and wait until the running ones are answered, at most so long."""
        self._ending.value = 1
        end = time.monotonic() + seconds
        while self._running.value > 0 and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)


class Traffic:
    """ASGI middleware, the outermost. own: the key by which the server asks itself for parts of what runs."""

    def __init__(self, app: ASGIApp, draining: Draining, own: str) -> None:
        self.app = app
        self.draining = draining
        self._own = f"Bearer {own}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request and let it pass, or answer 503 while the server drains."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        state = scope["path"] in STATE_PATHS
        try:
            if self.draining.ending and (not state or scope["path"] == "/ready") and not self._is_own(scope):
                await _refusal(scope, receive, counting)
            elif state:
                await self.app(scope, receive, counting)
            else:
                await self._work(scope, receive, counting)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            count_request(route, scope["method"], status, time.perf_counter() - started)

    def _is_own(self, scope: Scope) -> bool:
        said = dict(scope["headers"]).get(b"authorization", b"")
        return secrets.compare_digest(said, self._own)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.draining.count(1)
        try:
            await self.app(scope, receive, send)
        finally:
            self.draining.count(-1)


async def _refusal(scope: Scope, receive: Receive, send: Send) -> None:
    body = error_body("The server is draining: it finishes what runs and ends; ask again in a moment.", 503)
    response = JSONResponse(body, 503, {"Retry-After": str(COME_AGAIN_SECONDS), "Connection": "close"})
    await response(scope, receive, send)
