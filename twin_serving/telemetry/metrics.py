"""What the server measures of itself, for Prometheus. Labels are routes, kinds and authors: never texts or keys.

Everything is counted in the web process: what happens in the inference worker comes there with the pieces of answers.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

# Beyond so many authors, those that come later share a label: every label is a series that the scraper keeps.
MOST_AUTHORS = 100
OTHERS = "others"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240)

_requests = Counter("twin_requests", "Requests answered.", ["route", "method", "status"], registry=REGISTRY)
_request_seconds = Histogram(
    "twin_request_seconds", "Seconds to the end of an answer.", ["route"], buckets=_LONG, registry=REGISTRY
)
_queue_length = Gauge("twin_queue_length", "Generations that wait for their turn.", registry=REGISTRY)
_running = Gauge("twin_running", "Generations that run.", registry=REGISTRY)
_wanted = Gauge(
    "twin_wanted_replicas", "Servers like this one that its load asks for; add it up over all.", registry=REGISTRY
)
_queue_seconds = Histogram("twin_queue_seconds", "Seconds a generation waited.", buckets=_LONG, registry=REGISTRY)
_first_token = Histogram(
    "twin_first_token_seconds", "Seconds from a request to its first text.", buckets=_LONG, registry=REGISTRY
)
_tokens = Counter("twin_tokens", "Tokens read and written.", ["author", "kind"], registry=REGISTRY)
_speed = Histogram(
    "twin_tokens_per_second", "Tokens per second of one answer after its first text.",
    buckets=(1, 2, 5, 10, 20, 40, 80, 160, 320, 640), registry=REGISTRY,
)  # fmt: skip
_swaps = Counter("twin_adapter_swaps", "Adapters loaded for a request.", registry=REGISTRY)
_swap_seconds = Histogram(
    "twin_adapter_swap_seconds", "Seconds an adapter took to load.", buckets=_SHORT, registry=REGISTRY
)
_retrieval = Histogram(
    "twin_retrieval_seconds", "Seconds to find an author's passages.", buckets=_SHORT, registry=REGISTRY
)
_cache = Counter("twin_cache", "Look-ups in the server's caches.", ["cache", "result"], registry=REGISTRY)

_authors: set[str] = set()


def count_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request. route: its template, never the path that was asked; method: whatever was sent."""
    _requests.labels(route, method if method in METHODS else OTHERS, str(status)).inc()
    _request_seconds.labels(route).observe(seconds)


def count_first_text(seconds: float, waited: float, swap_seconds: float | None) -> None:
    """Count a generation's first text: seconds since it was asked for, of those in the queue, and for its adapter."""
    _first_token.observe(seconds)
    _queue_seconds.observe(waited)
    if swap_seconds is not None:
        _swaps.inc()
        _swap_seconds.observe(swap_seconds)


def count_generation(author: str, prompt_tokens: int, written_tokens: int, seconds: float) -> None:
    """Count a generation that ended. seconds: from its first text to its last."""
    label = author_label(author)
    _tokens.labels(label, "read").inc(prompt_tokens)
    _tokens.labels(label, "written").inc(written_tokens)
    if written_tokens > 1 and seconds > 0:
        _speed.observe((written_tokens - 1) / seconds)


def author_label(author: str) -> str:
    """The author, or OTHERS where too many have a label already. Call it for authors that exist only."""
    if author in _authors or len(_authors) < MOST_AUTHORS:
        _authors.add(author)
        return author
    return OTHERS


@contextmanager
def retrieval() -> Iterator[None]:
    """Measure a retrieval."""
    start = time.perf_counter()
    yield
    _retrieval.observe(time.perf_counter() - start)


def count_cache(cache: str, hit: bool) -> None:
    """Count a look-up. cache: one of the few names the code uses."""
    _cache.labels(cache, "hit" if hit else "miss").inc()


def watch_load(running: Callable[[], float], waiting: Callable[[], float], wanted: Callable[[], float]) -> None:
    """Have the gauges read these functions whenever they are asked for."""
    _running.set_function(running)
    _queue_length.set_function(waiting)
    _wanted.set_function(wanted)


def metrics_routes() -> APIRouter:
    """GET /metrics."""
    router = APIRouter(tags=["state"])

    @router.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """The server's figures in Prometheus' text format."""
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return router
