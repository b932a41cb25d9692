"""The routes of writing: composing, also as it happens; what was composed before; feedback."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import AwareDatetime
from starlette.concurrency import run_in_threadpool

from twin_assets.core.errors import TwinError
from twin_assets.core.workspace import Workspace
from twin_serving.api.answers import error_body, status_of
from twin_serving.api.permission import Principal, principal_of
from twin_serving.composing import history
from twin_serving.composing.composer import WAITING, Composer, Event
from twin_serving.schemas import ComposeRequest, FeedbackRequest

logger = logging.getLogger(__name__)

GONE = 499  # as nginx counts requests whose client has closed the connection


def composing_routes(workspace: Workspace, composer: Composer) -> APIRouter:
    """Routes under /v1."""
    router = APIRouter(prefix="/v1", tags=["writing"])

    @router.post("/compose", response_model=None)
    async def compose(http: Request, request: ComposeRequest) -> dict[str, Any] | Response:
        """Drafts with receipts, best first; with stream=true as server-sent events while they are made."""
        events = composer.events(request)
        if not request.stream:
            return await _whole(http, events)
        # What is wrong with the request is said by the status, before anything streams.
        first = await run_in_threadpool(next, events)
        return StreamingResponse(_stream(first, events, principal_of(http)), media_type="text/event-stream")

    @router.post("/feedback", status_code=201)
    def feedback(request: FeedbackRequest) -> dict[str, str]:
        """Keep what the author thinks of a draft, what it became, or that it was taken."""
        composer.keeper.flush()
        feedback_id = history.keep_feedback(workspace, request)
        said = {"rating": request.rating, "chosen": request.chosen, "comment": request.comment}
        edited = {"edited": True} if request.edited_text is not None else {}
        composer.tracer.feedback(request.author, request.draft_id, {**said, **edited})
        return {"feedback_id": feedback_id}

    @router.get("/twins/{author_id}/compositions")
    def compositions(
        author_id: str, limit: int = Query(20, ge=1, le=100), before: AwareDatetime | None = None
    ) -> dict[str, Any]:
        """What was composed for an author, newest first."""
        composer.keeper.flush()
        return {"compositions": history.compositions(workspace, author_id, limit, before)}

    @router.get("/twins/{author_id}/compositions/{trace_id}")
    def composition(author_id: str, trace_id: str) -> dict[str, Any]:
        """One answer as it was, each draft with its latest feedback."""
        composer.keeper.flush()
        return history.composition(workspace, author_id, trace_id)

    return router


async def _whole(http: Request, events: Iterator[Event]) -> dict[str, Any] | Response:
    """The answer alone; ends what is being written when the client goes."""
    try:
        while not await http.is_disconnected():
            name, data = await run_in_threadpool(next, events)
            if name == "done":
                return data
        return JSONResponse(error_body("The client has gone.", GONE), GONE)  # for the figures: nobody reads it
    finally:
        await _ended(events)


async def _stream(first: Event, events: Iterator[Event], principal: Principal) -> AsyncIterator[str]:
    """The events in their form; ends what is being written when the client goes."""
    try:
        event: Event | None = first
        while event is not None:
            yield _sent(event)
            event = await run_in_threadpool(next, events, None)
    except TwinError as error:
        yield _sent(("error", error_body(principal.told(str(error)), status_of(error))))
    except Exception:
        logger.exception("composing failed")
        yield _sent(("error", error_body("The server failed on this request; its log says why.", 500)))
    finally:
        await _ended(events)


async def _ended(events: Iterator[Event]) -> None:
    with anyio.CancelScope(shield=True):
        await run_in_threadpool(events.close)  # type: ignore[attr-defined]


def _sent(event: Event) -> str:
    """A server-sent event; a comment where there is nothing to tell, by which a client that has gone is noticed."""
    if event == WAITING:
        return ": working\n\n"
    return f"event: {event[0]}\ndata: {json.dumps(event[1], ensure_ascii=False, default=str)}\n\n"
