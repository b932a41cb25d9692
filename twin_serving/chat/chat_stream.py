"""The server's own chat endpoint as the composer asks it: text as it is written, ended from any thread."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from twin_assets.core.errors import ServingError
from twin_assets.core.event_stream import events

# Longer than a queue may keep a request and a slow machine may take to a first token.
SECONDS = 300.0
MOST_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the answer: its text, the version that answers (author@version), and the finish of the last one."""

    text: str
    served: str
    finish: str | None = None


class Writing(Protocol):
    """One answer that is being written; close() may be called from any thread."""

    def __iter__(self) -> Iterator[Chunk]: ...
    def close(self) -> None: ...


class Chat(Protocol):
    """What answers conversations."""

    def __call__(self, model: str, messages: Sequence[dict[str, str]], **options: Any) -> Writing: ...


class OwnChat:
    """The chat endpoint of the server at this address; options are OpenAI's."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        self._where = f"{base_url}/v1/chat/completions"
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(SECONDS, connect=5.0), trust_env=False,
            # A connection for each answer: ending it ends the answer, and no other.
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=0),
        )  # fmt: skip

    def __call__(self, model: str, messages: Sequence[dict[str, str]], **options: Any) -> "ChatStream":
        """Begin an answer; it is asked for when it is first read."""
        body = {"model": model, "messages": list(messages), "stream": True, **options}
        return ChatStream(self._http, self._http.build_request("POST", self._where, json=body))


class ChatStream:
    """One streamed answer of a chat endpoint in OpenAI's form."""

    def __init__(self, http: httpx.Client, request: httpx.Request) -> None:
        self._http, self._request = http, request
        self._socket: socket.socket | None = None
        self._closed = False
        request.extensions["trace"] = self._trace

    def __iter__(self) -> Iterator[Chunk]:
        """The pieces; none where it was closed. Raises ServingError with the server's sentence."""
        if self._closed:
            return
        response = None
        try:
            response = self._http.send(self._request, stream=True)
            if not response.is_success:
                response.read()
                raise ServingError(_sentence(response))
            yield from map(_chunk, _data(response))
        except (httpx.TransportError, httpx.StreamError, json.JSONDecodeError) as error:
            if not self._closed:
                raise ServingError(
                    f"The answer of {self._request.url} broke off ({error or type(error).__name__}); try again."
                ) from error
        finally:
            if response is not None:
                response.close()

    def close(self) -> None:
        """End the answer, also while somebody waits for its first or next piece: the server stops working on it."""
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):  # it may just have ended by itself
                self._socket.shutdown(socket.SHUT_RDWR)

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by httpx at every step of the request: its connection is there long before its response."""
        if event == "connection.connect_tcp.complete":
            self._socket = info["return_value"].get_extra_info("socket")
            if self._closed:
                self.close()


def _data(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for _, data in events(response.iter_bytes()):
        if data != b"[DONE]":
            yield json.loads(data)


def _chunk(data: dict[str, Any]) -> Chunk:
    if isinstance(data.get("error"), dict):
        raise ServingError(str(data["error"].get("message")))
    choice = (data.get("choices") or [{}])[0]
    return Chunk(
        choice.get("delta", {}).get("content") or "", str(data.get("system_fingerprint")), choice.get("finish_reason")
    )


def _sentence(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{response.url} answered {response.status_code}, not as a chat endpoint does."
