"""The worker's side of a request: LitServe's loop that runs many at once, cancels those nobody waits for, keeps time.

Pieces of all requests that come at one moment travel in one message: a message costs the same whatever is in it, and
with sixteen answers at once there would be hundreds a second.
"""

import logging
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

from fastapi import HTTPException
from litserve.loops import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType

logger = logging.getLogger(__name__)

# What travels to the web process: under this name instead of a request's.
CHANNEL = "twin-pieces"
# What the web process sends in place of a request: its generation is no longer wanted.
CANCEL = None
# Rows of a batch get their tokens at the same moment; so long is waited for the others.
GATHER_SECONDS = 0.002


@dataclass(eq=False)
class Task:
    """A request in the worker. asked: monotonic seconds (one clock for all processes of a machine)."""

    consumer: int
    uid: UUID
    asked: float
    request: Any
    cancelled: bool = False


class ConcurrentLoop(LitLoop):  # type: ignore[misc]
    """Runs up to `rows` requests at once, each in a thread that mostly waits for the engine; others wait in order."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def __call__(self, lit_api: Any, _device: Any, _worker: int, request_queue: Any, transport: Any, *_: Any) -> None:
        """Answer requests until the server's processes end. lit_api.answer(request, asked) gives their pieces."""
        tasks: dict[UUID, Task] = {}
        outgoing: SimpleQueue[tuple[int, UUID, dict[str, Any]]] = SimpleQueue()
        threading.Thread(target=self._send, args=(outgoing, transport), name="pieces", daemon=True).start()
        with ThreadPoolExecutor(self.rows, "request") as pool:
            while True:
                try:
                    consumer, uid, asked, request = request_queue.get()
                except (EOFError, OSError):  # the queue's process has ended, and with it the server
                    return
                if request is CANCEL:
                    if uid in tasks:
                        tasks[uid].cancelled = True
                    continue
                tasks[uid] = task = Task(consumer, uid, asked, request)
                pool.submit(self._run, lit_api, task, outgoing).add_done_callback(
                    lambda _, uid=uid: tasks.pop(uid)  # type: ignore[misc]
                )

    def _run(self, lit_api: Any, task: Task, outgoing: "SimpleQueue[tuple[int, UUID, dict[str, Any]]]") -> None:
        def send(piece: dict[str, Any]) -> None:
            outgoing.put((task.consumer, task.uid, piece))

        if task.cancelled:
            return
        pieces = lit_api.predict(task.request, task.asked)
        try:
            for piece in pieces:
                if task.cancelled:
                    return
                send(piece)
        except HTTPException as error:
            send({"error": str(error.detail), "status": error.status_code})
        except Exception:
            logger.exception("a request failed in the worker")
            send({"error": "Generating failed; the server's log says why.", "status": 500})
        finally:
            pieces.close()

    def _send(self, outgoing: "SimpleQueue[tuple[int, UUID, dict[str, Any]]]", transport: Any) -> None:
        while True:
            together: defaultdict[int, list[tuple[UUID, dict[str, Any]]]] = defaultdict(list)
            consumer, uid, piece = outgoing.get()
            together[consumer].append((uid, piece))
            time.sleep(GATHER_SECONDS)
            try:
                while True:
                    consumer, uid, piece = outgoing.get_nowait()
                    together[consumer].append((uid, piece))
            except Empty:
                pass
            for consumer, pieces in together.items():
                message = (pieces, LitAPIStatus.OK, LoopResponseType.STREAMING, self.worker_id)
                try:
                    transport.send((CHANNEL, message), consumer_id=consumer)
                except (EOFError, ConnectionError):  # the queue's process has ended, and with it the server
                    return
                except Exception:  # no answer of this worker would come any more
                    logger.exception("pieces could not be sent to the web process")
