"""The OpenAI-compatible endpoint: LitServe's OpenAISpec with what it leaves out.

Added to the spec: errors before the first token carry their HTTP status also when streaming, real finish reasons,
`seed`, `stream_options`, the version that answered (`system_fingerprint`), choices that are written at the same time,
an end for what nobody waits for, and 429 where too many wait.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from litserve import OpenAISpec
from litserve.specs.openai import ChatCompletionRequest, TextContent
from pydantic import BaseModel, Field, StringConstraints

from twin_serving.api.answers import error_body
from twin_serving.chat.calls import Call, Calls, Reply, choices
from twin_serving.telemetry.observing import ANSWERED

# What is written is compared with every beginning of every stop string, so both are bounded.
MOST_STOPS = 16
StopText = Annotated[str, StringConstraints(max_length=500)]
# Seeds as a model's random numbers take them, with OpenAI's negative ones.
SEEDS = 2**63


class StreamOptions(BaseModel):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


class Message(BaseModel):
    """One turn; content is text, or OpenAI's list of parts, of which only text parts can be read."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextContent]

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)

    @property
    def plain(self) -> dict[str, str]:
        """{"role", "content"} as chat templates know them ("developer" is OpenAI's later name for "system")."""
        return {"role": "system" if self.role == "developer" else self.role, "content": self.text}


class ChatRequest(ChatCompletionRequest):  # type: ignore[misc]
    """OpenAI's request as far as this server follows it; other fields are ignored."""

    model: str = Field(min_length=1, description="author, author@version, or author@base")
    messages: list[Message] = Field(min_length=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    n: int = Field(default=1, ge=1, le=8)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=-SEEDS, lt=SEEDS)
    stop: StopText | Annotated[list[StopText], Field(max_length=MOST_STOPS)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None


class ChatSpec(OpenAISpec):  # type: ignore[misc]
    """OpenAISpec whose endpoint is written out. rows: answers at once; queue: generations that may wait."""

    def __init__(self, rows: int, queue: int) -> None:
        super().__init__()
        self.calls = Calls(self, rows, queue)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to the worker: not the calls, which are the web process's."""
        return {name: value for name, value in super().__getstate__().items() if name != "calls"}

    # The annotations of this method are FastAPI's: it must stay free of `from __future__ import annotations`.
    async def chat_completion(self, request: ChatRequest, http: Request) -> Response:
        """Answer a chat request, whole or as server-sent events."""
        call = self.calls.admit(request.n)
        http.scope[ANSWERED] = request, call
        try:
            call.watch(http.receive)
            call.begin(request, 0)
            # Waiting for the first piece lets an error still have its status.
            answer = await call.next()
            assert answer is not None
            first = answer[1]
            for index, choice in choices(request, first["served"]):
                call.begin(choice, index)
            head = {
                "id": f"chatcmpl-{uuid.uuid4().hex}",
                "created": int(time.time()),
                "model": request.model,
                "system_fingerprint": first["served"],
            }
            if not request.stream:
                return JSONResponse(await _whole(head, first, call))
        except BaseException:
            call.close()
            raise
        events = _events(head, first, call, request.stream_options or StreamOptions())
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _pieces(first: Reply, call: Call) -> AsyncIterator[tuple[int, Reply]]:
    """(choice, piece) of all choices as they come; in the end the call is closed."""
    try:
        yield 0, first
        while (answer := await call.next()) is not None:
            yield answer
    finally:
        call.close()


def _usage(last: dict[int, Reply]) -> dict[str, int]:
    prompt = last[0]["prompt_tokens"]
    completion = sum(piece["completion_tokens"] for piece in last.values())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def _whole(head: dict[str, Any], first: Reply, call: Call) -> dict[str, Any]:
    texts: dict[int, str] = {}
    last: dict[int, Reply] = {}
    async for index, piece in _pieces(first, call):
        texts[index] = texts.get(index, "") + piece["text"]
        last[index] = piece
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text},
            "finish_reason": last[index]["finish"],
            "logprobs": None,
        }
        for index, text in sorted(texts.items())
    ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": _usage(last)}


async def _events(head: dict[str, Any], first: Reply, call: Call, options: StreamOptions) -> AsyncIterator[str]:
    head = {**head, "object": "chat.completion.chunk"}
    last: dict[int, Reply] = {}
    try:
        async for index, piece in _pieces(first, call):
            role = {} if index in last else {"role": "assistant"}
            last[index] = piece
            delta = {**role, "content": piece["text"]}
            choice = {"index": index, "delta": delta, "finish_reason": piece["finish"], "logprobs": None}
            yield _event({**head, "choices": [choice]})
        if options.include_usage:
            yield _event({**head, "choices": [], "usage": _usage(last)})
        yield "data: [DONE]\n\n"
    except HTTPException as error:
        # LitServe's own form lacks the empty line, without which clients drop the error.
        yield _event(error_body(str(error.detail), error.status_code))


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
