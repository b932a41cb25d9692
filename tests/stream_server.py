"""A loopback server that streams in OpenAI's form, from an engine or a list of texts, with the faults servers have."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any, Self

from twin_assets.core.errors import InputError
from twin_serving.engines.streaming import Generation, Piece

Body = dict[str, Any]


class StreamServer:
    """Context manager; `url` is the base address. answers: an engine, or the texts of every answer's events.

    times: requests that a refusal meets; fault: "" or "500" (and the like), "odd" (bytes one by one, comments, CRLF),
    "whole" (no stream), "off" (breaks off before the end), "error" (an error as an event), "nonsense", "no_usage",
    "hang" (says nothing after the first event), "picky" (refuses stream_options).
    """

    def __init__(self, answers: Any, fault: str = "", times: int | None = None) -> None:
        self.answers, self.fault, self.times = answers, fault, times
        self.requests: list[Body] = []
        self.keys: list[str | None] = []
        self.gone = threading.Event()  # a client closed before the end
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

    def _pieces(self, body: Body) -> Iterator[Piece]:
        if isinstance(self.answers, list):
            for number, text in enumerate(self.answers, 1):
                yield Piece(text, 7, number, "stop" if number == len(self.answers) else None)
            return
        names = ("max_tokens", "temperature", "top_p", "seed")
        options = {name: body[name] for name in names if name in body}
        yield from self.answers.generate(Generation(body["messages"], stop=tuple(body.get("stop", ())), **options))

    def _events(self, body: Body) -> Iterator[Body | str]:
        piece = Piece("", 0, 0)
        for piece in self._pieces(body):
            yield {"choices": [{"index": 0, "delta": {"content": piece.text}, "finish_reason": None}]}
            if self.fault == "off":
                return
            if self.fault == "error":
                yield {"error": {"message": "out of memory"}}
            if self.fault == "nonsense":
                yield "{half"
            if self.fault == "hang":
                self._closing.wait(20)
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": piece.finish}]}
        if self.fault != "no_usage":
            counted = {"prompt_tokens": piece.prompt_tokens, "completion_tokens": piece.completion_tokens}
            yield {"choices": [], "usage": counted}
        yield "[DONE]"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(body)
                server.keys.append(self.headers.get("Authorization"))
                faulty = server.times is None or len(server.requests) <= server.times
                if server.fault == "picky" and "stream_options" in body:
                    return self._refuse(400)
                if server.fault.isdecimal() and faulty:
                    return self._refuse(int(server.fault))
                try:
                    events = server._events(body)
                    first = next(events)
                except InputError:
                    return self._refuse(400)
                try:
                    self._answer(body, [first], events)
                except OSError:
                    events.close()
                    server.gone.set()
                    self.close_connection = True

            def _answer(self, body: Body, begun: list[Any], events: Iterator[Any]) -> None:
                if server.fault == "whole":
                    text = "".join(piece.text for piece in server._pieces(body))
                    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
                    content = json.dumps({"choices": [choice]}).encode()
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                end = "\r\n" if server.fault == "odd" else "\n"
                for event in chain(begun, events):
                    said = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
                    data = f"data: {said}{end}{end}".encode()
                    if server.fault == "odd":
                        data = b": still here\r\n\r\n" + data
                        for at in range(len(data)):
                            self.wfile.write(data[at : at + 1])
                            self.wfile.flush()
                    else:
                        self.wfile.write(data)
                        self.wfile.flush()

            def _refuse(self, status: int) -> None:
                content = b'{"error": {"message": "no"}}'
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
