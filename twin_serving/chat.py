"""The OpenAI-compatible endpoint: LitServe's OpenAISpec with what it leaves out.

Added to the spec: errors before the first token carry their HTTP status also when streaming, real finish reasons,
`seed`, `stream_options`, the version that answered (`system_fingerprint`), and no entry left behind per request.
"""

import asyncio
import json
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import HTTPException
from fastapi.responses import JSONResponse, Response, StreamingResponse
from litserve import OpenAISpec
from litserve.specs.openai import ChatCompletionRequest, TextContent
from litserve.utils import LitAPIStatus, ResponseBufferItem, WorkerSetupStatus
from pydantic import BaseModel, Field

from twin_serving.answers import error_body

# A worker that says nothing for this long is stuck; the request ends with 504.
SILENCE_SECONDS = 300.0
# While nothing comes, whether the worker lives is looked at this often: LitServe starts a dead one again within seconds
# and cannot tell the requests that went down with it.
LOOK_SECONDS = 0.25

# A piece as the worker sends it: content, served, prompt_tokens, completion_tokens, finish.
Reply = dict[str, Any]


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
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None


class ChatSpec(OpenAISpec):  # type: ignore[misc]
    """OpenAISpec whose endpoint is written out; the worker's side is the spec's own."""

    # The annotations of this method are FastAPI's: it must stay free of `from __future__ import annotations`.
    async def chat_completion(self, request: ChatRequest) -> Response:
        """Answer a chat request, whole or as server-sent events."""
        replies = [self._replies(request)]
        # Waiting for the first piece lets an error still have its status.
        first = await anext(replies[0])
        # The other choices come from the version that gave the first, also where another was approved meanwhile.
        replies += [self._replies(_choice(request, first["served"], index)) for index in range(1, request.n)]
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": request.model,
            "system_fingerprint": first["served"],
        }
        if request.stream:
            events = _events(head, first, replies, request.stream_options or StreamOptions())
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        return JSONResponse(await _whole(head, first, replies))

    def populate_context(self, context: dict[str, Any], request: ChatRequest) -> None:
        """Nothing: predict() reads the request itself."""

    async def _replies(self, request: ChatRequest) -> AsyncIterator[Reply]:
        """The worker's pieces for one choice; raises HTTPException with the worker's sentence."""
        uid, queue, event = uuid.uuid4(), deque[Any](), asyncio.Event()
        self.response_buffer[uid] = ResponseBufferItem(event=event, response_queue=queue)
        self.request_queue.put((self.response_queue_id, uid, time.monotonic(), request))
        pieces = self.data_streamer(queue, event, send_status=True)
        try:
            while (answer := await self._next(pieces)) is not None:
                piece, status = answer
                if status == LitAPIStatus.ERROR:
                    unforeseen = HTTPException(500, "Generating failed; the server's log says why.")
                    raise piece if isinstance(piece, HTTPException) else unforeseen
                yield json.loads(piece)
        finally:
            self.response_buffer.pop(uid, None)

    async def _next(self, pieces: AsyncIterator[Any]) -> Any:
        """The next piece with its status, None after the last; an error where nobody is left to send one."""
        arriving = asyncio.ensure_future(anext(pieces, None))
        for _ in range(round(SILENCE_SECONDS / LOOK_SECONDS)):
            done, _pending = await asyncio.wait({arriving}, timeout=LOOK_SECONDS)
            if done:
                return arriving.result()
            if any(state != WorkerSetupStatus.READY for state in self._server.workers_setup_status.values()):
                arriving.cancel()
                raise HTTPException(503, "The model's process has ended and is being started again; ask again.")
        arriving.cancel()
        raise HTTPException(504, f"The model did not answer within {SILENCE_SECONDS:.0f} s; try again.")


def _choice(request: ChatRequest, served: str, index: int) -> ChatRequest:
    seed = None if request.seed is None else request.seed + index
    choice: ChatRequest = request.model_copy(update={"model": served, "seed": seed})
    return choice


async def _pieces(first: Reply, replies: list[AsyncIterator[Reply]]) -> AsyncIterator[tuple[int, Reply]]:
    """(choice, piece) of all choices, one choice after the other, as the worker makes them."""
    yield 0, first
    for index, reply in enumerate(replies):
        async for piece in reply:
            yield index, piece


def _usage(last: dict[int, Reply]) -> dict[str, int]:
    prompt = last[0]["prompt_tokens"]
    completion = sum(piece["completion_tokens"] for piece in last.values())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def _whole(head: dict[str, Any], first: Reply, replies: list[AsyncIterator[Reply]]) -> dict[str, Any]:
    texts: dict[int, str] = {}
    last: dict[int, Reply] = {}
    async for index, piece in _pieces(first, replies):
        texts[index] = texts.get(index, "") + piece["content"]
        last[index] = piece
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text},
            "finish_reason": last[index]["finish"],
            "logprobs": None,
        }
        for index, text in texts.items()
    ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": _usage(last)}


async def _events(
    head: dict[str, Any], first: Reply, replies: list[AsyncIterator[Reply]], options: StreamOptions
) -> AsyncIterator[str]:
    head = {**head, "object": "chat.completion.chunk"}
    last: dict[int, Reply] = {}
    try:
        async for index, piece in _pieces(first, replies):
            role = {} if index in last else {"role": "assistant"}
            last[index] = piece
            delta = {**role, "content": piece["content"]}
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
