"""Ties a Dagster run to an MLflow run through dagster-mlflow, on first use only.

dagster-mlflow's own resource starts an MLflow run in every Dagster run that could train, and importing it imports all
of MLflow (4 s); most runs find nothing new to train. So the library's `MlFlow` is built when a training asks for it.
"""

import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
from dagster import InitResourceContext
from dagster_shared.utils.warnings import BetaWarning


class TrainingRun:
    """The MLflow run of a Dagster run; nothing exists before `start`."""

    def __init__(self, context: InitResourceContext) -> None:
        self._context = context
        self._mlflow: Any = None

    def start(self, experiment: str) -> str:
        """Id of the MLflow run tagged with this Dagster run, started on first use and found again after a restart.

        experiment: the author's, which exists already: one that MLflow made here would keep its files elsewhere.
        """
        if self._mlflow is None:
            run = self._context.run
            assert run is not None  # a resource of an asset is always initialised in a run
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", BetaWarning)
                from dagster_mlflow.resources import MlFlow

                self._mlflow = MlFlow(
                    SimpleNamespace(
                        log=self._context.log,
                        dagster_run=run,
                        run_id=run.run_id,
                        resource_config={**self._context.resource_config, "experiment_name": experiment},
                    )
                )
        return str(self._mlflow.mlflow_run_id or self._mlflow.active_run().info.run_id)

    def finish(self, failed: bool) -> None:
        """End the MLflow run, if one was started."""
        if self._mlflow is not None:
            self._mlflow.end_run(status="FAILED" if failed else "FINISHED")


@dg.resource(
    config_schema={
        "mlflow_tracking_uri": str,
        "env": dg.Field(dg.Permissive(), default_value={}),
        "extra_tags": dg.Field(dg.Permissive(), default_value={}),
    },
    description="The MLflow run of this Dagster run (dagster-mlflow), started when a training asks for it.",
)
def training_run(context: InitResourceContext) -> Iterator[TrainingRun]:
    """Yield the run and end it with the state the Dagster run ended in."""
    run = TrainingRun(context)
    try:
        yield run
    except BaseException:
        run.finish(failed=True)
        raise
    run.finish(failed=False)
