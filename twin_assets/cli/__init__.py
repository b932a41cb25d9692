"""The `twin` command, a module per group of commands: every command answers in a sentence or, with --json, as JSON.

Heavy libraries load in the commands that need them, so that `twin --help` answers at once.
"""

import json
import sys

import typer

from twin_assets.cli.shared import app
from twin_assets.core.errors import TwinError

# Each adds its commands when it is imported, and `twin --help` shows them in this order.
# isort: off
from twin_assets.cli import authors, pipeline, drafts, voice, models, training  # noqa: F401
from twin_assets.cli import rules, lineage, warehouse, dataset, keys, operations  # noqa: F401
# isort: on

__all__ = ["app", "main"]


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
