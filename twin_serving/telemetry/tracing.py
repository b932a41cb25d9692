"""Traces of composing, chatting and feedback: in the author's MLflow experiment, and as rows of the table `usage`.

Both are written after the answer, by a thread of its own from a bounded queue: a request never waits for them, and what
does not fit is dropped and counted. A trace's id here is its id there, with MLflow's prefix. Steps, versions and
figures are kept; prompts and texts in MLflow only with TWIN_KEEP_PROMPTS, and in `usage` never. What was composed is in
the lake (history.py), whatever that setting says.
"""

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, Full, Queue
from typing import Any
from uuid import uuid4

from prometheus_client import Counter

from twin_assets.core.errors import TwinError
from twin_assets.core.monitoring import TEXTS_TAG, mlflow_trace_id
from twin_assets.core.processes import give_memory_back
from twin_assets.core.workspace import Workspace
from twin_serving.api.answers import status_of
from twin_serving.telemetry.metrics import REGISTRY

logger = logging.getLogger(__name__)

# Kinds of traces; a generation is what the composer asks of the chat endpoint, and a step of its answer's trace.
COMPOSE, CHAT, GENERATION = "compose", "chat", "generation"
QUEUE = 1000
# What comes within so many seconds is written together: a commit costs the same for one row and for a hundred.
GATHER_SECONDS, MOST_TOGETHER = 2.0, 200
CLOSE_SECONDS = 10.0
LOGGED = 200  # characters of an error
# Of the passages a draft draws on, so many say how well retrieval did.
BEST_PASSAGES = 3
# Columns of `usage` that a trace's attributes fill.
_FIGURES = ("format", "model_version", "drafts", "prompt_tokens", "completion_tokens", "retrieval", "voice")

_dropped = Counter("twin_traces_dropped", "Traces that were not written as too many came.", registry=REGISTRY)


@dataclass(slots=True)
class Step:
    """A stretch of an answer: nanoseconds since the epoch, and what it found."""

    name: str
    start: int
    end: int
    values: dict[str, Any]


@dataclass
class Trace:
    """The steps of one answer, whose end is when it is recorded. texts: inputs and outputs, see TWIN_KEEP_PROMPTS."""

    kind: str = COMPOSE
    trace_id: str = field(default_factory=lambda: uuid4().hex)
    started: int = field(default_factory=time.time_ns)
    steps: list[Step] = field(default_factory=list)
    texts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, **values: Any) -> Iterator[dict[str, Any]]:
        """Time what is done inside; what it yields takes figures of the step, as `values` does."""
        start = time.time_ns()
        try:
            yield values
        finally:
            self.steps.append(Step(name, start, time.time_ns(), values))


@dataclass(frozen=True, slots=True)
class _Finished:
    trace: Trace
    ended: int
    author: str
    attributes: dict[str, Any]
    error: str | None


@dataclass(frozen=True, slots=True)
class _Feedback:
    author: str
    draft_id: str
    values: dict[str, Any]


class Tracer:
    """Writes traces one batch after the other; what cannot be written is logged and lost."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.dropped = 0
        self._queue: Queue[_Finished | _Feedback | None] = Queue(QUEUE)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def record(self, trace: Trace, author: str, attributes: Mapping[str, Any], error: str | None = None) -> None:
        """Hand in a finished trace, or one that failed with this error; returns at once."""
        if trace.kind == GENERATION or not self.workspace.settings.keep_prompts:
            trace.texts = {}  # nobody writes them, and a thousand may wait
        self._put(_Finished(trace, time.time_ns(), author, dict(attributes), error))

    def composed(self, trace: Trace, answer: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        """Hand in the trace of an answer of /v1/compose; returns at once."""
        trace.texts = {
            "inputs": answer["request"],
            "outputs": {draft["draft_id"]: draft["text"] for draft in answer["drafts"]},
        }
        self.record(trace, answer["author"], {**attributes, **_figures_of(answer)})

    @contextmanager
    def failures(self, trace: Trace, author: str) -> Iterator[None]:
        """Hand in the trace of what fails inside; what is wrong with the request itself is no failure."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, TwinError) or status_of(error) >= 500:
                self.record(trace, author, {}, error=type(error).__name__)
            raise

    def feedback(self, author: str, draft_id: str, values: Mapping[str, Any]) -> None:
        """Attach what was said of a draft to the trace it came from; returns at once."""
        self._put(_Feedback(author, draft_id, {name: value for name, value in values.items() if value is not None}))

    def close(self) -> None:
        """Wait until what was handed in is written, for a while."""
        if self._thread is not None:
            try:
                self._queue.put(None, timeout=CLOSE_SECONDS)
            except Full:
                return
            self._thread.join(CLOSE_SECONDS)

    def _put(self, item: _Finished | _Feedback) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="tracing", daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(item)
        except Full:
            self.dropped += 1
            _dropped.inc()

    def _run(self) -> None:
        ending = False
        while not ending:
            items, ending = self._next()
            known: set[str] = set()  # a failed request may have named anybody
            _tried("traces", lambda known=known: known.update(self.workspace.authors.ids()))
            traces = [item for item in items if isinstance(item, _Finished) and item.author in known]
            _tried("usage", lambda traces=traces: self._keep_usage(traces))
            by_author: defaultdict[str, list[_Finished]] = defaultdict(list)
            for each in traces:
                if each.trace.kind != GENERATION:
                    by_author[each.author].append(each)
            for author, theirs in by_author.items():
                _tried("traces", lambda author=author, theirs=theirs: self._keep_traces(author, theirs))
            for item in items:
                if isinstance(item, _Feedback):
                    _tried("feedback", lambda item=item: self._keep_feedback(item))
            give_memory_back()

    def _next(self) -> tuple[list[_Finished | _Feedback], bool]:
        """What has come, at least one, and whether it is the last."""
        items: list[_Finished | _Feedback] = []
        item, until = self._queue.get(), time.monotonic() + GATHER_SECONDS
        while item is not None:
            items.append(item)
            if len(items) == MOST_TOGETHER:
                return items, False
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                return items, False
        return items, True

    def _keep_usage(self, traces: Sequence[_Finished]) -> None:
        self.workspace.lake.append("usage", [_row(each) for each in traces])

    def _keep_traces(self, author: str, traces: Sequence[_Finished]) -> None:
        """Two calls of the store for any number of spans: through MLflow's own exporter each span is a transaction."""
        experiment = self.workspace.registry.experiment(author)
        from mlflow.tracing.client import TracingClient

        client, keep = TracingClient(self.workspace.settings.tracking_uri), self.workspace.settings.keep_prompts
        client.log_spans(experiment, [span for each in traces for span in _spans(each, keep)])
        for each in traces:
            client.start_trace(_info(each, experiment, keep))

    def _keep_feedback(self, said: _Feedback) -> None:
        import polars as pl

        found = self.workspace.lake.read(
            "drafts", said.author, columns=["trace_id"], where=pl.col("draft_id") == said.draft_id
        )["trace_id"].drop_nulls()
        if found.is_empty():
            return
        if not self.workspace.settings.keep_prompts:
            said.values.pop("comment", None)
        import mlflow
        from mlflow.entities import AssessmentSource

        mlflow.set_tracking_uri(self.workspace.settings.tracking_uri)
        person = AssessmentSource(source_type="HUMAN", source_id=said.author)
        for name, value in said.values.items():
            mlflow.log_feedback(
                trace_id=mlflow_trace_id(found[0]), name=name, value=value, source=person,
                metadata={"draft_id": said.draft_id},
            )  # fmt: skip


def _figures_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What monitoring follows of an answer: the voice of the best draft, and how near the passages found are."""
    near = sorted((hit["similarity"] for hit in answer["sources"] if hit.get("similarity") is not None), reverse=True)
    voices = [draft["scores"].get("voice") for draft in answer["drafts"]]
    return {
        "drafts": len(answer["drafts"]),
        "retrieval": sum(near[:BEST_PASSAGES]) / len(near[:BEST_PASSAGES]) if near else None,
        "voice": next((voice for voice in voices if voice is not None), None),
    }


def _tried(what: str, write: Any) -> None:
    try:
        write()
    except Exception as error:  # a trace is never worth an answer
        # Not the whole of it: a store's error repeats the values that were to be written.
        reason = str(error).partition("\n")[0][:LOGGED]
        logger.warning("%s not written: %s: %s", what, type(error).__name__, reason)


def _row(finished: _Finished) -> dict[str, Any]:
    trace = finished.trace
    steps = [
        {
            "name": step.name,
            "start_ms": _milliseconds(trace.started, step.start),
            "ms": _milliseconds(step.start, step.end),
        }
        for step in trace.steps
    ]
    return {
        "author": finished.author, "trace_id": trace.trace_id, "kind": trace.kind, "error": finished.error,
        "created_at": datetime.fromtimestamp(trace.started / 1e9, UTC), "steps": json.dumps(steps),
        "milliseconds": _milliseconds(trace.started, finished.ended),
        **{name: finished.attributes.get(name) for name in _FIGURES},
    }  # fmt: skip


def _milliseconds(start: int, end: int) -> float:
    return round((end - start) / 1e6, 3)


def _spans(finished: _Finished, keep: bool) -> list[Any]:
    trace, root = finished.trace, uuid4().hex[:16]
    texts = {f"mlflow.span{name.capitalize()}": value for name, value in trace.texts.items()} if keep else {}
    whole = Step(trace.kind, trace.started, finished.ended, {**finished.attributes, **texts})
    return [
        _span(trace, whole, root, None, finished.error),
        *(_span(trace, step, uuid4().hex[:16], root, None) for step in trace.steps),
    ]


def _span(trace: Trace, step: Step, span_id: str, parent: str | None, error: str | None) -> Any:
    from mlflow.entities import Span

    trace_id = mlflow_trace_id(trace.trace_id)
    values = {"mlflow.traceRequestId": trace_id, **step.values}
    return Span.from_dict(
        {
            "trace_id": trace_id, "span_id": span_id, "parent_span_id": parent, "name": step.name,
            "start_time_unix_nano": step.start, "end_time_unix_nano": step.end, "events": [],
            "status": {"code": "STATUS_CODE_ERROR" if error else "STATUS_CODE_OK", "message": error or ""},
            "attributes": {name: json.dumps(value, default=str) for name, value in values.items()},
        }
    )  # fmt: skip


def _info(finished: _Finished, experiment: str, keep: bool) -> Any:
    from mlflow.entities.trace_info import TraceInfo
    from mlflow.entities.trace_location import TraceLocation
    from mlflow.entities.trace_state import TraceState

    trace = finished.trace
    return TraceInfo(
        trace_id=mlflow_trace_id(trace.trace_id), trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=trace.started // 1_000_000, execution_duration=(finished.ended - trace.started) // 1_000_000,
        state=TraceState.ERROR if finished.error else TraceState.OK,
        tags={
            "mlflow.traceName": trace.kind, "author": finished.author, **({TEXTS_TAG: "kept"} if keep else {}),
        },
    )  # fmt: skip
