"""From nothing to a draft, as somebody does who has never seen the page, against the real services."""

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.exports import linkedin_export
from tests.browser.conftest import Product, Visit, running_page, visit
from tests.serving_models import make_adapter, make_base, register
from twin_assets.core.workspace import Workspace
from twin_serving.server import free_port

AUTHOR = "Maren Oduya"
AUTHOR_ID = "maren-oduya"
PROMPT = "What flaky data pipelines really cost a small team, and what we did about it"
COLLECTING_PATIENCE = 240_000

pytestmark = pytest.mark.timeout(600)


def button(page: Page, name: str):
    """The button with exactly this name."""
    return page.get_by_role("button", name=name, exact=True)


def add_author(window: Visit) -> None:
    window.open()
    expect(window.page.get_by_role("heading", name="Your twin writes from what you have published")).to_be_visible()
    window.shoot("1-first-visit")
    button(window.page, "Add author").click()
    expect(window.page.get_by_text("The author needs a name")).to_be_visible()
    window.page.get_by_role("textbox", name="Author's name").fill(AUTHOR)
    button(window.page, "Add author").click()
    expect(window.page.get_by_role("heading", name="Where do they publish?")).to_be_visible()
    assert f"author={AUTHOR_ID}" in window.page.url


def add_sources(window: Visit, product: Product, folder: Path) -> None:
    page = window.page
    page.get_by_role("textbox", name="GitHub").fill("https://example.org/nothing/like/github")
    button(page, "Save sources").click()
    expect(page.get_by_role("alert").filter(has_text="GitHub")).to_be_visible()
    window.shoot("2-wrong-link")
    page.get_by_role("textbox", name="GitHub").fill("")
    page.get_by_role("textbox", name="Medium").fill(f"{product.platforms.url}/medium/feed/@{AUTHOR_ID}")
    page.get_by_role("textbox", name="Substack").fill(f"{product.platforms.url}/substack")
    page.get_by_role("textbox", name="Feed").fill(f"{product.platforms.url}/blog/feed.xml")
    button(page, "Save sources").click()
    expect(page.get_by_role("heading", name="Connected")).to_be_visible()

    page.get_by_text("Add another source").click()
    page.get_by_role("tab", name="Export file").click()
    wrong = folder / "holiday.zip"
    wrong.write_bytes(b"not a ZIP at all")
    page.locator('input[type="file"]').set_input_files(wrong)
    expect(page.get_by_role("alert").filter(has_text="holiday.zip")).to_be_visible()
    page.locator('input[type="file"]').set_input_files(linkedin_export(folder / "linkedin.zip"))
    expect(page.locator(".rows li").filter(has_text="LinkedIn")).to_be_visible()
    window.settle()
    window.shoot("3-sources")


def collect(window: Visit) -> None:
    button(window.page, "Start collecting").click()
    expect(window.page.get_by_text("steps done")).to_be_visible()
    window.shoot("4-collecting")
    # The run is Dagster's: a reload goes on watching it.
    window.page.reload()
    expect(window.page.get_by_text("Collecting finished")).to_be_visible(timeout=COLLECTING_PATIENCE)
    window.settle()
    window.shoot("5-collected")
    rows = window.page.locator(".rows li.ok")
    expect(rows.first).to_be_visible()
    assert rows.count() == 4, window.page.locator(".rows").first.inner_text()
    expect(window.page.get_by_text("in the library")).to_be_visible()


def compose(window: Visit, product: Product) -> None:
    page = window.page
    button(page, "Compose a draft").click()
    page.get_by_role("textbox", name="What should the post say?").fill(PROMPT)
    links = f"{product.platforms.url}/web/flaky-pipelines-survey.html\n{product.platforms.url}/web/no-such-page.html"
    page.get_by_role("textbox", name="Links to draw from").fill(links)
    button(page, "Compose").click()
    draft = page.locator(".draft").first
    expect(draft.get_by_role("heading", name="Assembled from real sentences")).to_be_visible()
    window.settle()
    expect(page.get_by_text("Not read:")).to_be_visible()
    supported = draft.locator(".sentence.verbatim.own").first
    supported.click()
    expect(draft.locator(".evidence blockquote").first).not_to_be_empty()
    window.shoot("6-draft")


def look_closely(window: Visit) -> None:
    """Keyboard, copy, and a reload that loses nothing."""
    page = window.page
    draft = page.locator(".draft").first
    shown = draft.locator(".text .sentence.verbatim").count()
    draft.locator(".text .sentence").last.focus()
    page.keyboard.press("Enter")
    expect(draft.locator(".text .sentence").last).to_have_attribute("aria-expanded", "true")
    button(page, "Copy text").first.click()
    expect(draft.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert len(copied) > 100
    assert "[1]" not in copied
    page.reload()
    window.settle()
    expect(page.locator(".draft").first.locator(".text .sentence.verbatim")).to_have_count(shown)
    expect(page.get_by_role("textbox", name="What should the post say?")).to_have_value(PROMPT)


def give_feedback(window: Visit) -> None:
    page = window.page
    page.get_by_text("Edit and rate").first.click()
    version = page.get_by_role("textbox", name="Your version").first
    version.fill(version.input_value() + "\n\nOne more line of my own.")
    page.get_by_text("5 post it").first.click()
    button(page, "Save feedback").first.click()
    expect(page.get_by_text("Saved. It counts in the next training.")).to_be_visible()


def tend_sources(window: Visit) -> None:
    """What was set aside says why; a timetable is set, and refused where it is none; a source is taken away."""
    page = window.page
    page.get_by_role("link", name="Sources").click()
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
    window.settle()
    window.shoot("5-sources-told")
    row = page.locator("[class*=st-key-source-]").filter(has_text="LinkedIn")
    row.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("leave the corpus and the index with the next run")
    expect(dialog).to_contain_text("the imported export is deleted")
    button(page, "Remove it").click()
    expect(row).to_have_count(0)


def choose(window: Visit, timetable: str) -> None:
    window.settle()  # a list that is open while the page is drawn again closes
    window.page.get_by_role("combobox", name="When").click()
    window.page.get_by_role("option", name=timetable).click()


def search(window: Visit) -> None:
    window.page.get_by_role("link", name="Library").click()
    window.page.get_by_role("textbox", name="Words or an idea").fill("flaky tests")
    window.page.keyboard.press("Enter")
    expect(window.page.locator(".passage-title").first).to_be_visible()
    window.settle()
    window.shoot("7-library")


def register_model(product: Product, folder: Path) -> None:
    """A tiny random model as the author's first candidate; training one is what tests/e2e does."""
    base = make_base(folder / "candidate" / "base")
    make_adapter(base, folder / "candidate" / "adapter", seed=1)
    register(Workspace(product.settings).registry, AUTHOR_ID, folder / "candidate", "browser")


def approve(window: Visit, product: Product, folder: Path) -> None:
    page = window.page
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", name="No model yet")).to_be_visible()
    expect(button(page, "Train a model")).to_be_enabled()
    register_model(product, folder)
    page.reload()
    expect(page.get_by_role("heading", name="Version 1")).to_be_visible()
    expect(page.get_by_text("its text is the machinery's proof, not prose")).to_be_visible()
    expect(page.get_by_text("Candidate: waits for a decision")).to_be_visible()
    button(page, "Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("Approved: this one writes")).to_be_visible()
    window.settle()
    window.shoot("8-models")


def compose_with_model(window: Visit) -> None:
    """An approved nano writes beside the assembled draft, and says that it cannot write."""
    window.page.get_by_role("link", name="Compose").click()
    window.page.get_by_role("textbox", name="What should the post say?").fill(PROMPT)
    button(window.page, "Compose").click()
    expect(window.page.locator(".draft .notice")).to_be_visible()
    window.settle()
    expect(window.page.locator(".draft")).to_have_count(2)
    expect(window.page.locator(".draft h3").first).to_contain_text("Assembled")
    window.shoot("9-both-drafts")


def test_from_first_visit_to_drafts(product: Product, browser: Browser, screenshots: Path, tmp_path: Path):
    with visit(browser, product.page_url, screenshots) as window:
        add_author(window)
        add_sources(window, product, tmp_path)
        collect(window)
        compose(window, product)
        look_closely(window)
        give_feedback(window)
        search(window)
        approve(window, product, tmp_path)
        compose_with_model(window)
        address = window.page.url
        tend_sources(window)
    _fits_every_screen(product, browser, screenshots, address)


def _fits_every_screen(product: Product, browser: Browser, screenshots: Path, drafts: str) -> None:
    """Phone width without sideways scrolling, and the dark theme; also: an address shows the same to a new window."""
    pages = {
        "sources": f"?author={AUTHOR_ID}",
        "drafts": drafts.removeprefix(f"{product.page_url}/"),
        "library": f"library?author={AUTHOR_ID}&query=tests",
        "models": f"models?author={AUTHOR_ID}",
    }
    for shape in ({"width": 390, "height": 844}, {"dark": True}):
        with visit(browser, product.page_url, screenshots, **shape) as window:
            for name, path in pages.items():
                window.open(path)
                expect(window.page.get_by_role("heading", level=1)).to_be_visible()
                if name == "drafts":
                    expect(window.page.locator(".draft")).to_have_count(2)
                window.shoot(f"{'dark' if 'dark' in shape else 'phone'}-{name}")
                overflow = "document.querySelector('[data-testid=stMain]').scrollWidth - innerWidth"
                assert window.page.evaluate(overflow) <= 0, f"{name} scrolls sideways"
                background = window.page.evaluate(
                    "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
                )
                darkness = sum(json.loads(background.replace("rgb(", "[").replace(")", "]")))
                assert (darkness < 200) == ("dark" in shape), f"{name} is {background}"


def test_a_serving_api_that_is_away_is_said(browser: Browser, screenshots: Path, tmp_path: Path):
    """The page says what does not answer, where, and what to do; it does not show an empty library instead."""
    address = f"http://127.0.0.1:{free_port()}"
    with (
        running_page(tmp_path, {**os.environ, "TWIN_SERVING_URL": address}) as url,
        visit(browser, url, screenshots) as window,
    ):
        window.open("library")
        expect(window.page.get_by_role("alert")).to_contain_text(address)
        expect(window.page.get_by_role("alert")).to_contain_text("twin serve")
        expect(button(window.page, "Try again")).to_be_visible()
        expect(window.page.get_by_text("The library is empty")).to_have_count(0)
        window.shoot("away")
