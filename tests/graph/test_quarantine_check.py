"""What is in quarantine shows in the graph with its reasons, never reaches the corpus; a failing source fails alone."""

import dagster as dg
import polars as pl
import pytest

from demo.server import PlatformServer
from tests.graph.ticks import empty_instance, instance, resource, tick_timetable  # noqa: F401  fixtures
from tests.integration.collecting import platforms, workspace  # noqa: F401  fixtures
from twin_assets.core.authors import Author
from twin_assets.core.collection import add_source, source_states
from twin_assets.defs.collection.assets import raw_assets, raw_checks
from twin_assets.defs.features.assets import cleaned_corpus
from twin_assets.defs.features.checks import only_clean_documents
from twin_assets.defs.partitions import AUTHOR_PARTITION
from twin_assets.defs.runs import clock


def of_platform(platform: str) -> list:
    """The asset that collects a platform, and its check."""
    key = dg.AssetKey(f"raw_{platform}")
    return [asset for asset in raw_assets if asset.key == key] + [
        check for check in raw_checks if next(iter(check.check_keys)).asset_key == key
    ]


def run(assets: list, instance, resource, author: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        assets, instance=instance, partition_key=author, resources={"workspace": resource}, raise_on_error=False
    )


@pytest.fixture
def authors(workspace, instance) -> None:
    workspace.authors.save(Author(id="ada", name="Ada", schedule="* * * * *"))
    workspace.authors.save(Author(id="ben", name="Ben", schedule="* * * * *"))
    instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada", "ben"])


def test_quarantine_is_a_warning_with_counts_and_reasons(workspace, platforms, authors, instance, resource):
    add_source(workspace, "ada", "substack", f"{platforms.url}/substack")
    result = run([*of_platform("substack"), cleaned_corpus, only_clean_documents], instance, resource, "ada")
    assert result.success, "quarantine warns and stops nothing"
    check, gate = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.severity) == (
        "sources_answered", False, dg.AssetCheckSeverity.WARN,
    )  # fmt: skip
    raw = workspace.lake.read("raw_documents", "ada")
    held = raw.filter(pl.col("quarantine").is_not_null())
    assert check.metadata["quarantined"].value == held.height > 0
    counted = check.metadata["quarantine"].value
    for reason, count in held.group_by("quarantine").len().iter_rows():
        assert f"| substack:{platforms.url}/substack | {reason} | {count} |" in counted
    for url in held["url"]:
        assert url in check.metadata["links"].value
    documents = workspace.lake.read("documents", "ada", where=pl.col("rejected").is_null())
    assert documents.height == raw.height - held.height > 0
    assert set(documents["document_id"]).isdisjoint(held["document_id"])
    assert gate.passed


def test_one_authors_failing_source_leaves_another_author_of_the_same_tick_alone(
    workspace, platforms: PlatformServer, authors, instance, resource
):
    add_source(workspace, "ada", "feed", f"{platforms.url}/medium/feed/@maren-oduya")
    add_source(workspace, "ben", "feed", f"{platforms.url}/blog/feed.xml")
    platforms.fail("/medium", status=503, times=None)
    assert tick_timetable(instance, resource, clock()) == ["ada", "ben"]
    results = {author: run(of_platform("feed"), instance, resource, author) for author in ("ada", "ben")}
    assert [result.success for result in results.values()] == [True, True]
    ada, ben = (result.get_asset_check_evaluations()[0] for result in results.values())
    assert (ada.passed, ben.passed) == (False, True)
    assert "503" in ada.description
    assert source_states(workspace, "ada")[0]["status"] == "failed"
    assert source_states(workspace, "ben")[0]["status"] == "ok"
    assert workspace.lake.read("raw_documents", "ben").height > 0
