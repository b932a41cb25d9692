"""Each page of the UI in a browser, from the address to its main control, beside a bare Streamlit page of one line.

The demo author, and one with 20,000 documents (made up, embedded by a lookup of words, as in bench_refresh). All
services run as they do for a user: Dagster's webserver, the serving API, the page. A visit is a fresh window of a
browser that has been there before: its cache holds Streamlit's own files, nothing else is kept. Fewer of them in a
browser that never was there before are reported as "first visit".
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import make_raw_documents
from demo.exports import linkedin_export, medium_export
from tests.browser.conftest import CHROMIUM, CHROMIUM_ARGUMENTS, answering, environment_of
from tests.embedding_models import make_tiny_model
from twin_assets.core import features
from twin_assets.core.authors import Author
from twin_assets.core.collection import collect_platform, import_export
from twin_assets.core.datasets import update_samples
from twin_assets.core.voice import update_voice
from twin_assets.core.voice_profile import build_profile, save_profile
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.server import free_port

AUTHOR, MANY, GOALS = "bench", 20_000, {"demo": 1.5, "many": 3.0}
# What a visitor came for, by page.
CONTROLS = {
    "sources": ("button", "Start collecting"),
    "compose": ("button", "Compose"),
    "library": ("textbox", "Words or an idea"),
    "voice": ("button", "Save my voice"),
    "models": ("button", "Train a model"),
    "monitoring": ("heading", "Monitoring"),
}
BARE = "import streamlit as st\nst.title('Bare')\nst.button('Go')\n"


def collected(settings: Settings, many: int) -> None:
    """Fill a home: with the demo author's exports, or that many made-up documents."""
    workspace = Workspace(settings)
    workspace.authors.save(Author(id=AUTHOR, name="Maren Oduya"))
    if many:
        for start in range(0, many, 10_000):
            workspace.lake.append("raw_documents", make_raw_documents(min(many, start + 10_000), first=start))
    for make, platform in ((linkedin_export, "linkedin"), (medium_export, "medium")):
        import_export(workspace, AUTHOR, make(settings.home / f"{platform}.zip"))
        collect_platform(workspace, workspace.authors.get(AUTHOR), platform)
    for step in (features.update_corpus, features.update_chunks, features.update_embeddings, features.update_index):
        step(workspace, AUTHOR)
    corpus = features.corpus(workspace.lake, AUTHOR)
    save_profile(workspace, AUTHOR, build_profile(corpus))
    update_voice(workspace, AUTHOR, corpus["text"].to_list())
    update_samples(workspace, AUTHOR)


@contextmanager
def product(folder: Path, many: int) -> Iterator[str]:
    """All services on a filled home; yields the page's address."""
    model = make_tiny_model(folder / "lookup", dimension=384, seed=1)
    settings = Settings(home=folder / "home", embedding_model=str(model), port=free_port(), dagster_port=free_port())
    settings.home.mkdir()
    collected(settings, many)
    dagster_url, page_port = f"http://127.0.0.1:{settings.dagster_port}", free_port()
    environment = environment_of(settings) | {"TWIN_DAGSTER_URL": dagster_url, "TWIN_EMBEDDING_MODEL": str(model)}
    page_url = f"http://127.0.0.1:{page_port}"
    python = (sys.executable, "-m")
    services = {
        "dagster": ((*python, "dagster_webserver", "-p", str(settings.dagster_port), "--workspace", "workspace.yaml"),
                    f"{dagster_url}/server_info"),
        "serving": ((*python, "twin_assets.cli", "serve"), f"{settings.serving_url}/ready"),
        "page": ((*python, "streamlit", "run", "twin_ui/app.py", "--server.port", str(page_port)),
                 f"{page_url}/_stcore/health"),
    }  # fmt: skip
    with ExitStack() as stack:
        for name, (command, url) in services.items():
            stack.enter_context(answering(folder / f"{name}.log", command, environment, url))
        yield page_url


@contextmanager
def bare(folder: Path) -> Iterator[str]:
    """A Streamlit page of a title and a button; yields its address."""
    script, port = folder / "bare.py", free_port()
    script.write_text(BARE, encoding="utf-8")
    command = (sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port))
    url = f"http://127.0.0.1:{port}"
    with answering(folder / "bare.log", command, dict(os.environ), f"{url}/_stcore/health"):
        yield url


def visit(context: BrowserContext, url: str, control: tuple[str, str]) -> tuple[float, float]:
    """Seconds from the address until the control can be used, and until everything is drawn."""
    page = context.new_page()
    try:
        started = time.perf_counter()
        page.goto(url, wait_until="commit")
        role, name = control
        usable = page.get_by_role(role, name=name, exact=role == "button").first  # type: ignore[arg-type]
        usable.wait_for(state="visible")
        while not usable.is_enabled():
            time.sleep(0.01)
        interactive = time.perf_counter() - started
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        return interactive, time.perf_counter() - started
    finally:
        page.close()


def measured(browser: Browser, url: str, control: tuple[str, str], times: int) -> tuple[float, float, float]:
    """The first visit's seconds, then the median of the others': interactive, drawn."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    try:
        first, _ = visit(context, url, control)
        seconds = [visit(context, url, control) for _ in range(times)]
    finally:
        context.close()
    return first, *(statistics.median(values) for values in zip(*seconds, strict=True))  # type: ignore[return-value]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 documents, two visits a page")
    quick = parser.parse_args().quick
    many, times = (2_000, 2) if quick else (MANY, 7)
    if CHROMIUM is None:
        sys.exit("chromium is not installed (Debian: apt-get install chromium); nothing was measured.")
    table = Table(title="Seconds from the address to the main control, browser cache warm (medians)")
    for column in ("page", "author", "interactive", "goal", "of bare", "all drawn", "first visit"):
        table.add_column(column, justify="left" if column in ("page", "author") else "right")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        with tempfile.TemporaryDirectory() as folder, bare(Path(folder)) as url:
            first, floor, drawn = measured(browser, url, ("button", "Go"), times)
            table.add_row("(bare Streamlit)", "", f"{floor:.2f}", "", "1.0", f"{drawn:.2f}", f"{first:.2f}")
        for name, documents in (("demo", 0), ("many", many)):
            with tempfile.TemporaryDirectory() as folder, product(Path(folder), documents) as url:
                label = "demo" if not documents else f"{documents:,} documents"
                for page, control in CONTROLS.items():
                    address = f"{url}/{'' if page == 'sources' else page}?author={AUTHOR}"
                    first, interactive, drawn = measured(browser, address, control, times)
                    table.add_row(
                        page, label, f"{interactive:.2f}", f"{GOALS[name]:.1f}", f"{interactive / floor:.1f}",
                        f"{drawn:.2f}", f"{first:.2f}",
                    )  # fmt: skip
        browser.close()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
