"""Drafting and searching."""

from typing import Annotated, Any

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, client_of_serving, open_workspace, table
from twin_assets.core.search_options import Expansion, Reranker


@app.command()
def compose(
    author: AuthorArgument,
    prompt: Annotated[str, typer.Argument(help="What the post is to be about.")],
    link: Annotated[list[str] | None, typer.Option(help="A page to draw on. Repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Draft a LinkedIn post: assembled from the author's own sentences, and by the approved model if there is one."""
    with client_of_serving() as client:
        drafted = client.compose(author, prompt, links=link or [])
    from twin_assets.progress import show_drafts

    answer(drafted, as_json, show_drafts)


@app.command()
def search(
    author: AuthorArgument,
    query: Annotated[str, typer.Argument(help='What to look for, e.g. "hiring, on LinkedIn last year".')],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 8,
    filters: Annotated[bool, typer.Option(help="Read dates, platforms and kinds out of the question.")] = True,
    expansion: Annotated[Expansion, typer.Option(help="More words: from the best passages, or from a model.")] = "none",
    reranker: Annotated[Reranker, typer.Option(help="What orders the candidates anew.")] = "features",
    diversity: Annotated[float, typer.Option(min=0, max=1, help="What repeating an earlier one costs.")] = 0.1,
    recency: Annotated[float, typer.Option(min=0, max=1, help="What being new gains.")] = 0.05,
    neighbours: Annotated[int, typer.Option(min=0, max=5, help="Passages before and after each (JSON).")] = 0,
    parents: Annotated[bool, typer.Option(help="Whole documents (JSON).")] = False,
    as_json: Json = False,
) -> None:
    """Search everything the author has published."""
    from twin_assets.core.retrieval import SearchOptions

    workspace = open_workspace()
    workspace.authors.get(author)
    options = SearchOptions(
        filters=filters, expansion=expansion, reranker=reranker, diversity=diversity, recency=recency,
        neighbours=neighbours, parents=parents,
    )  # fmt: skip
    answer(workspace.retriever.find(author, query, limit, options=options).to_dict(), as_json, _show_found)


def _show_found(found: dict[str, Any]) -> None:
    if found["understood"]:
        typer.echo(f"Searched for {found['searched_for']!r}: {', '.join(found['understood'])}")
    for notice in found["notices"]:
        typer.echo(notice)
    table(
        [
            {"score": f"{hit['score']:.3f}", "where": f"{hit['platform']} {hit['title'] or ''}".strip(),
             "text": " ".join(hit["text"].split())[:160], "url": hit["url"]}
            for hit in found["hits"]
        ]
    )  # fmt: skip
