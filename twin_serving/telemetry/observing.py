"""Traces of chat requests: how long the first text and the whole took, what it cost, and what failed."""

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twin_serving.api.permission import INTERNAL, PRINCIPAL
from twin_serving.chat.models import split_model_name
from twin_serving.telemetry.tracing import CHAT, GENERATION, Step, Trace, Tracer

# Under this name the chat endpoint leaves (request, call) in the scope.
ANSWERED = "twin.answered"


class Observed:
    """ASGI middleware that traces what the chat endpoint answered; it adds nothing to the time of an answer."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass and hand in its trace."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/chat/"):
            await self.app(scope, receive, send)
            return
        trace, status, first = Trace(CHAT), 500, 0

        async def watching(message: Message) -> None:
            nonlocal status, first
            if message["type"] == "http.response.start":
                status, first = message["status"], time.time_ns()
            await send(message)

        try:
            await self.app(scope, receive, watching)
        finally:
            if ANSWERED in scope:
                if scope.get(PRINCIPAL) is INTERNAL:
                    trace.kind = GENERATION
                self._record(trace, status, first or time.time_ns(), *scope[ANSWERED])

    def _record(self, trace: Trace, status: int, first: int, request: Any, call: Any) -> None:
        ended = time.time_ns()
        status = max(status, call.failed)  # a stream may break off after its 200
        trace.steps = [Step("first text", trace.started, first, {}), Step("writing", first, ended, {})]
        trace.texts = {
            "inputs": [message.plain for message in request.messages],
            "outputs": {str(index): "".join(pieces) for index, pieces in call.texts.items()},
        }
        served = call.ended[0]["served"] if call.ended else request.model
        author, version = split_model_name(served)
        attributes = {
            "model_version": version,
            "prompt_tokens": call.ended[0]["prompt_tokens"] if call.ended else None,
            "completion_tokens": sum(piece["completion_tokens"] for piece in call.ended) if call.ended else None,
        }
        # What the client did wrong (4xx) is no failure of the service, and 429 is counted by the metrics.
        if not 400 <= status < 500:
            self.tracer.record(trace, author, attributes, error=f"status {status}" if status >= 500 else None)
