"""Starting things, and whether this machine is fit for them."""

from typing import Annotated

import typer

from twin_assets.cli.shared import Json, answer, app, open_workspace, table


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; anything but loopback wants TWIN_API_KEY.")] = None,
    port: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Serve the approved models over HTTP until stopped."""
    from twin_serving.server import serve as serve_until_stopped

    settings = open_workspace().settings
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    serve_until_stopped(settings.model_copy(update=given))


@app.command()
def up(demo: Annotated[bool, typer.Option(help="Also play the demo author's platforms.")] = False) -> None:
    """Start Dagster, serving, the page and MLflow together on loopback; Ctrl-C stops all of them."""
    from twin_assets.operations import up as start_everything

    raise typer.Exit(start_everything(open_workspace().settings, demo=demo))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine and deployment, and say what to do about what is wrong."""
    from twin_assets.operations import examine

    findings = examine(open_workspace().settings)
    answer(findings, as_json, table)
    raise typer.Exit(1 if any(finding["state"] == "wrong" for finding in findings) else 0)
