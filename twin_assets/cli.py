"""The `twin` command: every command answers in a sentence or, with --json, as JSON.

Heavy libraries load in the commands that need them, so that `twin --help` answers at once.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from twin_assets.core.errors import TwinError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Your own voice back: collect what you published, train a twin on it, draft with receipts.",
)
author_app = typer.Typer(no_args_is_help=True, help="Add, list and show the people this deployment keeps a twin of.")
app.add_typer(author_app, name="author")

AuthorArgument = Annotated[str, typer.Argument(help="Author id, e.g. ada-lovelace.")]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def _workspace():
    from twin_assets.core.workspace import Workspace

    return Workspace()


def _answer(value: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
    else:
        show(value)


def _table(rows: list[dict[str, Any]], title: str = "") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        typer.echo("(nothing)")
        return
    table = Table(title=title or None, title_justify="left")
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        # As text: what people published may hold square brackets, which rich would read as its markup.
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    Console().print(table)


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

    workspace = _workspace()
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
    _answer(
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
    found = [author.model_dump(mode="json") for author in _workspace().authors.list()]
    _answer(
        found,
        as_json,
        lambda rows: _table([{"id": r["id"], "name": r["name"], "sources": len(r["sources"])} for r in rows]),
    )


@author_app.command("show")
def author_show(author: AuthorArgument, as_json: Json = False) -> None:
    """Show an author and their sources."""
    found = _workspace().authors.get(author).model_dump(mode="json")
    _answer(found, as_json, lambda value: _table(value.pop("sources"), title=f"{value['name']} ({value['id']})"))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="An export ZIP from LinkedIn, Medium, Substack or X.")],
    author: Annotated[str | None, typer.Option(help="Whose it is; may be left out where there is one author.")] = None,
    as_json: Json = False,
) -> None:
    """Take in an export; it is recognised by what is in it."""
    from twin_assets.core.collection import import_export

    workspace = _workspace()
    source = import_export(workspace, author or _only_author(workspace), file)
    _answer(
        source.model_dump(mode="json"),
        as_json,
        lambda value: typer.echo(f"{file.name} is a {value['platform']} export; `twin run` will read it."),
    )


def _only_author(workspace) -> str:
    from twin_assets.core.errors import ConfigurationError

    found = workspace.authors.list()
    if len(found) != 1:
        raise ConfigurationError(
            "There is no author yet; add one with `twin author add`."
            if not found
            else f"There are {len(found)} authors; say whose it is with --author."
        )
    return found[0].id


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

    workspace = _workspace()
    workspace.authors.get(author)
    outcome = run_with_progress(job, author, workspace.settings, quiet=as_json)
    if as_json:
        _answer(
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
    from twin_assets.core.status import author_status

    workspace = _workspace()
    wanted = [workspace.authors.get(author)] if author else workspace.authors.list()
    found = [author_status(workspace, one) for one in wanted]

    def show(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            typer.echo(f"{row['name']} ({row['id']}): {row['documents']} documents, {row['chunks']} chunks")
            typer.echo(f"  index {row['index_version'] or 'none'}, served model {row['model_version'] or 'none'}")
            _table(row["sources"], "sources")
            if row["quarantined"]:
                _table(row["quarantined"], "in quarantine")

    _answer(found, as_json, show)


@contextmanager
def _client() -> Iterator[Any]:
    """A client of the serving API; where none runs, one is started for this command."""
    from contextlib import ExitStack

    from twin_assets.core.errors import ServingError
    from twin_serving.client import TwinClient

    settings = _workspace().settings
    key = settings.api_key.get_secret_value() if settings.api_key else None
    with ExitStack() as stack:
        client = stack.enter_context(TwinClient(settings.serving_url, api_key=key))
        try:
            client.health()
        except ServingError:
            if settings.serving_url != f"http://127.0.0.1:{settings.port}":
                raise  # somebody else's server was meant
            from twin_serving.server import running_server

            typer.echo("No serving API is running (`twin serve`); starting one for this command …", err=True)
            url = stack.enter_context(running_server(settings))
            client = stack.enter_context(TwinClient(url, api_key=key))
        yield client


@app.command()
def compose(
    author: AuthorArgument,
    prompt: Annotated[str, typer.Argument(help="What the post is to be about.")],
    link: Annotated[list[str] | None, typer.Option(help="A page to draw on. Repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Draft a LinkedIn post: assembled from the author's own sentences, and by the approved model if there is one."""
    with _client() as client:
        answer = client.compose(author, prompt, links=link or [])
    from twin_assets.progress import show_drafts

    _answer(answer, as_json, show_drafts)


@app.command()
def search(
    author: AuthorArgument,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 8,
    as_json: Json = False,
) -> None:
    """Search everything the author has published."""
    workspace = _workspace()
    workspace.authors.get(author)
    hits = [hit.to_dict() for hit in workspace.retriever.search(author, query, limit=limit)]
    _answer(
        hits,
        as_json,
        lambda rows: _table(
            [
                {"score": f"{r['score']:.3f}", "where": f"{r['platform']} {r['title'] or ''}".strip(),
                 "text": " ".join(r["text"].split())[:160], "url": r["url"]}
                for r in rows
            ]
        ),
    )  # fmt: skip


def _decided(model: Any, author: str, as_json: bool) -> None:
    values = {"author": author, "version": model.version, "status": model.status}
    _answer(values, as_json, lambda v: typer.echo(f"{author}: version {v['version']} is {v['status']}."))


@app.command()
def approve(
    author: AuthorArgument,
    version: Annotated[str | None, typer.Argument(help="Model version; the newest where left out.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the decision.")] = "approved by a person",
    as_json: Json = False,
) -> None:
    """Serve this model version from now on."""
    registry = _workspace().registry
    _decided(registry.approve(author, version or _newest(registry, author), reason, by="person"), author, as_json)


@app.command()
def reject(
    author: AuthorArgument,
    version: Annotated[str | None, typer.Argument(help="Model version; the newest where left out.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the decision.")] = "rejected by a person",
    as_json: Json = False,
) -> None:
    """Do not serve this model version."""
    registry = _workspace().registry
    _decided(registry.reject(author, version or _newest(registry, author), reason, by="person"), author, as_json)


@app.command()
def rollback(author: AuthorArgument, as_json: Json = False) -> None:
    """Serve the version again that was approved before the present one."""
    _decided(_workspace().registry.rollback(author), author, as_json)


def _newest(registry, author: str) -> str:
    from twin_assets.core.errors import UnknownModelError

    versions = registry.versions(author)
    if not versions:
        raise UnknownModelError(f"No model has been trained for {author!r} yet; `twin run {author}` trains one.")
    return versions[0].version


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="A SELECT over the lake's tables, e.g. documents, chunks, samples.")],
    as_json: Json = False,
) -> None:
    """Ask the lake a question in SQL (DuckDB)."""
    frame = _workspace().lake.query(statement)
    _answer(frame.to_dicts(), as_json, _table)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; anything but loopback wants TWIN_API_KEY.")] = None,
    port: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Serve the approved models over HTTP until stopped."""
    from twin_serving.server import serve as serve_until_stopped

    settings = _workspace().settings
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    serve_until_stopped(settings.model_copy(update=given))


@app.command()
def up(demo: Annotated[bool, typer.Option(help="Also play the demo author's platforms.")] = False) -> None:
    """Start Dagster, serving, the page and MLflow together on loopback; Ctrl-C stops all of them."""
    from twin_assets.operations import up as start_everything

    raise typer.Exit(start_everything(_workspace().settings, demo=demo))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine and deployment, and say what to do about what is wrong."""
    from twin_assets.operations import examine

    findings = examine(_workspace().settings)
    _answer(findings, as_json, _table)
    raise typer.Exit(1 if any(finding["state"] == "wrong" for finding in findings) else 0)


def main() -> None:
    """Entry point: an expected error is one sentence on stderr and exit code 1."""
    try:
        app()
    except TwinError as error:
        if "--json" in sys.argv:
            typer.echo(json.dumps({"error": {"message": str(error), "type": type(error).__name__}}))
        else:
            typer.secho(str(error), err=True, fg=typer.colors.RED)
        sys.exit(1)


if __name__ == "__main__":
    main()
