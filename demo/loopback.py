"""The base of the demo's servers: threaded HTTP on 127.0.0.1 that logs, delays and spoils on request."""

import email.utils
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from demo.faults import Fault, FaultBook
from demo.messages import LoggedRequest, Request, Response


class LoopbackServer:
    """A context manager that serves `respond()` on 127.0.0.1; port 0 picks a free one.

    `requests` logs what was answered, `bytes_sent` counts body bytes, `latency` (seconds) delays every answer,
    `most_inside` is the greatest number of requests it had at once.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[LoggedRequest] = []
        self.bytes_sent = 0
        self.latency = 0.0
        self.inside = self.most_inside = 0
        self.faults = FaultBook()
        self.stopping = threading.Event()
        self.lock = threading.RLock()
        self._listener = _Listener(("127.0.0.1", port), self)
        self.port: int = self._listener.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Answer from a background thread; returns the server itself."""
        self._thread = threading.Thread(target=self._serve, name=f"loopback-{self.port}", daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        self._listener.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        """Close the port and every open connection, also those that a fault holds up."""
        self.stopping.set()
        if self._thread is not None:
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        self._listener.close_connections()

    def respond(self, request: Request) -> Response:
        """The answer to one request; called with `lock` held, so routes need no locking of their own."""
        raise NotImplementedError

    def is_control(self, request: Request) -> bool:
        """True for requests that steer the server: neither logged, delayed nor spoilt."""
        return False

    def fail(
        self,
        prefix: str,
        *,
        status: int | None = None,
        fault: str | None = None,
        times: int | None = 1,
        retry_after: float | str | None = None,
        seconds: float = 30.0,
        size: int = 100_000_000,
    ) -> None:
        """Spoil the next `times` requests (None: all) below `prefix`, a start of paths: see `demo.faults.Fault`."""
        self.faults.add(Fault(prefix, status, fault, times, retry_after, seconds, size))

    def clear_faults(self) -> None:
        """Answer normally again."""
        self.faults.clear()

    def answer(self, request: Request) -> Response:
        """`respond()` behind faults and latency; logs the request before a byte of the answer leaves."""
        if self.is_control(request):
            return self._locked(request)
        with self.lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        if self.latency:
            self.stopping.wait(self.latency)
        fault = self.faults.take(request.path)
        response = fault.spoil(request, lambda: self._locked(request)) if fault else self._locked(request)
        with self.lock:
            self.inside -= 1
            status = 0 if response.delivery.silent else response.status
            size = 0 if request.method == "HEAD" else len(response.body[: response.delivery.cut_after])
            self.requests.append(
                LoggedRequest(request.method, request.target, status, request.headers, size * response.delivery.repeat)
            )
        return response

    def _locked(self, request: Request) -> Response:
        with self.lock:
            return self.respond(request)


class _Listener(ThreadingHTTPServer):
    """Knows its open connections, so that stopping ends kept-alive ones too."""

    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], owner: LoopbackServer) -> None:
        self.owner = owner
        self.connections: set[Any] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without the reverse name look-up of `HTTPServer`, which can take seconds without a network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self.connections):
            self.shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        gone = isinstance(sys.exception(), ConnectionError)  # a client may die
        if not gone and not self.owner.stopping.is_set():
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            target=self.path,
            path=unquote(parts.path),
            query={key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
        )
        try:
            self._send(self.server.owner.answer(request))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_POST = do_GET  # noqa: N815 (the names that http.server looks for)

    def _send(self, response: Response) -> None:
        delivery = response.delivery
        if delivery.silent:
            self._hold(delivery.seconds)
            return
        self.send_response_only(response.status)
        headers = {"Date": email.utils.formatdate(time.time(), usegmt=True)} | response.headers
        for name, value in headers.items():
            self.send_header(name, value)
        if response.status not in (204, 304) and "Content-Length" not in response.headers:
            self.send_header("Content-Length", str(len(response.body) * delivery.repeat))
        self.end_headers()
        if self.command == "HEAD" or response.status in (204, 304):
            return
        for _ in range(delivery.repeat):
            self.wfile.write(response.body[: delivery.cut_after])
        self.server.owner.bytes_sent += len(response.body[: delivery.cut_after]) * delivery.repeat
        if delivery.cut_after is not None:
            self._hold(delivery.seconds)

    def _hold(self, seconds: float) -> None:
        """Keep the client waiting, then close the connection on it."""
        self.server.owner.stopping.wait(seconds)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """The log is `LoopbackServer.requests`; standard error stays quiet."""
