"""The routes beside chat: health and search, those of other modules, and what the web process loads as it starts."""

import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Response

from twin_assets.core.index import SearchFilter
from twin_assets.core.processes import end_with_parent
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.api.agents import offer_to_agents
from twin_serving.api.compositions import composing_routes
from twin_serving.api.datasets import dataset_routes, document_routes
from twin_serving.api.description import describe
from twin_serving.api.lineage import lineage_routes
from twin_serving.api.monitoring import monitoring_routes
from twin_serving.api.releases import release_routes
from twin_serving.api.twins import decision_routes, twin_routes
from twin_serving.api.voice import voice_routes
from twin_serving.chat.chat_stream import OwnChat
from twin_serving.composing.composer import Composer
from twin_serving.schemas import SearchRequest
from twin_serving.server import PROCESS_HEADER
from twin_serving.telemetry.metrics import retrieval
from twin_serving.telemetry.observing import Observed

logger = logging.getLogger(__name__)

MOST_WARMED = 8  # authors


def add_routes(app: FastAPI, settings: Settings, candidate: tuple[str, str] | None, own_key: str) -> None:
    """Add every route to LitServe's app; handlers are plain functions and run in its thread pool.

    own_key: by which the guard knows this process's own requests.
    """
    workspace = Workspace(settings)
    app.include_router(_health())
    app.include_router(twin_routes(workspace))
    app.include_router(decision_routes(workspace))
    app.include_router(release_routes(workspace))
    app.include_router(lineage_routes(workspace))
    app.include_router(voice_routes(workspace))
    app.include_router(dataset_routes(workspace))
    app.include_router(document_routes(workspace))
    composer = Composer(workspace, OwnChat(f"http://127.0.0.1:{settings.port}", api_key=own_key), candidate)
    app.include_router(_search(workspace))
    app.include_router(composing_routes(workspace, composer))
    app.include_router(monitoring_routes(workspace))
    app.add_middleware(Observed, tracer=composer.tracer)
    describe(app)
    offer_to_agents(app, composer, partial(_find, workspace))
    _run_while_serving(app, workspace, composer)


def _health() -> APIRouter:
    router = APIRouter(tags=["state"])

    @router.get("/health")
    async def health(response: Response) -> dict[str, str]:
        """The server lives; /ready says whether its workers are up."""
        # Not in the thread pool: an orchestrator ends a server whose threads are all busy and that does not answer.
        # running_server makes sure by this that it is its own child that answers on the port.
        response.headers[PROCESS_HEADER] = str(os.getppid())
        return {"status": "ok"}

    return router


def _find(workspace: Workspace, request: SearchRequest) -> dict[str, Any]:
    workspace.authors.get(request.author)
    where = SearchFilter(request.platforms, request.published_from, request.published_until, request.languages)
    categories = None if request.category is None else [request.category]
    with retrieval():
        found = workspace.retriever.find(
            request.author, request.query, request.limit, categories, where, request.options
        )
    version = workspace.index.version(request.author)
    return {"author": request.author, "index_version": version, **found.to_dict()}


def _search(workspace: Workspace) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["writing"])

    @router.post("/search")
    def search(request: SearchRequest) -> dict[str, Any]:
        """Passages of the author's writing that answer the query, and how the query was read."""
        return _find(workspace, request)

    return router


def _run_while_serving(app: FastAPI, workspace: Workspace, composer: Composer) -> None:
    """Load what the first request would wait for, in the process that serves, while it already answers."""
    serve = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        end_with_parent()
        threading.Thread(target=warm_up, args=(workspace, composer), name="warm-up", daemon=True).start()
        async with serve(app) as state:
            yield state
        composer.close()

    app.router.lifespan_context = lifespan


def warm_up(workspace: Workspace, composer: Composer) -> None:
    """Import and open the stores of every author, then embed ahead; what is missing is said when it is asked for."""

    def read(author: str) -> None:
        workspace.registry.approved(author)
        workspace.retriever.search(author, "warm", limit=1)
        composer.warm_up(author)

    authors: list[str] = []
    _warmed("authors", lambda: authors.extend(author.id for author in workspace.authors.list()[:MOST_WARMED]))
    for step in (read, composer.embed_ahead):
        for author in authors:
            _warmed(author, partial(step, author))


def _warmed(what: str, step: Callable[[], None]) -> None:
    try:
        step()
    except Exception as error:  # the next one is warmed all the same
        logger.info("nothing to warm up of %s: %s: %s", what, type(error).__name__, error)
