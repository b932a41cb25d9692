"""The guard in front of the serving API, over real ASGI requests."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from twin_assets.core.errors import ConfigurationError
from twin_assets.settings import Settings
from twin_serving.api.answers import add_error_answers
from twin_serving.api.guard import BODY_LIMIT, Guard, RefusedError
from twin_serving.api.permission import OPERATOR, Keys
from twin_serving.server import check_port, create_server, free_port


def application(api_key: str | None) -> TestClient:
    app = FastAPI()
    app.add_middleware(Guard, keys=Keys(api_key, None, open_without=True))
    add_error_answers(app)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/echo")
    async def echo(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    return TestClient(app, base_url="http://127.0.0.1:8100")


def test_without_the_key_only_health_answers() -> None:
    with application("correct horse") as client:
        assert client.get("/health").status_code == 200
        refused = client.post("/v1/echo", content=b"x")
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
        assert "correct horse" not in refused.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer correct horse"}, 200),
        ({"authorization": "bearer correct horse"}, 200),
        ({"X-API-Key": "correct horse"}, 200),
        ({"X-API-Key": "correct horsf"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": "Basic correct horse"}, 401),
        ({"Authorization": "Bearer wrong", "X-API-Key": "correct horse"}, 401),
    ],
)
def test_key_by_either_header(headers: dict[str, str], status: int) -> None:
    with application("correct horse") as client:
        assert client.post("/v1/echo", content=b"x", headers=headers).status_code == status


def test_no_key_set_asks_for_none() -> None:
    with application(None) as client:
        assert client.post("/v1/echo", content=b"x").json() == {"size": 1}


def test_a_foreign_page_cannot_use_a_persons_browser() -> None:
    with application(None) as client:
        refused = client.post("/v1/echo", content=b"x", headers={"Origin": "https://evil.example"})
        assert refused.status_code == 403
        assert client.post("/v1/echo", content=b"x", headers={"Origin": "http://127.0.0.1:8100"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"origin": "http://["}, 403), ({"content-length": "\u00b2"}, 413), ({"content-length": "9" * 5_000}, 413)],
)
def test_headers_that_mean_nothing_are_refused(headers: dict[str, str], status: int) -> None:
    guard = Guard(None, Keys("key", None, open_without=True))
    with pytest.raises(RefusedError) as refused:
        guard.admit("/v1/twins", Headers({"x-api-key": "key", **headers}), 10)
    assert refused.value.status == status


def test_a_large_body_is_refused_by_its_header_and_while_it_comes() -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(BODY_LIMIT // 65536 + 2):
            yield b"x" * 65536

    with application(None) as client:
        assert client.post("/v1/echo", content=b"x" * (BODY_LIMIT + 1)).status_code == 413
        streamed = client.post("/v1/echo", content=parts())
        assert streamed.status_code == 413
        assert "larger than 2 MB" in streamed.json()["error"]["message"]
        assert client.post("/v1/echo", content=b"x" * BODY_LIMIT).json() == {"size": BODY_LIMIT}


def test_a_public_address_wants_a_key(home: Settings) -> None:
    with pytest.raises(ConfigurationError, match="set TWIN_API_KEY"):
        create_server(home.model_copy(update={"host": "0.0.0.0"}))
    with pytest.raises(ConfigurationError, match="can bind to"):
        create_server(home.model_copy(update={"host": "example.org"}))


def test_a_port_in_use_is_said_before_anything_starts() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} on 127.0.0.1 is in use"):
            check_port("127.0.0.1", port)
    with pytest.raises(ConfigurationError, match="from 1024 to 65535"):
        check_port("127.0.0.1", 80)
    check_port("127.0.0.1", free_port())


@pytest.mark.parametrize(
    ("host", "let_in"),
    [("127.0.0.1:8100", True), ("localhost:8100", True), ("[::1]:8100", True), ("evil.example:8100", False)],
)
def test_without_a_key_only_loopback_names_are_answered(host, let_in):
    """A name pointed at this machine (DNS rebinding) makes a foreign page's Origin equal its Host."""
    headers = Headers({"host": host, "origin": f"http://{host}"})
    guard = Guard(None, Keys(None, None, open_without=True))
    if let_in:
        assert guard.admit("/v1/twins", headers, 10) is OPERATOR
    else:
        with pytest.raises(RefusedError) as refused:
            guard.admit("/v1/twins", headers, 10)
        assert refused.value.status == 403
    named = Headers({"host": host, "x-api-key": "key"})
    assert Guard(None, Keys("key", None, open_without=True)).admit("/v1/twins", named, 10) is OPERATOR
