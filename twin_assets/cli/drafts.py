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
    form: Annotated[
        str, typer.Option("--format", help="linkedin_post, thread, instagram_caption, article, reply or post.")
    ] = "linkedin_post",
    reply_to: Annotated[str | None, typer.Option(help="The text that a reply answers.")] = None,
    length: Annotated[str, typer.Option(help="short, usual or long.")] = "usual",
    tone: Annotated[str | None, typer.Option(help="How it is to sound.")] = None,
    audience: Annotated[str | None, typer.Option(help="Whom it is for.")] = None,
    call_to_action: Annotated[str | None, typer.Option(help="What it is to ask of the reader.")] = None,
    language: Annotated[str | None, typer.Option(help="ISO 639-1 code.")] = None,
    variants: Annotated[int, typer.Option(min=1, max=4, help="Drafts of each kind.")] = 1,
    as_json: Json = False,
) -> None:
    """Draft a text: assembled from the author's own sentences, and by the approved model if there is one."""
    with client_of_serving() as client:
        drafted = client.compose(
            author, prompt, links=link or [], format=form, reply_to=reply_to, length=length, tone=tone,
            audience=audience, call_to_action=call_to_action, language=language, variants=variants,
        )  # fmt: skip
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
