"""Feeds as they are found: summaries only, guids that two items share, caches that lie, and the back catalogue."""

import gzip
import json
import time

import pytest

from tests.integration.collecting import collect, collect_all, counts, platforms, rows, workspace  # noqa: F401
from twin_assets.core.collection import add_source

STORY = "The crane planner asked what would happen by Friday, and who was going to shout about it. " * 12


def page(title: str, text: str = STORY, date: str = "2024-03-05") -> str:
    return (
        f'<!DOCTYPE html><html><head><title>{title}</title><meta property="article:published_time" content="{date}">'
        f"</head><body><nav><a href='/'>Home</a></nav><article><h1>{title}</h1><p>{text}</p></article></body></html>"
    )


def feed(*items: tuple[str, str, str], title: str = "t") -> str:
    """An RSS feed of (guid, link, description)."""
    body = "".join(
        f"<item><guid>urn:{guid}</guid><link>{link}</link><title>About {link.rsplit('/', 1)[-1]}</title>"
        f"<description>{text}</description></item>"
        for guid, link, text in items
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>{title}</title>{body}</channel></rss>'


@pytest.fixture
def blog(platforms, workspace):
    """A server whose blog is empty, with robots.txt; `write(name, text)` publishes."""
    for name in list(platforms.content.under("blog")):
        platforms.content.delete(f"blog/{name}")
    platforms.robots = "User-agent: *\nDisallow: /blog/private\n"
    platforms.write = lambda name, text: platforms.content.write(f"blog/{name}", text)
    return platforms


def asked(blog, start: int = 0) -> list[str]:
    return [request.path.removeprefix("/blog/") for request in blog.requests[start:]]


def test_the_texts_behind_summaries_are_read_once_and_as_robots_allows(blog, workspace):
    links = {name: f"{blog.url}/blog/{name}.html" for name in ("open", "private", "again")}
    links["gone"] = f"{blog.url}/web/gone.html"
    blog.write("open.html", page("Open"))
    blog.write("private.html", page("Private"))
    items = [(name, link, "It begins well ...") for name, link in links.items()]
    blog.write("feed.xml", feed(*items))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.xml")
    assert counts(collect(workspace, "feed")) == ("ok", 4, 0, 0, 0, 3)
    stored = rows(workspace)
    assert stored["urn:open"]["content"].count("who was going to shout") == 12
    assert (stored["urn:open"]["quarantine"], stored["urn:open"]["content_type"]) == (None, "text/markdown")
    assert stored["urn:private"]["quarantine"] == "refused by robots.txt"
    assert "paste the text" in stored["urn:private"]["remedy"]
    assert stored["urn:gone"]["quarantine"] in ("status 404", "soft 404")
    assert stored["urn:again"]["quarantine"] == "truncated preview"  # its page shows the same summary
    assert "private.html" not in asked(blog)
    start = len(blog.requests)
    assert counts(collect(workspace, "feed"))[:4] == ("ok", 0, 0, 4)
    assert asked(blog, start) == ["feed.xml"]
    blog.write("fresh.html", page("Fresh"))
    blog.write("feed.xml", feed(("fresh", f"{blog.url}/blog/fresh.html", "New ..."), *items))
    start = len(blog.requests)
    assert counts(collect(workspace, "feed")) == ("ok", 1, 0, 4, 0, 3)
    assert asked(blog, start) == ["feed.xml", "/robots.txt", "fresh.html"]


def test_a_page_that_fails_today_is_read_tomorrow(blog, workspace):
    blog.write("a.html", page("A"))
    blog.write("feed.xml", feed(("a", f"{blog.url}/blog/a.html", "It begins ...")))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.xml")
    blog.fail("/blog/a.html", status=503, times=None)
    first = collect(workspace, "feed")
    assert counts(first) == ("ok", 1, 0, 0, 0, 1)
    assert "1 pages behind the feed could not be read" in first.message
    blog.clear_faults()
    assert counts(collect(workspace, "feed")) == ("ok", 0, 1, 0, 0, 0)
    blog.write("feed.xml", feed(("a", f"{blog.url}/blog/a.html", "It begins anew ...")))
    blog.fail("/blog/a.html", fault="challenge", times=None)
    assert counts(collect(workspace, "feed")) == ("ok", 0, 0, 1, 0, 0)
    assert "who was going to shout" in rows(workspace)["urn:a"]["content"]


def test_two_items_of_one_guid_are_two_documents_for_good(blog, workspace):
    first, second = f"{blog.url}/blog/1", f"{blog.url}/blog/2"
    blog.write("feed.xml", feed(("same", first, f"<p>{STORY}</p>".replace("<", "&lt;"))))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.xml")
    collect(workspace, "feed")
    assert set(rows(workspace)) == {"urn:same"}
    whole = f"<p>{STORY}</p>".replace("<", "&lt;")
    blog.write("feed.xml", feed(("same", second, whole), ("same", first, whole), ("same", first, whole)))
    collect(workspace, "feed")
    assert set(rows(workspace)) == {first, second}
    blog.write("feed.xml", feed(("same", second, whole), title="the window moved"))
    assert counts(collect(workspace, "feed"))[:5] == ("ok", 0, 0, 1, 0)
    assert set(rows(workspace)) == {first, second}


def test_notes_that_share_even_their_link_are_told_apart_by_their_dates(blog, workspace):
    def notes(*texts: str) -> str:
        items = "".join(
            f"<item><guid>urn:day</guid><link>{blog.url}/blog/day</link><description>{text}</description>"
            f"<pubDate>Mon, 05 Aug 2024 0{number}:00:00 GMT</pubDate></item>"
            for number, text in enumerate(texts)
            if text
        )
        return f'<rss version="2.0"><channel>{items}</channel></rss>'

    blog.write("feed.xml", notes("The first note."))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.xml")
    assert counts(collect(workspace, "feed"))[:2] == ("ok", 1)
    blog.write("feed.xml", notes("The first note.", "The second note."))
    collect(workspace, "feed")
    assert sorted(row["content"] for row in rows(workspace).values()) == ["The first note.", "The second note."]
    blog.write("feed.xml", notes("", "The second note.", "The third note."))
    assert counts(collect(workspace, "feed"))[:4] == ("ok", 1, 0, 1)
    assert len(rows(workspace)) == 3


def test_items_without_any_identity_are_not_lost(blog, workspace):
    items = "".join(f"<item><description>A thought about pagers, number {n}.</description></item>" for n in range(3))
    blog.write("feed.xml", f'<rss version="2.0"><channel>{items}</channel></rss>')
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.xml")
    assert counts(collect(workspace, "feed")) == ("ok", 3, 0, 0, 0, 0)
    blog.write("feed.xml", f'<rss version="2.0"><channel><title>x</title>{items}</channel></rss>')
    assert counts(collect(workspace, "feed")) == ("ok", 0, 0, 3, 0, 0)


def test_a_cache_that_always_answers_304_is_seen_through_within_a_week(blog, workspace, monkeypatch):
    whole = f"<p>{STORY}</p>".replace("<", "&lt;")
    blog.write("feed.xml", feed(("1", f"{blog.url}/blog/1", whole)))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.xml")
    collect(workspace, "feed")
    blog.write("feed.xml", feed(("1", f"{blog.url}/blog/1", whole), ("2", f"{blog.url}/blog/2", whole)))
    honest = blog.respond

    def lying(request):
        if "if-none-match" in request.headers or "if-modified-since" in request.headers:
            request = type(request)(**{**vars(request), "headers": {**request.headers, "if-none-match": "*"}})
        return honest(request)

    blog.respond = lying
    assert collect(workspace, "feed").new == 0
    later = time.time() + 8 * 86_400
    monkeypatch.setattr("twin_assets.core.sources.feed_reader.time.time", lambda: later)
    assert collect(workspace, "feed").new == 1


SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"


def sitemap(*urls: tuple[str, str]) -> str:
    rows = "".join(f"<url><loc>{url}</loc>{changed and f'<lastmod>{changed}</lastmod>'}</url>" for url, changed in urls)
    return f'<?xml version="1.0"?><urlset xmlns="{SITEMAP}">{rows}</urlset>'


def test_a_sitemap_brings_the_back_catalogue_and_only_what_changed_is_read_again(blog, workspace):
    names = ("old", "older", "list", "private")
    addresses = {name: f"{blog.url}/blog/{name}.html" for name in names}
    for name in names:
        blog.write(f"{name}.html", page(name.title(), "Short list." if name == "list" else STORY + name))
    parts = [(addresses[name], "" if name == "older" else "2024-05-01") for name in names]
    others = [(f"{blog.url}/blog/tag/x", ""), ("https://elsewhere.example/a", ""), (f"{blog.url}/", "")]
    index = f"<sitemap><loc>{blog.url}/blog/posts.xml</loc></sitemap>"
    blog.write("sitemap.xml", f'<sitemapindex xmlns="{SITEMAP}">{index}</sitemapindex>')
    blog.write("posts.xml", gzip.compress(sitemap(*parts, *others).encode()))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/sitemap.xml")
    assert counts(collect(workspace, "feed")) == ("ok", 3, 0, 0, 0, 1)
    stored = rows(workspace)
    assert set(stored) == {addresses[name] for name in ("old", "older", "private")}
    assert stored[addresses["old"]]["title"] == "Old"
    assert stored[addresses["old"]]["published_at"].date().isoformat() == "2024-03-05"
    start = len(blog.requests)
    assert counts(collect(workspace, "feed")) == ("ok", 0, 0, 3, 0, 1)
    assert [(r.path.rsplit("/", 1)[-1], r.status) for r in blog.requests[start:]] == [
        ("sitemap.xml", 304), ("posts.xml", 304), ("robots.txt", 200), ("older.html", 304),
    ]  # fmt: skip
    blog.write("old.html", page("Old", STORY + "rewritten"))
    blog.write("posts.xml", sitemap((addresses["old"], "2024-06-01"), *parts[1:2]))
    assert counts(collect(workspace, "feed")) == ("ok", 0, 1, 1, 1, 0)


def test_a_page_that_failed_is_read_again_though_its_sitemap_is_as_before(blog, workspace):
    blog.write("sitemap.xml", sitemap(*((f"{blog.url}/blog/{name}.html", "2024-05-01") for name in "ab")))
    for name in "ab":
        blog.write(f"{name}.html", page(name, STORY + name))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/sitemap.xml")
    blog.fail("/blog/b.html", status=503, times=None)
    assert counts(collect(workspace, "feed"))[:5] == ("ok", 1, 0, 0, 0)
    blog.clear_faults()
    start = len(blog.requests)
    assert counts(collect(workspace, "feed"))[:5] == ("ok", 1, 0, 1, 0)
    assert [request.status for request in blog.requests[start:]] == [304, 200, 200]  # the sitemap, robots.txt, the page
    start = len(blog.requests)
    assert counts(collect(workspace, "feed"))[:5] == ("ok", 0, 0, 2, 0)
    assert [request.status for request in blog.requests[start:]] == [304]


def test_a_sitemap_of_more_parts_than_are_read_is_no_whole_listing(blog, workspace, monkeypatch):
    parts = [f"{blog.url}/blog/part{n}.xml" for n in range(2)]
    for n in range(2):
        blog.write(f"p{n}.html", page(f"P{n}", STORY + str(n)))
        blog.write(f"part{n}.xml", sitemap((f"{blog.url}/blog/p{n}.html", "2024-05-01"), ("http://[", "")))
    index = "".join(f"<sitemap><loc>{part}</loc></sitemap>" for part in parts)
    blog.write("sitemap.xml", f'<sitemapindex xmlns="{SITEMAP}">{index}</sitemapindex>')
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/sitemap.xml")
    assert counts(collect(workspace, "feed"))[:2] == ("ok", 2)
    monkeypatch.setattr("twin_assets.core.sources.sitemap.SITEMAPS", 1)
    blog.write("sitemap.xml", f'<sitemapindex xmlns="{SITEMAP}"> {index}</sitemapindex>')
    refused = collect(workspace, "feed")
    assert (refused.status, refused.removed, len(rows(workspace))) == ("failed", 0, 2)
    assert "lists 2 others, more than 1; give the address" in refused.message


def test_a_sitemap_and_a_feed_hold_one_document_for_one_text(blog, workspace):
    link = f"{blog.url}/blog/a.html"
    blog.write("a.html", page("A"))
    blog.write("b.html", page("B"))
    blog.write("sitemap.xml", sitemap((link, "2024-05-01"), (f"{blog.url}/blog/b.html", "2024-05-01")))
    blog.write("feed.xml", feed(("guid-a", link, f"<p>{STORY}</p>".replace("<", "&lt;"))))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/sitemap.xml")
    collect(workspace, "feed")
    assert set(rows(workspace)) == {link, f"{blog.url}/blog/b.html"}
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.xml")
    collect_all(workspace, "feed")
    assert set(rows(workspace)) == {"urn:guid-a", f"{blog.url}/blog/b.html"}
    assert [result.status for result in collect_all(workspace, "feed")] == ["ok", "ok"]
    assert set(rows(workspace)) == {"urn:guid-a", f"{blog.url}/blog/b.html"}


@pytest.mark.parametrize("fault", ["truncated", "malformed", "truncated_gzip", "challenge", "redirect_loop", "huge"])
def test_no_fault_of_a_sitemap_removes_a_document(blog, workspace, fault, monkeypatch):
    monkeypatch.setattr("twin_assets.core.sources.sitemap.LARGEST", 1_000_000)
    blog.write("a.html", page("A"))
    blog.write("sitemap.xml", sitemap((f"{blog.url}/blog/a.html", "2024-05-01")))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/sitemap.xml")
    assert collect(workspace, "feed").new == 1
    blog.write("sitemap.xml", sitemap((f"{blog.url}/blog/a.html", "2024-05-01"), (f"{blog.url}/blog/tag/x", "")))
    blog.fail("/blog/sitemap.xml", fault=fault, times=None)
    failed = collect(workspace, "feed")
    assert (failed.status, failed.removed) == ("failed", 0)
    blog.clear_faults()
    assert counts(collect(workspace, "feed")) == ("ok", 0, 0, 1, 0, 0)


def test_a_backfill_goes_on_where_it_stopped(blog, workspace, monkeypatch):
    addresses = [(f"{blog.url}/blog/p{n}.html", "2024-05-01") for n in range(6)]
    for n in range(6):
        blog.write(f"p{n}.html", page(f"P{n}", STORY + str(n)))
    blog.write("sitemap.xml", sitemap(*addresses))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/sitemap.xml")
    blog.fail("/blog/p4.html", status=429, retry_after=1000, times=None)
    stopped = collect(workspace, "feed")
    assert (stopped.status, stopped.new, stopped.removed) == ("waiting", 4, 0)
    blog.clear_faults()
    start, later = len(blog.requests), time.time() + 1001
    assert (collect(workspace, "feed").status, asked(blog, start)) == ("waiting", [])
    monkeypatch.setattr("twin_assets.core.collection.time.time", lambda: later)
    assert counts(collect(workspace, "feed")) == ("ok", 2, 0, 4, 0, 0)
    first, robots, *pages = asked(blog, start)
    assert (first, robots, set(pages)) == ("sitemap.xml", "/robots.txt", {"p4.html", "p5.html"})  # two at once
    assert len(pages) == 2


def test_a_json_feed_is_a_feed(blog, workspace):
    items = [{"id": "1", "url": f"{blog.url}/blog/1", "title": "T", "content_html": f"<p>{STORY}</p>"}]
    items.append({"id": "2", "url": f"{blog.url}/blog/2.html", "title": "U", "summary": "Only ..."})
    blog.write("2.html", page("U"))
    blog.write("feed.json.xml", json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items}))
    add_source(workspace, "ada", "feed", f"{blog.url}/blog/feed.json.xml")
    assert counts(collect(workspace, "feed")) == ("ok", 2, 0, 0, 0, 0)
