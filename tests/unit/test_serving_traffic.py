"""What decides who is served when: the worker's loop, places in the queue, the rule of scaling, labels of metrics."""

import asyncio
import queue
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

import pytest
from fastapi import HTTPException
from litserve.transport.process_transport import MPQueueTransport

from twin_serving.api.traffic import Draining, Traffic
from twin_serving.chat.calls import Calls, _Hub, retry_after
from twin_serving.chat.loop import CANCEL, CHANNEL, ConcurrentLoop
from twin_serving.chat.scaling import DOWN_SECONDS, MOST, Load, Scaling, wanted
from twin_serving.engines.streaming import Piece
from twin_serving.telemetry import metrics

Sent = dict[str, Any]  # as the worker sends a piece


def sent(text: str, finish: Literal["stop"] | None = None) -> Sent:
    """A piece as ChatAPI.predict gives it."""
    return {**asdict(Piece(text, 3, 1, finish)), "served": "ada@1", "waited": 0.0}


class Api:
    """Answers a request, which is a list of words, word by word; "wait" waits, "fail" fails."""

    def __init__(self) -> None:
        self.closed: queue.Queue[str] = queue.Queue()
        self.go_on = threading.Event()
        self.running = 0

    def predict(self, request: list[str], asked: float) -> Iterator[Sent]:
        self.running += 1
        try:
            for word in request:
                if word == "wait":
                    self.go_on.wait(30)
                if word == "fail":
                    raise HTTPException(418, "It failed.")
                if word == "break":
                    raise RuntimeError("a secret detail")
                yield sent(word)
        finally:
            self.running -= 1
            self.closed.put(request[0])


class Worker:
    """The loop in a thread, with the queues LitServe would give it."""

    def __init__(self, rows: int) -> None:
        self.api = Api()
        self.requests: queue.Queue[Any] = queue.Queue()
        self.messages: queue.Queue[Any] = queue.Queue()
        self.loop = ConcurrentLoop(rows)
        self.loop._worker_id = 0
        arguments = (self.api, "cpu", 0, self.requests, MPQueueTransport(None, [self.messages]), {}, None)
        threading.Thread(target=self.loop, args=arguments, daemon=True).start()

    def ask(self, *words: str) -> uuid.UUID:
        uid = uuid.uuid4()
        self.requests.put((0, uid, time.monotonic(), list(words)))
        return uid

    def pieces(self, count: int) -> list[tuple[uuid.UUID, Sent]]:
        found: list[tuple[uuid.UUID, Sent]] = []
        while len(found) < count:
            channel, (pieces, *_) = self.messages.get(timeout=30)
            assert channel == CHANNEL
            found += pieces
        return found


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(2)
    yield made
    made.api.go_on.set()


def test_requests_run_at_once_up_to_the_rows_and_a_cancelled_one_is_closed(worker: Worker) -> None:
    first, second = worker.ask("first", "wait", "end"), worker.ask("second", "wait", "end")
    third, fourth = worker.ask("third", "end"), worker.ask("fourth")
    assert {uid for uid, _ in worker.pieces(2)} == {first, second}
    assert worker.api.running == 2
    for uid in (second, third):  # one that runs and one that waits
        worker.requests.put((0, uid, 0.0, CANCEL))
    while not (worker.requests.empty() and worker.messages.empty()):
        time.sleep(0.01)
    worker.api.go_on.set()
    assert {worker.api.closed.get(timeout=30) for _ in range(3)} == {"first", "second", "fourth"}
    assert {uid: piece["text"] for uid, piece in worker.pieces(3)} == {first: "end", fourth: "fourth"}


def test_errors_keep_their_status_and_unforeseen_ones_their_details_to_the_log(worker: Worker) -> None:
    worker.ask("fail")
    assert worker.pieces(1)[0][1] == {"error": "It failed.", "status": 418}
    worker.ask("break")
    piece = worker.pieces(1)[0][1]
    assert piece["status"] == 500
    assert "secret" not in piece["error"]


def test_pieces_that_cannot_be_sent_take_no_others_with_them(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    put, failed = worker.messages.put, threading.Event()

    def once(message: Any) -> None:
        if failed.is_set():
            put(message)
        else:
            failed.set()
            raise TypeError("cannot pickle this")

    monkeypatch.setattr(worker.messages, "put", once)
    worker.ask("lost")
    assert failed.wait(30)
    worker.ask("second")
    assert worker.pieces(1)[0][1]["text"] == "second"


class Spec:
    """The part of LitServe's spec that calls use."""

    response_queue_id = 0

    def __init__(self) -> None:
        self.request_queue: queue.Queue[Any] = queue.Queue()


def test_beyond_rows_and_queue_nobody_is_admitted() -> None:
    calls = Calls(Spec(), rows=2, queue=3)
    calls.admit(5).close()
    calls.admit(2)
    for _ in range(2):
        calls.open[uuid.uuid4()] = (None, 0)  # type: ignore[assignment]
    calls.admit(1).close()
    assert (calls.load.running, calls.load.waiting) == (2, 2)
    with pytest.raises(HTTPException, match=r"429.*ask again in 1 s") as refused:
        calls.admit(2)
    assert refused.value.headers == {"Retry-After": "1"}


def test_pieces_reach_their_calls_and_one_that_cannot_ends_its_own_alone() -> None:
    async def both() -> None:
        calls = Calls(Spec(), rows=2, queue=0)
        calls._watch = asyncio.create_task(asyncio.sleep(0))  # a spec without LitServe has nothing to look after
        broken, whole = calls.admit(1), calls.admit(1)
        for call in (broken, whole):
            call.begin("a request", 0)
        first, second = calls.open
        bad = {name: value for name, value in sent("lost").items() if name != "waited"}
        _Hub(calls).append(([(first, bad), (second, sent("all ")), (second, sent("of it", "stop"))], None))
        assert await broken.next() == (0, bad)
        with pytest.raises(HTTPException, match="500"):
            await broken.next()
        assert [answer[1]["text"] for answer in [await whole.next(), await whole.next()] if answer] == ["all ", "of it"]
        assert await whole.next() is None
        assert (whole.texts, len(whole.ended), whole.failed) == ({0: ["all ", "of it"]}, 1, 0)
        assert (broken.failed, len(calls.open), calls.promised) == (500, 0, 0)
        assert [calls.spec.request_queue.get()[-1] for _ in range(3)] == ["a request", "a request", CANCEL]

    asyncio.run(both())


def test_retry_after_follows_the_rate_at_which_answers_end() -> None:
    assert retry_after(80, [], 10.0) == 1
    assert retry_after(80, [float(second) for second in range(10)], 10.0) == 20
    assert retry_after(80, [41.0, 100.0], 100.0) == 60
    assert retry_after(80, [0.0, 1.0, 2.0], 100.0) == 1  # of long ago


@pytest.mark.parametrize(
    ("running", "waiting", "first_text", "servers"),
    [
        (0, 0, 9.0, 0), (1, 0, 0.1, 1), (12, 0, 9.0, 1), (13, 0, 0.1, 2), (16, 20, 1.0, 3), (16, 1, 21.0, 5),
        (16, 900, 1.0, MOST),
    ],
)  # fmt: skip
def test_servers_wanted(running: int, waiting: int, first_text: float, servers: int) -> None:
    assert wanted(Load(running, waiting, 16, first_text)) == servers


def test_scaling_goes_up_at_once_and_down_when_the_load_has_stayed_down() -> None:
    scaling = Scaling()
    loads = [(0.0, 1), (10.0, 40), (20.0, 1), (10.0 + DOWN_SECONDS, 1), (11.0 + DOWN_SECONDS, 1), (400.0, 20)]
    counts = [scaling.update(Load(min(16, busy), max(0, busy - 16), 16, 0.1), now) for now, busy in loads]
    assert counts == [1, 4, 4, 4, 1, 2]


def test_authors_beyond_the_bound_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_authors", {f"a{number}" for number in range(metrics.MOST_AUTHORS)})
    assert metrics.author_label("a7") == "a7"
    assert metrics.author_label("late") == metrics.OTHERS


def test_methods_nobody_knows_share_a_label() -> None:
    labels = {"route": "none", "status": "418"}
    for method in ("GET", "BREW", "WHEN"):
        metrics.count_request("none", method, 418, 0.1)
    counts = [
        metrics.REGISTRY.get_sample_value("twin_requests_total", {**labels, "method": method})
        for method in ("GET", metrics.OTHERS, "BREW")
    ]
    assert counts == [1, 2, None]


def test_while_it_drains_the_server_answers_itself_alone() -> None:
    async def answers(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(path: str, key: str) -> int:
        found: list[Any] = []

        async def send(message: Any) -> None:
            found.append(message)

        headers = [(b"authorization", f"Bearer {key}".encode())]
        await traffic({"type": "http", "method": "GET", "path": path, "headers": headers}, None, send)  # type: ignore[arg-type]
        return int(found[0]["status"])

    draining = Draining()
    traffic = Traffic(answers, draining, own="inside")
    asked = [("/v1/compose", "outside"), ("/v1/compose", "inside"), ("/ready", "outside"), ("/health", "outside")]
    assert [asyncio.run(ask(*each)) for each in asked] == [200, 200, 200, 200]
    draining.drain(0)
    assert [asyncio.run(ask(*each)) for each in asked] == [503, 200, 503, 200]
