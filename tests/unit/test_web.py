"""The guarded, polite client, against real sockets on loopback."""

import gzip
import time
from email.utils import formatdate
from urllib.parse import urlsplit

import httpcore
import pytest

from demo.loopback import LoopbackServer
from demo.messages import Request, Response
from twin_assets.core.errors import BlockedAddressError, FetchError, RateLimitedError
from twin_assets.core.network_guard import is_public
from twin_assets.core.web import USER_AGENT, WebClient, WebResponse, _may_see_token, shown


class Site(LoopbackServer):
    """A few pages that a careful client must survive."""

    def respond(self, request: Request) -> Response:
        if request.path == "/to":
            return Response(302, headers={"Location": request.query["url"]})
        if request.path == "/bomb":
            packed = gzip.compress(b"0" * 5_000_000)
            return Response(200, packed, {"Content-Encoding": "gzip", "Content-Type": "text/plain"})
        if request.path == "/missing":
            return Response(404, b"no")
        if request.path == "/paged":
            return Response(200, b"[]", {"Link": '</paged?page=9>; rel="last", </paged?page=2>; rel="next"'})
        if request.path == "/cp1252":
            return Response(200, "naïve – café".encode("cp1252"), {"Content-Type": "text/plain; charset=windows-1252"})
        return Response(200, b"hello " * 50, {"Content-Type": "text/plain", "ETag": '"1"'})


@pytest.fixture
def site():
    with Site() as server:
        yield server


@pytest.fixture
def waits():
    return []


@pytest.fixture
def web(site, waits):
    with WebClient(allowed_hosts=frozenset({f"127.0.0.1:{site.port}"}), timeout=5, sleep=waits.append) as client:
        yield client


def test_a_page_is_read_and_the_client_names_the_project(web, site):
    answer = web.get(f"{site.url}/page", params={"q": "a b"})
    assert (answer.status, answer.text, answer.etag) == (200, "hello " * 50, '"1"')
    assert site.requests[-1].headers["user-agent"] == USER_AGENT
    assert site.requests[-1].path in ("/page?q=a+b", "/page?q=a%20b")


def test_private_addresses_are_refused_unless_allowed_by_name(site):
    with WebClient() as web, pytest.raises(BlockedAddressError, match=r"TWIN_ALLOWED_HOSTS=127\.0\.0\.1"):
        web.get(f"{site.url}/page")
    with WebClient(allowed_hosts=frozenset({"127.0.0.1"})) as web:
        assert web.get(f"{site.url}/page").status == 200
    assert len(site.requests) == 1


@pytest.mark.parametrize("url", ["http://localhost:{port}/page", "http://[::1]:{port}/", "http://127.1:{port}/"])
def test_a_redirect_to_another_name_of_this_machine_is_refused(web, site, url):
    with pytest.raises(BlockedAddressError):
        web.get(f"{site.url}/to", params={"url": url.format(port=site.port)})
    assert [request.path[:3] for request in site.requests] == ["/to"]


HERE = "127.0.0.1.", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]"
METADATA = (
    "169.254.169.254",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "2852039166",
    "[fd00:ec2::254]",
    "100.100.100.200",
)


@pytest.mark.parametrize("host", [*HERE, *METADATA])
def test_no_way_of_writing_a_private_address_opens_it(web, site, host):
    url = f"http://{host}:{site.port}/page"
    for ask in (lambda: web.get(url), lambda: web.get(f"{site.url}/to", params={"url": url})):
        with pytest.raises(FetchError, match=r"is no public address|is not an address|is not known|Invalid IPv4"):
            ask()
    assert {request.path[:3] for request in site.requests} == {"/to"}


def test_the_address_that_is_opened_is_the_one_that_was_checked(monkeypatch, waits):
    answers = [["93.184.216.34"], ["10.0.0.1", "93.184.216.34"], ["127.0.0.1"]]  # a name server that rebinds
    opened = []

    def resolve(host, port, **_):
        return [(2, 1, 6, "", (address, port)) for address in answers.pop(0)]

    def connect(self, host, *_, **__):
        opened.append(host)
        raise httpcore.ConnectError("nobody there")

    monkeypatch.setattr("twin_assets.core.network_guard.socket.getaddrinfo", resolve)
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    with WebClient(sleep=waits.append) as web, pytest.raises(BlockedAddressError):
        web.get("http://rebinding.example/")
    assert opened == ["93.184.216.34", "93.184.216.34"]
    assert answers == []


def test_text_is_what_the_bytes_are_whatever_is_claimed():
    words = "“naïve” – café"
    for claimed, real in (("utf-8", "cp1252"), ("utf-8", "utf-8"), ("no-such", "utf-8"), ("ascii", "cp1252")):
        headers = {"content-type": f"text/html; charset={claimed}"}
        assert WebResponse(200, "u", headers, words.encode(real)).text == words
    assert WebResponse(200, "u", {}, words.encode() + b"\xff").text == words + "\ufffd"
    assert WebResponse(200, "u", {}, b'<meta charset="windows-1252">' + words.encode("cp1252")).text.endswith(words)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/", "gopher://x", "notaurl", "http://"])
def test_only_web_addresses_are_opened(web, site, url):
    with pytest.raises(FetchError, match="not a web address"):
        web.get(url)
    if url.startswith(("file", "ftp")):
        with pytest.raises(FetchError, match="not a web address"):
            web.get(f"{site.url}/to", params={"url": url})


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("::1", False),
        ("::ffff:10.0.0.1", False), ("::ffff:8.8.8.8", True), ("fe80::1%eth0", False), ("fd00::1", False),
        ("64:ff9b::a9fe:a9fe", False), ("2002:7f00:1::", False), ("ff02::1", False), ("255.255.255.255", False),
    ],
)  # fmt: skip
def test_what_counts_as_public(address, public):
    assert is_public(address) is public


def test_redirects_are_followed_and_bounded(web, site):
    assert web.get(f"{site.url}/to", params={"url": "/page"}).url == f"{site.url}/page"
    site.fail("/loop", fault="redirect_loop", times=None)
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        web.get(f"{site.url}/loop")


def test_a_token_goes_to_its_own_host_only(site, waits):
    allowed = frozenset({"127.0.0.1", "localhost"})
    with WebClient(allowed_hosts=allowed, sleep=waits.append) as web:
        web.get(f"{site.url}/to", params={"url": f"http://localhost:{site.port}/page"}, token="s3cret")
        assert [request.headers.get("authorization") for request in site.requests] == ["Bearer s3cret", None]
        with pytest.raises(FetchError) as caught:
            web.get(f"http://user:s3cret@127.0.0.1:{site.port}/missing?token=s3cret", token="s3cret")
    assert "s3cret" not in str(caught.value) + caught.value.url
    assert caught.value.status == 404
    assert shown("https://u:p@h.org/a?token=1#f") == "https://h.org/a"


@pytest.mark.parametrize(
    ("asked", "following", "seen"),
    [
        ("https://api.example/a", "https://api.example/b", True),
        ("http://api.example/a", "https://api.example/a", True),
        ("https://api.example/a", "http://api.example/a", False),
        ("https://api.example/a", "https://other.example/a", False),
        ("https://api.example/a", "https://api.example:444/a", False),
    ],
)
def test_a_token_stays_with_its_host_and_encrypted(asked, following, seen):
    assert _may_see_token(urlsplit(asked), urlsplit(following)) is seen


def test_bodies_are_bounded_packed_or_not(web, site):
    with pytest.raises(FetchError, match="more than 1 MB"):
        web.get(f"{site.url}/bomb", max_bytes=1_000_000)
    site.fail("/huge", fault="huge", size=50_000_000)
    with pytest.raises(FetchError, match="more than 1 MB"):
        web.get(f"{site.url}/huge", max_bytes=1_000_000)
    assert len(web.get(f"{site.url}/bomb").content) == 5_000_000


@pytest.mark.parametrize("fault", ["truncated", "truncated_gzip", "reset"])
def test_an_answer_that_breaks_off_is_read_again_and_never_taken_for_whole(web, site, waits, fault):
    site.fail("/page", fault=fault, times=1)
    assert web.get(f"{site.url}/page").text == "hello " * 50
    assert len(waits) == 1
    site.fail("/page", fault=fault, times=None)
    with pytest.raises(FetchError, match=r"try again later|cannot be reached"):
        web.get(f"{site.url}/page")


@pytest.mark.parametrize("fault", ["timeout", "stall"])
def test_a_host_that_hangs_is_given_up(web, site, fault):
    site.fail("/page", fault=fault, times=None, seconds=20)
    with pytest.raises(FetchError, match=r"longer than 0\.2 s"):
        web.get(f"{site.url}/page", timeout=0.2)


def test_trouble_is_waited_out_with_growing_pauses(web, site, waits):
    site.fail("/page", status=503, times=2)
    assert web.get(f"{site.url}/page").status == 200
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0
    site.fail("/page", status=500, times=None)
    with pytest.raises(FetchError, match=r"in trouble; try again later \(status 500\)"):
        web.get(f"{site.url}/page")


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(web, site, waits):
    site.fail("/page", status=429, retry_after=3)
    site.fail("/page", status=503, retry_after=formatdate(time.time() + 20, usegmt=True))
    assert web.get(f"{site.url}/page").status == 200
    assert waits[0] == 3
    assert 15 < waits[1] <= 20


def test_a_long_wait_ends_the_read_and_says_until_when(web, site, waits):
    site.fail("/page", status=429, retry_after=600)
    with pytest.raises(RateLimitedError, match="asks to wait") as caught:
        web.get(f"{site.url}/page")
    assert 590 < caught.value.retry_at - time.time() <= 600
    assert waits == []


def test_a_limit_without_a_time_is_tried_a_few_times(web, site, waits):
    site.fail("/page", status=429, times=None)
    with pytest.raises(RateLimitedError) as caught:
        web.get(f"{site.url}/page")
    assert caught.value.retry_at is None
    assert len(waits) == 2


def test_conditional_reads_and_pages(web, site):
    site.fail("/page", fault="not_modified")
    assert web.get(f"{site.url}/page", etag='"1"', last_modified="Tue, 01 Jul 2025 00:00:00 GMT").not_modified
    assert site.requests[-1].headers["if-none-match"] == '"1"'
    assert site.requests[-1].headers["if-modified-since"] == "Tue, 01 Jul 2025 00:00:00 GMT"
    assert web.get(f"{site.url}/paged").next_url == f"{site.url}/paged?page=2"
    assert web.get(f"{site.url}/cp1252").text == "naïve – café"


def test_an_error_answer_can_be_looked_at(web, site):
    assert web.get(f"{site.url}/missing", raise_for_status=False).status == 404
    site.fail("/page", fault="challenge")
    with pytest.raises(FetchError, match="challenge page"):
        web.get(f"{site.url}/page")


def test_a_dead_host_is_named(waits):
    with (
        WebClient(allowed_hosts=frozenset({"127.0.0.1"}), sleep=waits.append) as web,
        pytest.raises(FetchError, match=r"127\.0\.0\.1 cannot be reached"),
    ):
        web.get("http://127.0.0.1:9/")


def test_a_host_that_is_not_the_operators_is_given_its_pauses(monkeypatch, site, waits):
    monkeypatch.setattr("twin_assets.core.network_guard.is_public", lambda address: True)
    with WebClient(interval=60, sleep=waits.append) as web:
        for _ in range(3):
            web.get(f"{site.url}/page")
    assert len(waits) == 2
    assert 55 < waits[0] <= 60 < waits[1] <= 120
