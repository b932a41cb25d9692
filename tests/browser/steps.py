"""What a person does on the pages beside Sources and Compose, as steps of the journey."""

import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import Product, Visit
from tests.serving_models import make_adapter, make_base, register
from twin_assets.core.voice_edits import VoiceEdits, load_edits
from twin_assets.core.workspace import Workspace
from twin_serving.client import TwinClient

AUTHOR_ID = "maren-oduya"
SWITCHING_SECONDS = 60


def button(page: Page | Locator, name: str) -> Locator:
    """The button with exactly this name."""
    return page.get_by_role("button", name=name, exact=True)


def go_to(window: Visit, page: str) -> None:
    window.page.get_by_role("link", name=page, exact=True).click()
    expect(window.page.get_by_role("heading", level=1, name=page)).to_be_visible()


def tell_the_voice(window: Visit, product: Product) -> None:
    """What was measured is drawn; an edit is refused where it contradicts itself, kept, and taken back."""
    page, workspace = window.page, Workspace(product.settings)
    go_to(window, "Voice")
    for heading in ("Rhythm", "Punctuation", "Openings and endings", "Your own words", "Make it yours"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    expect(page.locator('[data-testid="stVegaLiteChart"] :is(svg, canvas)')).to_have_count(6)
    window.look()
    window.shoot("voice")
    page.get_by_role("textbox", name="Never say").fill("leverage")
    page.get_by_role("textbox", name="Phrases I like").fill("Leverage")
    button(page, "Save my voice").click()
    expect(page.get_by_role("alert").filter(has_text="both a favourite and forbidden")).to_be_visible()
    expect(page.get_by_role("textbox", name="Never say")).to_have_value("leverage")
    assert load_edits(workspace, AUTHOR_ID) == VoiceEdits(), "a refused edit changes nothing"
    page.get_by_role("textbox", name="Phrases I like").fill("boring is a feature")
    page.get_by_role("textbox", name="How I open").fill("with a scene")
    button(page, "Save my voice").click()
    expect(page.get_by_text("Saved. The next draft heeds it.")).to_be_visible()
    kept = load_edits(workspace, AUTHOR_ID)
    assert (kept.forbidden_phrases, kept.favourite_phrases) == (["leverage"], ["boring is a feature"])
    button(page, "Take all my edits back").click()
    expect(page.get_by_text("The voice is as it was measured.")).to_be_visible()
    assert load_edits(workspace, AUTHOR_ID) == VoiceEdits()


def tend_the_library(window: Visit) -> None:
    """The list is filtered, a document is left out of learning, another forgotten; a search finds by meaning."""
    page = window.page
    go_to(window, "Library")
    row = page.locator(".document")
    expect(row).to_have_count(20)
    expect(page.locator('[data-testid="stVegaLiteChart"] :is(svg, canvas)').first).to_be_visible()
    window.look()
    page.get_by_role("textbox", name="With these words").fill("actual cardboard")
    page.keyboard.press("Enter")
    expect(row).to_have_count(1)
    button(page, "Read").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".words")).to_contain_text("actual cardboard")
    button(dialog, "Leave out of learning").click()
    expect(row.locator(".chip")).to_have_text("Left out of learning")
    button(page, "Read").click()
    dialog.get_by_text("Forget it altogether").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This cannot be undone")
    button(dialog, "Forget it for ever").click()
    expect(page.get_by_role("heading", name="Nothing like that")).to_be_visible()
    page.get_by_role("textbox", name="Words or an idea").fill("flaky tests")
    page.keyboard.press("Enter")
    expect(page.locator(".passage-title").first).to_be_visible()
    window.settle()
    window.shoot("7-library")


def register_models(product: Product, folder: Path) -> None:
    """Two tiny random models as the author's candidates; training one is what tests/e2e does."""
    base = make_base(folder / "candidate" / "base")
    registry = Workspace(product.settings).registry
    for seed in (1, 2):
        make_adapter(base, folder / "candidate" / "adapter", seed=seed)
        register(registry, AUTHOR_ID, folder / "candidate", "browser")


def approve(window: Visit, product: Product, folder: Path) -> None:
    """An approval changes what is served, and so does rolling it back."""
    page = window.page
    go_to(window, "Models")
    expect(page.get_by_role("heading", name="No model yet")).to_be_visible()
    button(page, "Train a model").click()
    expect(page.get_by_role("dialog")).to_contain_text("Base nano")
    expect(button(page, "Start training")).to_be_enabled()
    page.keyboard.press("Escape")
    register_models(product, folder)
    page.reload()
    expect(page.get_by_text("its text is the machinery's proof, not prose")).to_be_visible()
    for version in ("1", "2"):
        card = page.locator(f".st-key-card-model-{version}")
        expect(card.get_by_text("Candidate: waits for a decision")).to_be_visible()
        button(card, "Approve").click()
        button(page.get_by_role("dialog"), "Approve").click()
        expect(card.get_by_text("Approved: this one writes")).to_be_visible()
        wait_until_served(product, version)
    window.look()
    window.shoot("8-models")
    button(page, "Roll back to the version before").click()
    button(page.get_by_role("dialog"), "Roll back").click()
    expect(page.locator(".st-key-card-model-1").get_by_text("Approved: this one writes")).to_be_visible()
    wait_until_served(product, "1")


def wait_until_served(product: Product, version: str) -> None:
    """Ask until this version answers, which takes a server that runs a few seconds."""
    deadline = time.monotonic() + SWITCHING_SECONDS
    with TwinClient(product.settings.serving_url) as client:
        while time.monotonic() < deadline:
            answer = client.chat(AUTHOR_ID, [{"role": "user", "content": "Go"}], max_tokens=1)
            if str(answer["system_fingerprint"]) == f"{AUTHOR_ID}@{version}":
                return
            time.sleep(0.2)
    raise AssertionError(f"{answer['system_fingerprint']} answers, not version {version}")


def watch(window: Visit) -> None:
    go_to(window, "Monitoring")
    expect(window.page.locator(".waterfall").first).to_be_attached()
    window.look()
    window.shoot("9-monitoring")


def tend_sources(window: Visit) -> None:
    """What was set aside says why; a timetable is set, and refused where it is none; a source is taken away."""
    page = window.page
    go_to(window, "Sources")
    expect(page.get_by_role("heading", name="Set aside")).to_be_visible()
    expect(page.locator(".rows .reason").filter(has_text="Import your Substack export").first).to_be_visible()
    page.get_by_text("Collect by itself: never").click()
    choose(window, "Another time")
    page.get_by_role("textbox", name="Cron expression, read in UTC").fill("whenever")
    button(page, "Save timetable").click()
    expect(page.get_by_role("alert").filter(has_text="is no cron expression")).to_be_visible()
    choose(window, "Every day at 06:00")
    button(page, "Save timetable").click()
    expect(page.get_by_text("Collect by itself: every day at 06:00 (UTC)")).to_be_visible()
    expect(page.locator(".rows li.ok").first).to_contain_text("06:00")
    row = page.locator("[class*=st-key-source-]").filter(has_text="LinkedIn")
    row.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("leave the corpus and the index with the next run")
    expect(dialog).to_contain_text("the imported export is deleted")
    button(page, "Remove it").click()
    expect(row).to_have_count(0)


def choose(window: Visit, timetable: str) -> None:
    """Choose from the list; one that is open while the page is drawn again closes, and is opened once more."""
    option = window.page.get_by_role("option", name=timetable)
    for _ in range(5):
        window.settle()
        window.page.get_by_role("combobox", name="When").click()
        try:
            option.click(timeout=10_000)
            return
        except PlaywrightTimeoutError:
            window.page.keyboard.press("Escape")
    option.click()
