"""The asset graph is what DESIGN.md says: names, groups, dependencies, checks, automation."""

import json
from pathlib import Path

import dagster as dg
import pytest

from twin_assets.definitions import ASSETS, build_defs
from twin_assets.defs.automation import DERIVES
from twin_assets.settings import Settings

SNAPSHOT = Path(__file__).with_name("graph.json")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory) -> dg.Definitions:
    return build_defs(settings=Settings(home=tmp_path_factory.mktemp("home")))


def graph_of(definitions: dg.Definitions) -> dict:
    graph = definitions.resolve_asset_graph()
    return {
        key.to_user_string(): {
            "group": graph.get(key).group_name,
            "depends on": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            "kinds": sorted(graph.get(key).kinds),
            "checks": sorted(
                check.name + (" (blocking)" if graph.get(check).blocking else "") for check in graph.get(key).check_keys
            ),
            "by itself": graph.get(key).automation_condition.get_label()
            if graph.get(key).automation_condition
            else None,
        }
        for key in sorted(graph.get_all_asset_keys(), key=lambda key: key.to_user_string())
    }


def test_the_graph_is_the_one_on_record(definitions):
    """After a wanted change: `python -m tests.graph.test_graph` writes the record anew."""
    assert graph_of(definitions) == json.loads(SNAPSHOT.read_text())


def test_every_asset_is_by_author_and_described(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.partitions_def.name == "author"
        assert node.description
        assert node.owners
        assert node.kinds


def test_the_jobs_and_sensors_are_there(definitions):
    repository = definitions.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {"twin", "collect", "train", "release", "preferences", "record_approval", "housekeeping"} <= jobs
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "automation", "new_authors", "inbox", "enough_is_new", "new_model", "approval_given",
        "wait_is_over", "run_failed", "twin_does_worse", "feedback_given",
    }  # fmt: skip
    assert [schedule.name for schedule in repository.schedule_defs] == ["collect_on_timetable", "every_night"]


def test_jobs_that_derive_what_they_collect_say_so(definitions):
    for name in ("twin", "collect"):
        assert DERIVES.items() <= definitions.resolve_job_def(name).tags.items()


def test_the_whole_graph_is_one_job_in_one_process(definitions):
    job = definitions.resolve_job_def("twin")
    assert job.executor_def.name == "in_process"
    assert len(job.asset_layer.selected_asset_keys) == len(ASSETS)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = graph_of(build_defs(settings=Settings(home=Path(folder))))
    SNAPSHOT.write_text(json.dumps(found, indent=2) + "\n")
