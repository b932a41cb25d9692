"""What can go wrong with a platform: one fault spoils the next requests under a path prefix."""

import dataclasses
import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass

from demo.messages import Delivery, Request, Response

CHALLENGE_PAGE = (
    b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head><body>'
    b"<h2>Verify you are human by completing the action below.</h2>"
    b"<p>This site needs to review the security of your connection before proceeding.</p>"
    b'<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1"></script></body></html>'
)
CHALLENGE_HEADERS = {
    "Content-Type": "text/html; charset=UTF-8",
    "Server": "cloudflare",
    "CF-Mitigated": "challenge",
}


@dataclass
class Fault:
    """One way to fail, for the next `times` requests (None: until cleared) whose path starts with `prefix`.

    Either `status` (with `retry_after`, in seconds or as a date, if given) or the name of a fault:
    timeout (no answer for `seconds`, then closed), stall (half a body, then `seconds` of nothing), reset,
    truncated, truncated_gzip, malformed (half a body that claims to be whole), wrong_encoding (cp1252 that
    claims UTF-8), redirect_loop, not_modified (304 to everything), challenge (403 from Cloudflare), huge (about
    `size` bytes).
    Raises ValueError for an unknown name or where it is not exactly one of the two.
    """

    prefix: str
    status: int | None
    fault: str | None
    times: int | None
    retry_after: float | str | None
    seconds: float
    size: int

    def __post_init__(self) -> None:
        if (self.status is None) == (self.fault is None):
            raise ValueError(f"The failure of {self.prefix!r} needs either a status or a fault: give one of the two.")
        if self.fault is not None and self.fault not in FAULTS:
            raise ValueError(f"{self.fault!r} is no fault the demo server knows: use one of {', '.join(FAULTS)}.")

    def spoil(self, request: Request, answer: Callable[[], Response]) -> Response:
        """The spoilt answer; `answer` gives the true one where the fault starts from it."""
        return FAULTS[self.fault or "status"](self, request, answer)


class FaultBook:
    """The faults waiting to happen, oldest first; safe to use from many threads."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Append one fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._faults.clear()

    def take(self, path: str) -> Fault | None:
        """The first fault that strikes this path, counted down; None where nothing goes wrong."""
        with self._lock:
            fault = next((each for each in self._faults if path.startswith(each.prefix)), None)
            if fault is not None and fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
            return fault


Spoiler = Callable[[Fault, Request, Callable[[], Response]], Response]


def _status(fault: Fault, request: Request, answer: Callable[[], Response]) -> Response:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return Response(fault.status or 500, f"The demo server was asked to answer {fault.status}.".encode(), headers)


def _cut(fault: Fault, answer: Callable[[], Response], seconds: float) -> Response:
    whole = answer()
    half = Delivery(cut_after=len(whole.body) // 2, seconds=seconds)
    return dataclasses.replace(whole, delivery=half)


def _truncated_gzip(fault: Fault, request: Request, answer: Callable[[], Response]) -> Response:
    whole = answer()
    packed = gzip.compress(whole.body)
    return Response(whole.status, packed[: len(packed) // 2], whole.headers | {"Content-Encoding": "gzip"})


def _malformed(fault: Fault, request: Request, answer: Callable[[], Response]) -> Response:
    whole = answer()
    return dataclasses.replace(whole, body=whole.body[: len(whole.body) // 2])


def _wrong_encoding(fault: Fault, request: Request, answer: Callable[[], Response]) -> Response:
    whole = answer()
    return dataclasses.replace(whole, body=whole.body.decode("utf-8", "replace").encode("cp1252", "replace"))


def _huge(fault: Fault, request: Request, answer: Callable[[], Response]) -> Response:
    whole = answer()
    block = whole.body.ljust(65_536)
    return Response(whole.status, block, whole.headers, Delivery(repeat=max(1, fault.size // len(block))))


FAULTS: dict[str, Spoiler] = {
    "status": _status,
    "timeout": lambda fault, request, answer: Response(delivery=Delivery(silent=True, seconds=fault.seconds)),
    "reset": lambda fault, request, answer: Response(delivery=Delivery(silent=True)),
    "stall": lambda fault, request, answer: _cut(fault, answer, fault.seconds),
    "truncated": lambda fault, request, answer: _cut(fault, answer, 0.0),
    "truncated_gzip": _truncated_gzip,
    "malformed": _malformed,
    "wrong_encoding": _wrong_encoding,
    "redirect_loop": lambda fault, request, answer: Response(302, headers={"Location": request.target}),
    "not_modified": lambda fault, request, answer: Response(304),
    "challenge": lambda fault, request, answer: Response(403, CHALLENGE_PAGE, dict(CHALLENGE_HEADERS)),
    "huge": _huge,
}
