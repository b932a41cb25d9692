"""`twin author …`: the people this deployment keeps a twin of."""

from typing import Annotated

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace, table

author_app = typer.Typer(no_args_is_help=True, help="Add, list and show the people this deployment keeps a twin of.")
app.add_typer(author_app, name="author")


@author_app.command("add")
def author_add(
    author: AuthorArgument,
    name: Annotated[str, typer.Option(help="The name people read.")] = "",
    source: Annotated[
        list[str] | None,
        typer.Option(help="A place they publish: platform=location, e.g. medium=@ada. Repeatable."),
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="auto | nano | <hub id> | <folder>")] = None,
    approval: Annotated[str | None, typer.Option(help="auto | manual")] = None,
    schedule: Annotated[str | None, typer.Option(help="Cron expression of automatic collection.")] = None,
    as_json: Json = False,
) -> None:
    """Add an author, or change one: what is not given stays."""
    from twin_assets.core.authors import Author
    from twin_assets.core.collection import add_source
    from twin_assets.core.errors import ConfigurationError, UnknownAuthorError

    workspace = open_workspace()
    try:
        current = workspace.authors.get(author).model_dump()
    except UnknownAuthorError:
        current = {"id": author, "name": author}
    given = {"name": name or None, "base_model": base_model, "approval": approval, "schedule": schedule}
    try:
        added = Author.model_validate(current | {key: value for key, value in given.items() if value is not None})
    except ValueError as error:
        raise ConfigurationError(f"The author cannot be added: {_first_problem(error)}.") from error
    if schedule is not None:
        _check_schedule(schedule)
    pairs = []
    for text in source or []:
        platform, found, location = text.partition("=")
        if not found or not location:
            raise ConfigurationError(f"--source {text!r} is not platform=location, as in medium=@ada.")
        pairs.append((platform, location))
    workspace.authors.save(added)
    for platform, location in pairs:
        added = add_source(workspace, author, platform, location)
    answer(
        added.model_dump(mode="json"),
        as_json,
        lambda value: typer.echo(f"{author}: {len(value['sources'])} sources."),
    )


def _first_problem(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {str(first['msg']).removeprefix('Value error, ')}"


def _check_schedule(expression: str) -> None:
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    from twin_assets.core.errors import ConfigurationError

    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ConfigurationError(f"--schedule {expression!r} is no cron expression, such as '0 6 * * *'.") from error


@author_app.command("list")
def author_list(as_json: Json = False) -> None:
    """List the authors."""
    found = [author.model_dump(mode="json") for author in open_workspace().authors.list()]
    answer(
        found,
        as_json,
        lambda rows: table([{"id": r["id"], "name": r["name"], "sources": len(r["sources"])} for r in rows]),
    )


@author_app.command("show")
def author_show(author: AuthorArgument, as_json: Json = False) -> None:
    """Show an author and their sources."""
    found = open_workspace().authors.get(author).model_dump(mode="json")
    answer(found, as_json, lambda value: table(value.pop("sources"), title=f"{value['name']} ({value['id']})"))
