"""What Dagster remembers of an author's runs goes to the last byte, and nobody else's."""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.utils import make_new_run_id

from twin_assets.core.authors import Author, AuthorStore
from twin_assets.defs.forgetting import forget_older_runs, forget_runs
from twin_assets.defs.launch import persistent_instance
from twin_assets.defs.partitions import AUTHOR_PARTITION


def _ended(instance: dg.DagsterInstance, author: str, status: dg.DagsterRunStatus) -> None:
    run = dg.DagsterRun("twin", make_new_run_id(), tags={"dagster/partition": author}, status=status)
    instance.add_run(run)
    instance.report_engine_event(f"a title of {author}s that nobody may read", run)


def _held(home) -> set[str]:
    everything = b"".join(path.read_bytes() for path in (home / "dagster").rglob("*") if path.is_file())
    return {author for author in ("ada", "ben") if f"a title of {author}s".encode() in everything}


def test_what_was_forgotten_through_the_page_is_forgotten_by_the_nights_housekeeping(workspace):
    with dg.DagsterInstance.ephemeral() as instance:
        for author in ("ada", "ben"):
            _ended(instance, author, dg.DagsterRunStatus.SUCCESS)
        done = {"author": "ada", "document_id": "d", "asked_at": datetime.now(UTC), "finished_at": datetime.now(UTC)}
        workspace.lake.append("forgotten", [done, done | {"author": "ben", "finished_at": None}])
        _ended(instance, "ada", dg.DagsterRunStatus.SUCCESS)
        assert forget_older_runs(instance, workspace.lake, workspace.settings.home) == 1
        assert forget_older_runs(instance, workspace.lake, workspace.settings.home) == 0
        assert sorted(run.tags["dagster/partition"] for run in instance.get_runs()) == ["ada", "ben"]


def test_runs_and_partition_of_an_author(home, monkeypatch):
    for name in ("DAGSTER_HOME", "TWIN_DAGSTER_STORAGE", "TWIN_HOME", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # to be put back: opening the instance sets them
    AuthorStore(home.authors_folder).save(Author(id="ben", name="Ben"))
    with persistent_instance(home) as instance:
        instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada", "ben"])
        _ended(instance, "ada", dg.DagsterRunStatus.SUCCESS)
        _ended(instance, "ada", dg.DagsterRunStatus.FAILURE)
        _ended(instance, "ben", dg.DagsterRunStatus.SUCCESS)
    assert _held(home.home) == {"ada", "ben"}
    assert forget_runs(home, "ada") == 2
    assert forget_runs(home, "ada") == 0
    assert _held(home.home) == {"ben"}
    with persistent_instance(home) as instance:
        assert instance.get_dynamic_partitions(AUTHOR_PARTITION) == ["ben"]
