"""Starting and stopping the serving API: create_server, serve, and running_server for evaluation, the CLI and tests."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr

from twin_assets.core.errors import ConfigurationError, ServingError
from twin_assets.settings import Settings

if TYPE_CHECKING:
    from twin_serving.api.traffic import Draining

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The names LitServe binds to, by what a person may write.
HOSTS = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "0.0.0.0": "0.0.0.0", "::": "::"}  # noqa: S104
PROCESS_HEADER = "X-Serving-Process"
START_SECONDS = 120.0
WEB_PROCESS = "LitServer-"
KEEP_ALIVE_SECONDS = 75
# torch's threads in the worker wait for each other after every operation. As they do by default (300,000 turns, 3 ms)
# they take the cores from the web process and from each other where others work; asleep at once they write half as
# fast where nobody does (docs/architecture.md has the figures). libgomp's variable; a person's OMP_WAIT_POLICY stands.
TURNS = 20_000
WEB_STOP_SECONDS = 3
STOP_SECONDS = 40.0


def create_server(
    settings: Settings,
    candidate: tuple[str, str] | None = None,
    draining: "Draining | None" = None,
    *,
    private: bool = False,
) -> Any:
    """The LitServer with all routes, not yet started.

    candidate: (author, version) that is served instead of that author's approved version, for its evaluation;
    draining: tells when no more requests are taken; private: the clients' keys do not count.
    Raises ConfigurationError where the address may not be bound or no key is set for a public one.
    """
    import litserve.server
    from litserve import LitServer
    from starlette.formparsers import MultiPartParser

    from twin_assets.core.clients import ClientStore
    from twin_serving.api.answers import add_error_answers
    from twin_serving.api.guard import Guard
    from twin_serving.api.permission import Keys
    from twin_serving.api.routes import add_routes
    from twin_serving.api.traffic import Draining, Traffic
    from twin_serving.chat.worker import ChatAPI
    from twin_serving.telemetry.metrics import metrics_routes

    key = settings.api_key.get_secret_value() if settings.api_key else None
    if settings.host not in HOSTS:
        raise ConfigurationError(f"TWIN_HOST is {settings.host!r}; the serving API can bind to {', '.join(HOSTS)}.")
    clients = None if private else ClientStore(settings.clients_file)
    keys = Keys(key, clients, open_without=settings.host in LOOPBACK)
    if settings.host not in LOOPBACK and not key and not (clients and clients.list()):
        raise ConfigurationError(
            f"TWIN_HOST is {settings.host}, which others can reach: set TWIN_API_KEY, give out a key with `twin key "
            "add`, or bind to 127.0.0.1."
        )
    server = LitServer(
        ChatAPI(settings, candidate),
        # The engine chooses the device, in the worker; finding out here would load torch into the web process.
        accelerator="cpu",
        # The worker keeps each request's time; LitServe's limit is for loops of its own.
        timeout=False,
        healthcheck_path="/ready",
        middlewares=[(Guard, {"keys": keys})],
        restart_workers=True,
    )
    # Its MCP works with the package fastmcp alone and fails where it finds mcp, which ours is made with.
    litserve.server._MCP_AVAILABLE = False
    # LitServe keeps uploads in memory so that they can be pickled to workers; ours never go there.
    MultiPartParser.spool_max_size = 1024 * 1024
    add_error_answers(server.app)
    add_routes(server.app, settings, candidate, keys.internal)
    server.app.include_router(metrics_routes())
    server.app.add_middleware(Traffic, draining=draining or Draining(), own=keys.internal)
    # What runs has had its time to finish before LitServe ends its processes.
    server.uvicorn_graceful_timeout = WEB_STOP_SECONDS
    return server


def serve(settings: Settings, candidate: tuple[str, str] | None = None, *, private: bool = False) -> None:
    """Serve until SIGINT, or until SIGTERM and the end of what runs then.

    Raises ConfigurationError where the address cannot be bound.
    """
    from twin_serving.api.traffic import Draining

    check_port(settings.host, settings.port)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(TURNS))
    draining = Draining()
    server = create_server(settings, candidate, draining, private=private)
    _end_by_signals(server, draining, settings.serving_drain_seconds)
    _end_with_web_process(server)
    server.run(
        host=HOSTS[settings.host],
        port=settings.port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        # Longer than clients and proxies keep an idle connection: one closed while they ask fails their request.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def _end_by_signals(server: Any, draining: "Draining", seconds: float) -> None:
    """SIGINT ends the server at once, SIGTERM after what runs is finished, a second SIGTERM at once."""
    serving_process = os.getpid()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if os.getpid() != serving_process:  # the web process, forked later, inherits the handler and must simply end
            raise SystemExit
        if server._shutdown_event is None:  # still starting
            raise KeyboardInterrupt
        # Not from here: the main thread waits for the event on the connection that this would use.
        threading.Thread(target=_end, args=(server,), daemon=True).start()

    def drain(number: int, frame: FrameType | None) -> None:
        if os.getpid() != serving_process or draining.ending:
            interrupt(number, frame)
            return
        threading.Thread(target=finish, name="draining", daemon=True).start()

    def finish() -> None:
        draining.drain(seconds)
        _end(server)

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, drain)


def _end(server: Any) -> None:
    """End LitServe in order, its watch over workers first: on KeyboardInterrupt that goes on and starts anew a worker
    that was just ended, which then outlives the server."""
    with suppress(OSError, EOFError):  # it has ended already
        server._shutdown_event.set()


def _end_with_web_process(server: Any) -> None:
    """End this process when the web process has died: LitServe starts dead workers again, but not that one."""

    def watch() -> None:
        seen = False
        while True:
            alive = any(child.name.startswith(WEB_PROCESS) for child in multiprocessing.active_children())
            if seen and not alive:
                _end(server)
                return
            seen = seen or alive
            time.sleep(1.0)

    threading.Thread(target=watch, name="web-watch", daemon=True).start()


def check_port(host: str, port: int) -> None:
    """Raise ConfigurationError where the port is out of range or in use."""
    if not 1024 <= port <= 65535:
        raise ConfigurationError(f"TWIN_PORT is {port}; choose a port from 1024 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {host} is in use or may not be bound ({error.strerror}); "
                "stop what uses it or set TWIN_PORT to another."
            ) from error


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(
    settings: Settings,
    candidate: tuple[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    private: bool = True,
) -> Iterator[str]:
    """A server in a process of its own on a free loopback port; yields its base URL and ends it afterwards.

    progress: told what is being waited for. The child also ends when this process does.
    Raises ServingError with the end of the child's log where it does not come up.
    """
    settings = settings.model_copy(update={"host": "127.0.0.1", "port": free_port()})
    url = f"http://127.0.0.1:{settings.port}"
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "twin_serving.server"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=Path(__file__).resolve().parent.parent,
        )
        try:
            assert child.stdin is not None
            child.stdin.write(
                json.dumps({"settings": _plain(settings), "candidate": candidate, "private": private}).encode() + b"\n"
            )
            child.stdin.flush()
            _wait_for_health(url, child, log, progress)
            yield url
        finally:
            _stop(child)


def _plain(settings: Settings) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in settings.model_dump().items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


def _wait_for_health(
    url: str, child: "subprocess.Popen[bytes]", log: IO[bytes], progress: Callable[[str], None] | None
) -> None:
    started, told = time.monotonic(), 0.0
    while True:
        waited = time.monotonic() - started
        if child.poll() is not None:
            raise ServingError(f"The serving API ended while starting (code {child.returncode}): {_tail(log)}")
        try:
            # Only our own child counts: another server may have taken the port since it was found free.
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).headers.get(PROCESS_HEADER) == str(child.pid):
                return
        except httpx.TransportError:
            pass
        if waited > START_SECONDS:
            raise ServingError(f"The serving API did not answer within {START_SECONDS:.0f} s: {_tail(log)}")
        if progress is not None and waited - told >= 1:
            told = waited
            progress(f"waiting for the serving API, {waited:.0f} s")
        time.sleep(0.1)


def _tail(log: IO[bytes], size: int = 2000) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - size))
    return log.read().decode("utf-8", "replace").strip() or "its log is empty."


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """End the child and everything it started."""
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdin is not None:
        child.stdin.close()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _end_with_stdin() -> None:
    """Interrupt this process when its stdin ends: whoever held the other side has gone."""

    def watch() -> None:
        # Not through sys.stdin: a lock held in this thread would stop the web process, which is forked and closes it.
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, name="stdin-watch", daemon=True).start()


def main() -> None:
    """What running_server starts: settings and candidate come as a JSON line on stdin, whose end ends the server."""
    order = json.loads(sys.stdin.buffer.readline())
    candidate = order["candidate"]
    try:
        _end_with_stdin()
        serve(
            Settings(**order["settings"]), (candidate[0], candidate[1]) if candidate else None, private=order["private"]
        )
    except ConfigurationError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
