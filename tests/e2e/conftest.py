"""One deployment of the demo author, run once through the whole graph, that the end-to-end tests look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.run import AUTHOR, add_demo_author
from demo.server import PlatformServer
from tests.conftest import HeadStart
from twin_assets.core.workspace import Workspace
from twin_assets.defs.launch import RunOutcome, run_job
from twin_assets.settings import Settings, get_settings


@dataclass
class Deployment:
    """A home with the demo author in it and her platforms playing."""

    environment: dict[str, str]
    server: PlatformServer
    outcome: RunOutcome | None = None

    @property
    def settings(self) -> Settings:
        """The settings as a process with this environment reads them."""
        with pytest.MonkeyPatch.context() as patch:
            self.enter(patch)
            return Settings()

    @property
    def workspace(self) -> Workspace:
        """The stores, opened anew."""
        return Workspace(self.settings)

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Set the environment for the life of the patch."""
        for name, value in self.environment.items():
            patch.setenv(name, value)
        get_settings.cache_clear()

    def run(self, job: str) -> RunOutcome:
        """Run a job for the author in this process."""
        with pytest.MonkeyPatch.context() as patch:
            self.enter(patch)
            outcome = run_job(job, AUTHOR, Settings())
        get_settings.cache_clear()
        return outcome


def deploy(folder: Path, server: PlatformServer, head_start: HeadStart) -> Deployment:
    """A new home with the demo author added and nothing collected."""
    head_start.give(folder)
    deployment = Deployment(
        {
            "TWIN_HOME": str(folder),
            "TWIN_ALLOWED_HOSTS": f"127.0.0.1:{server.port}",
            "TWIN_BASE_MODEL": "nano",
            "TWIN_TRAINING_MINUTES": "0.1",
        },
        server,
    )
    add_demo_author(deployment.workspace, server)
    return deployment


@pytest.fixture(scope="package")
def demo_deployment(tmp_path_factory: pytest.TempPathFactory, head_start: HeadStart) -> Iterator[Deployment]:
    """The demo author after one run of the whole graph."""
    with PlatformServer() as server:
        deployment = deploy(tmp_path_factory.mktemp("demo"), server, head_start)
        deployment.outcome = deployment.run("twin")
        yield deployment
