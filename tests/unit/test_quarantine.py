"""The quarantine detector: walls by their formats, honest pages that look like them, and whose name a text bears."""

import csv
import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from benchmarks.bench_main_text import pages
from benchmarks.bench_quarantine import PREVIEW
from benchmarks.walls import HONEST, LATER, STORY, WALLS, article, page
from demo.server import PlatformServer
from twin_assets.cli import app
from twin_assets.core.authors import Author, Source
from twin_assets.core.collection import collect_platform
from twin_assets.core.sources.base import Reading
from twin_assets.core.sources.bylines import judge_author
from twin_assets.core.sources.feed_reader import parse_feed
from twin_assets.core.sources.pages import read_page
from twin_assets.core.sources.quarantine import judge_page
from twin_assets.core.web import WebClient
from twin_assets.core.web_answers import WebResponse
from twin_assets.settings import get_settings

URL = "https://example.org/x"
MISSED = {"Polish", "Handelsblatt"}  # as the benchmark counts them
SIGNED = '<script type="application/ld+json">{"@graph":[{"@type":"NewsArticle","author":{"name":"%s"}}]}</script>'
MAREN = Author(id="maren", name="Maren Oduya", names=("M. K. Varga",))


@pytest.fixture
def platforms() -> Iterator[PlatformServer]:
    """A loopback server; its blog is written by the test."""
    with PlatformServer() as server:
        yield server


@pytest.mark.parametrize(
    ("reason", "status", "html"),
    [pytest.param(r, s, h, id=f"{r}: {n}") for r, n, s, h in (*WALLS, *LATER) if n not in MISSED],
)
def test_every_known_wall_is_held_back_with_its_reason_and_a_remedy(reason: str, status: int, html: str) -> None:
    judged = judge_page(html, status=status, url=URL)
    assert judged is not None
    assert judged.reason == reason
    assert len(judged.remedy.split()) > 4


@pytest.mark.parametrize("html", [pytest.param(html, id=name) for name, html in HONEST])
def test_honest_pages_that_look_like_walls_pass(html: str) -> None:
    assert judge_page(html, status=200, url=URL) is None


def test_the_same_sign_beside_a_long_text_is_no_wall() -> None:
    sign = "<div>Verify you are human</div>"
    assert judge_page(page("A page", sign), status=200, url=URL) is not None
    assert judge_page(article(8, sign), status=200, url=URL) is None


@pytest.mark.parametrize(
    "body", ["<" * 5000, "<div>" * 5000 + "words", "\x00\x01", "&#0;&#x110000;", "<!--", "<title>"]
)
def test_no_body_takes_it_down(body: str) -> None:
    judge_page(body, status=200, url=URL)


def test_real_articles_pass_and_the_real_preview_does_not(shared_data) -> None:
    folder = shared_data / "html_article_benchmark"
    names = sorted(json.loads((folder / "ground-truth.json").read_text(encoding="utf-8")))
    found = {
        name: judged.reason
        for name, (url, html, _) in list(zip(names, pages(folder), strict=True))[::3]
        if (judged := judge_page(html, status=200, url=url))
    }
    assert found == {PREVIEW: "paywall"}


def test_real_short_posts_pass_beside_a_footer_about_cookies(shared_data) -> None:
    footer = "<footer>Sign in. We use cookies, see our privacy policy.</footer>"
    with (shared_data / "linkedin_export_sanand").joinpath("Shares.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["ShareCommentary"] for row in csv.DictReader(file) if row["ShareCommentary"].strip()]
    assert len(texts) == 188
    held = [t for t in texts if judge_page(page("Post", f"<article><p>{t}</p></article>{footer}"), status=200, url=URL)]
    assert held == []


@pytest.mark.parametrize(
    "byline",
    [
        "Maren Oduya", "maren oduya", "By MAREN ODUYA", "Oduya, Maren", "Marén Oduyá", "M. Oduya", "Maren B. Oduya",
        "Dr. Maren Oduya", "marenoduya", "@maren_oduya", "Tom Hale and Maren Oduya", "Maren Oduya, Harbour Times",
        "M. K. Varga", "maren@example.org (Maren Oduya)", "Maren Hale-Oduya", "", "admin", "Staff", "The Harbour Times",
        "Associated Press", "tomhale", "guest author", "Maren",
    ],
)  # fmt: skip
def test_a_byline_that_may_be_the_author_or_names_nobody_condemns_nothing(byline: str) -> None:
    assert judge_author([byline], MAREN) is None


@pytest.mark.parametrize(
    "byline", ["Tom Hale", "By TOM HALE, Harbour Times", "Tom Hale and Ann Lee", "Maren Hale", "Łukasz Żak"]
)
def test_a_byline_of_somebody_else_does(byline: str) -> None:
    judged = judge_author([byline], MAREN)
    assert judged is not None
    assert judged.reason == "another author"
    assert "twin author add maren --also-known-as" in judged.remedy


def test_an_author_known_by_a_handle_only_cannot_be_told_from_others() -> None:
    assert judge_author(["Tom Hale"], Author(id="tide", name="tidewriter")) is None


def _bylines(body: str, kind: str = "application/rss+xml") -> list[tuple[str, ...]]:
    response = WebResponse(200, URL, {"content-type": kind}, body.encode())
    return [item.bylines for item in parse_feed(response)[1]]


def test_bylines_are_read_from_every_kind_of_feed() -> None:
    rss = (
        '<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>t</title>'
        "<item><guid>1</guid><dc:creator>Tom Hale</dc:creator></item>"
        "<item><guid>2</guid><author>ann@example.org (Ann Lee)</author></item>"
        "<item><guid>3</guid></item></channel></rss>"
    )
    assert [tuple(dict.fromkeys(names)) for names in _bylines(rss)] == [("Tom Hale",), ("Ann Lee",), ()]
    atom = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title><entry><id>1</id><title>x</title>'
        "<author><name>Tom Hale</name></author></entry></feed>"
    )
    assert _bylines(atom) == [("Tom Hale",)]
    items = [{"id": "1", "authors": [{"name": "Tom Hale"}]}, {"id": "2", "author": {"name": "Ann Lee"}}, {"id": "3"}]
    body = json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items})
    assert _bylines(body, "application/feed+json") == [("Tom Hale",), ("Ann Lee",), ()]


def test_a_guest_s_text_is_held_back_until_the_author_says_that_it_is_theirs(platforms, workspace) -> None:
    story = f"<p>{STORY * 3}</p>"
    items = "".join(
        f"<item><guid>urn:{name}</guid><title>{name}</title><link>{platforms.url}/blog/{name}.html</link>{creator}"
        f"<content:encoded><![CDATA[{story}]]></content:encoded></item>"
        for name, creator in (("own", "<dc:creator>Maren Oduya</dc:creator>"), ("unsigned", ""),
                              ("guest", "<dc:creator>Tom Hale</dc:creator>"))
    )  # fmt: skip
    spaces = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    feed = f'<rss version="2.0" {spaces}><channel><title>t</title>{items}</channel></rss>'
    platforms.content.write("blog/shared.xml", feed)
    source = Source(platform="feed", location=f"{platforms.url}/blog/shared.xml")
    author = MAREN.model_copy(update={"sources": (source,)})

    def held(someone: Author) -> set[str]:
        workspace.authors.save(someone)
        collect_platform(workspace, someone, "feed")
        rows = workspace.lake.read("raw_documents", "maren").to_dicts()
        return {row["external_id"] for row in rows if row["quarantine"]}

    assert held(author) == {"urn:guest"}
    assert held(author) == {"urn:guest"}
    assert held(author.model_copy(update={"names": ("Tom Hale",)})) == set()


def test_a_page_signed_by_somebody_else_is_held_back(platforms, home) -> None:
    for name in ("Tom Hale", "Maren Oduya"):
        platforms.content.write(f"blog/{name[:3]}.html", article(3, head=SIGNED % name))
    with WebClient(allowed_hosts=home.allowed_host_names) as web:
        reading = Reading(MAREN, Source(platform="feed", location=URL), {}, web, home)
        assert read_page(reading, f"{platforms.url}/blog/Mar.html").problem is None
        problem = read_page(reading, f"{platforms.url}/blog/Tom.html").problem
    assert problem is not None
    assert problem.reason == "another author"


def test_the_command_that_the_remedy_names_adds_the_name(workspace, monkeypatch) -> None:
    monkeypatch.setenv("TWIN_HOME", str(workspace.settings.home))
    get_settings.cache_clear()
    workspace.authors.save(MAREN)
    added = CliRunner().invoke(app, ["author", "add", "maren", "--also-known-as", "Tom Hale"])
    assert added.exit_code == 0, added.output
    again = workspace.authors.get("maren")
    assert (again.name, again.names) == ("Maren Oduya", ("M. K. Varga", "Tom Hale"))
    assert judge_author(["Tom Hale"], again) is None
