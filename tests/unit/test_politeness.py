"""Manners on the wire: turns, robots.txt, waits under skewed clocks, answers nobody asked for."""

import threading
import time
from email.utils import formatdate

import pytest

from demo.loopback import LoopbackServer
from demo.messages import Request, Response
from twin_assets.core.ahead import in_order
from twin_assets.core.errors import DisallowedError, FetchError, RateLimitedError
from twin_assets.core.politeness import Turns
from twin_assets.core.web import WebClient, WebResponse
from twin_assets.core.web_answers import asked_wait

ROBOTS = """
User-agent: *
Disallow: /private/
Disallow: /*.pdf$

User-agent: llm-twin
Crawl-delay: 7
Disallow: /not-for-twins
Allow: /not-for-twins/but-this
"""


class Site(LoopbackServer):
    """A site with a robots.txt (None: it has none)."""

    robots: str | None = ROBOTS

    def respond(self, request: Request) -> Response:
        if request.path == "/robots.txt":
            return Response(404) if self.robots is None else Response(200, self.robots.encode())
        if request.path == "/to":
            return Response(302, headers={"Location": request.query["url"]})
        return Response(200, b"a page")


@pytest.fixture
def site():
    with Site() as server:
        yield server


@pytest.fixture
def web(site):
    with WebClient(allowed_hosts=frozenset({"127.0.0.1"}), timeout=5, sleep=lambda seconds: None) as client:
        yield client


def asked(site: Site) -> list[str]:
    return [request.path for request in site.requests]


def test_pages_obey_robots_and_everything_else_does_not_ask(web, site):
    assert web.get(f"{site.url}/not-for-twins").text == "a page"
    assert asked(site) == ["/not-for-twins"]
    assert web.get(f"{site.url}/private/essay", page=True).text == "a page"  # the rules for us, not those for all
    assert web.get(f"{site.url}/not-for-twins/but-this", page=True).text == "a page"
    with pytest.raises(DisallowedError, match=r"does not let programs read .*/not-for-twins; use the site's feed"):
        web.get(f"{site.url}/not-for-twins", page=True)
    assert asked(site).count("/robots.txt") == 1
    assert asked(site).count("/not-for-twins") == 1


def test_rules_for_everybody_know_wildcards(web, site):
    site.robots = ROBOTS.partition("User-agent: llm-twin")[0]
    assert web.get(f"{site.url}/a.pdf.html", page=True).status == 200
    for path in ("/a.pdf", "/private/x"):
        with pytest.raises(DisallowedError):
            web.get(site.url + path, page=True)


def test_a_redirect_into_a_closed_part_is_not_followed(web, site):
    with pytest.raises(DisallowedError):
        web.get(f"{site.url}/to?url=/not-for-twins", page=True)
    assert "/not-for-twins" not in asked(site)


def test_no_robots_allows_everything_and_a_broken_one_nothing(web, site):
    site.robots = None
    assert web.get(f"{site.url}/private/x", page=True).status == 200
    with WebClient(allowed_hosts=frozenset({"127.0.0.1"}), sleep=lambda seconds: None) as fresh:
        site.fail("/robots.txt", status=500, times=None)
        with pytest.raises(FetchError, match=r"cannot be read \(status 500\), and without it no page"):
            fresh.get(f"{site.url}/page", page=True)
        site.clear_faults()
        assert fresh.get(f"{site.url}/page", page=True).status == 200


def test_the_delay_a_site_asks_for_is_kept(monkeypatch, site):
    monkeypatch.setattr("twin_assets.core.network_guard.is_public", lambda address: True)
    waits: list[float] = []
    with WebClient(interval=0.001, sleep=waits.append) as web:
        for _ in range(2):
            web.get(f"{site.url}/page", page=True)
    assert 6 < max(waits) <= 7


@pytest.mark.parametrize("connections", [1, 3])
def test_a_host_is_asked_no_more_at_a_time_than_its_rule_allows(connections):
    turns, busy, most = Turns(), [], []
    gate = threading.Barrier(2 * connections, timeout=10)  # opens when both hosts are as busy as they may be

    def ask(host: str) -> None:
        with turns.turn(host, 0.0, time.sleep, connections):
            busy.append(host)
            most.append(busy.count(host))
            gate.wait()
            busy.remove(host)

    threads = [threading.Thread(target=ask, args=(host,)) for host in ("a", "b") * (2 * connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 4 * connections
    assert max(most) == connections


def test_the_operators_own_hosts_have_no_pauses_and_no_more_connections(site):
    site.latency = 0.02
    waits: list[float] = []
    with WebClient(allowed_hosts=frozenset({"127.0.0.1"}), interval=60, connections=2, sleep=waits.append) as web:
        assert len(list(in_order(web.get, [f"{site.url}/{number}" for number in range(8)]))) == 8
    assert waits == []
    assert site.most_inside == 2


def test_a_robots_file_is_asked_for_once_however_many_pages_are_read_at_once(site):
    site.latency = 0.02
    with WebClient(allowed_hosts=frozenset({"127.0.0.1"}), sleep=lambda seconds: None) as web:
        list(in_order(lambda number: web.get(f"{site.url}/{number}", page=True), range(6)))
    assert asked(site).count("/robots.txt") == 1


def test_results_come_in_order_and_no_further_ahead_than_the_workers():
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.004 * (number % 3))
        if number == 7:
            raise ValueError("seven")
        return number

    results = in_order(work, range(100), workers=3)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    assert max(begun) <= 3 + 4
    with pytest.raises(ValueError, match="seven"):
        list(results)
    assert max(begun) <= 7 + 4
    assert list(in_order(work, [])) == []


def test_two_clients_share_a_hosts_pauses(monkeypatch, site):
    monkeypatch.setattr("twin_assets.core.network_guard.is_public", lambda address: True)
    waits: list[float] = []
    for _ in range(2):
        with WebClient(interval=60, sleep=waits.append) as web:
            web.get(f"{site.url}/page")
    assert len(waits) == 1
    assert 55 < waits[0] <= 60


@pytest.mark.parametrize("skew", [-86_400, -600, 0, 600, 86_400])
def test_a_wrong_clock_changes_no_wait(skew):
    there = time.time() + skew
    headers = {"date": formatdate(there, usegmt=True), "retry-after": formatdate(there + 90, usegmt=True)}
    assert asked_wait(WebResponse(429, "u", headers, b"")) == 90
    headers = {"date": headers["date"], "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(there) + 90)}
    assert asked_wait(WebResponse(403, "u", headers, b"")) in (90, 91)


@pytest.mark.parametrize("value", ["soon", "", "-5", "Thu, 99 Foo 2026", "1e400", "nan"])
def test_a_retry_after_that_says_nothing_is_no_wait_without_end(value):
    wait = asked_wait(WebResponse(429, "u", {"retry-after": value}, b""))
    assert wait is None or 0 <= wait < 1e9


# The first is a time of this age in milliseconds; not the present one, as every test process must name the same tests.
@pytest.mark.parametrize("reset", ["1795000000000", "9" * 400, "²"])
def test_a_reset_that_is_no_second_of_this_age_puts_nothing_to_rest_for_ever(reset):
    spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    wait = asked_wait(WebResponse(403, "u", spent, b""))
    assert wait is None or wait <= 7 * 24 * 3600
    assert asked_wait(WebResponse(429, "u", {"retry-after": "999999999"}, b"")) == 7 * 24 * 3600


def test_not_modified_is_no_answer_to_a_plain_question(web, site):
    site.fail("/page", fault="not_modified", times=None)
    with pytest.raises(FetchError, match="says that nothing has changed although nobody asked"):
        web.get(f"{site.url}/page")
    assert web.get(f"{site.url}/page", etag='"1"').not_modified


def test_a_question_is_posted_once_and_waits_like_any_other(web, site):
    assert web.post(f"{site.url}/graphql", b"{}", token="t").status == 200
    assert (site.requests[-1].method, site.requests[-1].headers["authorization"]) == ("POST", "Bearer t")
    site.fail("/graphql", status=429, retry_after=900)
    with pytest.raises(RateLimitedError):
        web.post(f"{site.url}/graphql", b"{}")
    site.fail("/graphql", fault="redirect_loop")
    with pytest.raises(FetchError):
        web.post(f"{site.url}/graphql", b"{}", token="t")
