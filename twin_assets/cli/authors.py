"""`twin author …` and `twin source …`: the people this deployment keeps a twin of, and where they publish."""

from typing import Annotated, Any

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace, table, timetable_line

author_app = typer.Typer(no_args_is_help=True, help="Add, list and show the people this deployment keeps a twin of.")
source_app = typer.Typer(no_args_is_help=True, help="List the places an author publishes, and take one away.")
app.add_typer(author_app, name="author")
app.add_typer(source_app, name="source")


@author_app.command("add")
def author_add(
    author: AuthorArgument,
    name: Annotated[str, typer.Option(help="The name people read.")] = "",
    source: Annotated[
        list[str] | None,
        typer.Option(help="A place they publish: platform=location, e.g. medium=@ada. Repeatable."),
    ] = None,
    also_known_as: Annotated[
        list[str] | None,
        typer.Option(help="Another name they sign with, so that texts under it count as theirs. Repeatable."),
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="auto | nano | <hub id> | <folder>")] = None,
    approval: Annotated[str | None, typer.Option(help="auto | manual")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="When to collect by itself: a cron expression, '0 6 * * *' for six every day; or off."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add an author, or change one: what is not given stays. Timetables are read in TWIN_TIME_ZONE (UTC)."""
    from twin_assets.core.authors import Author
    from twin_assets.core.collection import add_source
    from twin_assets.core.errors import ConfigurationError, UnknownAuthorError
    from twin_assets.core.status import timetable_status
    from twin_assets.core.timetable import checked_schedule

    workspace = open_workspace()
    pairs = []
    for text in source or []:
        platform, found, location = text.partition("=")
        if not found or not location:
            raise ConfigurationError(f"--source {text!r} is not platform=location, as in medium=@ada.")
        pairs.append((platform, location))
    given: dict[str, Any] = {"name": name or None, "base_model": base_model, "approval": approval}
    given = {key: value for key, value in given.items() if value is not None}
    if schedule is not None:
        given["schedule"] = checked_schedule(schedule, workspace.settings.time_zone)

    def changed(current: dict[str, Any]) -> Author:
        try:
            names = tuple(dict.fromkeys([*current.get("names", ()), *(also_known_as or [])]))
            return Author.model_validate(current | given | {"names": names})
        except ValueError as error:
            raise ConfigurationError(f"The author cannot be added: {_first_problem(error)}.") from error

    try:
        with workspace.authors.changing(author) as current:
            added = changed(current.model_dump())
            workspace.authors.save(added)
    except UnknownAuthorError:
        added = changed({"id": author, "name": author})
        workspace.authors.save(added)
    for platform, location in pairs:
        added = add_source(workspace, author, platform, location)
    timetable = timetable_status(workspace, added)
    answer(
        added.model_dump(mode="json") | {"next_run": timetable["next_run"]},
        as_json,
        lambda value: typer.echo(f"{author}: {len(value['sources'])} sources. {timetable_line(timetable)}"),
    )


def _first_problem(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {str(first['msg']).removeprefix('Value error, ')}"


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


@source_app.command("list")
def source_list(author: AuthorArgument, as_json: Json = False) -> None:
    """List the author's sources; the first column is what `twin source remove` wants."""
    found = [{"source": source.key, **source.model_dump()} for source in open_workspace().authors.get(author).sources]
    answer(found, as_json, lambda rows: table([{"source": row["source"]} for row in rows]))


@source_app.command("remove")
def source_remove(
    author: AuthorArgument,
    source: Annotated[str, typer.Argument(help="The source as `twin source list` names it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Take a source away: its documents leave the corpus with the next run, an imported export is deleted."""
    from dataclasses import asdict

    from twin_assets.core.errors import ConfigurationError
    from twin_assets.core.source_removal import plan_removal, remove_source

    workspace = open_workspace()
    plan = plan_removal(workspace, author, source)
    if not yes:
        if as_json:
            raise ConfigurationError(f"Nothing was removed; say --yes as well. {plan.sentence}")
        typer.echo(f"{source}: {plan.sentence}")
        if not typer.confirm("Remove it?"):
            raise typer.Exit(1)
    removal = remove_source(workspace, author, source)
    answer(
        asdict(removal),
        as_json,
        lambda _: typer.echo(f"{source} is removed: {removal.sentence} `twin collect {author}` is the next run."),
    )
