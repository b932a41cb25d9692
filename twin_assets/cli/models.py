"""A person's decisions on model versions."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace


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
    workspace = open_workspace()
    model = workspace.registry.approve(author, _chosen(workspace, author, version), reason, by="person")
    _decided(model, author, as_json)


@app.command()
def reject(
    author: AuthorArgument,
    version: Annotated[str | None, typer.Argument(help="Model version; the newest where left out.")] = None,
    reason: Annotated[str, typer.Option(help="Recorded with the decision.")] = "rejected by a person",
    as_json: Json = False,
) -> None:
    """Do not serve this model version."""
    workspace = open_workspace()
    model = workspace.registry.reject(author, _chosen(workspace, author, version), reason, by="person")
    _decided(model, author, as_json)


@app.command()
def rollback(author: AuthorArgument, as_json: Json = False) -> None:
    """Serve the version again that was approved before the present one."""
    _decided(open_workspace().registry.rollback(author), author, as_json)


def _chosen(workspace: "Workspace", author: str, version: str | None) -> str:
    from twin_assets.core.evaluation.release import newest

    return version or newest(workspace, author).version
