"""The web process's side of generations: who may begin one, the pieces as they come, and the end of unwanted ones."""

import asyncio
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import HTTPException
from litserve.utils import ResponseBufferItem, WorkerSetupStatus

from twin_serving.chat.loop import CANCEL, CHANNEL
from twin_serving.chat.models import split_model_name
from twin_serving.chat.scaling import Load, Scaling
from twin_serving.telemetry import metrics

logger = logging.getLogger(__name__)

# A worker that says nothing for this long is stuck; the request ends with 504.
SILENCE_SECONDS = 300.0
# Whether the worker lives is looked at this often: LitServe starts a dead one again within seconds and cannot tell the
# requests that went down with it.
LOOK_SECONDS = 0.25
# Generations whose ends tell the present rate, and whose first texts tell how slow it is.
RECENT = 32
LATELY_SECONDS = 60.0

# A piece as the worker sends it: what streaming.Piece has, served (author@version) and waited (seconds in the queue).
Reply = dict[str, Any]


class Calls:
    """All generations that run or wait. rows: that run at once; queue: that may wait."""

    def __init__(self, spec: Any, rows: int, queue: int) -> None:
        self.spec = spec
        self.rows = rows
        self.queue = queue
        self.open: dict[uuid.UUID, tuple[Call, int]] = {}
        self.promised = 0  # places of choices that begin when the first has told its version
        self._ends: deque[float] = deque(maxlen=RECENT)
        self._first_texts: deque[float] = deque(maxlen=RECENT)
        self._scaling = Scaling()
        self._watch: asyncio.Task[None] | None = None
        metrics.watch_load(
            lambda: self.load.running, lambda: self.load.waiting, lambda: self._scaling.update(self.load)
        )

    @property
    def load(self) -> Load:
        """How busy this server is."""
        busy = len(self.open) + self.promised
        slow = sorted(self._first_texts)[len(self._first_texts) // 2] if self._first_texts else 0.0
        return Load(min(busy, self.rows), max(0, busy - self.rows), self.rows, slow)

    def admit(self, count: int) -> "Call":
        """Places for so many generations; raises HTTPException 429 with the seconds after which to come again."""
        busy = len(self.open) + self.promised
        if busy + count > self.rows + self.queue:
            seconds = retry_after(busy, list(self._ends), time.monotonic())
            raise HTTPException(
                429,
                f"{busy} answers are being written or wait, and this server takes {self.rows + self.queue}; "
                f"ask again in {seconds} s.",
                {"Retry-After": str(seconds)},
            )
        self.promised += count
        return Call(self, count)

    def begin(self, call: "Call", request: Any, index: int) -> uuid.UUID:
        """Send a generation to the worker."""
        if self._watch is None:
            self.spec.response_buffer[CHANNEL] = ResponseBufferItem(event=asyncio.Event(), response_queue=_Hub(self))
            self._watch = asyncio.create_task(self._look())
        uid = uuid.uuid4()
        self.promised -= 1
        self.open[uid] = (call, index)
        self.spec.request_queue.put((self.spec.response_queue_id, uid, time.monotonic(), request))
        return uid

    def end(self, uid: uuid.UUID) -> None:
        """Forget a generation; one that still runs is cancelled in the worker."""
        if self.open.pop(uid, None) is not None:
            self.spec.request_queue.put((self.spec.response_queue_id, uid, time.monotonic(), CANCEL))

    def take(self, uid: uuid.UUID, piece: Reply) -> None:
        """Hand a piece to the call it is for."""
        if uid not in self.open:
            return
        call, index = self.open[uid]
        if "error" in piece or piece["finish"] is not None:
            del self.open[uid]
            self._ends.append(time.monotonic())
        seconds = call.put(index, piece)
        if seconds is not None:
            self._first_texts.append(seconds)

    def fail(self, uid: uuid.UUID) -> None:
        """End a generation whose pieces cannot be handed on, and its call with it."""
        if uid in self.open:
            call, index = self.open[uid]
            self.end(uid)
            call.put(index, {"error": "The answer could not be handed on; the server's log says why.", "status": 500})

    async def _look(self) -> None:
        """End every call where nobody is left to answer it."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self.open:
                continue
            states = await asyncio.to_thread(self.spec._server.workers_setup_status.values)
            if any(state != WorkerSetupStatus.READY for state in states):
                gone = {"error": "The model's process has ended and is being started again; ask again.", "status": 503}
                for uid in list(self.open):
                    self.take(uid, gone)


class _Hub:
    """What LitServe's buffer appends the worker's messages to."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def append(self, response: tuple[list[tuple[uuid.UUID, Reply]], Any]) -> None:
        for uid, piece in response[0]:
            try:
                self.calls.take(uid, piece)
            except Exception:  # LitServe would hand on no message ever again
                logger.exception("a piece could not be handed on")
                self.calls.fail(uid)


def retry_after(ahead: int, ends: list[float], now: float) -> int:
    """Whole seconds until a place is likely free: the queue by the rate at which answers ended lately, 1 to 60.

    ends: monotonic seconds at which answers ended; ahead: how many run and wait.
    """
    ends = [end for end in ends if now - end <= LATELY_SECONDS]
    if len(ends) < 2 or now <= ends[0]:
        return 1
    rate = len(ends) / (now - ends[0])
    # A place is free when one has ended, but all who are sent away come again together: a quarter of the queue.
    return min(60, max(1, math.ceil(ahead / 4 / rate)))


class Call:
    """The generations of one HTTP request: one for each choice."""

    def __init__(self, calls: Calls, promised: int) -> None:
        self.calls = calls
        self._promised = promised
        # The last piece of each choice that came to its end, and all texts: for the request's trace.
        self.ended: list[Reply] = []
        self.texts: dict[int, list[str]] = {}
        self.failed = 0  # the status of what broke it off
        self._pieces: asyncio.Queue[tuple[int, Reply]] = asyncio.Queue()
        self._asked: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self._uids: list[uuid.UUID] = []
        self._running = 0
        self._watch: asyncio.Task[None] | None = None

    def watch(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """End the call when the client goes. receive: the ASGI messages after the request's body."""

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self._pieces.put_nowait((0, {"error": "The client has gone.", "status": 499}))
            self.close()

        self._watch = asyncio.create_task(until_gone())

    def begin(self, request: Any, index: int) -> None:
        """Ask for a choice."""
        self._asked[index] = time.monotonic()
        self._uids.append(self.calls.begin(self, request, index))
        self._promised -= 1
        self._running += 1

    def put(self, index: int, piece: Reply) -> float | None:
        """Take a piece and measure it; returns the seconds to the first text when this is it."""
        self._pieces.put_nowait((index, piece))
        if "error" in piece:
            self.failed = piece["status"]
            return None
        self.texts.setdefault(index, []).append(piece["text"])
        now, seconds = time.monotonic(), None
        if index not in self._first:
            self._first[index], seconds = now, now - self._asked[index]
            metrics.count_first_text(seconds, piece["waited"], piece["swap_seconds"])
        if piece["finish"] is not None:
            self.ended.append(piece)
            author, _ = split_model_name(piece["served"])
            tokens = piece["prompt_tokens"], piece["completion_tokens"]
            metrics.count_generation(author, *tokens, now - self._first[index])
        return seconds

    def close(self) -> None:
        """End what still runs."""
        for uid in self._uids:
            self.calls.end(uid)
        self.calls.promised -= self._promised
        self._promised = 0
        if self._watch is not None:
            self._watch.cancel()

    async def next(self) -> tuple[int, Reply] | None:
        """(choice, piece), None after the last. Raises HTTPException with the worker's sentence."""
        if self._running == 0:
            return None
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                index, piece = await self._pieces.get()
        except TimeoutError:
            self.failed = 504
            raise HTTPException(504, f"The model did not answer within {SILENCE_SECONDS:.0f} s; try again.") from None
        if "error" in piece:
            raise HTTPException(piece["status"], piece["error"])
        if piece["finish"] is not None:
            self._running -= 1
        return index, piece


def choices(request: Any, served: str) -> Iterator[tuple[int, Any]]:
    """(index, request) of every choice but the first: of the version that gave that, with a seed of its own."""
    for index in range(1, request.n):
        seed = None if request.seed is None else request.seed + index
        yield index, request.model_copy(update={"model": served, "seed": seed})
