"""Doing several things at once and taking their results in order: how a reader asks ahead of what it hands on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = 4  # more than this a host is not asked at once anyway (politeness.py)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int = WORKERS) -> Iterator[Result]:
    """Results of a function over items, in the items' order, computed in threads at most `workers` ahead.

    What the function raises is raised in its place, and nothing more is begun; items are taken in the caller's thread.
    A reader that stops half-way has at most `workers` results that nobody saw, which the next run computes again.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
