"""Monitoring: drift that alarms on change and not on noise, and the answer made of the lake's rows."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from twin_assets.core.authors import Author
from twin_assets.core.errors import UnknownAuthorError
from twin_assets.core.monitoring import LEAST_BEFORE, LEAST_NOW, MEASURES, drift, drop_texts, monitoring, watched
from twin_assets.core.workspace import Workspace
from twin_serving.telemetry.tracing import QUEUE, Trace, Tracer

MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)
VOICE, RATING, LATENCY, _ = MEASURES


def rows(days: float, values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A row of `usage`, so many days before MOMENT."""
    return {
        "author": "ann", "trace_id": f"{days}", "created_at": MOMENT - timedelta(days=days), "kind": "compose",
        "format": "linkedin_post", "milliseconds": 100.0, "steps": "[]", "drafts": 2, **values, **changes,
    }  # fmt: skip


def ratings(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.choice([1.0, 2.0, 3.0, 4.0, 5.0], count, p=[0.05, 0.1, 0.2, 0.4, 0.25])


@pytest.mark.parametrize(
    ("measure", "draw"),
    [
        (VOICE, lambda generator, count: generator.normal(70, 12, count).clip(0, 100)),
        (RATING, ratings),
        (LATENCY, lambda generator, count: generator.lognormal(7, 1, count)),
    ],
)
def test_noise_does_not_alarm(measure: Any, draw: Any) -> None:
    """Windows that slide over six years in which nothing changes: alarms are rarer than once in three years."""
    generator, alarms, days, daily = np.random.default_rng(7), 0, 6 * 365, 3
    values = draw(generator, days * daily)
    for day in range(35, days, 3):
        end = day * daily
        now, before = values[end - 7 * daily : end], values[end - 35 * daily : end - 7 * daily]
        alarms += drift(measure, before.tolist(), now.tolist()).alarming
    assert alarms <= 2


@pytest.mark.parametrize(
    ("measure", "before", "now"),
    [(VOICE, (75, 8), (60, 8)), (RATING, (4.2, 0.6), (3.2, 0.8)), (LATENCY, (900, 150), (1600, 300))],
)
def test_a_change_for_the_worse_alarms_and_one_for_the_better_does_not(measure: Any, before: Any, now: Any) -> None:
    generator = np.random.default_rng(1)
    old, new = generator.normal(*before, 60), generator.normal(*now, 20)
    worse, better = drift(measure, old.tolist(), new.tolist()), drift(measure, new.tolist(), old.tolist())
    assert (worse.alarming, better.alarming) == (True, False)
    assert measure.title in worse.message
    assert worse.change == pytest.approx(worse.now - worse.before)
    assert not drift(measure, [1.0] * 50, [1.0] * 50).alarming


def test_too_little_says_nothing() -> None:
    few = drift(VOICE, [90.0] * LEAST_BEFORE, [10.0] * (LEAST_NOW - 1))
    assert not few.alarming
    assert "Too little" in few.message
    assert drift(VOICE, [], []).before is None


def test_the_answer_is_made_of_what_was_asked(workspace: Workspace) -> None:
    workspace.settings.input_price, workspace.settings.output_price = 2.0, 10.0
    workspace.authors.save(Author(id="ann", name="Ann"))
    empty = monitoring(workspace, "ann", 30, MOMENT)
    assert (empty["totals"]["compositions"], empty["traces"], empty["latency"]["p50"]) == (0, [], None)
    steps = json.dumps([{"name": "checks", "start_ms": 1, "ms": 10}, {"name": "checks", "start_ms": 20, "ms": 20}])
    usage = [
        rows(1, {"voice": 80.0, "retrieval": 0.5, "milliseconds": 100.0, "steps": steps}),
        rows(1.1, {"voice": 60.0, "retrieval": 0.3, "milliseconds": 300.0, "steps": steps}),
        rows(1.1, {"prompt_tokens": 1_000_000, "completion_tokens": 100_000}, kind="generation", drafts=None),
        rows(2, {"error": "LakeError", "milliseconds": 9999.0}),
        rows(3, {"milliseconds": 50.0, "prompt_tokens": 10, "completion_tokens": 5}, kind="chat"),
        rows(60, {"milliseconds": 7.0}),
        rows(1, {}, author="ben"),
    ]
    workspace.lake.append("usage", usage)
    workspace.lake.append("feedback", [_feedback(1, 4), _feedback(2, None), _feedback(70, 1)])
    found = monitoring(workspace, "ann", 30, MOMENT)
    assert found["totals"] == {
        "compositions": 2, "chats": 1, "drafts": 4, "feedback": 2, "tokens": 1_100_015, "cost": 3.00007, "errors": 1,
    }  # fmt: skip
    assert found["latency"]["p50"] == 200
    assert found["latency"]["steps"]["checks"]["p50"] == 30, "what one answer does twice is added up"
    assert len(found["daily"]) == 31
    day = next(day for day in found["daily"] if day["day"] == "2026-11-19")
    assert (day["compositions"], day["voice"], day["rating"], day["p50_ms"]) == (2, 70, 4, 200)
    assert day["tokens"] == 1_100_000
    assert [trace["status"] for trace in found["traces"]] == ["ok", "ok", "error", "ok"]
    assert "ben" not in json.dumps(found)
    with pytest.raises(UnknownAuthorError):
        monitoring(workspace, "nobody", 30)


def test_many_failures_within_a_day_alarm(workspace: Workspace) -> None:
    workspace.authors.save(Author(id="ann", name="Ann"))
    good = [rows(0.5, {}) for _ in range(30)]
    workspace.lake.append("usage", [*good, *(rows(0.4, {"error": "LakeError"}) for _ in range(3))])
    errors = next(each for each in watched(workspace, "ann", MOMENT) if each.measure == "errors")
    assert not errors.alarming
    workspace.lake.append("usage", [rows(0.3, {"error": "LakeError"}) for _ in range(3)])
    errors = next(each for each in watched(workspace, "ann", MOMENT) if each.measure == "errors")
    assert errors.alarming
    assert errors.message == "6 of 36 requests failed in the last 24 hours."


def test_more_than_the_queue_holds_is_dropped_and_counted_and_nobody_waits(workspace: Workspace) -> None:
    workspace.authors.save(Author(id="ann", name="Ann"))
    tracer, held = Tracer(workspace), threading.Event()
    tracer._keep_usage = lambda _: held.wait(30)  # type: ignore[method-assign,assignment]
    for _ in range(2 * QUEUE):
        tracer.record(Trace(), "ann", {})
    assert QUEUE / 2 < tracer.dropped <= QUEUE
    held.set()
    tracer._keep_traces = lambda *_: None  # type: ignore[method-assign]
    tracer.close()


def test_texts_are_in_traces_only_when_they_are_kept_and_can_be_dropped(workspace: Workspace) -> None:
    import mlflow

    workspace.authors.save(Author(id="ann", name="Ann"))
    traces = []
    for keep in (False, True):
        workspace.settings.keep_prompts = keep
        tracer, trace = Tracer(workspace), Trace()
        trace.texts = {"inputs": {"prompt": "Secret words"}, "outputs": "A draft"}
        with pytest.raises(OSError, match="broke"), tracer.failures(trace, "ann"), trace.step("checks", count=3):
            raise OSError("it broke on Secret words")
        tracer.record(Trace("chat"), "nobody", {}, error="status 500")
        tracer.close()
        traces.append(trace)
    mlflow.set_tracking_uri(workspace.settings.tracking_uri)
    without, with_texts = (mlflow.get_trace(f"tr-{trace.trace_id}") for trace in traces)
    assert "Secret words" not in without.to_json()
    assert "Secret words" in with_texts.to_json()
    assert (without.info.state, [span.name for span in without.data.spans]) == ("ERROR", ["compose", "checks"])
    assert without.data.spans[1].attributes["count"] == 3
    usage = workspace.lake.read("usage")
    assert usage["error"].to_list() == ["OSError", "OSError"]
    assert usage["author"].unique().to_list() == ["ann"], "nobody's rows are made for who is not there"
    assert drop_texts(workspace, "ann") == 1
    assert mlflow.get_trace(f"tr-{traces[1].trace_id}", silent=True) is None
    assert mlflow.get_trace(f"tr-{traces[0].trace_id}") is not None


def _feedback(days: float, rating: int | None) -> dict[str, Any]:
    return {
        "author": "ann", "feedback_id": f"f{days}", "created_at": MOMENT - timedelta(days=days), "draft_id": "d",
        "rating": rating,
    }  # fmt: skip
