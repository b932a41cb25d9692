"""How many servers a load asks for: a rule on queue, running answers and time to first text, with hysteresis.

Each server tells what its own share of the load asks for (`twin_wanted_replicas`); the sum over all servers is how many
there should be, which deploy/ hands to the cluster's autoscaler.
"""

import math
import time
from dataclasses import dataclass

# Share of a server's rows that are busy when it is well used: above, latency grows faster than throughput.
BUSY = 0.75
# First text later than this means too few servers, whatever the queue says.
SLOW_SECONDS = 5.0
MOST = 10
# A load that falls is believed when it has stayed down for so long: starting a server takes longer than keeping it.
DOWN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """A server's load: generations that run and wait, rows that can run at once, recent seconds to the first text."""

    running: int
    waiting: int
    rows: int
    first_text_seconds: float


def wanted(load: Load) -> int:
    """Servers this load asks for: 0 for one that has nothing to do, at most MOST."""
    busy = load.running + load.waiting
    if busy == 0:
        return 0
    replicas = max(1, math.ceil(busy / (BUSY * load.rows)))
    if load.waiting > 0 and load.first_text_seconds > SLOW_SECONDS:
        replicas = max(replicas, math.ceil(load.first_text_seconds / SLOW_SECONDS))
    return min(replicas, MOST)


class Scaling:
    """The rule over time: up at once, down to the highest that was asked for within DOWN_SECONDS."""

    def __init__(self) -> None:
        self._asked: list[tuple[float, int]] = []

    def update(self, load: Load, now: float | None = None) -> int:
        """Servers wanted now. now: monotonic seconds."""
        now = time.monotonic() if now is None else now
        current = wanted(load)
        # What asks for no more than a later one can no longer be the highest.
        self._asked = [(at, count) for at, count in self._asked if now - at <= DOWN_SECONDS and count > current]
        self._asked.append((now, current))
        return self._asked[0][1]
