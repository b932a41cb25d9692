"""Keys of the serving API's clients."""

from typing import Annotated, Any

import typer

from twin_assets.cli.shared import Json, answer, app, open_workspace, table

keys = typer.Typer(no_args_is_help=True, help="Keys of the serving API's clients: who may ask, about whom, how often.")
app.add_typer(keys, name="key")


def _store():
    from twin_assets.core.clients import ClientStore

    return ClientStore(open_workspace().settings.clients_file)


def _row(client) -> dict[str, Any]:
    return {
        "name": client.name,
        "authors": ", ".join(client.authors),
        "may": client.may,
        "requests_per_minute": client.requests_per_minute or "any",
        "created": client.created_at.date().isoformat(),
    }


@keys.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Who the key is for, e.g. blog-server.")],
    author: Annotated[list[str], typer.Option(help="Author the key is for; several times for several, '*' for all.")],
    may: Annotated[
        str,
        typer.Option(help="read (what is kept, prompts too; search), write (also draft, chat), admin (all)."),
    ] = "read",
    requests_per_minute: Annotated[int, typer.Option(min=0, help="0: as many as come.")] = 120,
    as_json: Json = False,
) -> None:
    """Make a key; it is shown once and kept as a hash. A running server takes it at once."""
    from twin_assets.core.clients import EVERYONE, LEVELS
    from twin_assets.core.errors import InputError

    level = next((level for level in LEVELS if level == may), None)
    if level is None:
        raise InputError(f"A key may {', '.join(LEVELS)}; {may!r} is none of them.")
    workspace = open_workspace()
    for each in author:
        if each != EVERYONE:
            workspace.authors.get(each)
    client, key = _store().add(name, author, level, requests_per_minute)

    def show(_: Any) -> None:
        typer.echo(key)
        typer.echo(f"The key of {client.name}: keep it now, it is not shown again.", err=True)
        if workspace.settings.api_key is None:
            typer.echo(
                "From now on the serving API wants a key of everybody: set TWIN_API_KEY for the page and the command "
                "line.",
                err=True,
            )

    answer({**_row(client), "key": key}, as_json, show)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """Who has a key, and what it permits."""
    answer([_row(client) for client in _store().list()], as_json, table)


@keys.command("remove")
def remove(name: str, as_json: Json = False) -> None:
    """Take a key away; a running server knows it no more."""
    client = _store().remove(name)
    answer(_row(client), as_json, lambda row: typer.echo(f"{row['name']} has no key any more."))
