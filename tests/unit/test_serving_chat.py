"""Chat requests at their edges: what may be asked, answers that break off or are ended, models that do not load."""

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from twin_assets.core.authors import Author
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.chat.chat_stream import OwnChat
from twin_serving.chat.endpoint import ChatRequest
from twin_serving.chat.models import NoApprovedModelError, ServedModels
from twin_serving.chat.worker import _generation
from twin_serving.telemetry.observing import ANSWERED, Observed

ASK = {"model": "ada", "messages": [{"role": "user", "content": "Write."}]}


@pytest.mark.parametrize(
    "options", [{"seed": 10**30}, {"seed": -(10**30)}, {"stop": "x" * 501}, {"stop": ["x" * 501]}, {"stop": ["x"] * 17}]
)
def test_what_an_engine_could_not_do_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        ChatRequest(**ASK, **options)
    assert next(iter(options)) in {error["loc"][0] for error in refused.value.errors()}


def test_what_is_asked_for_reaches_the_engines_as_each_can_do_it() -> None:
    asked = _generation(ChatRequest(**ASK, seed=-1, temperature=1e-42, stop=["", "end"]), 9.0)
    assert (asked.seed, asked.temperature, asked.stop) == (2**63 - 1, 0.0, ("end",))
    asked = _generation(ChatRequest(**ASK, seed=7, temperature=0.001, stop="end"), 9.0)
    assert (asked.seed, asked.temperature, asked.stop) == (7, 0.001, ("end",))
    assert _generation(ChatRequest(**ASK), 9.0).seed is None


def test_an_answer_ended_before_its_first_text_leaves_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = OwnChat(f"http://127.0.0.1:{server.getsockname()[1]}")("ada", ASK["messages"])  # type: ignore[arg-type]
        found: list[Any] = []
        reader = threading.Thread(target=lambda: found.extend(answer))
        reader.start()
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            assert connection.recv(1 << 16).startswith(b"POST /v1/chat/completions")
            answer.close()
            while connection.recv(1 << 16):  # the rest of the request; then the end
                pass
        reader.join(30)
        assert (reader.is_alive(), found, list(answer)) == (False, [], [])


class Call:
    """What a trace reads of calls.Call."""

    def __init__(self, failed: int) -> None:
        self.failed = failed
        self.ended: list[Any] = []
        self.texts = {0: ["a beginning"]}


@pytest.mark.parametrize(("failed", "error"), [(0, None), (503, "status 503")])
def test_a_stream_that_breaks_off_is_traced_as_failed(failed: int, error: str | None) -> None:
    recorded: list[Any] = []

    class Tracer:
        def record(self, _trace: Any, author: str, _attributes: Any, error: str | None = None) -> None:
            recorded.append((author, error))

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        scope[ANSWERED] = ChatRequest(**ASK), Call(failed)
        await send({"type": "http.response.start", "status": 200})

    async def send(_message: Any) -> None:
        pass

    scope = {"type": "http", "path": "/v1/chat/completions"}
    asyncio.run(Observed(app, Tracer())(scope, None, send))  # type: ignore[arg-type]
    assert recorded == [("ada", error)]


def test_models_that_cannot_be_loaded_ahead_do_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(Settings(home=tmp_path))
    for author in ("ada", "ben", "cleo"):
        workspace.authors.save(Author(id=author, name=author.title()))
    models, asked = ServedModels(workspace), threading.Semaphore(0)

    def refresh(author: str) -> None:
        asked.release()
        raise {"ada": RuntimeError("out of memory"), "ben": NoApprovedModelError("none")}.get(author, OSError("gone"))

    monkeypatch.setattr(models, "_refresh", refresh)
    models._preload()
    assert [asked.acquire(blocking=False) for _ in range(4)] == [True, True, True, False]

    def unreadable() -> None:
        raise ValueError("not JSON")

    monkeypatch.setattr(workspace.authors, "list", unreadable)
    models._preload()
