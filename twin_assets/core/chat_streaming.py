"""StreamingEndpoint: a ChatEndpoint whose answer is read while it is written (server-sent events).

Read as servers really send them: events cut anywhere, comments to keep the line open, an answer in one piece by servers
that do not stream, usage in a last event or not at all, errors in the middle. An answer that breaks off is an error.
"""

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from twin_assets.core.chat_endpoint import MAXIMUM_BYTES, RETRIED, ChatEndpoint, Usage, estimated_tokens
from twin_assets.core.errors import EndpointError
from twin_assets.core.event_stream import events
from twin_assets.core.prompts import Message
from twin_assets.core.web_answers import WebResponse, asked_wait, shown

THOUGHT, THOUGHT_END = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer; `finish` and `usage` are set on the last, where the server told them."""

    text: str
    finish: str | None = None
    usage: Usage | None = None


class StreamingEndpoint(ChatEndpoint):
    """Safe to use from several threads; see ChatEndpoint for its arguments."""

    def stream(
        self, messages: Sequence[Message], options: dict[str, Any], seconds: float
    ) -> Generator[Delta, None, None]:
        """The pieces of one answer; closing the generator closes the connection, by which servers stop writing.

        options: other fields of the request (max_tokens, temperature, top_p, seed, stop); seconds: the answer may take
        altogether, waiting included. Raises EndpointError.
        """
        body = {"model": self.model, "messages": list(messages), "stream": True, **options}
        end = time.monotonic() + seconds
        thoughts = _Thoughts()
        finish, usage, text = None, None, ""
        try:
            with self._opened({**body, "stream_options": {"include_usage": True}}, body, end) as response:
                for event in self._events(response):
                    found, ended, counted = _read(event)
                    finish, usage = ended or finish, counted or usage
                    shown_now = thoughts.without(found)
                    if shown_now:
                        text += shown_now
                        yield Delta(shown_now)
        except httpx.TimeoutException as error:
            raise self._error(f"took longer than {seconds:.0f} seconds") from error
        except (httpx.TransportError, httpx.StreamError, OSError) as error:
            raise self._error(f"is not reached or broke off ({type(error).__name__})") from error
        if finish is None:
            raise self._error("broke off its answer")
        if usage is None:
            usage = Usage(estimated_tokens("".join(m["content"] for m in messages)), estimated_tokens(text), 1)
        yield Delta(thoughts.rest(), finish, usage)

    @contextmanager
    def _opened(self, body: dict[str, Any], plain: dict[str, Any], end: float) -> Iterator[httpx.Response]:
        """The response once the server begins to answer, asked again while it is in trouble and time is left.

        plain: what is asked where the server refuses `body` for a field it does not know.
        """
        attempt = 0
        while True:
            attempt += 1
            left = end - time.monotonic()
            if left <= 0:
                raise self._error("did not answer in time")
            self._deadline.start(left)
            request = self._client.build_request(
                "POST", f"{self.url}/chat/completions", content=json.dumps(body, ensure_ascii=False).encode(),
                headers={**self._headers, "Accept-Encoding": "identity"}, timeout=left,
            )  # fmt: skip
            response = self._client.send(request, stream=True)
            try:
                if response.status_code == 200:
                    yield response
                    return
            finally:
                response.close()
            if response.status_code in (400, 422) and body is not plain:
                body = plain
                continue
            wait = asked_wait(WebResponse(response.status_code, self.url, response.headers, b"")) or 0.5 * 2**attempt
            patient = attempt < self.attempts and wait < min(self.longest_wait, end - time.monotonic())
            if response.status_code not in RETRIED or not patient:
                raise self._error(
                    f"refuses with status {response.status_code}; check its address, the name of the model "
                    f"({self.model}) and the key, or ask again later"
                )
            self._sleep(wait)

    def _events(self, response: httpx.Response) -> Iterator[Any]:
        """The JSON of each event until the stream is done; of an answer that is no stream, the one there is."""
        if "text/event-stream" not in response.headers.get("content-type", ""):
            yield self._json(b"".join(self._chunks(response)))
            return
        for _, data in events(self._chunks(response)):
            if data == b"[DONE]":
                return
            yield self._json(data)

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > 10 * MAXIMUM_BYTES:
                raise self._error("sends more than an answer can be")
            yield chunk

    def _json(self, data: bytes) -> Any:
        try:
            event = json.loads(data)
        except ValueError as error:
            raise self._error("sends an event that is no JSON, or breaks off") from error
        if not isinstance(event, dict) or event.get("error"):
            raise self._error("reports an error in the middle of its answer")
        return event

    def _error(self, what: str) -> EndpointError:
        return EndpointError(f"The endpoint {shown(self.url)} {what}.")


class _Thoughts:
    """Leaves out what a reasoning model thinks aloud before its answer."""

    def __init__(self) -> None:
        self._held = ""
        self._at: Literal["start", "thought", "gap", "answer"] = "start"

    def without(self, text: str) -> str:
        """What of the text so far may be shown now."""
        self._held += text
        if self._at == "start":
            begun = self._held.lstrip()
            if len(begun) < len(THOUGHT) and THOUGHT.startswith(begun):
                return ""  # which may become a thought
            self._at = "thought" if begun.startswith(THOUGHT) else "answer"
        if self._at == "thought":
            if THOUGHT_END not in self._held:
                return ""
            self._held, self._at = self._held.partition(THOUGHT_END)[2], "gap"
        if self._at == "gap":
            self._held = self._held.lstrip()
            if not self._held:
                return ""
            self._at = "answer"
        return self.rest()

    def rest(self) -> str:
        """What is held when the answer ends; a thought that never ended is none of it."""
        text, self._held = self._held, ""
        return "" if self._at == "thought" else text


def _read(event: dict[str, Any]) -> tuple[str, str | None, Usage | None]:
    """(text, finish reason, usage) of an event; what is missing in it is empty."""
    counted, usage = event.get("usage"), None
    if isinstance(counted, dict):
        sent, got = counted.get("prompt_tokens"), counted.get("completion_tokens")
        if isinstance(sent, int) and isinstance(got, int):
            usage = Usage(sent, got, 1)
    choices = event.get("choices") or [{}]
    choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], dict) else {}
    said = choice.get("delta") or choice.get("message") or {}
    text = said.get("content") if isinstance(said, dict) else None
    finish = choice.get("finish_reason")
    return text if isinstance(text, str) else "", finish if isinstance(finish, str) else None, usage
