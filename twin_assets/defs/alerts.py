"""What a person should know is told to the webhook the operator set: a failed run, a twin that does worse in use.

A webhook that does not answer fails nothing.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from twin_assets.core.alerts import Alert, send
from twin_assets.core.errors import TwinError
from twin_assets.core.monitoring import watched
from twin_assets.defs.reporting import own_sentence
from twin_assets.resources.workspace import WorkspaceResource

# A measure that is fine for so long has had its episode: the next alarm is a new one.
CALM = timedelta(days=3)
CHECK_FAILED = "DagsterAssetCheckFailedError"  # names asset and check


@dg.run_failure_sensor(
    name="run_failed",
    description="Posts author, job, step and one sentence to TWIN_ALERT_WEBHOOK when a run fails.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_failed(context: dg.RunFailureSensorContext, workspace: WorkspaceResource) -> dg.SkipReason | None:
    """Tell of one failed run; what went wrong with telling is in the tick and in the run's own log."""
    settings = workspace.open().settings
    if settings.alert_webhook is None:
        return None
    step, sentence = failure_of(context)
    run = context.dagster_run
    alert = Alert(
        kind="run failed", author=context.partition_key or "everybody", error=sentence, job=run.job_name, step=step,
        run_id=run.run_id,
    )  # fmt: skip
    problem = send(alert, settings)
    if problem is None:
        return None
    context.log.warning(problem)
    context.instance.report_engine_event(problem, run)
    # One that was not taken ends the tick, so that many of them do not use up its time; the next goes on.
    return dg.SkipReason(problem)


def failure_of(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """(step, sentence) of the first failure; a sentence is ours or Dagster's: others may hold text of a document."""
    for event in context.get_step_failure_events():
        failure, step = event.step_failure_data, event.step_key or ""
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return step, failure.user_failure_data.description
        error = failure.error
        sentence = own_sentence(error)
        while error is not None and error.cause is not None:
            error = error.cause
        name = error.cls_name if error is not None else None
        if error is not None and name == CHECK_FAILED:
            sentence = error.message.partition(": ")[2]
        return step, sentence or f"{name or 'An error'}; the run's log says more."
    return "", context.failure_event.message or "The run ended without a word."


@dg.sensor(
    name="twin_does_worse",
    description="Posts to TWIN_ALERT_WEBHOOK when a measure of a twin in use drifts or many of its requests fail.",
    minimum_interval_seconds=3600,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def twin_does_worse(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
    """Tell of each episode once; the cursor holds when each measure that was told of alarmed last."""
    opened = workspace.open()
    if opened.settings.alert_webhook is None:
        return dg.SensorResult(skip_reason="No webhook is set (TWIN_ALERT_WEBHOOK).")
    now, problems = datetime.now(UTC), []
    told: dict[str, str] = json.loads(context.cursor or "{}")
    told = {name: at for name, at in told.items() if now - datetime.fromisoformat(at) < CALM}
    for author in opened.authors.ids():
        try:
            alarming = [each for each in watched(opened, author, now) if each.alarming]
        except TwinError as error:
            problems.append(f"{author}: {error}")
            continue
        for each in alarming:
            name = f"{author}/{each.measure}"
            problem = None if name in told else send(Alert("twin does worse", author, each.message), opened.settings)
            if problem is None:
                told[name] = now.isoformat()
            else:
                problems.append(problem)
    for problem in problems:
        context.log.warning(problem)
    return dg.SensorResult(skip_reason="; ".join(problems) or "Nothing new to tell.", cursor=json.dumps(told))
