"""A new model is evaluated, and an approval given anywhere (CLI, page, API) shows in the graph."""

import dagster as dg

from twin_assets.core.authors import Author
from twin_assets.core.registry import ModelVersion, Registry
from twin_assets.defs.release.assets import approved_model
from twin_assets.defs.runs import busy_authors, ready_authors
from twin_assets.resources.workspace import WorkspaceResource

# Tag of a run that evaluates: author@version.
EVALUATES = "twin/evaluates"
ATTEMPTS = 2


def idle_authors(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> list[Author]:
    """Authors with a partition and no run under way: a run that trains goes on to evaluate and to record by itself."""
    busy = busy_authors(context.instance)
    return [
        author for author in ready_authors(context.instance, workspace.open(), context.log) if author.id not in busy
    ]


@dg.sensor(
    name="new_model",
    job_name="release",
    description="Evaluates a candidate that has no report yet and lets the gate decide.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_model(context: dg.SensorEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author whose newest candidate has no evaluation; what was killed or failed is tried
    again once."""
    registry = workspace.open().registry
    for author in (author.id for author in idle_authors(context, workspace)):
        versions = registry.versions(author)
        if not versions or versions[0].status != "candidate" or not _unread(registry, versions[0]):
            continue
        tags = {EVALUATES: f"{author}@{versions[0].version}"}
        tried = len(context.instance.get_runs(dg.RunsFilter(tags=tags), limit=ATTEMPTS))
        if tried < ATTEMPTS:
            yield dg.RunRequest(partition_key=author, run_key=f"{tags[EVALUATES]}@{tried}", tags=tags)


def _unread(registry: Registry, candidate: ModelVersion) -> bool:
    try:
        return registry.report(candidate.author, candidate.version) is None
    except ValueError:  # a report cut short stands for none
        return True


@dg.sensor(
    name="approval_given",
    job_name="record_approval",
    description="Materialises approved_model when the registry serves another version than the graph last recorded.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def approval_given(context: dg.SensorEvaluationContext, workspace: WorkspaceResource):
    """One run request for each author whose approved version the graph does not show."""
    registry = workspace.open().registry
    for author in (author.id for author in idle_authors(context, workspace)):
        approved = registry.approved(author)
        if approved is None:
            continue
        records = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=approved_model.key, asset_partitions=[author]), limit=1
        ).records
        materialization = records[0].asset_materialization if records else None
        tags = materialization.tags if materialization else None
        shown = tags.get("dagster/data_version") if tags else None
        record = records[0].storage_id if records else 0
        if shown != approved.version:
            yield dg.RunRequest(partition_key=author, run_key=f"{author}@{approved.version}@{record}")
