"""Questions to the lake."""

from typing import Annotated

import typer

from twin_assets.cli.shared import Json, answer, app, open_workspace, table


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="A SELECT over the lake's tables, e.g. documents, chunks, samples.")],
    as_json: Json = False,
) -> None:
    """Ask the lake a question in SQL (DuckDB)."""
    frame = open_workspace().lake.query(statement)
    answer(frame.to_dicts(), as_json, table)
