"""A person's decisions on model versions."""

from typing import Annotated, Any

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace


def _decided(model: Any, author: str, as_json: bool) -> None:
    values = {"author": author, "version": model.version, "status": model.status}
    answer(values, as_json, lambda v: typer.echo(f"{author}: version {v['version']} is {v['status']}."))


@app.command()
def approve(
    author: AuthorArgument,
    version: Annotated[str | None, typer.Argument(help="Model version; the newest where left out.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the decision.")] = "approved by a person",
    as_json: Json = False,
) -> None:
    """Serve this model version from now on."""
    registry = open_workspace().registry
    _decided(registry.approve(author, version or _newest(registry, author), reason, by="person"), author, as_json)


@app.command()
def reject(
    author: AuthorArgument,
    version: Annotated[str | None, typer.Argument(help="Model version; the newest where left out.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the decision.")] = "rejected by a person",
    as_json: Json = False,
) -> None:
    """Do not serve this model version."""
    registry = open_workspace().registry
    _decided(registry.reject(author, version or _newest(registry, author), reason, by="person"), author, as_json)


@app.command()
def rollback(author: AuthorArgument, as_json: Json = False) -> None:
    """Serve the version again that was approved before the present one."""
    _decided(open_workspace().registry.rollback(author), author, as_json)


def _newest(registry, author: str) -> str:
    from twin_assets.core.errors import UnknownModelError

    versions = registry.versions(author)
    if not versions:
        raise UnknownModelError(f"No model has been trained for {author!r} yet; `twin run {author}` trains one.")
    return versions[0].version
