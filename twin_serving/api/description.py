"""What /openapi.json says: titles, errors in the one form they have, the streams, and how a key is sent."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from twin_serving.api.guard import OPEN_PATHS

SUMMARY = "Drafts in an author's voice, from what they have published, with receipts."
DESCRIPTION = """
An author's twin: `/v1/compose` drafts texts whose sentences are tied to what supports them, `/v1/search` finds what the
author has written, `/v1/chat/completions` is OpenAI's endpoint with authors as models, and `/mcp` offers the first two
to agents. Send a key as `Authorization: Bearer <key>` or `X-API-Key`; what it may do, for which authors, is set with
`twin key add`. Every error is `{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients read it.
"""
TAGS = (
    ("writing", "Composing, searching, and what became of drafts."),
    ("twins", "Authors, their sources and what was collected."),
    ("models", "Versions of models, decisions about them, and what they were made from."),
    ("datasets", "What a model learns from: versions, samples, and what a training would take."),
    ("library", "What was collected, document by document."),
    ("voice", "How an author sounds, as measured and as edited."),
    ("monitoring", "How a twin does in use."),
    ("state", "Of the server itself."),
)
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "One sentence: what is wrong, where, and what to do."},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "integer", "description": "The HTTP status."},
            },
        }
    },
}
# What each server-sent event of a stream is; its data is JSON.
STREAMED: dict[str, dict[str, Any]] = {
    "/v1/compose": {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"enum": ["step", "link", "sources", "start", "text", "draft", "done", "error"]},
            "data": {"type": "string"},
        },
    },
    "/v1/chat/completions": {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}},
}


def describe(app: FastAPI) -> None:
    """Have the app describe itself so."""
    app.title, app.version, app.summary, app.description = "LLM Twin", "1", SUMMARY, DESCRIPTION
    app.openapi_tags = [{"name": name, "description": text} for name, text in TAGS]

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of changing it


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes,
        tags=app.openapi_tags,
    )  # fmt: skip
    components = found.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ERROR
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    refused = {"description": "What is wrong.", "content": _json({"$ref": "#/components/schemas/Error"})}
    found["paths"].pop("/", None)  # a line of LitServe's for people, without a content type
    for path, operations in found["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            answers.pop("422", None)
            answers |= {"4XX": refused, "5XX": refused}
            if path not in OPEN_PATHS:
                operation["security"] = [{"bearer": []}, {"header": []}]
            if path in STREAMED and "200" in answers:
                events = {"text/event-stream": {"schema": STREAMED[path]}}
                answers["200"]["content"] = {**answers["200"].get("content", {}), **events}
                answers["200"]["content"].setdefault("application/json", {"schema": {"type": "object"}})
    return found


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
