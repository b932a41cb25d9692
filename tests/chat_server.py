"""A loopback server that speaks the OpenAI form, with the faults that teachers and judges have."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Body = dict[str, Any]


class ChatServer:
    """Context manager; `url` is the base address. answers: the text of an answer to a request's body.

    fail("429", retry_after=…), "500", "401", "slow", "nonsense", "half", "empty", "no_format": the next `times`
    requests (None: all from now on) meet that; "no_format" refuses only requests with a response_format.
    """

    def __init__(self, answers: Callable[[Body], str]) -> None:
        self.answers = answers
        self.requests: list[Body] = []
        self.keys: list[str | None] = []
        self.seconds = 5.0
        self._faults: list[tuple[str, int | None, float | None]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, fault: str, *, times: int | None = 1, retry_after: float | None = None) -> None:
        """Have the next requests meet a fault."""
        with self._lock:
            self._faults.append((fault, times, retry_after))

    def recover(self) -> None:
        """Answer again."""
        with self._lock:
            self._faults.clear()

    def _next_fault(self, body: Body) -> tuple[str, float | None]:
        with self._lock:
            self.requests.append(body)
            for index, (fault, times, retry_after) in enumerate(self._faults):
                if fault == "no_format" and "response_format" not in body:
                    continue
                if times is not None:
                    self._faults[index : index + 1] = [(fault, times - 1, retry_after)] if times > 1 else []
                return fault, retry_after
        return "", None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.keys.append(self.headers.get("Authorization"))
                fault, retry_after = server._next_fault(body)
                if fault == "slow":
                    server._closing.wait(server.seconds)
                status = 400 if fault == "no_format" else int(fault) if fault.isdecimal() else 200
                if status != 200:
                    return self._send(status, b'{"error": {"message": "no"}}', retry_after)
                text = server.answers(body)
                text = {"nonsense": "I would rather talk of birds.", "half": text[: len(text) // 2], "empty": ""}.get(
                    fault, text
                )
                message = {"role": "assistant", "content": text}
                answer = {
                    "object": "chat.completion", "created": int(time.time()), "model": body["model"],
                    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
                }  # fmt: skip
                self._send(200, json.dumps(answer).encode())

            def _send(self, status: int, content: bytes, retry_after: float | None = None) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    if retry_after is not None:
                        self.send_header("Retry-After", str(int(retry_after)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # nobody waits any longer

            def log_message(self, *_: object) -> None:
                pass

        return Handler
