"""Taking in what was published, running the pipeline, and how it stands."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, only_author, open_workspace, table, timetable_line

QUARANTINE_ROWS = 20  # shown in a terminal


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="An export ZIP from LinkedIn, Medium, Substack or X, or a bundle of `twin export`.")
    ],
    author: Annotated[str | None, typer.Option(help="Whose it is; may be left out where there is one author.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Serve the model of a bundle from now on.")] = False,
    as_json: Json = False,
) -> None:
    """Take in an export or a bundle; it is recognised by what is in it."""
    from twin_assets.core.bundles import import_bundle, is_bundle
    from twin_assets.core.collection import import_export

    workspace = open_workspace()
    if is_bundle(file):
        taken = import_bundle(workspace, file, author=author, approve=approve)
        answer(asdict(taken), as_json, _show_imported)
        return
    source = import_export(workspace, author or only_author(workspace), file)
    answer(
        source.model_dump(mode="json"),
        as_json,
        lambda value: typer.echo(f"{file.name} is a {value['platform']} export; `twin run` will read it."),
    )


def _show_imported(value: dict[str, Any]) -> None:
    typer.echo(
        f"{value['author']}: version {value['version']} is {value['status']}, {value['passages'] or 0} passages."
    )
    for note in value["notes"]:
        typer.echo(f"  {note}")
    if value["status"] == "candidate":
        typer.echo(f"`twin approve {value['author']} {value['version']}` serves it.")


@app.command()
def collect(author: AuthorArgument, as_json: Json = False) -> None:
    """Collect from the author's sources and bring corpus, index and datasets up to date."""
    _run("collect", author, as_json)


@app.command()
def run(author: AuthorArgument, as_json: Json = False) -> None:
    """Do everything: collect, derive, train, evaluate, let the gate decide."""
    _run("twin", author, as_json)


def _run(job: str, author: str, as_json: bool) -> None:
    from twin_assets.progress import run_with_progress

    workspace = open_workspace()
    workspace.authors.get(author)
    outcome = run_with_progress(job, author, workspace.settings, quiet=as_json)
    if as_json:
        answer(
            {
                "run_id": outcome.run_id, "success": outcome.success, "failures": outcome.failures,
                "warnings": outcome.warnings,
            },
            True,
            lambda _: None,
        )  # fmt: skip
    raise typer.Exit(0 if outcome.success else 1)


@app.command()
def status(
    author: Annotated[str | None, typer.Argument(help="Author id; everybody where left out.")] = None,
    as_json: Json = False,
) -> None:
    """Show per author what is there, how each source fares, and what is in quarantine with its remedy."""
    from twin_assets.core.alerts import undelivered
    from twin_assets.core.errors import ConfigurationError
    from twin_assets.core.status import author_status

    workspace = open_workspace()
    found, unreadable = [], []
    for name in [author] if author else workspace.authors.ids():
        try:
            one = workspace.authors.get(name)
        except ConfigurationError as error:
            if author:
                raise
            unreadable.append(str(error))  # one author's broken file hides nobody else
            continue
        found.append(author_status(workspace, one))

    def show(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            _show_status(row)
        if unheard := undelivered(workspace.settings):
            typer.secho(f"{unheard['problem']} It was: {unheard['text']} ({unheard['at']})", fg=typer.colors.YELLOW)

    answer(found, as_json, show)
    for problem in unreadable:
        typer.secho(problem, err=True, fg=typer.colors.RED)
    if unreadable:
        raise typer.Exit(1)


def _show_status(row: dict[str, Any]) -> None:
    typer.echo(f"{row['name']} ({row['id']}): {row['documents']} documents, {row['chunks']} chunks")
    typer.echo(f"  index {row['index_version'] or 'none'}, served model {row['model_version'] or 'none'}")
    typer.echo(f"  {timetable_line(row)}")
    table([_source_line(source, row["time_zone"]) for source in row["sources"]], "sources")
    for source in row["sources"]:
        if source["do"]:
            typer.echo(f"  {source['source']}: {source['do']}")
        if source["status"] == "ok" and source["message"]:
            typer.echo(f"  {source['source']}: {source['message']}")
    if held := row["quarantined"]:
        columns = ("platform", "url", "title", "reason", "remedy")
        table([{name: each[name] for name in columns} for each in held[:QUARANTINE_ROWS]], "in quarantine")
        if len(held) > QUARANTINE_ROWS:
            typer.echo(f"  and {len(held) - QUARANTINE_ROWS} more; --json shows all of them.")


def _source_line(source: dict[str, Any], zone: str) -> dict[str, Any]:
    def moment(name: str) -> str:
        return f"{source[name].astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}" if source[name] else "–"

    counted = ("new", "changed", "removed", "quarantined")
    return {
        "source": source["source"], "status": source["status"], "last success": moment("succeeded_at"),
        **{name: source[name] for name in counted}, "next run": moment("next_run"),
    }  # fmt: skip
