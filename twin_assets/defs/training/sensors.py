"""Training starts when enough is new: the decision is core's, the sensor only asks for the run."""

import dagster as dg

from twin_assets.core.training.policy import training_wanted
from twin_assets.defs.release.sensors import idle_authors
from twin_assets.resources.workspace import WorkspaceResource


@dg.sensor(
    name="enough_is_new",
    job_name="train",
    description="Trains an author's twin when at least TWIN_MINIMUM_NEW_SAMPLES samples are new since the last model.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def enough_is_new(context: dg.SensorEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author whose dataset has grown enough; its key is the dataset version."""
    stores = workspace.open()
    for author in idle_authors(context, workspace):
        decision = training_wanted(stores, author)
        if decision.wanted:
            context.log.info(f"{author.id}: {decision.reason}")
            yield dg.RunRequest(partition_key=author.id, run_key=f"{author.id}@{decision.dataset_version}")
