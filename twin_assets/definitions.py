"""build_defs(): the whole data product as Dagster definitions."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from twin_assets.defs.alerts import run_failed, twin_does_worse
from twin_assets.defs.automation import DERIVES
from twin_assets.defs.collection import assets as collection
from twin_assets.defs.collection import sensors as collection_sensors
from twin_assets.defs.features import assets as features
from twin_assets.defs.features import checks as feature_checks
from twin_assets.defs.housekeeping import every_night, housekeeping
from twin_assets.defs.release import assets as release
from twin_assets.defs.release import sensors as release_sensors
from twin_assets.defs.training import assets as training
from twin_assets.defs.training import datasets as training_datasets
from twin_assets.defs.training import sensors as training_sensors
from twin_assets.resources.mlflow import training_run
from twin_assets.resources.workspace import WorkspaceResource, s3_resource
from twin_assets.settings import Settings, get_settings

FEATURES = [
    features.cleaned_corpus,
    features.chunks,
    features.qdrant_collections,
    features.voice_profile,
    training_datasets.instruct_dataset,
    training_datasets.preference_dataset,
]
RELEASE = [release.eval_report, release.approved_model]
ASSETS = [*collection.raw_assets, *FEATURES, training.fine_tuned_model, *RELEASE]
CHECKS = [
    *collection.raw_checks,
    feature_checks.only_clean_documents,
    feature_checks.voice_survives,
    feature_checks.spans_are_exact,
    feature_checks.index_is_complete,
    training_datasets.no_leakage,
    training_datasets.targets_are_verbatim,
    training_datasets.is_balanced,
    training_datasets.no_personal_data,
    training_datasets.preferences_do_not_leak,
    training.only_safetensors,
    release.gate,
]


def _job(name: str, selection: dg.AssetSelection, description: str, tags: Mapping[str, str] | None = None):
    return dg.define_asset_job(name, selection, description=description, tags=tags)


_collected = dg.AssetSelection.groups("collection", "features")
JOBS = [
    _job("twin", dg.AssetSelection.all(), "Everything, from the sources to the approved model.", DERIVES),
    _job("collect", _collected, "Collects and brings corpus, index, profile and datasets up to date.", DERIVES),
    _job(
        "train",
        dg.AssetSelection.groups("training", "release"),
        "Trains, evaluates and lets the gate decide.",
    ),
    _job(
        "release",
        dg.AssetSelection.groups("release"),
        "Evaluates the newest candidate and lets the gate decide.",
    ),
    _job("preferences", dg.AssetSelection.assets("preference_dataset"), "Makes preference pairs of new feedback."),
    _job("record_approval", dg.AssetSelection.assets("approved_model"), "Records which version is served."),
]


def build_defs(resource_overrides: Mapping[str, Any] | None = None, settings: Settings | None = None) -> dg.Definitions:
    """The definitions over the stores the settings name; a test replaces resources by name."""
    settings = settings or get_settings()
    resources: dict[str, Any] = {
        "workspace": WorkspaceResource(home=str(settings.home), s3=s3_resource(settings)),
        "training_run": training_run.configured({"mlflow_tracking_uri": settings.tracking_uri}),
    }
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=CHECKS,
        jobs=[*JOBS, housekeeping],
        schedules=[collection_sensors.collect_on_timetable, every_night],
        sensors=[
            collection_sensors.new_authors,
            collection_sensors.inbox,
            collection_sensors.wait_is_over,
            run_failed,
            twin_does_worse,
            training_sensors.enough_is_new,
            training_sensors.feedback_given,
            release_sensors.new_model,
            release_sensors.approval_given,
            dg.AutomationConditionSensorDefinition(
                "automation",
                target=dg.AssetSelection.groups("features"),
                default_status=dg.DefaultSensorStatus.RUNNING,
            ),
        ],
        resources=resources | dict(resource_overrides or {}),
        # Light assets of a run share one process: 0.6 s in process against 32 s with a process a step (FACTS.md).
        executor=dg.in_process_executor,
    )


defs = build_defs()
