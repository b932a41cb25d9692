"""The API against its own description: schemathesis over the real app in this process, seeded and bounded.

Chat needs the inference worker; it is held to OpenAI's own client in test_serving.py.
"""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from starlette.types import Receive, Scope, Send

from demo.exports import linkedin_export
from tests.embedding_models import make_tiny_model
from twin_assets.core import features
from twin_assets.core.authors import Author
from twin_assets.core.collection import collect_platform, import_export
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.server import create_server

KEY = "a key for tests"
EXAMPLES = 4
OUTSIDE = ("/v1/chat/completions", "/ready", "/info")  # the worker's
# Its data knows nothing of which authors there are; and the key is sent by us.
UNKNOWABLE = ("positive_data_acceptance", "ignored_auth")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The app over a small corpus, without the worker that its own start would wait for."""
    home = tmp_path_factory.mktemp("home")
    model = make_tiny_model(home / "made", 32, 1)
    workspace = Workspace(Settings(home=home, api_key=KEY, embedding_model=str(model)))
    workspace.authors.save(Author(id="maren", name="Maren Oduya"))
    import_export(workspace, "maren", linkedin_export(Path(home, "export.zip")))
    collect_platform(workspace, workspace.authors.get("maren"), "linkedin")
    for update in (features.update_corpus, features.update_chunks, features.update_embeddings, features.update_index):
        update(workspace, "maren")
    app = create_server(workspace.settings).app

    async def without_start(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        kind = ""
        while kind != "lifespan.shutdown":
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})

    return without_start


def test_every_answer_is_as_described_and_nothing_fails(served: Any) -> None:
    headers = {"X-API-Key": KEY}
    schema = schemathesis.openapi.from_asgi("/openapi.json", served, headers=headers)
    excluded = CHECKS.get_by_names(list(UNKNOWABLE))
    statuses: dict[str, set[int]] = {}

    def hold(case: Any) -> None:
        case.headers = {}  # of the keys it makes up none is right
        if "author_id" in (case.path_parameters or {}):
            case.path_parameters["author_id"] = "maren"
        if isinstance(case.body, dict) and isinstance(case.body.get("author"), str):
            case.body["author"] = "maren"
        answer = case.call(headers=headers)
        statuses.setdefault(f"{case.operation.method} {case.operation.path}", set()).add(answer.status_code)
        case.validate_response(answer, headers=headers, excluded_checks=excluded)

    bounded = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path not in OUTSIDE:
            bounded(given(case=operation.as_strategy())(hold))()
    assert len(statuses) > 35
    answered = {name for name, seen in statuses.items() if any(status < 300 for status in seen)}
    assert {"post /v1/search", "get /v1/twins/{author_id}", "get /v1/twins/{author_id}/monitoring"} <= answered


def test_it_says_how_a_key_is_sent_and_that_texts_stream(served: Any) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", served, headers={"X-API-Key": KEY}).raw_schema
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "header"}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert {"4XX", "5XX"} <= set(operation["responses"]), path
            assert "422" not in operation["responses"], "errors have one form"
            assert operation["summary"]
    streams = schema["paths"]["/v1/compose"]["post"]["responses"]["200"]["content"]
    assert set(streams) == {"application/json", "text/event-stream"}
