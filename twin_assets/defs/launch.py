"""Running a job in this process on the persistent instance: what `twin run` and `twin collect` do."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from twin_assets.defs.partitions import AUTHOR_PARTITION
from twin_assets.defs.reporting import own_sentence
from twin_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended: what failed with its sentence, and which checks did not pass."""

    run_id: str
    success: bool
    failures: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)


def dagster_folder() -> Path:
    """The folder of dagster.yaml and workspace.yaml: the checkout's root."""
    return Path(__file__).resolve().parent.parent.parent


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Variables that Dagster's own processes need."""
    storage = settings.home.resolve() / "dagster"
    storage.mkdir(parents=True, exist_ok=True)
    return {
        "DAGSTER_HOME": str(dagster_folder()),
        "TWIN_DAGSTER_STORAGE": str(storage),
        "TWIN_HOME": str(settings.home.resolve()),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def persistent_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance that dagster.yaml describes, with its storage under TWIN_HOME."""
    os.environ.update(dagster_environment(settings))
    return dg.DagsterInstance.from_config(str(dagster_folder()))


def make_storage(settings: Settings) -> None:
    """Make the instance's databases: webserver, daemon and code server, started at once, would each begin to."""
    with persistent_instance(settings) as instance:
        instance.get_runs(limit=1)
        instance.get_dynamic_partitions(AUTHOR_PARTITION)
        instance.all_instigator_state()


def run_job(
    name: str,
    author: str,
    settings: Settings,
    listener: Callable[[dg.EventLogEntry], None] | None = None,
    operations: dict[str, Any] | None = None,
) -> RunOutcome:
    """Run a job for one author in this process and tell how it ended; events go to the listener as they happen.

    operations: configuration of single assets, as run configuration has it under `ops`.
    """
    from dagster._core.utils import make_new_run_id

    from twin_assets.definitions import build_defs

    run_id = make_new_run_id()
    with persistent_instance(settings) as instance:
        instance.add_dynamic_partitions(AUTHOR_PARTITION, [author])
        if listener is not None:
            instance.add_event_listener(run_id, listener)
        result = (
            build_defs(settings=settings)
            .resolve_job_def(name)
            .execute_in_process(
                instance=instance,
                partition_key=author,
                run_id=run_id,
                raise_on_error=False,
                run_config={
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    "ops": operations or {},
                },
            )
        )
        failures = {}
        for event in result.all_events:
            if event.is_step_failure and event.step_key:
                error = event.step_failure_data.user_failure_data or event.step_failure_data.error
                failures[event.step_key] = _sentence(error)
        warnings = {
            f"{evaluation.asset_key.to_user_string()}.{evaluation.check_name}": evaluation.description or "did not pass"
            for evaluation in result.get_asset_check_evaluations()
            if not evaluation.passed
        }
    return RunOutcome(run_id, result.success, failures, warnings)


def _sentence(error) -> str:
    if error is None:
        return "failed without a reason; see the run's log"
    description = getattr(error, "description", None)
    if description:
        return description
    if sentence := own_sentence(error):
        return sentence
    cause = error
    while cause.cause is not None:
        cause = cause.cause
    return cause.message.strip().splitlines()[-1]
