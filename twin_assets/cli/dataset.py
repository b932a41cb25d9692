"""What is learned from: list, compare, read and export datasets, and keep a document or a sample out of them."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from twin_assets.cli.shared import Json, answer, app, only_author, open_workspace, table
from twin_assets.cli.warehouse import AuthorOption, Format, versions_diff, versions_list, versions_show

dataset_app = typer.Typer(no_args_is_help=True, help="List, compare, export datasets, and leave something out of them.")
app.add_typer(dataset_app, name="dataset")

Name = Annotated[str, typer.Argument(help="Document id, sample id, their first 8 digits or more, or an address.")]


@dataset_app.command("list")
def dataset_list(
    author: AuthorOption = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest this many.")] = 20,
    as_json: Json = False,
) -> None:
    """List versions of the dataset, newest first, and the models made from them."""
    versions_list("dataset", author, limit, as_json)


@dataset_app.command("diff")
def dataset_diff(
    before: Annotated[str, typer.Argument(help="The earlier version: now, a number, a hash, or a date.")],
    after: Annotated[str, typer.Argument(help="The later version.")] = "now",
    author: AuthorOption = None,
    as_json: Json = False,
) -> None:
    """Show the samples that came, went or changed from one version to another."""
    versions_diff("dataset", before, after, author, as_json)


@dataset_app.command("show")
def dataset_show(
    version: Annotated[str, typer.Argument(help="Which: now, a number, a hash, or a date.")] = "now",
    author: AuthorOption = None,
    form: Format = "table",
    as_json: Json = False,
) -> None:
    """Read the samples in use as they were: a list, or with --format json or csv all of them."""
    versions_show("dataset", version, author, form, as_json)


@dataset_app.command("export")
def dataset_export(
    folder: Annotated[Path | None, typer.Option("--to", help="New folder; default <home>/exports/<author>/.")] = None,
    version: Annotated[str, typer.Option(help="Which: now, a number, a hash, or a date.")] = "now",
    form: Annotated[Literal["both", "parquet", "jsonl"], typer.Option("--format", help="How samples are written.")] = (
        "both"
    ),
    author: AuthorOption = None,
    as_json: Json = False,
) -> None:
    """Write the dataset to a folder, as Parquet and as JSON lines of chat messages, with a card that tells of it."""
    from twin_assets.core.datasets.export import FORMATS, export_dataset
    from twin_assets.core.warehouse import resolve

    workspace, name = _opened(author)
    number = None if version == "now" else resolve(workspace.lake, name, "dataset", version)
    written = export_dataset(workspace, name, folder, number, FORMATS if form == "both" else (form,))
    files = sorted(path.name for path in written.iterdir())
    answer(
        {"folder": str(written), "files": files},
        as_json,
        lambda value: typer.echo(f"{', '.join(value['files'])} written to {value['folder']}"),
    )


@dataset_app.command("exclude")
def dataset_exclude(
    name: Name,
    note: Annotated[str, typer.Option(help="Why, for yourself.")] = "",
    author: AuthorOption = None,
    as_json: Json = False,
) -> None:
    """Keep a document or a sample out of every dataset from now on; what it is made from stays."""
    from twin_assets.core.datasets.exclusions import exclude

    workspace, whose = _opened(author)
    rows = exclude(workspace, whose, name, note).to_dicts()
    said = f"Left out from the next dataset on; `twin run {whose}` makes it." if rows else "It is left out already."
    answer(rows, as_json, lambda _: typer.echo(said))


@dataset_app.command("include")
def dataset_include(name: Name, author: AuthorOption = None, as_json: Json = False) -> None:
    """Take back what `exclude` left out."""
    from twin_assets.core.datasets.exclusions import include

    workspace, whose = _opened(author)
    count = include(workspace, whose, name)
    answer({"included": count}, as_json, lambda _: typer.echo(f"Taken in again by the next dataset of {whose}."))


@dataset_app.command("exclusions")
def dataset_exclusions(author: AuthorOption = None, as_json: Json = False) -> None:
    """List what is left out."""
    from twin_assets.core.datasets.exclusions import exclusions

    workspace, whose = _opened(author)
    answer(exclusions(workspace.lake, whose).drop("author").to_dicts(), as_json, table)


def _opened(author: str | None) -> tuple[Any, str]:
    workspace = open_workspace()
    return workspace, workspace.authors.get(author or only_author(workspace)).id
