"""Fixtures every room uses, and the guard that keeps tests off the network."""

import ipaddress
import os
import shutil
import socket
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from twin_assets.core.registry import Registry
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings, get_settings

# No deployment of a test exports its models, which takes seconds of a processor, unless the test wants it to.
os.environ["TWIN_ENGINE"] = "reference"

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


# Modules that share a dear fixture of the session run on one process.
TOGETHER = {"tests/e2e/test_cli.py": "demo deployment", "tests/e2e/test_loop.py": "demo deployment"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under xdist a module stays on one process, in the order of collection: the long ones come first.

    xdist's own `--dist loadgroup` marks nothing with pytest 9.2 (it writes to an attribute that is not read any more):
    every module's fixtures were made on both processes.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return TOGETHER.get(module, module)

    config.option.loadscopereorder = False
    return ByModule(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real captured data beside the checkout (never part of the project)."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(f"the captured data is not at ../shared/data (looked for {SHARED_DATA / 'README.md'})")
    return SHARED_DATA


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Settings of a deployment that lives in the test's folder; loopback servers may be read."""
    return Settings(home=tmp_path / "home", allowed_hosts="127.0.0.1,localhost")


@pytest.fixture
def workspace(home: Settings) -> Workspace:
    """The stores of that deployment, empty."""
    return Workspace(home)


class HeadStart:
    """What every new home would make, made once for all test processes.

    The sixty migrations of an empty MLflow database take 4 to 6 s of a processor, exporting the embedding model 8 s.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "empty-mlflow.db"
        self.embedder = folder / "embedder-export"

    def give(self, home: Path) -> None:
        """Give both to a home that other processes open."""
        self.copy_to(home / "mlflow" / "mlflow.db")
        self.embedder.mkdir(exist_ok=True)
        (home / "models").mkdir(parents=True)
        (home / "models" / "embedder").symlink_to(self.embedder)

    def copy_to(self, database: Path) -> None:
        """Put a copy of the database there, unless one is there already."""
        with FileLock(self.path.with_suffix(".lock")):
            if not self.path.exists():
                scratch = self.path.with_suffix(".part")
                make_client(Registry(f"sqlite:///{scratch}", self.path.parent))
                scratch.rename(self.path)
        if not database.exists():
            database.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path, database)


# Registry's own way to its client, before tests put the copying in front of it.
make_client = Registry._client.func  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def head_start(tmp_path_factory: pytest.TempPathFactory) -> HeadStart:
    """For deployments that other processes open; registries of this process come by their database alone."""
    folder = tmp_path_factory.getbasetemp()
    return HeadStart(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture(autouse=True, scope="session")
def quick_tracking(head_start: HeadStart) -> Iterator[None]:
    """A registry that finds no database begins with a copy of the empty one."""

    def client(self: Registry) -> object:
        if self._database is not None:
            head_start.copy_to(self._database)
        return make_client(self)

    copying = cached_property(client)
    copying.__set_name__(Registry, "_client")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "_client", copying)
        yield


@pytest.fixture(autouse=True)
def clean_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the person who runs the tests reaches a test, and none of a test's reaches the next."""
    for name in [name for name in os.environ if name.startswith("TWIN_") and name != "TWIN_ENGINE"]:
        monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


class NetworkBlockedError(OSError):
    """A test tried to leave this machine."""


def _check(address: object) -> None:
    if not isinstance(address, tuple):  # a Unix socket
        return
    host = str(address[0])
    try:
        local = ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        local = host in ("localhost", "")
    if not local:
        raise NetworkBlockedError(f"a test tried to connect to {host}; tests reach loopback addresses only")


@pytest.fixture(autouse=True, scope="session")
def network_guard() -> Iterator[None]:
    """Refuse every connection of the test process that is not to loopback."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: object) -> None:
        _check(address)
        return connect(self, address)  # type: ignore[arg-type]

    def guarded_connect_ex(self: socket.socket, address: object) -> int:
        _check(address)
        return connect_ex(self, address)  # type: ignore[arg-type]

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    yield
    patch.undo()
