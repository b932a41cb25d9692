"""How errors leave the server: one form for all routes, OpenAI's, with the sentence and the status of its kind."""

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from twin_assets.core.errors import (
    BrokenFileError,
    EndpointError,
    FetchError,
    GateError,
    IndexMissingError,
    InputError,
    LakeError,
    ModelError,
    ServingError,
    SourceError,
    TwinError,
    UnknownAuthorError,
    UnknownModelError,
    VectorIndexError,
)
from twin_serving.api.permission import PRINCIPAL, NotPermittedError, Principal
from twin_serving.api.places import BusyError
from twin_serving.chat.models import NoApprovedModelError

# First match wins: subclasses stand before their bases.
STATUS: tuple[tuple[type[TwinError], int], ...] = (
    (NotPermittedError, 403),
    (UnknownAuthorError, 404),
    (UnknownModelError, 404),
    (NoApprovedModelError, 409),
    (IndexMissingError, 409),
    (GateError, 409),
    (BusyError, 429),
    (InputError, 400),
    (FetchError, 502),
    (EndpointError, 502),
    (SourceError, 502),
    (BrokenFileError, 503),
    (ServingError, 503),
    (ModelError, 503),
    (LakeError, 503),
    (VectorIndexError, 503),
    (TwinError, 400),
)


def status_of(error: TwinError) -> int:
    """The HTTP status of an error of ours."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def error_body(message: str, status: int, parameter: str | None = None) -> dict[str, Any]:
    """{"error": …} as OpenAI's clients read it."""
    kinds = {
        401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error",
        429: "rate_limit_error",
    }  # fmt: skip
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": parameter, "code": status}}


def _told(request: Request, sentence: str) -> str:
    principal = request.scope.get(PRINCIPAL)
    return principal.told(sentence) if isinstance(principal, Principal) else sentence


def add_error_answers(app: FastAPI) -> None:
    """Make every error of the app leave in that form."""

    @app.exception_handler(TwinError)
    async def ours(request: Request, error: TwinError) -> JSONResponse:
        status = status_of(error)
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, BusyError) else None
        return JSONResponse(error_body(_told(request, str(error)), status), status, headers)

    @app.exception_handler(StarletteHTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        body = error_body(_told(request, str(error.detail)), error.status_code)
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        problem = first["msg"].removeprefix("Value error, ")
        message = f"The request is not valid{f' at {where}' if where else ''}: {problem}."
        return JSONResponse(error_body(message, 400, where or None), 400)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse(error_body("The server failed on this request; its log says why.", 500), 500)
