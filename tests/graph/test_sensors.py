"""Sensors and the timetable: what they ask for, when, and what they leave alone."""

import os
import shutil
import time
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from demo.exports import linkedin_export
from twin_assets.core.authors import Author
from twin_assets.core.workspace import Workspace
from twin_assets.definitions import defs
from twin_assets.defs.collection.sensors import collect_on_timetable, inbox, new_authors
from twin_assets.defs.partitions import AUTHOR_PARTITION
from twin_assets.defs.release.sensors import approval_given, new_model
from twin_assets.defs.training.sensors import enough_is_new
from twin_assets.resources.workspace import WorkspaceResource


@pytest.fixture
def resource(workspace: Workspace) -> WorkspaceResource:
    return WorkspaceResource(home=str(workspace.settings.home), s3=S3Resource())


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def tick(sensor, instance, resource):
    repository = defs.get_repository_def()
    with dg.build_sensor_context(
        instance=instance, instance_ref=instance.get_ref(), resources={"workspace": resource}, repository_def=repository
    ) as context:
        return sensor.evaluate_tick(context)


def settle(*paths) -> None:
    """Let files look as if they had lain there for a while."""
    for path in paths:
        os.utime(path, (time.time() - 60, time.time() - 60))


def test_an_author_added_anywhere_gets_a_partition_once(workspace, resource, instance):
    workspace.authors.save(Author(id="ada", name="Ada"))
    (request,) = tick(new_authors, instance, resource).dynamic_partitions_requests
    assert request.partition_keys == ["ada"]
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada"])
    assert not tick(new_authors, instance, resource).dynamic_partitions_requests


def test_an_export_in_the_inbox_is_imported_and_collected(workspace, resource, instance):
    workspace.authors.save(Author(id="ada", name="Ada"))
    folder = workspace.settings.inbox_folder / "ada"
    folder.mkdir(parents=True)
    export = linkedin_export(folder / "whatever it is called.zip")
    assert tick(inbox, instance, resource).run_requests == [], "it may still be on its way"
    settle(export)
    (request,) = tick(inbox, instance, resource).run_requests
    assert request.partition_key == "ada"
    assert list(folder.iterdir()) == []
    (source,) = workspace.authors.get("ada").sources
    assert source.platform == "linkedin"
    assert tick(inbox, instance, resource).run_requests == []


def test_a_file_that_is_no_export_is_set_aside_with_the_reason(workspace, resource, instance):
    workspace.authors.save(Author(id="ada", name="Ada"))
    workspace.authors.save(Author(id="ben", name="Ben"))
    for author in ("ada", "ben"):
        (workspace.settings.inbox_folder / author).mkdir(parents=True)
    (workspace.settings.inbox_folder / "ada" / "cat.zip").write_bytes(b"not a zip")
    settle(
        workspace.settings.inbox_folder / "ada" / "cat.zip",
        linkedin_export(workspace.settings.inbox_folder / "ben" / "export.zip"),
    )
    requests = tick(inbox, instance, resource).run_requests
    assert [request.partition_key for request in requests] == ["ben"], "one author's bad file stops nobody else"
    rejected = workspace.settings.inbox_folder / "ada" / "rejected"
    assert (rejected / "cat.zip").read_bytes() == b"not a zip"
    assert "cat.zip" in (rejected / "cat.zip.txt").read_text()


def test_a_file_still_being_written_is_left_alone(workspace, resource, instance):
    workspace.authors.save(Author(id="ada", name="Ada"))
    folder = workspace.settings.inbox_folder / "ada"
    folder.mkdir(parents=True)
    (folder / "export.zip.part").write_bytes(b"PK")
    settle(folder / "export.zip.part")
    assert tick(inbox, instance, resource).run_requests == []
    assert (folder / "export.zip.part").exists()


@pytest.mark.parametrize(
    ("schedule", "hour", "minute", "due"),
    [(None, 6, 0, False), ("0 6 * * *", 6, 0, True), ("0 6 * * *", 6, 15, False), ("7 6 * * *", 6, 15, True)],
)
def test_only_authors_whose_own_timetable_fell_due_are_collected(
    workspace, resource, instance, schedule, hour, minute, due
):
    workspace.authors.save(Author(id="ada", name="Ada", schedule=schedule))
    workspace.authors.save(Author(id="new", name="Not in the graph yet", schedule="0 6 * * *"))
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada"])
    with dg.build_schedule_context(
        instance=instance,
        resources={"workspace": resource},
        repository_def=defs.get_repository_def(),
        scheduled_execution_time=datetime(2026, 3, 2, hour, minute, tzinfo=UTC),
    ) as context:
        requests = collect_on_timetable.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests] == (["ada"] if due else [])


def test_nothing_is_trained_evaluated_or_recorded_for_an_author_without_text(workspace, resource, instance):
    workspace.authors.save(Author(id="ada", name="Ada"))
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada"])
    for sensor in (enough_is_new, new_model, approval_given):
        assert not tick(sensor, instance, resource).run_requests


def test_the_inbox_survives_a_file_that_vanishes(workspace, resource, instance):
    workspace.authors.save(Author(id="ada", name="Ada"))
    folder = workspace.settings.inbox_folder / "ada"
    folder.mkdir(parents=True)
    shutil.rmtree(folder)
    assert tick(inbox, instance, resource).run_requests == []
