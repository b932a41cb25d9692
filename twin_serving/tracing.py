"""Traces of composing, in the author's MLflow experiment; written after the answer, so that they cost no latency.

Kept are the steps with their times, the versions and the scores; not the prompt and not the text.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from twin_assets.core.workspace import Workspace

logger = logging.getLogger(__name__)

# The tag by which a trace is found; MLflow gives its own ids only when a trace is written.
TRACE_TAG = "twin.trace_id"


@dataclass
class Trace:
    """The steps of one answer: name, start and end in nanoseconds since the epoch."""

    trace_id: str = field(default_factory=lambda: uuid4().hex)
    started: int = field(default_factory=time.time_ns)
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        start = time.time_ns()
        try:
            yield
        finally:
            self.steps.append((name, start, time.time_ns()))


class Tracer:
    """Writes traces in a thread of its own, one after the other; a trace that cannot be written is logged and lost."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tracing")

    def record(self, trace: Trace, author: str, attributes: Mapping[str, Any]) -> None:
        """Hand in a finished trace; returns at once."""
        self._writer.submit(self._write, trace, time.time_ns(), author, dict(attributes))

    def close(self) -> None:
        """Wait until everything handed in is written."""
        self._writer.shutdown()

    def _write(self, trace: Trace, ended: int, author: str, attributes: dict[str, Any]) -> None:
        try:
            experiment = self.workspace.registry.experiment(author)
            import mlflow

            mlflow.set_tracking_uri(self.workspace.settings.tracking_uri)
            root = mlflow.start_span_no_context(
                "compose",
                attributes=attributes,
                tags={TRACE_TAG: trace.trace_id, "author": author},
                experiment_id=experiment,
                start_time_ns=trace.started,
            )
            for name, start, end in trace.steps:
                mlflow.start_span_no_context(name, parent_span=root, start_time_ns=start).end(end_time_ns=end)
            root.end(end_time_ns=ended)
            mlflow.flush_trace_async_logging()
        except Exception as error:
            logger.warning("the trace %s was not written: %s", trace.trace_id, error)
