"""Main text of pages: what goes, what stays, and that no page takes it down."""

import pytest

from benchmarks.bench_main_text import pages, score, summary
from twin_assets.core.cleaning import main_text
from twin_assets.core.cleaning.pages import read_article

URL = "https://example.org/letters/tides"
SENTENCES = (
    "The harbour master writes the height of the water into a ledger each morning before the first boat leaves.",
    "Nobody asked for the ledger, and for eleven years nobody read it, until the sea wall had to be measured again.",
    "What the engineers found was a record finer than their own, kept in pencil by a man who disliked computers.",
    "They copied every page, and the wall that stands there now is a hand higher than the first plan had it.",
)
PARAGRAPHS = [f"<p>{sentence}</p>" for sentence in SENTENCES]


def page(inside: str, head: str = "") -> str:
    return (
        f"<html><head><title>The ledger - Example</title>{head}</head><body><article>{inside}</article></body></html>"
    )


def text_of(inside: str) -> str:
    return main_text(page(inside), URL)[1]


def test_the_title_is_returned_apart_and_not_said_again() -> None:
    title, text = main_text(page("<div><h2>The ledger</h2>" + "".join(PARAGRAPHS) + "</div>"), URL)
    assert title == "The ledger"
    assert text.split("\n\n") == list(SENTENCES)


@pytest.mark.parametrize(
    "widget",
    [
        '<div class="NewsletterBox"><p>Tides by mail, every Friday, with pictures of boats and a riddle.</p></div>',
        '<section id="story-promo"><h3>Our best harbours</h3><p>Ten harbours, seen from the water.</p></section>',
        '<p>Related: <a href="/x">Why the old lighthouse keeps its lamp even though nobody needs it</a></p>',
        "<p><b>Read more:</b></p><p><a href='/x'>Nine lamps that outlived the ships they were lit for</a></p>",
        '<p>Lesen Sie auch: <a href="/x">Warum der alte Leuchtturm seine Lampe behält, obwohl er nichts nützt</a></p>',
        "<ul><li><a href='/x'>Nine lamps and their ships</a></li><li><a href='/y'>A bridge for eels</a></li></ul>",
    ],
)
def test_what_leads_elsewhere_goes(widget: str) -> None:
    assert text_of(PARAGRAPHS[0] + PARAGRAPHS[1] + widget + PARAGRAPHS[2] + PARAGRAPHS[3]).split("\n\n") == list(
        SENTENCES
    )


@pytest.mark.parametrize(
    "closing",
    [
        "<p>Follow us on Twitter for more letters from the harbour.</p>",
        "<p>Filed under: harbours, pencils</p><p>Two comments</p>",
        "<p>Copyright Example Letters 2019, all rights reserved.</p>",
        "<p>Suivez-nous sur les réseaux.</p>",
    ],
)
def test_the_lines_that_close_a_page_go(closing: str) -> None:
    assert text_of("".join(PARAGRAPHS) + closing).split("\n\n") == list(SENTENCES)


def test_the_same_words_inside_a_text_stay() -> None:
    said = (
        "<p>Follow him on a clear morning and you will see how he writes: slowly, and twice where the pencil slips.</p>"
    )
    assert "Follow him" in text_of(PARAGRAPHS[0] + said + "".join(PARAGRAPHS[1:]))
    assert "Related to it" in text_of(
        PARAGRAPHS[0] + "<p>Related to it is the second ledger.</p>" + "".join(PARAGRAPHS[1:])
    )


def test_a_box_with_most_of_the_page_is_no_widget_whatever_its_name() -> None:
    assert SENTENCES[1] in text_of(f'<div class="promo-layout">{"".join(PARAGRAPHS)}</div>')


def test_what_stands_among_paragraphs_without_being_one_is_kept() -> None:
    text = text_of(
        PARAGRAPHS[0]
        + "<h3><a href='/ledger'>The second ledger</a></h3>"
        + PARAGRAPHS[1]
        + "<div class='sub'>What came of it</div>"
        + PARAGRAPHS[2]
        + "Bare words among paragraphs are a paragraph whose author forgot the tag, and they say as much as it would."
        + PARAGRAPHS[3]
    )
    assert "### The second ledger" in text
    assert "What came of it" in text
    assert "Bare words among paragraphs" in text


def test_a_paragraph_that_starts_with_an_empty_marker_is_kept() -> None:
    marked = '<p><span id="more-1"></span>After the marker stands a sentence that must not go with it.</p>'
    assert "After the marker" in text_of(PARAGRAPHS[0] + marked + "".join(PARAGRAPHS[1:]))


def test_an_embedded_quotation_is_kept() -> None:
    quoted = '<div class="social-media-embed"><blockquote class="tweet"><p>The pencil was mine.</p></blockquote></div>'
    assert "> The pencil was mine." in text_of(PARAGRAPHS[0] + quoted + "".join(PARAGRAPHS[1:]))


def test_bare_words_after_the_title_stay() -> None:
    assert text_of("<h1>The ledger</h1>It begins well.") == "It begins well."


def test_markdown_without_links_or_escapes() -> None:
    text = text_of(
        "".join(PARAGRAPHS) + "<p>He calls it <strong>tide_table</strong> and <a href='/x'>prints</a> it.</p>"
        "<ul><li>one pencil, always sharp</li><li>one ledger, always dry</li></ul>"
    )
    assert "He calls it **tide_table** and prints it." in text
    assert "- one pencil, always sharp\n- one ledger, always dry" in text


def test_the_day_a_page_states_is_read_and_none_is_guessed() -> None:
    stated = '<meta property="article:published_time" content="2019-11-18T09:00:00+00:00">'
    assert read_article(page("".join(PARAGRAPHS), stated), URL).date == "2019-11-18"
    assert read_article(page("".join(PARAGRAPHS) + "<p>In 1953 the water came over.</p>"), URL).date == ""


@pytest.mark.parametrize(
    "html",
    [
        "", "   ", "plain words", "<!--" * 500, "<![CDATA[", "\x00\x01<<<>>>" * 50, "<html></html>", "<p>",
        "<html><body>" + "<div class='share'>" * 3000 + "<p>deep</p>",
        "<html><body><article>" + "<ul><li>a" * 800,
        "<html><body><article>" + "<p><em>" * 3000 + "words",
        "<html><body><article>" + "<table><tr><td>a" * 500,
    ],
)  # fmt: skip
def test_no_page_takes_it_down(html: str) -> None:
    assert all(isinstance(part, str) for part in main_text(html, URL))


def test_a_page_of_megabytes_is_read_whole() -> None:
    lines = "".join(f"line {n} of a log that goes on and on<br>" for n in range(6_000))
    text = text_of(f"<div><p>Log</p>{lines}</div>")
    assert "line 5999 of a log" in text
    assert "line 0 of a log" in text


def test_real_articles_are_found_as_the_public_benchmark_counts(shared_data) -> None:
    chosen = pages(shared_data / "html_article_benchmark")[::4]
    f1, precision, recall = summary([score(truth, main_text(html, url)[1]) for url, html, truth in chosen])
    assert f1 > 0.975, (f1, precision, recall)
