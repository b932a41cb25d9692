"""A run killed at any asset leaves nothing half-published, and the next run completes it."""

import multiprocessing
import os
import signal
import threading

import pytest

from demo.run import AUTHOR
from demo.server import PlatformServer
from tests.e2e.conftest import deploy
from twin_assets.core.documents import TABLES
from twin_assets.core.errors import IndexMissingError
from twin_assets.definitions import ASSETS

# In the order a run takes them; each is killed while it works and, on the way there, the next run completes the last.
NAMES = [asset.key.to_user_string() for asset in ASSETS]
DERIVED = ("documents", "chunks", "embeddings", "samples")
COLUMNS = {
    "documents": ["document_id", "document_hash"],
    "chunks": ["chunk_id", "chunk_hash"],
    "embeddings": ["text_hash"],
    "samples": ["sample_id", "split", "instruction"],
}


def run_killed_at(environment: dict[str, str], asset: str, seconds: float | None) -> None:
    """Run the whole graph and kill this very process in the asset: `seconds` into it, or as its writes are done."""
    os.environ.update(environment)
    from twin_assets.defs.launch import run_job
    from twin_assets.settings import Settings

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def listener(entry) -> None:
        if entry.step_key != asset or entry.dagster_event is None:
            return
        kind = entry.dagster_event.event_type_value
        if seconds is None and kind == "ASSET_MATERIALIZATION":
            kill()
        if seconds is not None and kind == "STEP_START":
            threading.Timer(seconds, kill).start()
        if seconds is not None and kind == "ASSET_MATERIALIZATION":
            kill()  # quicker than the timer: then as its writes are done

    run_job("twin", AUTHOR, Settings(), listener)


@pytest.fixture(scope="module")
def context():
    """Processes that start with everything imported and nothing opened."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["twin_assets.definitions", "twin_assets.defs.launch", "polars", "deltalake"])
    return context


def kill(context, deployment, asset: str, seconds: float | None) -> None:
    process = context.Process(target=run_killed_at, args=(deployment.environment, asset, seconds))
    process.start()
    process.join(timeout=240)
    assert process.exitcode == -signal.SIGKILL, f"{asset}: the run ended with {process.exitcode} before it was killed"


def assert_whole(deployment) -> None:
    """Every store can be read, and what is published is whole."""
    workspace = deployment.workspace
    for table in TABLES:
        workspace.lake.read(table, AUTHOR)
    try:
        published = workspace.index.state(AUTHOR)
        if published:
            assert workspace.retriever.search(AUTHOR, "pipelines"), "a published index answers"
    except IndexMissingError:
        pass
    approved = workspace.registry.approved(AUTHOR)
    if approved is not None:
        assert list(workspace.registry.folder(AUTHOR, approved.version).rglob("*.safetensors"))


@pytest.mark.timeout(900)
def test_a_run_killed_at_every_asset_is_completed_by_the_next(tmp_path, context, head_start):
    with PlatformServer() as server:
        deployment = deploy(tmp_path / "killed", server, head_start)
        for position, asset in enumerate(NAMES):
            kill(context, deployment, asset, None if position % 2 else 0.05)
            assert_whole(deployment)
        outcome = deployment.run("twin")
        assert outcome.success, outcome.failures
        assert_whole(deployment)
        assert deployment.workspace.registry.approved(AUTHOR) is not None

        fresh = deploy(tmp_path / "fresh", server, head_start)
        assert fresh.run("collect").success
    for table in DERIVED:
        killed, rebuilt = (one.workspace.lake.fingerprint(table, AUTHOR, COLUMNS[table]) for one in (deployment, fresh))
        assert killed == rebuilt, f"{table} is not what a fresh build gives"
    assert deployment.workspace.index.state(AUTHOR) == fresh.workspace.index.state(AUTHOR)
