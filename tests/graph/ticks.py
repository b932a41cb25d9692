"""What the tests of sensors share: an instance, and a tick of a sensor or of the timetable as the daemon makes it."""

import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from twin_assets.core.workspace import Workspace
from twin_assets.definitions import defs
from twin_assets.defs.collection.sensors import collect_on_timetable
from twin_assets.defs.partitions import AUTHOR_PARTITION
from twin_assets.resources.workspace import WorkspaceResource

NO_TELEMETRY = {"telemetry": {"enabled": False}}


@pytest.fixture
def resource(workspace: Workspace) -> WorkspaceResource:
    """The deployment's stores as a resource."""
    return WorkspaceResource(home=str(workspace.settings.home), s3=S3Resource())


@pytest.fixture(scope="session")
def empty_instance(tmp_path_factory) -> Path:
    """The folder of an instance whose databases are made: making them takes over a second."""
    folder = tmp_path_factory.mktemp("instance")
    with dg.DagsterInstance.local_temp(str(folder), overrides=NO_TELEMETRY) as instance:
        instance.get_runs(limit=1)
        instance.get_dynamic_partitions(AUTHOR_PARTITION)
    return folder


@pytest.fixture
def instance(tmp_path, empty_instance):
    """A Dagster instance of the test's own."""
    folder = shutil.copytree(empty_instance, tmp_path / "dagster")
    with dg.DagsterInstance.local_temp(str(folder), overrides=NO_TELEMETRY) as instance:
        yield instance


def tick(sensor, instance, resource):
    """One evaluation of a sensor."""
    repository = defs.get_repository_def()
    with dg.build_sensor_context(
        instance=instance, instance_ref=instance.get_ref(), resources={"workspace": resource}, repository_def=repository
    ) as context:
        return sensor.evaluate_tick(context)


def tick_timetable(instance, resource, moment: datetime) -> list[str]:
    """The authors that the timetable's tick at this moment asks to collect."""
    with dg.build_schedule_context(
        instance=instance,
        resources={"workspace": resource},
        repository_def=defs.get_repository_def(),
        scheduled_execution_time=moment,
    ) as context:
        requests = collect_on_timetable.evaluate_tick(context).run_requests
    return [request.partition_key for request in requests]


def settle(*paths) -> None:
    """Let files look as if they had lain there for a while."""
    for path in paths:
        os.utime(path, (time.time() - 60, time.time() - 60))
