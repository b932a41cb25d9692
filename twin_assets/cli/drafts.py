"""Drafting and searching."""

from typing import Annotated

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, client_of_serving, open_workspace, table


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
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 8,
    as_json: Json = False,
) -> None:
    """Search everything the author has published."""
    workspace = open_workspace()
    workspace.authors.get(author)
    hits = [hit.to_dict() for hit in workspace.retriever.search(author, query, limit=limit)]
    answer(
        hits,
        as_json,
        lambda rows: table(
            [
                {"score": f"{r['score']:.3f}", "where": f"{r['platform']} {r['title'] or ''}".strip(),
                 "text": " ".join(r["text"].split())[:160], "url": r["url"]}
                for r in rows
            ]
        ),
    )  # fmt: skip
