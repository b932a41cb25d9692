"""From nothing to a draft, as somebody does who has never seen the page, against the real services."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from demo.exports import linkedin_export
from tests.browser.conftest import Product, Visit, visit
from tests.browser.steps import (
    AUTHOR_ID,
    approve,
    button,
    go_to,
    tell_the_voice,
    tend_sources,
    tend_the_library,
    watch,
)

AUTHOR = "Maren Oduya"
PROMPT = "What flaky data pipelines really cost a small team, and what we did about it"
COLLECTING_PATIENCE = 240_000

pytestmark = pytest.mark.timeout(600)


def see_that_it_is_away(window: Visit, product: Product) -> None:
    """What does not answer is said, where, and what to do; nothing looks empty instead."""
    window.open("library")
    expect(window.page.get_by_role("alert")).to_contain_text(product.settings.serving_url)
    expect(window.page.get_by_role("alert")).to_contain_text("twin serve")
    expect(button(window.page, "Try again")).to_be_visible()
    expect(window.page.get_by_text("The library is empty")).to_have_count(0)
    window.look()


def add_author(window: Visit) -> None:
    window.open()
    expect(window.page.get_by_role("heading", name="Your twin writes from what you have published")).to_be_visible()
    window.look()
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


def collect(window: Visit, product: Product) -> None:
    product.wait_for_dagster()
    button(window.page, "Start collecting").click()
    expect(window.page.get_by_text("steps done")).to_be_visible()
    # The run is Dagster's: a reload goes on watching it.
    window.page.reload()
    expect(window.page.get_by_text("Collecting finished")).to_be_visible(timeout=COLLECTING_PATIENCE)
    window.look()
    window.shoot("5-collected")
    rows = window.page.locator(".rows li.ok")
    expect(rows.first).to_be_visible()
    assert rows.count() == 4, window.page.locator(".rows").first.inner_text()
    expect(window.page.get_by_text("in the library")).to_be_visible()


def compose(window: Visit, product: Product) -> None:
    page = window.page
    button(page, "Compose a draft").click()
    button(page, "Compose").click()
    expect(page.get_by_role("alert").filter(has_text="links alone do not tell")).to_be_visible()
    page.get_by_role("textbox", name="What should the post say?").fill(PROMPT)
    links = f"{product.platforms.url}/web/flaky-pipelines-survey.html\n{product.platforms.url}/web/no-such-page.html"
    page.get_by_role("textbox", name="Links to draw from").fill(links)
    button(page, "Compose").click()
    expect(page.locator(".stream").first).to_contain_text("flaky")
    draft = page.locator(".draft").first
    expect(draft.get_by_role("heading", name="Assembled from real sentences")).to_be_visible()
    expect(page.get_by_text("Not read:")).to_be_visible()
    draft.locator(".sentence.verbatim.own").first.click()
    expect(draft.locator(".evidence blockquote").first).not_to_be_empty()
    expect(draft.locator(".evidence p").nth(1)).to_contain_text("LinkedIn")
    window.look()
    window.shoot("6-draft")


def look_closely(window: Visit) -> None:
    """Keyboard, preview, copy, and a reload that loses nothing."""
    page = window.page
    draft = page.locator(".draft").first
    shown = draft.locator(".text .sentence.verbatim").count()
    draft.locator(".text .sentence").last.focus()
    page.keyboard.press("Enter")
    expect(draft.locator(".text .sentence").last).to_have_attribute("aria-expanded", "true")
    draft.get_by_role("tab", name="Evidence").focus()
    page.keyboard.press("ArrowRight")
    expect(draft.get_by_role("tab", name="Preview")).to_be_focused()
    expect(draft.locator(".post")).to_contain_text(AUTHOR)
    folded = len(draft.locator(".post .words").inner_text())
    button(draft, "…more").click()
    assert len(draft.locator(".post .words").inner_text()) > folded
    button(draft, "Copy text").click()
    expect(draft.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert len(copied) > 100
    assert "[1]" not in copied
    page.reload()
    expect(page.locator(".draft").first.locator(".text .sentence.verbatim")).to_have_count(shown)
    expect(page.get_by_role("textbox", name="What should the post say?")).to_have_value(PROMPT)


def edit_and_rate(window: Visit) -> None:
    """An edit shows its differences, outlives a reload before it is kept, and is kept, as is a choice and a rating."""
    page = window.page
    draft = page.locator(".draft").first
    draft.get_by_role("tab", name="Edit").click()
    version = draft.get_by_role("textbox", name="Your version")
    mine = version.input_value() + "\n\nOne more line of my own."
    version.fill(mine)
    expect(draft.locator("ins")).to_contain_text("One more line of my own.")
    page.reload()
    draft.get_by_role("tab", name="Edit").click()
    expect(version).to_have_value(mine)
    button(draft, "Keep my version").click()
    expect(page.get_by_text("Your version is kept.")).to_be_visible()
    expect(draft.locator(".badge")).to_have_text("Edited")
    page.get_by_text("Rate it").first.click()
    page.get_by_text("5 post it").first.click()
    button(page, "Save rating").first.click()
    expect(page.get_by_text("Rated 5 of 5")).to_be_visible()
    page.evaluate("localStorage.clear()")
    page.reload()
    expect(draft.locator(".badge")).to_have_text("Edited")
    draft.get_by_role("tab", name="Edit").click()
    expect(version).to_have_value(mine)


def compose_with_model(window: Visit) -> None:
    """An approved nano writes beside the assembled draft, and says that it cannot write; earlier drafts are there."""
    page = window.page
    go_to(window, "Compose")
    page.get_by_role("textbox", name="What should the post say?").fill(PROMPT)
    page.get_by_role("radio", name="1", exact=True).click()
    button(page, "Compose").click()
    expect(page.locator(".draft .notice")).to_be_visible()
    expect(page.locator(".draft")).to_have_count(2)
    expect(page.locator(".draft h3").first).to_contain_text("1 · Assembled")
    page.locator(".draft").nth(1).get_by_role("button", name="Choose this one").click()
    expect(page.locator(".draft").nth(1).get_by_role("button", name="Chosen")).to_be_visible()
    window.look()
    window.shoot("phone-drafts", phone=True)
    window.shoot("dark-drafts", dark=True)
    page.get_by_text("Earlier drafts").click()
    expect(page.get_by_role("button", name=PROMPT[:40])).to_have_count(2)
    page.get_by_role("button", name=PROMPT[:40]).last.click()
    expect(page.locator(".draft .badge").first).to_have_text("Edited")


def test_from_first_visit_to_drafts(product: Product, browser: Browser, screenshots: Path | None, tmp_path: Path):
    with visit(browser, product.page_url, screenshots) as window:
        see_that_it_is_away(window, product)
        with product.serving:
            # The page goes on by itself as soon as the API is back.
            expect(window.page.get_by_role("heading", name="No author yet")).to_be_visible()
            add_author(window)
            add_sources(window, product, tmp_path)
            collect(window, product)
            compose(window, product)
            look_closely(window)
            edit_and_rate(window)
            tell_the_voice(window, product)
            tend_the_library(window)
            approve(window, product, tmp_path)
            compose_with_model(window)
            watch(window)
            tend_sources(window)
        window.page.reload()
        expect(window.page.get_by_role("alert")).to_contain_text("twin serve")
