"""Keys of clients: what the file holds, and what each key may ask, over every route of the real app."""

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from typer.testing import CliRunner

from twin_assets.cli import app as cli
from twin_assets.core.authors import Author, AuthorStore
from twin_assets.core.clients import LEVELS, ClientStore
from twin_assets.core.errors import ConfigurationError, InputError
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.api.guard import OPEN_PATHS
from twin_serving.api.permission import (
    GENERAL,
    OPERATOR,
    WRITE,
    Buckets,
    Keys,
    NotPermittedError,
    Principal,
    check,
    needs,
)  # fmt: skip
from twin_serving.server import create_server

PROTECTED = ("/metrics", "/info")


@pytest.fixture
def store(tmp_path: Path) -> ClientStore:
    return ClientStore(tmp_path / "clients.json")


def test_a_key_is_found_by_its_hash_alone_and_only_its_owner_reads_the_file(store: ClientStore) -> None:
    client, key = store.add("blog", ["ann"], "write", 5)
    assert store.find(key) == client
    assert store.find(key[:-1]) is None
    assert key not in store.path.read_text()
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert client.digest not in repr(client)
    assert ClientStore(store.path).find(key) == client, "another process sees it"
    store.remove("blog")
    assert store.find(key) is None


def test_names_and_authors_are_checked(store: ClientStore) -> None:
    store.add("blog", ["ann"])
    for name, authors in (("blog", ["ann"]), ("No Name", ["ann"]), ("two", []), ("two", ["../ann"])):
        with pytest.raises(InputError):
            store.add(name, authors)
    with pytest.raises(InputError, match="no client 'nobody' \\(known: blog\\)"):
        store.remove("nobody")


def test_an_unreadable_file_lets_nobody_in(store: ClientStore) -> None:
    store.path.write_text('[{"name": "x"}]')
    keys = Keys(None, store, open_without=True)
    with pytest.raises(ConfigurationError, match="unreadable"):
        keys.principal("anything")


def test_of_clients_added_at_once_none_is_lost(store: ClientStore) -> None:
    adding = [threading.Thread(target=store.add, args=(f"c{number}", ["*"])) for number in range(8)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert [client.name for client in store.list()] == [f"c{number}" for number in range(8)]


def test_who_has_no_key_is_the_operator_only_while_there_is_none(store: ClientStore) -> None:
    here = Keys(None, store, open_without=True)
    public = Keys(None, store, open_without=False)
    assert here.principal(None) is OPERATOR
    assert public.principal(None) is None
    _, key = store.add("blog", ["ann"])
    assert here.principal(None) is None
    assert here.principal("") is None
    found = here.principal(key)
    assert found is not None
    assert found.client is not None
    internal = here.principal(here.internal)
    assert internal is not None
    assert internal.internal
    assert Keys(None, store, open_without=True).principal(here.internal) is None, "each process has its own"


@given(
    level=st.sampled_from(LEVELS), method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.sampled_from(["/v1/search", "/v1/twins/ann", "/v1/twins/ann/models/1/approve", "/v1/new", *sorted(WRITE)]),
    author=st.sampled_from(["ann", " ann ", "ben", "ann@ben", "*", "", "ANN", "ann\u200b"]),
)  # fmt: skip
def test_no_key_reaches_another_author(level: Any, method: str, path: str, author: str) -> None:
    client = _client(["ann"], level)
    body = json.dumps({"author": author, "model": "ann@2"}).encode()
    allowed = LEVELS.index(level) >= LEVELS.index(needs(method, path)) and author.strip() == "ann"
    try:
        check(Principal(client), method, path, {}, body)
    except NotPermittedError:
        assert not allowed
    else:
        assert allowed
    check(OPERATOR, method, path, {}, body)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 60))
def test_no_minute_has_more_requests_than_two_minutes_may(waits: list[float], rate: int) -> None:
    """A full bucket and what it is filled with: at most `rate` at once and `rate` a minute."""
    buckets, client, now, let_in = Buckets(), _client(["ann"], "read", rate), 0.0, []
    for wait in waits:
        now += wait
        seconds = buckets.take(client, now)
        if seconds is None:
            let_in.append(now)
        else:
            assert buckets.take(client, now + seconds) is None, "who waits as told gets in"
            now += seconds
            let_in.append(now)
    for start in let_in:
        assert sum(start <= moment < start + 60 for moment in let_in) <= 2 * rate


def _client(authors: list[str], level: Any, rate: int = 0) -> Any:
    from datetime import UTC, datetime

    from twin_assets.core.clients import Client

    return Client(
        name="c", authors=tuple(authors), may=level, requests_per_minute=rate, created_at=datetime.now(UTC),
        digest="0" * 64,
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, TestClient, dict[str, str]]:
    """The real app with two authors, in this process: without a worker, which refusals do not need."""
    workspace = Workspace(Settings(home=tmp_path_factory.mktemp("home")))
    for name in ("ann", "ben"):
        workspace.authors.save(Author(id=name, name=name.title()))
    store = ClientStore(workspace.settings.clients_file)
    keys = {level: store.add(level, ["ann", "cy"], level, 0)[1] for level in LEVELS}
    keys["all"] = store.add("all", ["*"], "read", 0)[1]
    keys["everybody"] = store.add("everybody", ["*"], "admin", 0)[1]
    app = create_server(workspace.settings).app
    # No context: it would wait for workers.
    return app, TestClient(app, base_url="http://127.0.0.1:8100", raise_server_exceptions=False), keys


def _operations(app: Any) -> Iterator[tuple[str, str]]:
    """(method, path) of every operation, those that the description leaves out as well."""
    described = app.openapi()["paths"]
    for path, methods in described.items():
        for method in methods:
            yield method.upper(), path
    for route in app.routes:
        path = getattr(route, "path", None)
        if path and path not in described:
            for method in getattr(route, "methods", None) or ["POST"]:
                yield method, path


def _ask(client: TestClient, method: str, path: str, author: str, key: str) -> Any:
    for name in ("author_id", "author"):
        path = path.replace(f"{{{name}}}", author)
    while "{" in path:
        start, end = path.index("{"), path.index("}")
        path = path[:start] + "gate" + path[end + 1 :]
    body = {"author": author, "model": author, "id": author}
    sent = None if method in ("GET", "HEAD", "OPTIONS") else body
    return client.request(method, path, json=sent, headers={"Authorization": f"Bearer {key}"})


def test_on_every_route_a_key_for_one_author_is_refused_for_another(served: Any) -> None:
    app, client, keys = served
    operations = list(_operations(app))
    assert len(operations) > 30
    seen = set()
    for method, path in operations:
        if path in OPEN_PATHS or (path in GENERAL and method in ("GET", "HEAD")) or path == "/mcp" or "oauth2" in path:
            continue
        answer = _ask(client, method, path, "ben", keys["admin"])
        assert answer.status_code == 403, f"{method} {path}"
        assert answer.json()["error"]["type"] == "permission_error"
        seen.add(path)
    assert {"/v1/compose", "/v1/chat/completions", "/v1/search", "/v1/feedback", "/v1/twins", *PROTECTED} <= seen


def test_on_every_route_a_key_that_may_read_changes_nothing(served: Any) -> None:
    app, client, keys = served
    for method, path in _operations(app):
        if method in ("GET", "HEAD", "OPTIONS") or path in ("/v1/search", "/mcp"):
            continue
        assert _ask(client, method, path, "ann", keys["read"]).status_code == 403, f"{method} {path}"
    assert _ask(client, "POST", "/v1/twins/{author_id}/rollback", "ann", keys["write"]).status_code == 403
    assert _ask(client, "POST", "/v1/feedback", "ann", keys["write"]).status_code == 400, "its own author is let in"


def test_without_a_key_nothing_but_health_answers(served: Any) -> None:
    app, client, _ = served
    for method, path in _operations(app):
        if path not in OPEN_PATHS and method != "HEAD":
            assert _ask(client, method, path, "ann", "wrong").status_code == 401, f"{method} {path}"


def test_who_asks_for_one_who_is_not_there_hears_of_nobody_else(served: Any) -> None:
    _, client, keys = served
    for path in ("/v1/twins/cy", "/v1/twins/cy/voice", "/v1/twins/cy/monitoring"):
        answer = client.get(path, headers={"X-API-Key": keys["read"]})
        assert answer.status_code == 404
        assert "There is no author 'cy'" in answer.json()["error"]["message"]
        assert "ben" not in answer.text


def test_lists_name_permitted_authors_only(served: Any) -> None:
    _, client, keys = served

    def named(key: str) -> list[str]:
        answer = client.get("/v1/twins", headers={"X-API-Key": key})
        return [twin["id"] for twin in answer.json()["twins"]]

    assert named(keys["read"]) == ["ann"]
    assert named(keys["all"]) == ["ann", "ben"]
    assert client.get("/metrics", headers={"X-API-Key": keys["all"]}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"author": "ann", "author": "ben", "query": "x"}', b'{"author": "ben", "author": "ann", "query": "x"}',
        '{"author": "ben", "query": "x"}'.encode("utf-16"), b'{"author": ["ann", "ben"], "query": "x"}',
        b'{"author": {"author": "ann"}, "query": "x"}', b'[{"author": "ben"}]', b"", b"\xff", b'"ben"',
    ],
)  # fmt: skip
def test_what_is_weighed_is_what_is_answered(served: Any, body: bytes) -> None:
    """However the author is written, a key of Ann's never gets an answer about Ben."""
    _, client, keys = served
    headers = {"X-API-Key": keys["read"], "Content-Type": "application/json"}
    answer = client.post("/v1/search", content=body, headers=headers)
    assert answer.status_code in (400, 403, 409)
    assert "ben" not in answer.text.replace("not for the author 'ben'", "")


def test_clients_name_no_folder_of_the_servers_machine(served: Any, tmp_path: Path) -> None:
    _, client, keys = served
    key = {"X-API-Key": keys["admin"]}
    for folder in (str(tmp_path), str(tmp_path / "not there")):
        source = {"platform": "files", "location": folder}
        asked = [
            client.post("/v1/twins/ann/sources", json=source, headers=key),
            client.post("/v1/twins", json={"id": "cy", "name": "Cy", "sources": [source]}, headers=key),
            client.post("/v1/twins/ann/preflight", json={"base": folder}, headers=key),
        ]
        for answer in asked:
            assert (answer.status_code, folder in answer.text) == (403, False)
    assert client.get("/v1/twins/cy", headers=key).status_code == 404
    web = client.post("/v1/twins/ann/sources", json={"platform": "medium", "location": "@ann"}, headers=key)
    assert web.status_code == 201


@pytest.mark.parametrize("name", ["..", "", "/", "a\x00b.zip", "x" * 5_000 + ".zip", "../../e.zip", "\u00e9" * 300])
def test_an_upload_may_be_called_anything(tmp_path: Path, name: str) -> None:
    from twin_serving.api.twins import upload_name

    (tmp_path / upload_name(name)).write_bytes(b"x")
    assert [path.parent for path in tmp_path.rglob("*")] == [tmp_path]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/search", {"author": "a" * 201, "query": "x"}),
        ("/v1/search", {"author": "ann", "query": "x", "platforms": ["x" * 201]}),
        ("/v1/compose", {"author": "ann", "prompt": "x", "links": ["https://x.org/" + "x" * 2_000]}),
        ("/v1/feedback", {"author": "ann", "draft_id": "x" * 201, "rating": 1}),
        ("/v1/twins/ann/sources", {"platform": "medium", "location": "x" * 2_001}),
        ("/v1/twins/ann/rollback", {"reason": "x" * 2_001}),
    ],
)
def test_no_text_that_is_kept_or_looked_up_is_without_bound(served: Any, path: str, body: dict[str, Any]) -> None:
    _, client, keys = served
    answer = client.post(path, json=body, headers={"X-API-Key": keys["everybody"]})
    assert (answer.status_code, "at most" in answer.text) == (400, True)


def test_a_broken_file_of_ours_is_no_mistake_of_who_asks(tmp_path: Path) -> None:
    from twin_assets.core.errors import BrokenFileError, EndpointError, ServingError, SourceError, UnknownAuthorError
    from twin_serving.api.answers import status_of

    (tmp_path / "ann.json").write_text("{")
    with pytest.raises(BrokenFileError) as broken:
        AuthorStore(tmp_path).get("ann")
    said = [broken.value, UnknownAuthorError(""), ConfigurationError(""), EndpointError(""), SourceError("")]
    assert [status_of(error) for error in [*said, ServingError("")]] == [503, 404, 400, 502, 502, 503]


def test_keys_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from twin_assets.settings import get_settings

    monkeypatch.setenv("TWIN_HOME", str(tmp_path))
    get_settings.cache_clear()
    Workspace().authors.save(Author(id="ann", name="Ann"))
    run = CliRunner()
    made = json.loads(run.invoke(cli, ["key", "add", "blog", "--author", "ann", "--may", "write", "--json"]).stdout)
    assert made["key"].startswith("twin_")
    listed = json.loads(run.invoke(cli, ["key", "list", "--json"]).stdout)
    assert [(each["name"], each["authors"], each["may"]) for each in listed] == [("blog", "ann", "write")]
    assert made["key"] not in json.dumps(listed)
    assert isinstance(run.invoke(cli, ["key", "add", "x", "--author", "nobody"]).exception, ConfigurationError)
    assert isinstance(run.invoke(cli, ["key", "add", "x", "--author", "ann", "--may", "fly"]).exception, InputError)
    assert run.invoke(cli, ["key", "remove", "blog"]).exit_code == 0
    assert ClientStore(tmp_path / "clients.json").list() == ()
