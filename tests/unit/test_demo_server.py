"""The loopback platforms behave as the platforms do, seen through httpx."""

import base64
import gzip
import html
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import feedparser
import httpx
import pytest

from demo.exports import linkedin_export, medium_export, substack_export
from demo.messages import Request
from demo.server import PlatformServer

FEED = """<?xml version="1.0" encoding="UTF-8"?><rss xmlns:content="http://purl.org/rss/1.0/modules/content/"
 xmlns:atom="http://www.w3.org/2005/Atom" xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0"><channel>
<title><![CDATA[{title}]]></title><link>{link}</link><generator>{generator}</generator>{items}</channel></rss>"""
ITEM = """<item><title><![CDATA[{title}]]></title><link>{link}</link><guid isPermaLink="false">{guid}</guid>
<dc:creator><![CDATA[Ada Example]]></dc:creator><pubDate>Mon, 05 Jan 2026 08:00:00 GMT</pubDate>
<atom:updated>2026-01-05T08:00:00.000Z</atom:updated><content:encoded><![CDATA[{body}]]></content:encoded></item>"""

ATOM = """<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Ada's notes</title>
<link rel="self" href="https://ada.example/feed.xml"/><link rel="alternate" href="https://ada.example/posts/"/>
<id>tag:ada.example,2026:/</id><updated>2026-01-05T08:00:00Z</updated><author><name>Ada Example</name></author>
{entries}</feed>"""
ENTRY = """<entry><title>{title}</title><link rel="alternate" href="{link}"/><id>{guid}</id>
<updated>2026-01-05T08:00:00Z</updated><content type="html">{body}</content></entry>"""


def feed(name: str, link: str, items: list[dict[str, str]]) -> str:
    markup = "".join(ITEM.format(**item) for item in items)
    return FEED.format(title="Stories by Ada", link=link, generator=name, items=markup)


def item(number: int, guid: str, link: str) -> dict[str, str]:
    return {
        "title": f"Story {number}",
        "guid": guid,
        "link": link,
        "body": f"<p>Body “{number}” — naïve.</p>",
    }


def make_content(root: Path) -> Path:
    """A small author in the layout of demo/platforms: 10 Medium stories, 15 Substack posts, 7 repositories."""
    medium = [item(n, f"https://medium.com/p/{n:012x}", f"https://medium.com/@ada-example/s-{n}") for n in range(10)]
    blog = [item(n, f"tag:ada.example,2026:post-{n}", f"https://ada.example/posts/post-{n}") for n in range(3)]
    rows: list[dict[str, object]] = []
    posts: dict[str, str] = {}
    for number in range(15):
        address = f"https://ada.substack.com/p/issue-{number}"
        row = {
            "id": 500 + number,
            "slug": f"issue-{number}",
            "title": f"Issue {number}",
            "audience": "everyone",
        }
        row |= {
            "post_date": f"2026-01-{number + 1:02}T08:00:00.000Z",
            "canonical_url": address,
            "wordcount": 3,
        }
        rows.append(row | {"type": "newsletter", "subtitle": "", "body_html": None})
        posts[f"substack/posts/issue-{number}.json"] = json.dumps(row | {"body_html": "<p>One two three</p>"})
    newsletters = [item(n, str(rows[n]["canonical_url"]), str(rows[n]["canonical_url"])) for n in range(15)]
    repositories = [
        {"name": f"tool-{n}", "full_name": f"ada/tool-{n}", "default_branch": "main", "fork": False}
        | {"pushed_at": "2026-01-05T08:00:00Z", "updated_at": "2026-01-05T08:00:00Z"}
        for n in range(7)
    ]
    files = posts | {
        "medium/feed.xml": feed("Medium", "https://medium.com/@ada-example?source=rss-1", medium),
        "medium/export/posts/2026-01-05_Story-abc.html": "<article><h1 class='p-name'>Story</h1></article>",
        "blog/feed.xml": ATOM.format(
            entries="".join(ENTRY.format(**each | {"body": html.escape(each["body"])}) for each in blog)
        ),
        "substack/archive.json": json.dumps(rows),
        "substack/feed.xml": feed("Substack", "https://ada.substack.com", newsletters),
        "github/user.json": json.dumps({"login": "ada", "id": 7, "name": "Ada Example"}),
        "github/repos.json": json.dumps(repositories),
        "github/repositories/tool-0/README.md": "# Tool\n\nIt counts.\n",
        "github/repositories/tool-0/docs/use.md": "Use it.\n",
        "linkedin/Shares.csv": "Date,ShareLink,ShareCommentary\n",
        "linkedin/Articles/Articles/one.html": "<h1>One</h1>",
        "web/page.html": "<html><body><p>See {{server}}/web/other.html</p></body></html>",
        "web/challenge.html": "<title>Just a moment...</title>",
        "web/notfound.html": "<title>Page not found</title>",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlatformServer]:
    with PlatformServer(make_content(tmp_path / "platforms")) as running:
        yield running


@pytest.fixture
def client(server: PlatformServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=10, trust_env=False) as opened:
        yield opened


def entries(answer: httpx.Response) -> dict[str, str]:
    """Text by guid, as a feed reader sees it."""
    read = feedparser.parse(answer.content, sanitize_html=False)
    assert not read.bozo
    return {entry.id: entry.content[0].value if "content" in entry else entry.summary for entry in read.entries}


@pytest.mark.parametrize("path", ["/medium/feed/@ada-example", "/substack/feed", "/blog/feed.xml", "/blog/post-1"])
def test_unchanged_answers_304(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    assert first.status_code == 200
    by_tag = client.get(path, headers={"If-None-Match": f"W/{first.headers['etag']}"})
    by_date = client.get(path, headers={"If-Modified-Since": first.headers["last-modified"]})
    stale = {"If-None-Match": '"other"', "If-Modified-Since": first.headers["last-modified"]}
    assert [by_tag.status_code, by_date.status_code] == [304, 304]
    assert by_tag.content == b""
    assert client.get(path, headers=stale).status_code == 200  # the tag wins over the date


@pytest.mark.parametrize(
    ("platform", "path"),
    [("medium", "/medium/feed/@ada-example"), ("blog", "/blog/feed.xml"), ("substack", "/substack/feed")],
)
def test_feed_follows_add_change_remove(server: PlatformServer, client: httpx.Client, platform: str, path: str) -> None:
    first = client.get(path)
    validators = {"If-None-Match": first.headers["etag"]}
    key = server.add_post(platform, "On <tags> & quotes", 'First "quoted".\n\nSecond ]]> paragraph.')
    added = client.get(path, headers=validators)
    assert added.status_code == 200
    assert client.get(path, headers={"If-Modified-Since": first.headers["last-modified"]}).status_code == 200
    guid = next(iter(entries(added).keys() - entries(first).keys()))
    assert entries(added)[guid] == '<p>First "quoted".</p><p>Second ]]&gt; paragraph.</p>'
    server.change_post(platform, key, "Now quite different.")
    changed = entries(client.get(path))
    assert changed[guid] == "<p>Now quite different.</p>"
    others = changed.keys() - {guid}
    assert all(changed[other] == entries(first)[other] for other in others)
    server.remove_post(platform, key)
    assert entries(client.get(path)).keys() == others
    with pytest.raises(KeyError):
        server.change_post(platform, key, "gone")


def test_medium_keeps_ten_and_hides_pages(server: PlatformServer, client: httpx.Client) -> None:
    key = server.add_post("medium", "Eleventh", "<p>New</p>")
    guids = list(entries(client.get("/medium/feed/@ada-example")))
    assert len(guids) == 10
    assert guids[0] == f"https://medium.com/p/{key}"
    assert f"https://medium.com/p/{9:012x}" not in guids
    assert client.get("/medium/feed/@somebody-else").status_code == 404
    page = client.get("/medium/@ada-example/s-1")
    assert page.status_code == 403
    assert page.headers["server"] == "cloudflare"


def test_substack_archive_pages_of_twelve(client: httpx.Client) -> None:
    seen: list[str] = []
    sizes: list[int] = []
    while page := client.get("/substack/api/v1/archive", params={"offset": len(seen), "limit": 50}).json():
        seen += [row["slug"] for row in page]
        sizes.append(len(page))
        assert all(row["body_html"] is None for row in page)
    assert sizes == [12, 3]
    assert seen == [f"issue-{number}" for number in range(14, -1, -1)]
    assert client.get("/substack/api/v1/archive?limit=51").status_code == 400
    assert [row["slug"] for row in client.get("/substack/api/v1/archive?search=issue 14").json()] == ["issue-14"]


def test_substack_posts(server: PlatformServer, client: httpx.Client) -> None:
    missing = client.get("/substack/api/v1/posts/nowhere")
    assert (missing.status_code, "errors" in missing.json()) == (404, True)
    key = server.add_post("substack", "A new issue", "Four words are here.")
    first = client.get("/substack/api/v1/archive?sort=new&limit=1").json()[0]
    assert (str(first["id"]), first["wordcount"]) == (key, 4)
    server.change_post("substack", key, "Only three words.")
    post = client.get(f"/substack/api/v1/posts/{first['slug']}").json()
    assert (post["body_html"], post["wordcount"]) == ("<p>Only three words.</p>", 3)
    assert client.get("/substack/api/v1/archive?limit=1").json()[0]["wordcount"] == 3
    assert "Only three words." in client.get(f"/substack/p/{first['slug']}").text
    server.remove_post("substack", key)
    assert client.get(f"/substack/api/v1/posts/{first['slug']}").status_code == 404


def test_github_follows_links_to_every_repository(client: httpx.Client) -> None:
    address, names = "/github/users/ada/repos?per_page=3&type=owner", []
    while address:
        answer = client.get(address)
        names += [row["name"] for row in answer.json()]
        if "next" in answer.links:
            assert answer.links["last"]["url"].endswith("page=3")
        address = answer.links.get("next", {}).get("url", "")
    assert names == [f"tool-{number}" for number in range(7)]
    assert client.get("/github/users/ADA").json()["login"] == "ada"
    assert client.get("/github/users/nobody").json()["message"] == "Not Found"
    assert client.get("/github/repos/ada/tool-3").json()["full_name"] == "ada/tool-3"


def test_github_quota_and_free_304(server: PlatformServer, client: httpx.Client) -> None:
    def left(headers: dict[str, str]) -> int:
        return int(client.get("/github/users/ada", headers=headers).headers["x-ratelimit-remaining"])

    tag = client.get("/github/users/ada").headers["etag"]
    assert left({"If-None-Match": tag}) == 58  # a 304 without a token costs a request
    token = {"Authorization": "Bearer secret"}
    own_tag = client.get("/github/users/ada", headers=token).headers["etag"]
    assert own_tag != tag
    assert left(token | {"If-None-Match": own_tag}) == 4999
    server.set_github_quota(1, resets_in=120)
    assert left({}) == 0
    spent = client.get("/github/users/ada")
    assert (spent.status_code, spent.headers["x-ratelimit-remaining"]) == (403, "0")
    assert "rate limit" in spent.json()["message"]
    assert client.get("/github/users/ada", headers=token).status_code == 200
    server.set_github_quota(0, resets_in=-1)
    assert left({}) == 59  # the hour is over


def test_github_wants_a_user_agent(server: PlatformServer, client: httpx.Client) -> None:
    anonymous = server.answer(Request("GET", "/github/users/ada", "/github/users/ada", {}, {}))
    assert anonymous.status == 403
    assert client.get("/github/users/ada").status_code == 200


def test_github_tarball_follows_the_commit(server: PlatformServer, client: httpx.Client) -> None:
    def read(reference: str) -> dict[str, str]:
        redirect = client.get(f"/github/repos/ada/tool-0/tarball/{reference}")
        assert redirect.status_code == 302
        packed = client.get(redirect.headers["location"])
        with tarfile.open(fileobj=io.BytesIO(packed.content), mode="r:gz") as archive:
            files = [each for each in archive if each.isfile()]
            assert {each.name.split("/")[0] for each in files} == {f"ada-tool-0-{archive.pax_headers['comment'][:7]}"}
            return {each.name.split("/", 1)[1]: archive.extractfile(each).read().decode() for each in files}  # type: ignore[union-attr]

    commits = "/github/repos/ada/tool-0/commits/main"
    first = client.get(commits)
    sha, tag = first.json()["sha"], {"If-None-Match": first.headers["etag"]}
    assert client.get(commits, headers=tag).status_code == 304
    assert read("main") == {"README.md": "# Tool\n\nIt counts.\n", "docs/use.md": "Use it.\n"}
    key = server.add_post("github", "tool-0/docs/why.md", "Because.\n")
    server.change_post("github", "tool-0/docs/use.md", "Use it well.\n")
    second = client.get(commits, headers=tag)
    assert second.status_code == 200
    assert second.json()["sha"] != sha
    assert read("HEAD") == {
        "README.md": "# Tool\n\nIt counts.\n",
        "docs/use.md": "Use it well.\n",
        "docs/why.md": "Because.\n",
    }
    assert read(sha[:7])["docs/use.md"] == "Use it.\n"
    server.remove_post("github", key)
    assert "docs/why.md" not in read("main")
    assert client.get("/github/repos/ada/tool-0/tarball/nowhere").status_code == 404
    assert client.get("/github/repos/ada/tool-1/commits/main").status_code == 409  # no files: an empty repository


def test_github_readme(client: httpx.Client) -> None:
    encoded = client.get("/github/repos/ada/tool-0/readme").json()
    assert base64.b64decode(encoded["content"]) == b"# Tool\n\nIt counts.\n"
    raw = client.get("/github/repos/ada/tool-0/readme", headers={"Accept": "application/vnd.github.raw+json"})
    assert raw.text == "# Tool\n\nIt counts.\n"
    assert client.get("/github/repos/ada/tool-1/readme").status_code == 404


def test_blog_and_web_pages(server: PlatformServer, client: httpx.Client) -> None:
    assert "<h1>Story 2</h1><p>Body “2” — naïve.</p>" in client.get("/blog/posts/post-2").text
    assert client.get("/blog/posts/none").status_code == 404
    assert f"{server.url}/web/other.html" in client.get("/web/page.html").text
    challenge = client.get("/web/challenge.html")
    assert (challenge.status_code, challenge.headers["server"]) == (403, "cloudflare")
    assert client.get("/web/notfound.html").status_code == 200
    assert client.get("/web/missing.html").status_code == 404
    assert "Disallow: /private/" in client.get("/robots.txt").text
    head = client.head("/web/page.html")
    assert (head.content, int(head.headers["content-length"])) == (
        b"",
        len(client.get("/web/page.html").content),
    )
    assert client.post("/web/page.html").status_code == 405


def test_exports(server: PlatformServer, client: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "platforms"
    for write in (linkedin_export, medium_export, substack_export):
        platform = write.__name__.removesuffix("_export")
        written = write(tmp_path / f"{platform}.zip", folder).read_bytes()
        assert client.get(f"/exports/{platform}.zip").content == written
    names = {
        platform: set(zipfile.ZipFile(tmp_path / f"{platform}.zip").namelist())
        for platform in ("linkedin", "medium", "substack")
    }
    assert names["linkedin"] == {"Shares.csv", "Articles/Articles/one.html"}
    assert names["medium"] == {"posts/2026-01-05_Story-abc.html"}
    assert {"posts.csv", "posts/500.issue-0.html", "email_list.demo.csv"} <= names["substack"]
    assert client.get("/exports/x.zip").status_code == 404
    server.add_post("substack", "Fresh", "Text")
    fresh = zipfile.ZipFile(io.BytesIO(client.get("/exports/substack.zip").content))
    assert fresh.read("posts/515.fresh.html") == b"<p>Text</p>"
    assert b"515.fresh," in fresh.read("posts.csv")


def test_control_routes(server: PlatformServer, client: httpx.Client) -> None:
    added = client.post("/control/add", json={"platform": "blog", "title": "By wire", "text": "Hello"}).json()["id"]
    client.post("/control/change", json={"platform": "blog", "id": added, "text": "Bye"}).raise_for_status()
    assert entries(client.get("/blog/feed.xml"))[added] == "<p>Bye</p>"
    client.post("/control/remove", json={"platform": "blog", "id": added}).raise_for_status()
    assert client.post("/control/remove", json={"platform": "blog", "id": added}).status_code == 404
    assert client.post("/control/add", json={"platform": "x", "title": "", "text": ""}).status_code == 400
    assert client.post("/control/fail", json={"path_prefix": "/", "fault": "gremlins"}).status_code == 400
    assert client.post("/control/clear", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/control/clear", headers={"Host": "evil.example"}).status_code == 403
    client.post("/control/fail", json={"path_prefix": "/blog", "status": 503, "times": 2}).raise_for_status()
    answers = [client.get("/blog/feed.xml").status_code for _ in range(3)]
    assert answers == [503, 503, 200]
    assert [each.path for each in server.requests] == ["/blog/feed.xml"] * 4  # control requests are not logged


def test_status_faults_carry_retry_after(server: PlatformServer, client: httpx.Client) -> None:
    server.fail("/substack/api", status=429, times=None, retry_after=7)
    answer = client.get("/substack/api/v1/archive")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert client.get("/substack/feed").status_code == 200
    assert client.get("/substack/api/v1/archive").status_code == 429
    server.clear_faults()
    assert client.get("/substack/api/v1/archive").status_code == 200
    assert [each.status for each in server.requests] == [429, 200, 429, 200]
    assert server.requests[0].headers["user-agent"].startswith("python-httpx")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reset", httpx.RemoteProtocolError),
        ("truncated", httpx.RemoteProtocolError),
        ("timeout", httpx.ReadTimeout),
        ("stall", httpx.ReadTimeout),
        ("redirect_loop", httpx.TooManyRedirects),
    ],
)
def test_faults_that_break_the_answer(
    server: PlatformServer, client: httpx.Client, fault: str, error: type[Exception]
) -> None:
    server.fail("/blog", fault=fault, times=1 if fault != "redirect_loop" else None)
    with pytest.raises(error):
        client.get("/blog/feed.xml", timeout=0.3, follow_redirects=True)
    server.clear_faults()
    assert len(entries(client.get("/blog/feed.xml"))) == 3


def test_faults_that_spoil_the_body(server: PlatformServer, client: httpx.Client) -> None:
    whole = client.get("/blog/feed.xml").content
    server.fail("/blog", fault="malformed")
    assert feedparser.parse(client.get("/blog/feed.xml").content).bozo
    server.fail("/blog", fault="wrong_encoding")
    assert client.get("/blog/feed.xml").content == whole.decode().encode("cp1252")
    server.fail("/blog", fault="not_modified")
    assert client.get("/blog/feed.xml").status_code == 304
    server.fail("/blog", fault="challenge")
    assert "Just a moment" in client.get("/blog/feed.xml").text
    server.fail("/blog", fault="huge", size=1_000_000)
    with client.stream("GET", "/blog/feed.xml") as answer:
        assert sum(map(len, answer.iter_raw())) == int(answer.headers["content-length"]) > 900_000
    server.fail("/blog", fault="truncated_gzip")
    with client.stream("GET", "/blog/feed.xml") as answer, pytest.raises(EOFError):
        gzip.decompress(b"".join(answer.iter_raw()))


def test_changes_stay_with_their_server(server: PlatformServer, client: httpx.Client, tmp_path: Path) -> None:
    server.add_post("blog", "Only here", "Text")
    with PlatformServer(tmp_path / "platforms") as other:
        assert len(entries(httpx.get(f"{other.url}/blog/feed.xml", trust_env=False))) == 3
    assert len(entries(client.get("/blog/feed.xml"))) == 4
    with pytest.raises(OSError, match="in use"):
        PlatformServer(tmp_path / "platforms", server.port)


def test_a_stopped_server_ends_kept_connections(tmp_path: Path) -> None:
    server = PlatformServer(make_content(tmp_path / "platforms")).start()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/robots.txt").status_code == 200
        server.stop()
        with pytest.raises(httpx.TransportError):
            client.get("/robots.txt")


def test_missing_content_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no demo content"):
        PlatformServer(tmp_path / "nowhere")


def test_the_demo_author_is_whole() -> None:
    """What the demo's own content promises to a reader: every listed thing can be fetched."""
    with PlatformServer() as server, httpx.Client(base_url=server.url, timeout=10, trust_env=False) as client:
        for path in ("/medium/feed/@maren-oduya", "/substack/feed", "/blog/feed.xml"):
            assert all(entries(client.get(path)).values())
        for row in client.get("/substack/api/v1/archive").json():
            post = client.get(f"/substack/api/v1/posts/{row['slug']}").json()
            assert (post["id"], bool(post["body_html"])) == (row["id"], True)
        login = json.loads(server.content["github/user.json"])["login"]
        repositories = client.get(f"/github/users/{login}/repos").json()
        readmes = [client.get(f"/github/repos/{row['full_name']}/readme").status_code for row in repositories]
        assert 200 in readmes
        for platform in ("linkedin", "medium", "substack"):
            packed = client.get(f"/exports/{platform}.zip").content
            assert zipfile.ZipFile(io.BytesIO(packed)).testzip() is None
