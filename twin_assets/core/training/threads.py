"""Threads for small models: all cores where they are free, one where others are using them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fastest_threads() -> Iterator[int]:
    """Run the body with as many torch threads as make a small model fastest right now, and put the number back after.

    torch's threads wait for each other after every operation. On two cores that others were using, a step of the nano
    model took 3 to 5 s with two threads and 0.4 s with one.
    """
    import torch

    before = torch.get_num_threads()
    times = {}
    for count in sorted({before, 1}, reverse=True):
        torch.set_num_threads(count)
        _probe(rounds=2)
        start = time.perf_counter()
        _probe(rounds=8)
        times[count] = time.perf_counter() - start
    # One thread unless more are clearly better: load comes and goes, and only many threads can go badly wrong.
    best = min(times, key=lambda count: times[count] * (1.25 if count > 1 else 1.0))
    torch.set_num_threads(best)
    try:
        yield best
    finally:
        torch.set_num_threads(before)


def _probe(rounds: int) -> None:
    import torch

    tokens, weights = torch.ones(2048, 192), torch.ones(192, 512, requires_grad=True)
    for _ in range(rounds):
        hidden = torch.nn.functional.silu(tokens @ weights) @ weights.T
        hidden.square().mean().backward()  # type: ignore[no-untyped-call]
