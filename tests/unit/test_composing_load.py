"""Compositions under load: places, who leaves, and what is said of errors, over the real routes and app."""

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Message

from twin_assets.core.errors import UnknownAuthorError
from twin_assets.core.workspace import Workspace
from twin_serving.api.answers import add_error_answers
from twin_serving.api.compositions import composing_routes
from twin_serving.api.permission import OPERATOR, PRINCIPAL
from twin_serving.api.places import BusyError, Places
from twin_serving.composing.composer import WAITING, Composer
from twin_serving.schemas import ComposeRequest

ASKED = {"author": "ada", "prompt": "Write about bread"}


class Slow(Composer):
    """A composer whose model never ends; it tells when it was stopped."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, chat=lambda *_, **__: pytest.fail("no model is asked"))
        self.began, self.stopped = threading.Event(), threading.Event()

    def _gathering(self, making: Any) -> Iterator[Any]:
        try:
            while True:
                self.began.set()
                yield WAITING
        finally:
            self.stopped.set()


@pytest.fixture
def slow(workspace: Workspace) -> Iterator[Slow]:
    workspace.settings.serving_compositions = 1
    made = Slow(workspace)
    yield made
    made.close()


def _app(composer: Composer) -> FastAPI:
    app = FastAPI()
    add_error_answers(app)
    app.include_router(composing_routes(composer.workspace, composer))
    return app


def test_places_are_refused_when_all_are_taken_and_free_again() -> None:
    places = Places(2)
    with places.taken():
        with places.taken(), pytest.raises(BusyError, match="2 compositions are being made; ask again in 5 s"):
            places.taken().__enter__()
        with places.taken():
            pass


def test_compositions_beyond_the_bound_are_told_to_come_again(slow: Slow) -> None:
    running = slow.events(ComposeRequest(**ASKED))
    next(running)
    for stream in (False, True):
        refused = TestClient(_app(slow)).post("/v1/compose", json={**ASKED, "stream": stream})
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["error"]["type"] == "rate_limit_error"
    running.close()  # type: ignore[attr-defined]
    assert next(slow.events(ComposeRequest(**ASKED))), "a place is free again"


def test_who_leaves_ends_the_composition_also_without_a_stream(slow: Slow) -> None:
    app = _app(slow)
    body = ComposeRequest(**ASKED).model_dump_json().encode()
    sent: list[Message] = []

    async def ask() -> None:
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            if not slow.began.is_set():  # as long as somebody listens, nothing comes
                await anyio.sleep_forever()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": "/v1/compose", "query_string": b"", "http_version": "1.1",
            "headers": [(b"content-type", b"application/json")], PRINCIPAL: OPERATOR,
        }  # fmt: skip
        with anyio.fail_after(30):
            await app(scope, receive, send)

    anyio.run(ask)
    assert slow.stopped.is_set()
    assert sent[0]["status"] == 499


def test_an_error_amid_a_composition_names_no_other_author(slow: Slow) -> None:
    from twin_serving.composing.composer import _Composition

    making = _Composition(ComposeRequest(**ASKED))
    making.drafts = [{"problems": []}]
    making.say(f"The model could not draft: {UnknownAuthorError('There is no author x (known: ben, cy).')}")
    assert making.drafts[0]["problems"] == ["The model could not draft: There is no author x."]
