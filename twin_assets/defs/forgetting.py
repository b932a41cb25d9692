"""What Dagster remembers of an author's runs: titles and addresses in its pages, phrases in the measured voice."""

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import polars as pl

from twin_assets.core.lake import Lake
from twin_assets.defs.launch import persistent_instance
from twin_assets.defs.partitions import AUTHOR_PARTITION
from twin_assets.settings import Settings


def forget_runs(settings: Settings, author: str) -> int:
    """Delete the author's ended runs with their logs, and the partition where there is no such author any more.

    Returns how many runs went.
    """
    with persistent_instance(settings) as instance:
        wanted = dg.RunsFilter(tags={"dagster/partition": author})
        runs = [run for run in instance.get_runs(wanted) if run.is_finished]
        for run in runs:
            instance.delete_run(run.run_id)
        if not (settings.authors_folder / f"{author}.json").is_file():
            instance.delete_dynamic_partition(AUTHOR_PARTITION, author)
    for database in (settings.home / "dagster").rglob("*.db"):
        _compact(database)
    return len(runs)


def forget_older_runs(instance: dg.DagsterInstance, lake: Lake, storage: Path) -> int:
    """Delete ended runs from before something of their author's was forgotten: the page leaves them behind.

    Returns how many runs went; storage: the folder of Dagster's databases.
    """
    gone = 0
    asked = lake.read("forgotten").drop_nulls("finished_at").group_by("author").agg(pl.col("finished_at").max())
    for author, finished in asked.sort("author").iter_rows():
        wanted = dg.RunsFilter(tags={"dagster/partition": author}, created_before=finished)
        for run in instance.get_runs(wanted):
            if run.is_finished:
                instance.delete_run(run.run_id)
                gone += 1
    if gone:
        for database in storage.rglob("*.db"):
            _compact(database)
    return gone


def _compact(database: Path) -> None:
    """Rewrite a database without the bytes of deleted rows; one that is in use keeps them until it is done again."""
    with closing(sqlite3.connect(database, timeout=5)) as connection:
        try:
            connection.execute("VACUUM")
        except sqlite3.OperationalError:
            return
