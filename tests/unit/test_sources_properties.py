"""What holds of the parsers for every input, not for the ones somebody thought of."""

import contextlib
import csv
import html
import io
import json
import string

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from twin_assets.core.errors import InputError, SourceError
from twin_assets.core.sources import PLATFORMS, linkedin, x
from twin_assets.core.sources.base import moment
from twin_assets.core.sources.feed_reader import Item, parse_feed, tell_apart
from twin_assets.core.sources.files import decode, split_front_matter
from twin_assets.core.sources.office_files import reflow
from twin_assets.core.sources.quarantine import judge_page
from twin_assets.core.sources.repository_files import _attributes, _is_foreign, own_files
from twin_assets.core.web import WebResponse
from twin_assets.core.web_answers import asked_wait

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=200)
LINES = st.lists(TEXT.filter(lambda text: "\n" not in text and text.strip() == text), min_size=1, max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["version", "items", "id", "url", "title", "content_html", "tags", "date_published", "x"]), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


def answer(content: bytes, **headers: str) -> WebResponse:
    return WebResponse(200, "https://example.org/feed", headers, content)


def table(header: str, rows: list[list[str]], **dialect) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL, **dialect)
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return written.getvalue()


@QUICK
@given(st.lists(LINES, max_size=5))
@example([['He said "go".', "", '"Quoted" at both ends"']])
def test_linkedins_paragraphs_come_back_as_they_were_written(posts):
    texts = ["\n".join(lines) for lines in posts]
    assume(not any('"\n"' in text for text in texts))
    rows = [["2025-01-01 00:00:00", f"urn:li:share:{n}", '"\n"'.join(lines)] for n, lines in enumerate(posts)]
    read = linkedin.read_shares(io.StringIO(table("Date,ShareLink,ShareCommentary", rows), newline=""))
    assert [row["ShareCommentary"] for row in read] == texts


@QUICK
@given(st.lists(TEXT, max_size=5))
@example(['a "b" \\ c', "\\", '"'])
def test_linkedins_comments_come_back_as_they_were_written(messages):
    rows = [["2025-01-01", message] for message in messages]
    text = table("Date,Message", rows, escapechar="\\", doublequote=False)
    assert [row["Message"] for row in linkedin.read_comments(io.StringIO(text, newline=""))] == messages


@QUICK
@given(TEXT)
def test_a_tweets_escaped_text_comes_back(text):
    assert x.tweet_text({"full_text": html.escape(text, quote=False), "entities": {}}) == text.strip()


@QUICK
@given(st.lists(st.text(string.ascii_letters + " ,.", min_size=290, max_size=330), min_size=1, max_size=4, unique=True))
def test_every_long_post_finds_its_tweet(texts):
    texts = [f"{number}: {text}z" for number, text in enumerate(texts)]
    made = "Wed Sep 04 13:51:55 +0000 2019"
    tweets = [
        {"id_str": str(n), "created_at": made, "full_text": t[:270] + "… https://t.co/x"} for n, t in enumerate(texts)
    ]
    second = int(moment("2019-09-04T13:51:55Z").timestamp())
    notes = x.LongPosts((second, text) for text in reversed(texts))
    assert [notes.take(tweet) for tweet in tweets] == texts
    assert (notes.count, notes.left) == (len(texts), 0)


@QUICK
@given(st.binary(max_size=300) | TEXT.map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"version": "https://jsonfeed.org/version/1", "items": [1, null, {"id": 1, "tags": 3}]}')
@example(b'{"version": "https://jsonfeed.org/version/1", "items": 5}')
@example(b"<rss></rss>")
def test_a_feed_is_read_or_refused(content):
    with contextlib.suppress(SourceError):
        _, items = parse_feed(answer(content))
        assert all(isinstance(item.guid, str) and isinstance(item.content, str) for item in items)


ITEM = st.builds(
    lambda guid, link: Item(guid, link, "", f"{guid}{link}", "text/html", None, (), True),
    st.sampled_from("abc"), st.sampled_from(["", "1", "2", "3"]),
)  # fmt: skip


@QUICK
@given(st.lists(ITEM, max_size=8), st.sets(st.sampled_from("abc")))
def test_items_told_apart_lose_nothing_and_share_nothing(items, shared):
    told, now = tell_apart(items, shared)
    assert [item.link for item in told] == [item.link for item in items]
    assert shared <= set(now)
    for item in told:
        links = {other.link for other in told if other.guid == item.guid and other.link}
        assert len(links) <= 1
    assert tell_apart(items, now)[0] == told


@QUICK
@given(TEXT | st.tuples(TEXT, TEXT).map(lambda parts: f"---\n{parts[0]}\n---\n{parts[1]}"))
@example("---\ndate: 2024-99-99\n---\nBody")
@example("---\n? [a]\n: b\n---\nBody")
def test_front_matter_takes_nothing_from_the_body(text):
    fields, body = split_front_matter(text)
    assert text.endswith(body)
    assert fields == {} or body != text
    assert all(isinstance(name, str) for name in fields)


@QUICK
@given(st.binary(max_size=200))
def test_bytes_are_text_with_plain_line_ends(data):
    assert "\r" not in decode(data)


@QUICK
@given(st.lists(st.lists(st.text(string.ascii_letters + " .", max_size=60), max_size=8).map("\n".join), max_size=2))
def test_reflowing_keeps_every_letter_in_its_order(pages):
    assert "".join(reflow(pages).split()) == "".join("".join(pages).split())


@QUICK
@given(TEXT, st.integers(200, 599))
def test_every_page_is_judged(page, status):
    judged = judge_page(page, status=status, url="https://example.org/a")
    assert judged is None or (judged.reason and judged.remedy)
    assert not (status >= 400 and judged is None)


@QUICK
@given(st.binary(max_size=300))
def test_a_tarball_is_read_or_refused(packed):
    with contextlib.suppress(SourceError):
        assert list(own_files(packed, "x")) == []


@QUICK
@given(st.text("ab/*?[]!.", max_size=12), st.text("ab/.", max_size=12), st.booleans())
def test_every_pattern_of_gitattributes_is_understood(pattern, path, vendored):
    marked = _attributes("", f"{pattern} {'' if vendored else '-'}linguist-vendored")
    assert _is_foreign(path, marked) in (None, vendored)


@QUICK
@given(st.sampled_from([name for name in PLATFORMS if name != "files"]), TEXT | st.from_regex(r"https?://[^\s]{0,40}"))
@example("feed", "http://[")
@example("medium", "https://[::1")
@example("github", "https://github.com:x/a")
def test_a_location_has_one_form_or_is_refused(platform, typed):
    normalise = PLATFORMS[platform].normalise
    try:
        normal = normalise(typed)
    except InputError:
        return
    assert normalise(normal) == normal


@QUICK
@given(TEXT, TEXT, TEXT)
def test_a_wait_is_never_negative_and_never_breaks(after, reset, date):
    headers = {"retry-after": after, "x-ratelimit-reset": reset, "x-ratelimit-remaining": "0", "date": date}
    wait = asked_wait(WebResponse(429, "u", headers, b""))
    assert wait is None or wait >= 0
