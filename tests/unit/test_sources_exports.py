"""Exports: recognised by their contents, read as the platforms write them, never trusted."""

import io
import json
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from twin_assets.core.archives import Archive, pack
from twin_assets.core.authors import Author, Source
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import InputError
from twin_assets.core.sources import PLATFORMS, linkedin, medium, recognise, substack, substack_notes, x
from twin_assets.core.sources.base import Done, Found, Reading
from twin_assets.core.web import WebClient
from twin_assets.settings import Settings

SHARES_HEADER = "Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\n"


def export(path: Path, **files: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return path


def read(platform: str, path: Path) -> tuple[list[RawDocument], str]:
    source = Source(platform=platform, location="imports/ada/x.zip")
    author = Author(id="ada", name="Ada", sources=(source,))
    with WebClient() as web, Archive(path) as archive:
        reading = Reading(author, source, {}, web, Settings(home=path.parent))
        events = list(PLATFORMS[platform].read_export(reading, archive))
    assert isinstance(events[-1], Done)
    return [event.document for event in events if isinstance(event, Found)], events[-1].message


def test_every_platform_is_there_in_its_order():
    first = ["linkedin", "medium", "substack", "github"]  # further ones come as modules, and stand where they say
    assert list(PLATFORMS)[:4] == first
    assert list(PLATFORMS)[-3:] == ["x", "feed", "files"]
    assert [name for name, platform in PLATFORMS.items() if platform.archive] == [
        "linkedin", "medium", "substack", "x",
    ]  # fmt: skip
    assert all(platform.title and platform.hint for platform in PLATFORMS.values())


# LinkedIn


def test_the_real_linkedin_export(shared_data):
    folder = shared_data / "linkedin_export_sanand"
    assert recognise(folder) == "linkedin"
    with Archive(folder) as archive, archive.lines("Shares.csv") as shares, archive.lines("Comments.csv") as comments:
        rows = list(linkedin.read_shares(shares))
        assert len(list(linkedin.read_comments(comments))) == 323
    written = [row for row in rows if row["ShareCommentary"].strip()]
    assert (len(rows), len({row["ShareLink"] for row in rows})) == (202, 198)
    assert (len(written), sum("\n" in row["ShareCommentary"] for row in written)) == (188, 173)
    assert sum(bool(row["SharedUrl"]) for row in rows) == 26
    assert not any('"\n"' in row["ShareCommentary"] for row in rows)


def test_the_real_linkedin_posts_keep_every_character(shared_data):
    collected, message = read("linkedin", shared_data / "linkedin_export_sanand")
    documents = [document for document in collected if document.metadata.get("kind") != "comment"]
    # One post's row is there five times: 188 rows with text are 184 posts.
    assert len({document.external_id for document in documents}) == 184
    assert len({document.external_id for document in collected}) == 184 + 323
    assert message.startswith("188 rows with text are 184 posts; 14 reposts")
    assert "323 comments kept out of the corpus" in message
    text = next(document.content for document in documents if "Vipassana" in document.content)
    assert text.startswith("I'm off for a 10-day Vipassana meditation program.\n\n𝗪𝗛𝗔𝗧? A 10-day residential")
    quoted = next(d.content for d in documents if "What's changed this year in LLMs" in d.content)
    assert quoted.startswith("If someone asked me, \"What's changed this year in LLMs\", here's my list:\n\n")
    for document in documents:
        kind, _, number = document.external_id.partition(":")
        assert document.category == "post"
        if kind in ("share", "ugcPost"):
            made = datetime.fromtimestamp((int(number.split("/")[0]) >> 22) / 1000, UTC)
            assert abs((made - document.published_at).total_seconds()) <= 1


def test_the_real_linkedin_dates_are_told_by_the_numbers_too(shared_data):
    text = (shared_data / "linkedin_export_sanand" / "Shares.csv").read_text(encoding="utf-8-sig")
    gaps = []
    for row in linkedin.read_shares(io.StringIO(text, newline="")):
        made = linkedin._made(linkedin._share_id(row))
        told = datetime.strptime(row["Date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        gaps.append(made is not None and abs((made - told).total_seconds()) <= 1)
    assert (len(gaps), sum(gaps)) == (202, 201)


def test_the_linkedin_layout_with_its_articles(shared_data):
    path = shared_data / "linkedin_export_synthetic_layout" / "sample_export.zip"
    assert recognise(path) == "linkedin"
    documents, message = read("linkedin", path)
    articles = [document for document in documents if document.category == "article"]
    assert len(articles) == 5
    assert "5 articles and 0 drafts" in message
    first = next(document for document in articles if document.title == "On Shipping Small")
    assert first.published_at == datetime(2018, 7, 15, tzinfo=UTC)
    assert "<h1" not in first.content
    assert "smallest coherent slice" in first.content


def test_linkedin_paragraphs_quotes_and_twice_listed_posts(tmp_path):
    link = "https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A7345821826846990338"
    shares = SHARES_HEADER + (
        f'2025-07-01 14:33:22,{link},"She said ""go"".""\n""""\n""👉 So – we’re off!","","",MEMBER_NETWORK\n'
        f'2025-07-01 14:33:22,{link},"She said ""go"".""\n""""\n""👉 So – we’re off!","","",MEMBER_NETWORK\n'
        f'2025-07-02 14:33:22,{link},"Another text","","",MEMBER_NETWORK\n'
        f'2025-07-03 00:00:00,{link}9,"","https://example.org/x","",MEMBER_NETWORK\n'
    )
    path = export(tmp_path / "whatever.zip", **{"Basic/Shares_123.csv": "\ufeff" + shares})
    assert recognise(path) == "linkedin"
    documents, message = read("linkedin", path)
    assert {document.content for document in documents} == {'She said "go".\n\n👉 So – we’re off!', "Another text"}
    assert len({document.external_id for document in documents}) == 2
    assert "1 reposts" in message


def test_linkedin_articles_published_and_not(tmp_path):
    published = (
        '<html><head><title>T</title></head><body><h1><a href="https://www.linkedin.com/pulse/on-pagers-ada-x1">On '
        'pagers</a></h1><p class="created">Created on 2024-01-02 03:04</p><p class="published">Published on '
        "2024-01-05 06:07</p><div><p>Body &amp; soul.</p></div></body></html>"
    )
    draft = published.replace('<p class="published">Published on 2024-01-05 06:07</p>', "")
    path = export(tmp_path / "a.zip", **{"Articles/Articles/a.html": published, "Articles/Articles/b.html": draft})
    (article,), message = read("linkedin", path)
    assert (article.external_id, article.title) == ("article:on-pagers-ada-x1", "On pagers")
    assert article.content == "<p>Body &amp; soul.</p>"
    assert article.published_at == datetime(2024, 1, 5, 6, 7, tzinfo=UTC)
    assert "1 articles and 1 drafts" in message


def test_the_linkedin_export_that_comes_first_says_what_is_missing(tmp_path):
    path = export(tmp_path / "first.zip", **{"Profile.csv": "First Name\nAda\n", "Connections.csv": "x\n"})
    with pytest.raises(InputError, match="import the second ZIP"):
        recognise(path)


# Medium


def test_the_real_medium_export_tells_drafts_and_responses_apart(shared_data):
    folder = shared_data / "medium_substack_export_ghost/packages/mg-medium-export/test/fixtures/export"
    assert recognise(folder) == "medium"
    posts = {
        path.stem: medium.read_post(path.read_text(), path.stem) for path in sorted((folder / "posts").glob("*.html"))
    }
    assert [name for name, post in posts.items() if post is None] == ["draft-post"]
    assert [name for name, post in posts.items() if post and post["category"] == "post"] == ["comment"]
    assert posts["comment"]["external_id"] == "a1b2c3d4e5f6"
    assert posts["comment"]["title"] == ""
    assert posts["no-date-post"]["published_at"] is None
    assert posts["no-slug-post"]["external_id"] == "1234567890"
    assert posts["basic-post"]["published_at"] == datetime(2018, 8, 11, 11, 23, 34, 123000, tzinfo=UTC)
    assert "This is a paragraph of text and stuff." in posts["basic-post"]["content"]


def test_a_medium_title_inside_the_body_is_dropped():
    markup = (
        '<article class="h-entry"><header><h1 class="p-name">On pagers</h1></header><section data-field="body" '
        'class="e-content"><h3 class="graf graf--h3 graf--title">On pagers</h3><p class="graf">Why?</p></section>'
        '<footer><a class="p-canonical" href="https://medium.com/@ada/on-pagers-0123456789ab">x</a></footer></article>'
    )
    post = medium.read_post(markup, "2024-01-01_On-pagers-0123456789ab")
    assert (post["category"], post["title"], post["external_id"]) == ("article", "On pagers", "0123456789ab")
    assert post["content"] == '<p class="graf">Why?</p>'


# Substack


def test_the_real_substack_export(shared_data):
    folder = shared_data / "medium_substack_export_ghost/packages/mg-substack/test/fixtures"
    assert recognise(folder) == "substack"
    documents, message = read("substack", folder)
    assert {d.external_id: d.category for d in documents} == {
        "123401": "article", "123402": "article", "123403": "post",
    }  # fmt: skip
    assert message.startswith("1 drafts, 1 pages and 0 unlisted files left out")
    assert documents[0].metadata["subtitle"] == "“This quote’s rather short”"


def test_subscriber_files_are_never_opened(tmp_path, monkeypatch):
    table = "post_id,post_date,is_published,email_sent_at,type,audience,title,subtitle,podcast_url\n"
    rows = (
        "11.kept,2024-01-01T00:00:00Z,true,,newsletter,everyone,Salt &amp; pepper,,\n"
        "12.lost,2024-01-01T00:00:00Z,true,,newsletter,only_paid,Lost,,\n"
    )
    path = export(
        tmp_path / "a.zip",
        **{
            "posts.csv": table + rows, "posts/11.kept.html": "<p>Text</p>", "posts/99.alone.html": "<p>?</p>",
            "email_list.ada.csv": "email\nreader@example.org\n", "posts/11.opens.csv": "email\nreader@example.org\n",
        },
    )  # fmt: skip
    opened = []
    honest = Archive.open
    monkeypatch.setattr(Archive, "open", lambda self, name, *most: opened.append(name) or honest(self, name, *most))
    documents, message = read("substack", path)
    assert [(d.title, d.quarantine) for d in documents] == [("Salt & pepper", None), ("Lost", "empty body")]
    assert set(opened) == {"posts.csv", "posts/11.kept.html"}
    assert "1 unlisted files left out; 1 posts without text" in message


def test_substack_answers_as_recorded(shared_data):
    samples = shared_data / "substack_api_samples/api/v1"
    listed = json.loads((samples / "profile/posts__profile_user_id=27968736_limit=50.json").read_text())["posts"]
    post = json.loads((samples / "posts/by-id/167180194").read_text())["post"]
    source = Source(platform="substack", location="https://ada.substack.com")
    with WebClient() as web:
        reading = Reading(Author(id="ada", name="Ada"), source, {}, web, Settings())
        whole = substack.post_document(reading, source.location, post, post)
        previews = [substack.post_document(reading, source.location, row, row) for row in listed]
        half = {**post, "body_html": post["body_html"][: len(post["body_html"]) // 3]}
        cut = substack.post_document(reading, source.location, post, half)
    assert (whole.quarantine, whole.external_id) == (None, "167180194")
    assert len(previews) == 15
    assert sorted(d.quarantine for d in previews) == ["empty body"] * 9 + ["truncated preview"] * 6
    assert cut.quarantine == "truncated preview"
    assert "import your Substack export" in cut.remedy


def test_real_notes_are_read(shared_data):
    page = json.loads((shared_data / "substack_api_samples/api/v1/feed/profile/343074721__types=note.json").read_text())
    source = Source(platform="substack", location="https://ada.substack.com")
    with WebClient() as web:
        reading = Reading(Author(id="ada", name="Ada"), source, {}, web, Settings())
        own = [row["comment"] for row in page["items"] if substack_notes._is_own(row, 343074721)]
        first = substack_notes._document(reading, own[0])
    assert len(own) == len(page["items"]) == 12
    assert not any(substack_notes._is_own(row, 1) for row in page["items"])
    assert (first.external_id, first.category) == ("note/131661687", "post")
    assert first.url == "https://substack.com/@angelsant/note/c-131661687"


# X


def tweet(number: int, text: str, reply_to: int | str | None = None, **more) -> dict:
    values = {"id_str": str(number), "full_text": text, "created_at": "Wed Sep 04 13:51:55 +0000 2019"}
    return {"tweet": values | {"in_reply_to_status_id_str": reply_to and str(reply_to), "entities": {}} | more}


def test_the_x_archive_joins_threads_and_leaves_others_out(tmp_path):
    links = {"urls": [{"url": "https://t.co/a", "expanded_url": "https://example.org/a"}]}
    links["media"] = [{"url": "https://t.co/p"}]
    tweets = [
        tweet(3, "and third", 2), tweet(1, "First &amp; best https://t.co/a https://t.co/p", entities=links),
        tweet(2, "second", 1), tweet(4, "RT @someone: not mine", retweeted=False), tweet(5, "@bob sure", 77),
        tweet(6, "@bob hello", None, in_reply_to_user_id_str="9"), tweet(7, "alone \ud83d!"),
    ]  # fmt: skip
    path = export(tmp_path / "x.zip", **{"data/tweets.js": f"window.YTD.tweets.part0 = {json.dumps(tweets)}"})
    assert recognise(path) == "x"
    documents, message = read("x", path)
    assert {d.external_id: d.content for d in documents} == {
        "1": "First & best https://example.org/a\n\nsecond\n\nand third", "7": "alone \ufffd!",
    }  # fmt: skip
    assert message == "1 retweets and 2 replies to other people left out."
    assert documents[0].published_at == datetime(2019, 9, 4, 13, 51, 55, tzinfo=UTC)


def note(text: str, second: str = "2019-09-04T13:51:55.000Z", **core) -> dict:
    return {"noteTweet": {"noteTweetId": "9", "createdAt": second, "core": {"text": text, "urls": [], **core}}}


def assigned(name: str, part: int, rows: list) -> str:
    return f"window.YTD.{name}.part{part} = {json.dumps(rows)}"


def test_long_posts_are_whole_and_threads_go_through_the_parts(tmp_path):
    long = "It was a long night &amp; a longer morning, " * 12 + "and then it ended. https://t.co/z"
    urls = [{"shortUrl": "https://t.co/z", "expandedUrl": "https://example.org/z"}]
    cut = long[:230] + "… https://t.co/x"
    reply = "@bob @eve And so it was, for a while at least, with everybody watching" + "… https://t.co/y"
    files = {
        "data/tweets.js": assigned("tweets", 0, [tweet(1, cut), tweet(5, "@bob short", 1)]),
        "data/tweets-part1.js": assigned("tweets", 1, [tweet(2, reply, 1), tweet(1, cut), tweet(3, "and third", 2)]),
        "data/note-tweet.js": assigned("note_tweet", 0, [
            note("Another text of that second"), note(long, urls=urls),
            note("Of a deleted tweet", "2020-01-01T00:00:00Z"),
            note("And so it was, for a while at least, with everybody watching until the very end."),
        ]),
    }  # fmt: skip
    path = export(tmp_path / "x.zip", **files)
    documents, message = read("x", path)
    first = next(document for document in documents if document.external_id == "1")
    whole = long.replace("&amp;", "&").replace("https://t.co/z", "https://example.org/z")
    assert first.content.split("\n\n")[:3] == [
        whole, "And so it was, for a while at least, with everybody watching until the very end.", "and third",
    ]  # fmt: skip
    assert "2 of 4 long posts are none of these tweets'" in message


@pytest.mark.parametrize(("promised", "whole"), [(2, True), (3, False)])
def test_an_archive_with_a_part_missing_is_refused(tmp_path, promised, whole):
    files = [{"fileName": "data/tweets.js", "globalName": "YTD.tweets.part0", "count": str(promised)}]
    manifest = f"window.__THAR_CONFIG = {json.dumps({'dataTypes': {'tweets': {'files': files}}})}"
    rows = assigned("tweets", 0, [tweet(1, "one"), tweet(2, "two")])
    path = export(tmp_path / "x.zip", **{"data/manifest.js": manifest, "data/tweets.js": rows})
    if whole:
        assert len(read("x", path)[0]) == 2
    else:
        with pytest.raises(InputError, match="promises 3 tweets and holds 2; a part of it is missing"):
            read("x", path)


def test_real_tweets_are_read(shared_data):
    rows = json.loads((shared_data / "x_api_and_archive_small/tweets.json").read_text())
    assert [row["full_text"].startswith("RT @") for row in rows].count(True) >= 1
    assert all("&amp;" not in x.tweet_text(row) for row in rows)


# What is no export


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"holiday.jpg": b"\xff\xd8"}, "is not an export of LinkedIn, Medium, Substack, X"),
        ({"../evil.csv": "x"}, "points outside"),
        ({"/etc/Shares.csv": "x"}, "points outside"),
        ({"a\\..\\b.csv": "x"}, "points outside"),
        ({"Shares.csv": b"0" * 30_000_000}, "far more than an export holds"),
    ],
)
def test_what_is_no_export_gets_one_sentence(tmp_path, files, sentence):
    with pytest.raises(InputError, match=sentence):
        recognise(export(tmp_path / "thing.zip", **files))


def test_links_damage_and_things_that_are_no_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as packed:
        entry = zipfile.ZipInfo("Shares.csv")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match=r"holds the link 'Shares\.csv'"):
        recognise(tmp_path / "link.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(InputError, match="is no ZIP file or is cut off"):
        recognise(tmp_path / "text.zip")
    with pytest.raises(InputError, match="There is no file"):
        recognise(tmp_path / "absent.zip")
    whole = export(tmp_path / "whole.zip", **{"Shares.csv": SHARES_HEADER + "x" * 5000}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut off"):
        recognise(tmp_path / "cut.zip")
    spoilt = bytearray(whole)
    spoilt[60:70] = b"\0" * 10
    (tmp_path / "spoilt.zip").write_bytes(spoilt)
    with pytest.raises(InputError, match="is damaged"):
        recognise(tmp_path / "spoilt.zip")


def test_a_folder_and_a_single_file_pack_to_the_same_bytes_every_time(tmp_path):
    folder = tmp_path / "export"
    (folder / "Articles").mkdir(parents=True)
    (folder / "Shares.csv").write_text(SHARES_HEADER)
    (folder / "Articles" / "a.html").write_text("<h1>x</h1>")
    (folder / "outside").symlink_to("/etc")
    for name in ("one.zip", "two.zip"):
        pack(folder, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO((tmp_path / "one.zip").read_bytes())) as packed:
        assert packed.namelist() == ["Articles/a.html", "Shares.csv"]
    assert recognise(folder / "Shares.csv") == "linkedin"
