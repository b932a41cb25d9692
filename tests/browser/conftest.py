"""The whole product on loopback (platforms, Dagster, serving, page) and a browser in front of it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.server import PlatformServer
from twin_assets.defs.launch import dagster_environment
from twin_assets.settings import Settings
from twin_serving.server import free_port, running_server

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 90
# Milliseconds for one step of the page, which may start a process or read the network, on two busy cores.
PATIENCE = 60_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/browser --screenshots docs/images` renews the pictures of the documentation."""
    parser.addoption("--screenshots", type=Path, help="folder the screenshots go to")


@dataclass
class Product:
    """Where everything answers."""

    page_url: str
    dagster_url: str
    serving_url: str
    platforms: PlatformServer
    settings: Settings


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest) -> Path:
    """The folder screenshots go to."""
    folder = request.config.getoption("--screenshots", default=None) or Path(__file__).parent / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(folder)


def _make_storage(settings: Settings) -> None:
    from twin_assets.defs.launch import dagster_environment, make_storage

    with pytest.MonkeyPatch.context() as patch:
        for name, value in dagster_environment(settings).items():
            patch.setenv(name, value)
        make_storage(settings)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """All services, started once, on an empty home."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        platforms = stack.enter_context(PlatformServer())
        settings = Settings(
            home=home,
            allowed_hosts=f"127.0.0.1:{platforms.port}",
            base_model="nano",
            dagster_port=free_port(),
        )
        urls = {"TWIN_DAGSTER_URL": f"http://127.0.0.1:{settings.dagster_port}"}
        environment = _environment(settings, urls)
        dagster = (sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(settings.dagster_port))
        workspace = ("--workspace", "workspace.yaml")
        _make_storage(settings)
        stack.enter_context(_process(home / "dagster-webserver.log", (*dagster, *workspace), environment))
        # Runs are queued; the daemon takes them from there.
        daemon = (sys.executable, "-m", "dagster._daemon", "run", *workspace)
        stack.enter_context(_process(home / "dagster-daemon.log", daemon, environment))
        serving_url = stack.enter_context(running_server(settings))
        page_url = stack.enter_context(running_page(home, environment | {"TWIN_SERVING_URL": serving_url}))
        _wait_for(f"{urls['TWIN_DAGSTER_URL']}/server_info", home / "dagster-webserver.log")
        _stop_sensors(urls["TWIN_DAGSTER_URL"])
        yield Product(page_url, urls["TWIN_DAGSTER_URL"], serving_url, platforms, settings)


def _stop_sensors(dagster_url: str) -> None:
    """What runs in these tests is what the person pressed: the sensors have tests of their own."""

    def ask(query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{dagster_url}/graphql", json=body, timeout=60, trust_env=False).json()
        assert "errors" not in answer, answer
        return answer["data"]

    nodes = ask("{repositoriesOrError{... on RepositoryConnection{nodes{sensors{name sensorState{id}}}}}}")
    for repository in nodes["repositoriesOrError"]["nodes"]:
        for sensor in repository["sensors"]:
            stopped = ask("mutation($id:String){stopSensor(id:$id){__typename}}", id=sensor["sensorState"]["id"])
            assert stopped["stopSensor"]["__typename"] == "StopSensorMutationResult", stopped


@contextmanager
def running_page(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The page in a process of its own; yields its address."""
    port = free_port()
    command = (sys.executable, "-m", "streamlit", "run", "twin_ui/app.py", "--server.port", str(port))
    log = folder / f"page-{port}.log"
    with _process(log, command, environment):
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health", log)
        yield f"http://127.0.0.1:{port}"


def _environment(settings: Settings, urls: dict[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        **dagster_environment(settings),
        **urls,
        "TWIN_ALLOWED_HOSTS": settings.allowed_hosts,
        "TWIN_BASE_MODEL": settings.base_model,
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _process(log: Path, command: tuple[str, ...], environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{url} did not answer within {START_SECONDS} s:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """One person's browser window; remembers what the page fetched from elsewhere and what it complained about."""

    def __init__(self, page: Page, base_url: str, screenshots: Path) -> None:
        self.page = page
        self.base_url = base_url
        self.screenshots = screenshots
        self.foreign_requests: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if request.url.startswith(("http", "ws")) and "//127.0.0.1:" not in request.url:
            self.foreign_requests.append(request.url)

    def open(self, path: str = "") -> None:
        """Go to a page and wait until it has been drawn."""
        self.page.goto(f"{self.base_url}/{path}")
        self.settle()

    def settle(self) -> None:
        """Wait until the script behind the page has run."""
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        self.page.wait_for_timeout(300)

    def shoot(self, name: str) -> None:
        """Leave a screenshot of the whole page, however long it is."""
        width = (self.page.viewport_size or {})["width"]
        before = (self.page.viewport_size or {})["height"]
        inner = "Math.max(innerHeight, document.querySelector('[data-testid=stMain]').scrollHeight)"
        self.page.set_viewport_size({"width": width, "height": min(self.page.evaluate(inner), 5000)})
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=self.screenshots / f"{name}.png")
        self.page.set_viewport_size({"width": width, "height": before})


@contextmanager
def visit(
    browser: Browser, base_url: str, screenshots: Path, *, width: int = 1280, height: int = 900, dark: bool = False
) -> Iterator[Visit]:
    """A fresh window; fails where the page fetched anything that is not on this machine."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    window = Visit(context.new_page(), base_url, screenshots)
    try:
        yield window
    finally:
        context.close()
    assert not window.foreign_requests, f"the page fetched from elsewhere: {window.foreign_requests}"
