"""How many compositions are made at once: each holds a thread of the web process while its model writes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from twin_assets.core.errors import TwinError

# Drafts take seconds to minutes; who comes again too early is told so again, which costs nothing.
COME_AGAIN_SECONDS = 5


class BusyError(TwinError):
    """As much is being done as may be at once; `retry_after`: whole seconds after which to ask again."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Places:
    """A number of places that are taken or refused, never waited for; safe to share between threads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.Semaphore(count)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place. Raises BusyError where there is none."""
        if not self._free.acquire(blocking=False):
            raise BusyError(
                f"{self._count} compositions are being made; ask again in {COME_AGAIN_SECONDS} s.", COME_AGAIN_SECONDS
            )
        try:
            yield
        finally:
            self._free.release()
