"""What the real captured data holds (../shared/data/README.md), read by the project's own readers."""

import ast
import csv
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo.loopback import LoopbackServer
from demo.messages import Request, Response
from tests.unit.test_sources_exports import read
from tests.unit.test_sources_feeds import answer
from tests.unit.test_sources_files import read as read_folder
from twin_assets.core.archives import Archive
from twin_assets.core.authors import Author, Source
from twin_assets.core.errors import FetchError, SourceError
from twin_assets.core.sources import linkedin, substack, x
from twin_assets.core.sources.base import Found, Reading, plain_words
from twin_assets.core.sources.feed_reader import parse_feed, tell_apart
from twin_assets.core.sources.github_api import GitHubApi
from twin_assets.core.sources.github_writing import _issue
from twin_assets.core.sources.repository_files import own_files
from twin_assets.core.web import WebClient
from twin_assets.settings import Settings


@pytest.fixture
def web():
    with WebClient(allowed_hosts=frozenset({"127.0.0.1"}), timeout=5, sleep=lambda seconds: None) as client:
        yield client


def reading(web: WebClient, platform: str, location: str, **more) -> Reading:
    source = Source(platform=platform, location=location, api_url=more.pop("api_url", None))
    return Reading(Author(id="ada", name="Ada"), source, {}, web, Settings(**more))


# LinkedIn


def test_linkedins_usual_dialect_breaks_comments_and_dates_agree_with_numbers(shared_data):
    folder = shared_data / "linkedin_export_sanand"
    with Archive(folder) as archive, archive.lines("Comments.csv") as lines:
        comments = list(linkedin.read_comments(lines))
    text = (folder / "Comments.csv").read_text(encoding="utf-8-sig")
    broken = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    assert (len(comments), len(broken) - 1) == (323, 337)
    assert all(datetime.strptime(row["Date"], "%Y-%m-%d %H:%M:%S") for row in comments)
    with Archive(folder) as archive, archive.lines("Shares.csv") as lines:
        shares = list(linkedin.read_shares(lines))
    agreeing = 0
    for row in shares:
        made = linkedin._made(linkedin._share_id(row))
        told = datetime.strptime(row["Date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        agreeing += made is not None and abs((made - told).total_seconds()) <= 1
    assert (len(shares), agreeing) == (202, 201)


def test_the_shapes_of_linkedins_api_are_read(shared_data, web):
    """The payloads of a public client's tests: links without percent signs, numbers for text, another domain's rows."""
    source = (shared_data / "linkedin_dma_snapshot_client_tests/tests/test_member_posts.py").read_text()
    functions = {each.name: each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef)}
    elements = ast.literal_eval(functions["_snapshot_elements"].body[-1].value)

    class Api(LoopbackServer):
        def respond(self, request: Request) -> Response:
            if request.query.get("domain") == "MEMBER_SHARE_INFO" and request.query["start"] == "0":
                return Response(200, json.dumps({"elements": elements, "paging": {"total": 1}}).encode())
            if "memberChangeLogs" in request.path:
                return Response(200, b'{"elements": []}')
            return Response(404, b'{"message": "No data found for this memberId and domain", "status": 404}')

    with Api() as api:
        asked = reading(web, "linkedin", "https://www.linkedin.com/in/ada", api_url=api.url, linkedin_token="t")
        found = [event.document for event in linkedin.collect(asked) if isinstance(event, Found)]
        pages = [
            (each.query["domain"], each.query["start"]) for each in map(_parsed, api.requests) if "domain" in each.query
        ]
    assert [document.external_id for document in found] == ["share:1", "share:2"]
    assert found[0].content == "Hello LinkedIn #AI @OpenAI"
    assert found[0].url == "https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A1"  # as the export gives it
    assert found[0].published_at == datetime(2026, 3, 20, 10, tzinfo=UTC)
    assert pages == [("MEMBER_SHARE_INFO", "0"), ("MEMBER_SHARE_INFO", "1"), ("ARTICLES", "0"), ("ALL_COMMENTS", "0")]


def _parsed(logged) -> Request:
    from urllib.parse import parse_qsl, urlsplit

    return Request(logged.method, logged.path, "", dict(parse_qsl(urlsplit(logged.path).query)), {})


# Feeds


@pytest.mark.parametrize(
    ("name", "count", "held_back"),
    [
        ("4fsodonline.atom", 25, 0), ("allthis.atom", 12, 0), ("allthis.json", 12, 0), ("cloudblog.rss", 20, 0),
        ("dcrainmaker.xml", 8, 0), ("expertopinionent.atom", 43, 0), ("inessential.json", 20, 0),
        ("jsonfeed-extension.json", 3, 0), ("kc0011.rss", 20, 12), ("macworld.rss", 30, 5), ("monkeydom.rss", 13, 0),
        ("natasha.xml", 10, 0), ("phpxml.rss", 20, 12), ("pxlnv.json", 20, 0), ("rubenerd.rss", 10, 0),
        ("scriptingNews.rss", 50, 0), ("theomnishow.rss", 4, 0),
    ],
)  # fmt: skip
def test_the_rest_of_the_real_feeds(shared_data, name, count, held_back):
    _, items = parse_feed(answer((shared_data / "feeds_rss" / name).read_bytes()))
    assert (len(items), sum(not item.whole for item in items)) == (count, held_back)
    told, _ = tell_apart(items, ())
    assert len({item.guid for item in told}) == count  # scriptingNews has two pages with two notes each


@pytest.mark.parametrize("name", ["allthis-partial.json", "ScriptingNews.json", "Subs.opml"])
def test_real_files_that_are_no_whole_feed_are_refused(shared_data, name):
    with pytest.raises(SourceError):
        parse_feed(answer((shared_data / "feeds_rss" / name).read_bytes()))


# Substack


def test_substacks_recorded_answers_hold_what_the_readme_says(shared_data):
    samples = shared_data / "substack_api_samples/api/v1"
    listed = json.loads((samples / "profile/posts__profile_user_id=27968736_limit=50.json").read_text())["posts"]
    assert [row["body_html"] for row in listed] == [None] * 15
    audiences = [row["audience"] for row in listed]
    assert (audiences.count("everyone"), audiences.count("only_paid")) == (9, 6)
    post = json.loads((samples / "posts/by-id/167180194").read_text())["post"]
    assert post["wordcount"] == 409
    assert 409 <= plain_words(post["body_html"], "text/html") <= 415
    assert abs(plain_words(post["body_html"], "text/html") / 409 - 1) < 1 - substack.WHOLE


# GitHub


class Recorded(LoopbackServer):
    """GitHub as octokit recorded it, with this server's address in place of GitHub's."""

    def __init__(self, fixture: Path) -> None:
        super().__init__()
        self.rows = json.loads((fixture / "normalized-fixture.json").read_text())

    def respond(self, request: Request) -> Response:
        row = next(row for row in self.rows if row["path"] == request.target)
        headers = {name: str(value) for name, value in row["headers"].items() if name in ("link", "location", "etag")}
        for host in ("https://api.github.com", "https://codeload.github.com"):
            headers = {name: value.replace(host, self.url) for name, value in headers.items()}
        body = bytes.fromhex(row["response"]) if row["responseIsBinary"] else json.dumps(row["response"]).encode()
        return Response(row["status"], b"" if row["response"] == "" else body, headers)


def github(shared_data, name: str) -> Recorded:
    return Recorded(shared_data / "github_api_octokit/api.github.com" / name)


def test_githubs_recorded_pages_are_followed_to_their_end(shared_data, web):
    with github(shared_data, "paginate-issues") as server:
        asked = reading(web, "github", "octokit-fixture-org", api_url=server.url)
        pages = list(GitHubApi(asked).pages(server.rows[0]["path"]))
        rows = [row for page in pages for row in json.loads(page.content)]
    assert [len(json.loads(page.content)) for page in pages] == [3, 3, 3, 3, 1]
    assert [row["number"] for row in rows] == list(range(13, 0, -1))
    assert [_issue(asked, row).external_id for row in rows][-1] == ":issues/octokit-fixture-org/paginate-issues#1"


def test_githubs_recorded_archive_is_read_through_its_redirect(shared_data, web):
    with github(shared_data, "get-archive") as server:
        api = GitHubApi(reading(web, "github", "octokit-fixture-org", api_url=server.url, github_token="t"))
        packed = api.get("/repos/octokit-fixture-org/get-archive/tarball/main")
        assert [request.status for request in server.requests] == [302, 200]
    (file,) = own_files(packed.content, "x")
    assert (file.path, file.category, file.title) == ("README.md", "article", "get-archive")


def test_githubs_recorded_search_and_error(shared_data, web):
    with github(shared_data, "search-issues") as server:
        asked = reading(web, "github", "octokit-fixture-org", api_url=server.url)
        found = GitHubApi(asked).json(server.rows[0]["path"])
    documents = [_issue(asked, row) for row in found["items"]]
    assert len(documents) == found["total_count"] == 2
    assert "Sesame" in " ".join(document.title for document in documents)
    with github(shared_data, "errors") as server:
        asked = reading(web, "github", "octokit-fixture-org", api_url=server.url)
        with pytest.raises(FetchError, match=r"\(status 422\)") as caught:
            GitHubApi(asked).get(server.rows[0]["path"])
    assert caught.value.status == 422


# X


def test_real_tweets_in_an_archive(shared_data, tmp_path):
    scraped = json.loads((shared_data / "x_archive_small_mit/tweets.json").read_text())["tweets"]
    rows = [*scraped.values(), *json.loads((shared_data / "x_api_and_archive_small/tweets.json").read_text())]
    account = shared_data / "x_api_and_archive_small/zip_contents/account.js"
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("data/tweets.js", f"window.YTD.tweets.part0 = {json.dumps([{'tweet': row} for row in rows])}")
        packed.write(account, "data/account.js")
    documents, message = read("x", path)
    assert {document.external_id for document in documents} == {*scraped, "1168529001599533057"}
    assert message == "1 retweets and 1 replies to other people left out."
    merry = next(document for document in documents if document.external_id == "1606877985956843521")
    assert merry.content.startswith("🎄 Merry Christmas y'all! 🎁\n\nHope")
    assert "t.co" not in merry.content
    assert merry.published_at == datetime(2022, 12, 25, 5, 2, 20, tzinfo=UTC)
    assert merry.url == "https://x.com/simonw/status/1606877985956843521"
    assert x.tweet_text(rows[-1])


# Folders


def test_a_real_blogs_drafts_and_dates_of_the_future_are_left_out(shared_data):
    folder = shared_data / "voice_brandur"
    found, _, done = read_folder(folder)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.md")]
    drafts = {name for name in names if any(part.endswith("drafts") for part in name.split("/")[:-1])}
    assert len(names) == 548
    assert len(drafts) > 10
    assert not drafts & set(found)
    assert len(found) > 480
    now = datetime.now(UTC)
    assert all(document.published_at is None or document.published_at <= now for document in found.values())
    assert not done.message
    elsewhere = folder / "content" / "nanoglyphs-drafts"  # given by itself, its folder no longer says what it is
    alone, _, done = read_folder(elsewhere)
    assert "999-placeholder.md" not in alone
    assert done.message == "1 files are dated in the future and are read when their day has come."
    assert "999-placeholder.md" not in done.cursor["files"]
