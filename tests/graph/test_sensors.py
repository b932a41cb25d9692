"""Sensors and the timetable: what they ask for, when, and what they leave alone."""

import shutil
from datetime import UTC, datetime

import pytest

from demo.exports import linkedin_export
from tests.graph.ticks import empty_instance, instance, resource, settle, tick, tick_timetable  # noqa: F401  fixtures
from twin_assets.core.authors import Author, Source
from twin_assets.core.collection import import_export
from twin_assets.defs.collection import sensors
from twin_assets.defs.collection.sensors import inbox, new_authors
from twin_assets.defs.partitions import AUTHOR_PARTITION
from twin_assets.defs.release.sensors import approval_given, new_model
from twin_assets.defs.training.sensors import enough_is_new

FEED = (Source(platform="feed", location="https://ada.example/feed"),)


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


def test_a_file_that_breaks_its_parser_stops_nobody_else(workspace, resource, instance, monkeypatch):
    def read(workspace, author, path):
        if author == "ada":
            raise KeyError("part of somebody's post")
        return import_export(workspace, author, path)

    monkeypatch.setattr(sensors, "import_export", read)
    for author in ("ada", "ben"):
        workspace.authors.save(Author(id=author, name=author.title()))
        (workspace.settings.inbox_folder / author).mkdir(parents=True)
        settle(linkedin_export(workspace.settings.inbox_folder / author / "export.zip"))
    assert [request.partition_key for request in tick(inbox, instance, resource).run_requests] == ["ben"]
    said = (workspace.settings.inbox_folder / "ada" / "rejected" / "export.zip.txt").read_text()
    assert "KeyError" in said
    assert "somebody's post" not in said


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
    workspace.authors.save(Author(id="ada", name="Ada", schedule=schedule, sources=FEED))
    workspace.authors.save(Author(id="new", name="Not in the graph yet", schedule="0 6 * * *", sources=FEED))
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada"])
    asked = tick_timetable(instance, resource, datetime(2026, 3, 2, hour, minute, tzinfo=UTC))
    assert asked == (["ada"] if due else [])


def test_one_authors_broken_file_or_timetable_stops_nobody_else(workspace, resource, instance):
    for author, schedule in (("ada", "at six"), ("ben", "0 6 * * *"), ("cleo", "0 6 * * *")):
        workspace.authors.save(Author(id=author, name=author, schedule=schedule, sources=FEED))
    (workspace.settings.authors_folder / "cleo.json").write_text("{half a file")
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada", "ben", "cleo"])
    assert tick_timetable(instance, resource, datetime(2026, 3, 2, 6, tzinfo=UTC)) == ["ben"]
    assert not tick(new_authors, instance, resource).dynamic_partitions_requests
    folder = workspace.settings.inbox_folder / "ben"
    folder.mkdir(parents=True)
    settle(linkedin_export(folder / "export.zip"))
    assert [request.partition_key for request in tick(inbox, instance, resource).run_requests] == ["ben"]


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
