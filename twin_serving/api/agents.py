"""The twin as tools for agents: MCP over HTTP at /mcp, behind the same guard and keys as every route.

LitServe's own MCP offers LitAPI endpoints alone, of which the composer is none, and wants another package.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from fastapi import FastAPI
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import ValidationError

from twin_assets.core.clients import Level
from twin_assets.core.errors import TwinError
from twin_serving.api.permission import Principal, principal_of
from twin_serving.composing.composer import Composer
from twin_serving.schemas import ComposeRequest, Length, SearchRequest

PATH = "/mcp"
INSTRUCTIONS = (
    "Writes in the voice of an author from what they have published. Every draft says which sentences are supported by "
    "the author's own writing or by a link, and what is wrong with it; tell the user both. Drafts are for the author "
    "to check and to post."
)
_DRAFT = ("draft_id", "kind", "text", "parts", "notice", "scores", "checks", "problems")
_HIT = ("title", "url", "platform", "published_at", "text", "similarity")

Search = Callable[[SearchRequest], dict[str, Any]]


def agent_server(composer: Composer, find: Search) -> MCPServer[Any]:
    """The tools. find: what answers /v1/search."""
    server: MCPServer[Any] = MCPServer("LLM Twin", instructions=INSTRUCTIONS, log_level="WARNING")

    @server.tool(title="Draft in the author's voice")
    def compose(
        author: str,
        prompt: str,
        ctx: Context[Any, Any],
        format: str = "linkedin_post",
        links: list[str] | None = None,
        reply_to: str | None = None,
        length: Length = "usual",
        tone: str | None = None,
        audience: str | None = None,
        call_to_action: str | None = None,
        language: str | None = None,
        variants: int = 1,
    ) -> dict[str, Any]:
        """Draft a text as the author would write it, best draft first.

        format: linkedin_post, thread, instagram_caption, article, reply (with reply_to, the text it answers) or post;
        links: at most five pages to draw on; variants: 1 to 4 drafts of each kind.
        """
        _demand(ctx, author, "write")
        with _sentences(ctx):
            request = ComposeRequest(
                author=author, prompt=prompt, links=links or [], format=format, reply_to=reply_to, length=length,
                variants=variants, tone=tone, audience=audience, call_to_action=call_to_action, language=language,
            )  # fmt: skip
            answer = composer.compose(request)
        return {"trace_id": answer["trace_id"], "links": answer["links"], "drafts": [*map(_draft, answer["drafts"])]}

    @server.tool(title="Search the author's writing")
    def search(author: str, query: str, ctx: Context[Any, Any], limit: int = 8) -> dict[str, Any]:
        """Passages of what the author has published that answer the query, best first."""
        _demand(ctx, author, "read")
        with _sentences(ctx):
            found = find(SearchRequest(author=author, query=query, limit=limit))
        return {"hits": [{name: hit[name] for name in _HIT} for hit in found["hits"]], "notices": found["notices"]}

    return server


def offer_to_agents(app: FastAPI, composer: Composer, find: Search) -> None:
    """Serve the tools at PATH, without sessions: every request stands for itself and carries its key."""
    server = agent_server(composer, find)
    # The guard has looked at Host and Origin, by the server's own rules.
    unguarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    tools = server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, transport_security=unguarded
    )
    app.router.routes.extend(tools.routes)
    serve = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with server.session_manager.run(), serve(app) as state:
            yield state

    app.router.lifespan_context = lifespan


def _draft(draft: dict[str, Any]) -> dict[str, Any]:
    """What an agent needs of a draft; of each sentence its status and where its best support stands."""
    sentences = [
        {
            "text": sentence["text"],
            "status": sentence["status"],
            "sources": [each["url"] for each in sentence["support"][:2]],
        }
        for sentence in draft["sentences"]
    ]
    return {name: draft[name] for name in _DRAFT} | {"sentences": sentences}


def _demand(ctx: "Context[Any, Any]", author: str, level: Level) -> None:
    with _sentences(ctx):
        _principal(ctx).demand(author, level)


def _principal(ctx: "Context[Any, Any]") -> Principal:
    request = ctx.request_context.request
    if request is None:
        raise ToolError("Nobody said who asks.")
    return principal_of(request)


@contextmanager
def _sentences(ctx: "Context[Any, Any]") -> Iterator[None]:
    """What is wrong as the agent is told it: the project's own sentence."""
    try:
        yield
    except TwinError as error:
        raise ToolError(_principal(ctx).told(str(error))) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ToolError(
            f"The request is not valid at {where}: {first['msg'].removeprefix('Value error, ')}."
        ) from error
