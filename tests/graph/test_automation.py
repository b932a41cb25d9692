"""The automation condition, tested by ticking it: what it skips, waits for and tries again."""

import dagster as dg
import pytest

from twin_assets.defs.automation import DERIVES, on_new_data
from twin_assets.defs.partitions import AUTHOR_PARTITION, authors


class World:
    """Two assets with a gate between them, whose content and faults the test decides."""

    def __init__(self) -> None:
        self.content, self.gate_open, self.broken = "1", True, False
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada", "ben"])
        self.cursor = None
        world = self

        @dg.asset(partitions_def=authors)
        def upstream() -> dg.MaterializeResult:
            return dg.MaterializeResult(data_version=dg.DataVersion(world.content))

        @dg.asset_check(asset=upstream, blocking=True, partitions_def=authors)
        def gate() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=world.gate_open)

        @dg.asset(partitions_def=authors, deps=[upstream], automation_condition=on_new_data)
        def downstream() -> None:
            if world.broken:
                raise RuntimeError("broken on purpose")

        self.upstream, self.downstream, self.gate = upstream, downstream, gate
        self.definitions = dg.Definitions(assets=[upstream, downstream], asset_checks=[gate])

    def collect(self, author: str) -> None:
        self._materialize([self.upstream, self.gate], author)

    def _materialize(self, assets: list, author: str) -> None:
        dg.materialize(assets, instance=self.instance, partition_key=author, raise_on_error=False)

    def tick(self) -> list[str]:
        """Evaluate once, run what was asked for, and say for whom."""
        result = dg.evaluate_automation_conditions(defs=self.definitions, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        wanted = sorted(result.get_requested_partitions(self.downstream.key))
        for author in wanted:
            self._materialize([self.downstream], author)
        return wanted


@pytest.fixture
def world() -> World:
    world = World()
    world.tick()
    return world


def test_new_content_is_derived_once_and_only_for_its_author(world):
    world.collect("ada")
    assert world.tick() == ["ada"]
    assert world.tick() == []


def test_a_job_that_collects_and_derives_leaves_nothing_to_do(world):
    world.instance.add_dynamic_partitions(AUTHOR_PARTITION, ["cleo"])
    world.tick()
    assets = [world.upstream, world.gate, world.downstream]
    dg.materialize(assets, instance=world.instance, partition_key="cleo", tags=DERIVES)
    assert world.tick() == []


def test_a_new_author_is_derived_once_their_sources_are_read(world):
    world.instance.add_dynamic_partitions(AUTHOR_PARTITION, ["cleo"])
    assert world.tick() == []
    world.collect("cleo")
    assert world.tick() == ["cleo"]
    assert world.tick() == []


def test_the_same_content_again_is_skipped(world):
    world.collect("ada")
    world.tick()
    world.collect("ada")
    assert world.tick() == []
    world.content = "2"
    world.collect("ada")
    assert world.tick() == ["ada"]


def test_it_waits_behind_a_failed_gate_and_goes_on_when_it_passes(world):
    world.gate_open = False
    world.collect("ada")
    assert world.tick() == []
    assert world.tick() == []
    world.gate_open = True
    world.collect("ada")
    assert world.tick() == ["ada"]


def test_a_failure_is_tried_again_exactly_once(world):
    world.broken = True
    world.collect("ada")
    assert world.tick() == ["ada"]
    assert world.tick() == ["ada"]
    assert world.tick() == []


def test_one_authors_failure_does_not_hold_another_back(world):
    world.broken = True
    world.collect("ada")
    world.tick()
    world.broken = False
    world.collect("ben")
    assert "ben" in world.tick()
