"""Training by hand: one model, several settings side by side, and what a training would take."""

from typing import Annotated, Any

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace, table
from twin_assets.core.errors import ConfigurationError

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="name=value of the training recipe, or base_model=…; several values with commas."),
]


def _grid(settings: list[str] | None) -> dict[str, list[str]]:
    grid = {}
    for setting in settings or []:
        name, sign, values = setting.partition("=")
        if not sign or not name.strip() or not values.strip():
            raise ConfigurationError(f"--set {setting!r} is not name=value.")
        grid[name.strip()] = [value.strip() for value in values.split(",") if value.strip()]
    return grid


def _launch(author: str, grid: dict[str, list[str]], as_json: bool) -> None:
    from twin_assets.core.training.experiments import combinations
    from twin_assets.core.training.plan import BASE_MODEL
    from twin_assets.core.training.recipes import STANDARD, changed
    from twin_assets.progress import run_with_progress

    workspace = open_workspace()
    workspace.authors.get(author)
    for changes in combinations(grid) if grid else []:
        changed(STANDARD, {name: value for name, value in changes.items() if name != BASE_MODEL})
    config = {"fine_tuned_model": {"config": {"grid": grid}}} if grid else {}
    outcome = run_with_progress("train", author, workspace.settings, quiet=as_json, operations=config)
    if as_json:
        values = {"run_id": outcome.run_id, "success": outcome.success, "failures": outcome.failures}
        answer(values, True, lambda _: None)
    raise typer.Exit(0 if outcome.success else 1)


@app.command()
def train(author: AuthorArgument, settings: SetOption = None, as_json: Json = False) -> None:
    """Train on the present dataset, evaluate, let the gate decide; nothing changed, nothing trained."""
    grid = _grid(settings)
    if several := [name for name, values in grid.items() if len(values) > 1]:
        raise ConfigurationError(f"`twin train` takes one value for {', '.join(several)}; `twin sweep` takes several.")
    _launch(author, grid, as_json)


@app.command()
def sweep(author: AuthorArgument, settings: SetOption = None, as_json: Json = False) -> None:
    """Train every combination of settings; the best by validation loss goes on to the gate.

    twin sweep ada --set rank=8,16 --set learning_rate=1e-4,2e-4
    """
    grid = _grid(settings)
    if not grid:
        raise ConfigurationError("A sweep takes at least one --set, such as --set rank=8,16.")
    _launch(author, grid, as_json)


@app.command("experiments")
def experiments_(author: AuthorArgument, as_json: Json = False) -> None:
    """Show all trainings of an author side by side, best validation loss first."""
    from twin_assets.core.training.experiments import experiments

    workspace = open_workspace()
    workspace.authors.get(author)
    answer(experiments(workspace, author), as_json, lambda rows: table([_line(row) for row in rows], "experiments"))


@app.command()
def preflight(
    author: AuthorArgument,
    base: Annotated[
        str | None, typer.Option(help="A size such as 7B, a hub id, a folder or auto; every size where left out.")
    ] = None,
    settings: SetOption = None,
    as_json: Json = False,
) -> None:
    """Say what memory, time and disk training takes here, for the author's data."""
    from dataclasses import asdict

    from twin_assets.core.training.forecast import forecast
    from twin_assets.core.training.preflight import GIB

    changes = {name: values[0] for name, values in _grid(settings).items()}
    machine, found = forecast(open_workspace(), author, base, changes)
    title = f"on this {machine.device} with {machine.memory / GIB:.0f} GiB free (estimates)"

    def show(rows: list[dict[str, Any]]) -> None:
        shown = ("base", "method", "memory_gib", "minutes", "disk_gib", "fits")
        table([{name.replace("_gib", " GiB"): row[name] for name in shown} for row in rows], title)
        for row in rows:
            if not row["fits"]:
                typer.echo(f"{row['base']}: {row['reason']}. {row['nearest']}")

    answer([asdict(each) for each in found], as_json, show)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """A training in a line that fits a terminal; --json has everything."""
    return {
        "data": row["dataset_version"][:4], "base": str(row["base_model"]).rstrip("/").rsplit("/", 1)[-1],
        "method": f"{row['method']} {row['rank']}", "rate": f"{float(row['learning_rate'] or 0):g}",
        "valid.": _short(row["validation_loss"]), "test": _short(row["held_out_loss"]), "steps": _short(row["steps"]),
        "version": row["version"], "status": row["status"],
    }  # fmt: skip


def _short(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4g}"
