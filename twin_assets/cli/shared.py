"""What every command shares: the application, the workspace, and how an answer is shown."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Your own voice back: collect what you published, train a twin on it, draft with receipts.",
)

AuthorArgument = Annotated[str, typer.Argument(help="Author id, e.g. ada-lovelace.")]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def open_workspace():
    from twin_assets.core.workspace import Workspace

    return Workspace()


def answer(value: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
    else:
        show(value)


def table(rows: list[dict[str, Any]], title: str = "") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        typer.echo("(nothing)")
        return
    grid = Table(title=title or None, title_justify="left")
    for name in rows[0]:
        grid.add_column(name, overflow="fold")  # a cut link could not be opened
    for row in rows:
        # As text: what people published may hold square brackets, which rich would read as its markup.
        grid.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    Console().print(grid)


def only_author(workspace) -> str:
    from twin_assets.core.errors import ConfigurationError

    found = workspace.authors.list()
    if len(found) != 1:
        raise ConfigurationError(
            "There is no author yet; add one with `twin author add`."
            if not found
            else f"There are {len(found)} authors; say whose it is with --author."
        )
    return found[0].id


@contextmanager
def client_of_serving() -> Iterator[Any]:
    """A client of the serving API; where none runs, one is started for this command."""
    from contextlib import ExitStack

    from twin_assets.core.errors import ServingError
    from twin_serving.client import TwinClient

    settings = open_workspace().settings
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


def timetable_line(timetable: dict[str, Any]) -> str:
    """When an author is collected by itself, from core.status.timetable_status()."""
    schedule, zone, following = timetable["schedule"], timetable["time_zone"], timetable["next_run"]
    if schedule is None:
        return "Collected when somebody starts it; --schedule '0 6 * * *' does it by itself."
    if following is None:
        return str(timetable["schedule_problem"])
    return f"Collected by itself at {schedule!r} ({zone}), next {following:%Y-%m-%d %H:%M %Z} while Dagster runs."
