"""Feedback becomes pairs, and training starts, when enough is new: the decision is core's; the sensors ask for the runs
and tell of failures."""

import dagster as dg

from twin_assets.core.alerts import Alert, send
from twin_assets.core.authors import Author
from twin_assets.core.datasets import unused_feedback
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import TwinError
from twin_assets.core.rules import training_rules
from twin_assets.core.training.policy import TrainingDecision, note_start, observe, to_report, training_wanted
from twin_assets.core.workspace import Workspace
from twin_assets.defs.release.sensors import idle_authors
from twin_assets.defs.runs import clock
from twin_assets.resources.workspace import WorkspaceResource


@dg.sensor(
    name="enough_is_new",
    job_name="train",
    description="Trains an author's twin by the policy that `twin policy AUTHOR` shows; a failure is retried once.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def enough_is_new(context: dg.SensorEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author whose policy says so; one author's fault stops nobody else."""
    stores = workspace.open()
    for author in idle_authors(context, workspace):
        try:
            decision = _decided(stores, author)
            if decision.wanted:
                note_start(stores, author, decision, clock())
            elif to_report(stores, author, decision):
                problem = send(_alert(author, decision), stores.settings)
                context.log.warning(f"{author.id}: {decision.reason}. {problem or ''}")
        except TwinError as error:
            context.log.warning(f"{author.id}: {error}")
            continue
        if decision.wanted:
            context.log.info(f"{author.id}: {decision.reason}")
            yield dg.RunRequest(partition_key=author.id, run_key=f"{author.id}@{decision.key}@{decision.attempt}")


@dg.sensor(
    name="feedback_given",
    job_name="preferences",
    description="Makes preference pairs of feedback when it gives as many new ones as start a preference tuning.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def feedback_given(context: dg.SensorEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author with enough unused feedback; its key is that feedback, so that what fails is not
    asked for again by the same words."""
    stores = workspace.open()
    for author in idle_authors(context, workspace):
        try:
            unused = unused_feedback(stores.lake, author.id)
        except TwinError as error:
            context.log.warning(f"{author.id}: {error}")
            continue
        if len(unused) >= (training_rules(stores.settings, author).minimum_new_pairs or 1):
            context.log.info(f"{author.id}: {len(unused)} new pairs")
            yield dg.RunRequest(partition_key=author.id, run_key=f"{author.id}@{content_hash(unused)}")


def _decided(stores: Workspace, author: Author) -> TrainingDecision:
    observe(stores, author, clock())
    return training_wanted(stores, author, clock())


def _alert(author: Author, decision: TrainingDecision) -> Alert:
    sentence = f"{decision.reason[0].upper()}{decision.reason[1:]}; the runs' logs say why."
    return Alert(kind="training failed", author=author.id, error=sentence, job="train", step="fine_tuned_model")
