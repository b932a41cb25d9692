"""What holds of whole exports, feeds and sitemaps for every text somebody may have written."""

import contextlib
import csv
import html
import io
import json
import tempfile
import zipfile
from pathlib import Path

import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tests.unit.test_sources_exports import read
from tests.unit.test_sources_feeds import answer
from twin_assets.core.errors import InputError, SourceError
from twin_assets.core.sources import linkedin, medium, recognise
from twin_assets.core.sources.base import canonical
from twin_assets.core.sources.feed_reader import parse_feed
from twin_assets.core.sources.files import split_front_matter
from twin_assets.core.sources.sitemap import parse_sitemap

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
# What XML and HTML can hold: no control characters; and no surrogates, which UTF-8 cannot.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=80).map(
    lambda text: f"{text.strip()} x"
)
LINES = st.lists(TEXT, min_size=1, max_size=4)


def documents(platform: str, **files: str) -> list:
    """The documents of an export with these files, after it was recognised as the platform's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whatever.zip"
        with zipfile.ZipFile(path, "w") as packed:
            for name, text in files.items():
                packed.writestr(name, text)
        assert recognise(path) == platform
        return read(platform, path)[0]


def table(header: str, rows: list[list[str]], **dialect) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL, **dialect)
    writer.writerows([header.split(","), *rows])
    return written.getvalue()


@QUICK
@given(st.lists(LINES, min_size=1, max_size=5), st.lists(TEXT, max_size=3))
@example([['"So," he said', '"we begin"'], ["a,b", '"']], ['He said "go" \\ now', "\\"])
def test_a_linkedin_export_comes_back_as_it_was_written(posts, comments):
    texts = ["\n".join(lines) for lines in posts]
    assume(not any('"\n"' in text for text in texts))
    shares = [
        ["2025-01-01 00:00:00", f"urn:li:share:{n}", '"\n"'.join(lines), "", "", "X"] for n, lines in enumerate(posts)
    ]
    answers = [[f"2025-01-01 00:00:0{n}", "urn:li:activity:1", text] for n, text in enumerate(comments)]
    found = documents(
        "linkedin",
        **{
            "Basic/Shares_12.csv": table("Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility", shares),
            "Basic/Comments.csv": table("Date,Link,Message", answers, escapechar="\\", doublequote=False),
        },
    )
    kinds = [document.metadata.get("kind") == "comment" for document in found]
    assert [document.content for document in found] == [*texts, *comments]
    assert kinds == [False] * len(texts) + [True] * len(comments)
    assert len({document.external_id for document in found}) == len(found)


@QUICK
@given(st.lists(st.tuples(TEXT, st.booleans()), min_size=1, max_size=8))
@example([("RT @somebody: theirs x", False), ("a &amp; b <3 \u2028 x", True)])
def test_an_x_archive_loses_no_tweet_and_joins_every_thread(tweets):
    """Each tweet is a text and whether it answers the one before."""
    rows, threads = [], {}
    for number, (text, answers) in enumerate(tweets, start=1):
        before = rows[-1]["tweet"] if rows else None
        answers = answers and before is not None and not before["full_text"].startswith("RT @")
        row = {"id_str": str(number), "full_text": html.escape(text, quote=False), "entities": {}}
        row |= {"created_at": "Wed Sep 04 13:51:55 +0000 2019", "retweeted": False}
        rows.append({"tweet": row | {"in_reply_to_status_id_str": str(number - 1) if answers else None}})
        if text.startswith("RT @"):
            continue
        if answers:
            first = max(threads)
            threads[first].append(text)
        else:
            threads[number] = [text]
    half = len(rows) // 2  # the archive comes in parts, which may overlap
    files = {
        f"data/tweets{name}.js": f"window.YTD.tweets.part{part} = {json.dumps(some)}"
        for part, (name, some) in enumerate((("", rows[: half + 1]), ("-part1", rows[half:])))
    }
    found = {document.external_id: document.content for document in documents("x", **files)}
    assert found == {str(first): "\n\n".join(parts) for first, parts in threads.items()}


def medium_post(number: int, title: str, paragraphs: list[str], response: bool) -> str:
    body = "".join(f'<p class="graf graf--p">{html.escape(each)}</p>' for each in paragraphs)
    if response:
        body = body.replace("graf--p", "graf--p graf--leading", 1)
    heading = "" if response else f'<h3 class="graf graf--h3 graf--title">{html.escape(title)}</h3>'
    return (
        '<!DOCTYPE html><html><body><article class="h-entry">'
        f'<header><h1 class="p-name">{html.escape(title)}</h1></header>'
        f'<section data-field="body" class="e-content">{heading}{body}</section><footer>'
        f'<a href="https://medium.com/@ada/t-{number:012x}" class="p-canonical">x</a></footer></article></body></html>'
    )


@QUICK
@given(st.lists(st.tuples(TEXT, LINES, st.sampled_from(["article", "response", "draft"])), min_size=1, max_size=3))
def test_a_medium_export_comes_back_as_it_was_written(posts):
    files, expected = {}, []
    for number, (title, paragraphs, kind) in enumerate(posts):
        name = f"draft_T-{number:012x}" if kind == "draft" else f"2024-01-01_T-{number:012x}"
        files[f"posts/{name}.html"] = medium_post(number, title, paragraphs, kind == "response")
        if kind != "draft":
            shown = " ".join(" ".join(paragraphs).split())
            expected.append((f"{number:012x}", "post" if kind == "response" else "article", shown))
    found = documents("medium", **files)
    read_back = [
        (document.external_id, document.category, " ".join(medium._text(document.content).split()))
        for document in found
    ]
    assert sorted(read_back) == sorted(expected)


@QUICK
@given(
    TEXT
    | st.sampled_from(["<a class=p-canonical>", "<section data-field=body>", "<time class=dt-published datetime=x>"]),
    st.sampled_from(["a", "draft_a", "2024-01-01_x-0123456789ab", ""]),
)
def test_any_page_is_a_medium_post_or_a_draft(markup, stem):
    post = medium.read_post(markup, stem)
    assert post is None or isinstance(post["content"], str)


@QUICK
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans(), st.sampled_from(["newsletter", "podcast", "thread", "page"])),
                min_size=1, max_size=4))  # fmt: skip
def test_a_substack_export_comes_back_as_it_was_written(posts):
    header = "post_id,post_date,is_published,email_sent_at,type,audience,title,subtitle,podcast_url"
    rows, files, expected = [], {}, []
    for number, (title, text, published, kind) in enumerate(posts, start=1):
        rows.append([f"{number}.slug", "2024-01-01T00:00:00Z", str(published).lower(), "", kind, "everyone"])
        rows[-1] += [html.escape(title), "", ""]
        files[f"posts/{number}.slug.html"] = f"<p>{html.escape(text)}</p>"
        if published and kind != "page":
            category = "post" if kind == "thread" else "article"
            expected.append((str(number), category, html.unescape(html.escape(title)), f"<p>{html.escape(text)}</p>"))
    found = documents("substack", **{"posts.csv": table(header, rows), **files})
    assert [(each.external_id, each.category, each.title, each.content) for each in found] == expected


@QUICK
@given(st.lists(st.tuples(TEXT, LINES), min_size=1, max_size=5))
def test_a_feed_comes_back_as_it_was_written(entries):
    items = "".join(
        f"<item><guid>urn:{number}</guid><title>{html.escape(title)}</title><description>"
        f"{html.escape(''.join(f'<p>{html.escape(line)}</p>' for line in lines))}</description></item>"
        for number, (title, lines) in enumerate(entries)
    )
    _, found = parse_feed(answer(f'<rss version="2.0"><channel>{items}</channel></rss>'.encode()))
    assert [item.guid for item in found] == [f"urn:{number}" for number in range(len(entries))]
    for item, (_, lines) in zip(found, entries, strict=True):
        assert "".join(medium._text(item.content).split()) == "".join("".join(lines).split())


@QUICK
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), st.data())
def test_a_feed_that_is_cut_anywhere_or_damaged_is_never_half_read(entries, data):
    items = "".join(f"<item><guid>{html.escape(name)}</guid><description>{html.escape(text)}</description></item>"
                    for name, text in entries)  # fmt: skip
    whole = f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'.encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with contextlib.suppress(SourceError):
        parse_feed(answer(whole[:cut]))
        raise AssertionError(whole[:cut])


URL = st.builds("https://example.org/{}".format, st.text("abcé/-_~%?=&;", max_size=20))


@QUICK
@given(st.lists(st.tuples(URL, st.sampled_from(["", "2024-01-01"])), max_size=5), st.binary(max_size=60), st.booleans())
@example([("https://example.org/[", "")], b"<urlset><url><loc>http://[</loc></url></urlset>", False)
@example([], b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset>&e;</urlset>', False)
def test_a_sitemap_comes_back_as_it_was_written_or_is_refused(urls, noise, cut):
    rows = "".join(
        f"<url><loc>{html.escape(url)}</loc>{day and f'<lastmod>{day}</lastmod>'}</url>" for url, day in urls
    )
    whole = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'.encode()
    assert parse_sitemap(whole, "https://example.org/sitemap.xml") == ("urlset", urls)
    for damaged in (noise, whole[: len(whole) // 2] if cut else whole + noise):
        with contextlib.suppress(SourceError):
            kind, found = parse_sitemap(damaged, "https://example.org/sitemap.xml")
            assert kind is not None
            assert all(address.startswith("https://example.org/") for address, _ in found)


YAML = st.recursive(
    TEXT | st.integers() | st.booleans() | st.none() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8,
)  # fmt: skip


@QUICK
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), YAML, min_size=1, max_size=4), TEXT)
def test_front_matter_comes_back_as_it_was_written(fields, body):
    dumped = yaml.safe_dump(fields, allow_unicode=True)
    assume("\n---" not in f"\n{dumped}")
    assert split_front_matter(f"---\n{dumped}---\n{body}") == (fields, body)


@QUICK
@given(
    st.text("abc/?#=&;%.:_-", max_size=30),
    st.lists(st.sampled_from(["utm_source=x", "fbclid=1", "a=1", "b", "="]), max_size=4),
)
def test_an_address_loses_what_tracks_and_nothing_else(path, parts):
    url = f"https://example.org/{path.replace('?', '').replace('#', '')}" + (f"?{'&'.join(parts)}" if parts else "")
    kept = [part for part in parts if not part.startswith(("utm_", "fbclid"))]
    assert canonical(url) == url.partition("?")[0] + (f"?{'&'.join(kept)}" if kept else "?" * (parts == []) * 0)
    assert canonical(canonical(url)) == canonical(url)


@QUICK
@given(st.text(max_size=60) | st.from_regex(r"(<(h1|p|div|a)[^<>]{0,30}>){0,5}[^<>]{0,30}"))
@example('<h1><a href="https://www.linkedin.com/pulse/x">T</a></h1><p class="published">Published on 2024-13-99</p>')
def test_any_page_is_a_linkedin_article_or_a_draft(markup):
    with contextlib.suppress(InputError):
        article = linkedin.read_article(markup, "stem")
        assert article is None or article["external_id"].startswith("article:")
