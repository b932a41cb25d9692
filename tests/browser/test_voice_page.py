"""The Voice page in a browser: what was measured is drawn, and an edit is kept, refused or taken back."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

from demo.exports import linkedin_export, medium_export
from tests.browser.conftest import _environment, running_page, visit
from twin_assets.core import features
from twin_assets.core.authors import Author
from twin_assets.core.collection import collect_platform, import_export
from twin_assets.core.voice_edits import VoiceEdits, load_edits, save_edits
from twin_assets.core.voice_profile import build_profile, save_profile
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.answers import add_error_answers
from twin_serving.server import free_port
from twin_serving.twins import twin_routes
from twin_serving.voice import voice_routes

AUTHOR = "maren"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The demo author with posts and articles, measured."""
    home = tmp_path_factory.mktemp("home")
    workspace = Workspace(Settings(home=home))
    workspace.authors.save(Author(id=AUTHOR, name="Maren Oduya"))
    for make, platform in ((linkedin_export, "linkedin"), (medium_export, "medium")):
        import_export(workspace, AUTHOR, make(home / f"{platform}.zip"))
        collect_platform(workspace, workspace.authors.get(AUTHOR), platform)
    features.update_corpus(workspace, AUTHOR)
    save_profile(workspace, AUTHOR, build_profile(features.corpus(workspace.lake, AUTHOR)))
    return workspace


@pytest.fixture(scope="module")
def page_url(deployed: Workspace) -> Iterator[str]:
    """The page and, behind it, the routes it asks; no model is served here."""
    app = FastAPI()
    add_error_answers(app)
    for router in (twin_routes(deployed), voice_routes(deployed)):
        app.include_router(router)
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    environment = _environment(deployed.settings, {"TWIN_SERVING_URL": f"http://127.0.0.1:{server.config.port}"})
    try:
        with running_page(deployed.settings.home, environment) as url:
            yield url
    finally:
        server.should_exit = True
        thread.join()


def test_the_voice_is_drawn_and_edited(deployed: Workspace, page_url: str, browser: Browser, screenshots: Path) -> None:
    with visit(browser, page_url, screenshots) as window:
        page = window.page
        window.open(f"voice?author={AUTHOR}")
        for heading in ("Rhythm", "Punctuation", "Openings and endings", "Your own words", "Make it yours"):
            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        expect(
            page.locator('[data-testid="stVegaLiteChart"] svg, [data-testid="stVegaLiteChart"] canvas')
        ).to_have_count(6)
        window.shoot("voice")

        page.get_by_role("textbox", name="Never say").fill("leverage")
        page.get_by_role("textbox", name="Phrases I like").fill("Leverage")
        page.get_by_role("button", name="Save my voice").click()
        expect(page.get_by_role("alert").filter(has_text="both a favourite and forbidden")).to_be_visible()
        expect(page.get_by_role("textbox", name="Never say")).to_have_value("leverage")
        assert load_edits(deployed, AUTHOR) == VoiceEdits(), "a refused edit changes nothing"

        page.get_by_role("textbox", name="Phrases I like").fill("boring is a feature")
        page.get_by_role("textbox", name="How I open").fill("with a scene")
        page.get_by_role("button", name="Save my voice").click()
        expect(page.get_by_text("Saved. The next draft heeds it.")).to_be_visible()
        kept = load_edits(deployed, AUTHOR)
        assert (kept.forbidden_phrases, kept.favourite_phrases) == (["leverage"], ["boring is a feature"])
        page.get_by_text("What a model is told about this voice").click()
        expect(page.get_by_text("Open: with a scene.")).to_be_visible()
        page.get_by_role("button", name="Take all my edits back").click()
        expect(page.get_by_text("The voice is as it was measured.")).to_be_visible()
        assert load_edits(deployed, AUTHOR) == VoiceEdits()


@pytest.mark.parametrize(("name", "width", "dark"), [("voice-phone", 390, False), ("voice-dark", 1280, True)])
def test_it_fits_a_phone_and_the_dark(
    deployed: Workspace, page_url: str, browser: Browser, screenshots: Path, name: str, width: int, dark: bool
) -> None:
    save_edits(deployed, AUTHOR, VoiceEdits(emoji="never", forbidden_phrases=["leverage", "at the end of the day"]))
    with visit(browser, page_url, screenshots, width=width, height=844, dark=dark) as window:
        window.open(f"voice?author={AUTHOR}")
        expect(window.page.get_by_role("textbox", name="Never say")).to_have_value("leverage\nat the end of the day")
        window.shoot(name)
        overflow = "document.querySelector('[data-testid=stMain]').scrollWidth > innerWidth"
        assert not window.page.evaluate(overflow), "nothing lies beyond the edge"
