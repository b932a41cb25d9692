"""The whole product on loopback (platforms, Dagster, serving, page) and a browser in front of it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from demo.server import PlatformServer
from tests.conftest import HeadStart
from twin_assets.defs.launch import dagster_environment
from twin_assets.settings import Settings
from twin_serving.server import free_port

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
PHONE: ViewportSize = {"width": 390, "height": 844}
# WCAG 2.2 AA; another theme changes colours and nothing else.
RULES = {
    "light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "dark": {"type": "rule", "values": ["color-contrast"]},
}
LIGHTNESS = """() => {
  const colour = getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor;
  return colour.match(/\\d+/g).map(Number).reduce((sum, each) => sum + each) > 400 ? "light" : "dark";
}"""
# What is drawn again is pale until it is.
DRAWN = """() => !document.querySelector('[data-stale="true"]')
  && document.querySelector("[data-testid=stApp]").dataset.testScriptState === "notRunning\""""
SIDEWAYS = "document.querySelector('[data-testid=stMain]').scrollWidth - innerWidth"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/browser --screenshots docs/images` renews the pictures of the documentation."""
    parser.addoption("--screenshots", type=Path, help="folder the screenshots go to")


@dataclass
class Product:
    """Where everything answers."""

    page_url: str
    dagster_url: str
    platforms: PlatformServer
    settings: Settings
    environment: dict[str, str]

    @property
    def serving(self) -> AbstractContextManager[None]:
        """`twin serve` while the context lasts; once it is entered, it answers."""
        command = (sys.executable, "-m", "twin_assets.cli", "serve")
        log, url = self.settings.home / "serving.log", f"{self.settings.serving_url}/health"
        return answering(log, command, self.environment, url)

    def wait_for_dagster(self) -> None:
        """Wait until Dagster answers, and stop its sensors: they have tests of their own."""
        _wait_for(f"{self.dagster_url}/server_info", self.settings.home / "dagster-webserver.log")
        _stop_sensors(self.dagster_url)


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest) -> Path | None:
    """The folder screenshots go to; None where nobody asked for any."""
    folder = request.config.getoption("--screenshots", default=None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make_storage(settings: Settings) -> None:
    from twin_assets.defs.launch import dagster_environment, make_storage

    with pytest.MonkeyPatch.context() as patch:
        for name, value in dagster_environment(settings).items():
            patch.setenv(name, value)
        make_storage(settings)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, head_start: HeadStart) -> Iterator[Product]:
    """All services but the serving API, started once, on an empty home."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    home = tmp_path_factory.mktemp("home")
    head_start.give(home)
    with ExitStack() as stack:
        platforms = stack.enter_context(PlatformServer())
        settings = Settings(
            home=home,
            allowed_hosts=f"127.0.0.1:{platforms.port}",
            base_model="nano",
            dagster_port=free_port(),
            port=free_port(),
        )
        dagster_url = f"http://127.0.0.1:{settings.dagster_port}"
        environment = environment_of(settings) | {"TWIN_DAGSTER_URL": dagster_url}
        dagster = (sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(settings.dagster_port))
        workspace = ("--workspace", "workspace.yaml")
        _make_storage(settings)
        stack.enter_context(_process(home / "dagster-webserver.log", (*dagster, *workspace), environment))
        # Runs are queued; the daemon takes them from there.
        daemon = (sys.executable, "-m", "dagster._daemon", "run", *workspace)
        stack.enter_context(_process(home / "dagster-daemon.log", daemon, environment))
        page_url = stack.enter_context(running_page(home, environment))
        yield Product(page_url, dagster_url, platforms, settings, environment)


def _stop_sensors(dagster_url: str) -> None:
    """What runs in these tests is what the person pressed."""

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
    with answering(log, command, environment, f"http://127.0.0.1:{port}/_stcore/health"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def answering(log: Path, command: tuple[str, ...], environment: dict[str, str], url: str) -> Iterator[None]:
    """A process while the context lasts; once it is entered, the address answers."""
    with _process(log, command, environment) as process:
        _wait_for(url, log, process)
        yield


def environment_of(settings: Settings) -> dict[str, str]:
    """What a process of this deployment reads."""
    return {
        **os.environ,
        **dagster_environment(settings),
        "TWIN_PORT": str(settings.port),
        "TWIN_SERVING_URL": settings.serving_url,
        "TWIN_ALLOWED_HOSTS": settings.allowed_hosts,
        "TWIN_BASE_MODEL": settings.base_model,
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _process(log: Path, command: tuple[str, ...], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, log: Path, process: "subprocess.Popen[bytes] | None" = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(
        f"{url} did not answer within {START_SECONDS} s, or its process ended:\n{log.read_text()[-3000:]}"
    )


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

    def __init__(self, page: Page, base_url: str, screenshots: Path | None) -> None:
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
        """Wait until the script behind the page has run and the browser has drawn what it sent."""
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        self.page.wait_for_function(DRAWN)

    def look(self) -> None:
        """Check what stands there now against WCAG 2.2 AA in both themes, and that a phone need not scroll sideways."""
        self.settle()
        for theme, rules in RULES.items():
            self.page.emulate_media(color_scheme=theme)
            self.page.wait_for_function(f"({LIGHTNESS})() === '{theme}'")
            found = Axe().run(self.page, options={"runOnly": rules, "resultTypes": ["violations"]})
            assert not found.violations_count, f"{self.page.url} ({theme})\n{found.generate_report()}"
        self.page.emulate_media(color_scheme="light")
        shape = self.page.viewport_size
        self.page.set_viewport_size(PHONE)
        self.page.wait_for_function(f"{SIDEWAYS} <= 0", timeout=5_000)
        self.page.set_viewport_size(shape)

    def shoot(self, name: str, *, dark: bool = False, phone: bool = False) -> None:
        """Leave a screenshot of the whole page, however long it is, where screenshots were asked for."""
        if self.screenshots is None:
            return
        shape = self.page.viewport_size or {"width": 1280, "height": 900}
        self.page.emulate_media(color_scheme="dark" if dark else "light")
        width = PHONE["width"] if phone else shape["width"]
        self.page.set_viewport_size({"width": width, "height": shape["height"]})
        self.page.wait_for_timeout(300)
        inner = "Math.max(innerHeight, document.querySelector('[data-testid=stMain]').scrollHeight)"
        self.page.set_viewport_size({"width": width, "height": min(self.page.evaluate(inner), 5000)})
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=self.screenshots / f"{name}.png")
        self.page.set_viewport_size(shape)
        self.page.emulate_media(color_scheme="light")


@contextmanager
def visit(browser: Browser, base_url: str, screenshots: Path | None = None) -> Iterator[Visit]:
    """A fresh window; fails where the page fetched anything that is not on this machine."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    window = Visit(context.new_page(), base_url, screenshots)
    try:
        yield window
    finally:
        context.close()
    assert not window.foreign_requests, f"the page fetched from elsewhere: {window.foreign_requests}"
