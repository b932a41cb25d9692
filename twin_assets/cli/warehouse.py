"""The lake as a warehouse: questions in SQL, versions of the corpus and the dataset, and housekeeping."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal

import typer

from twin_assets.cli.shared import Json, answer, app, only_author, open_workspace, table

versions_app = typer.Typer(no_args_is_help=True, help="List, compare and read versions of the corpus and the dataset.")
app.add_typer(versions_app, name="versions")

Format = Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="How the rows are written.")]
Kind = Annotated[Literal["corpus", "dataset"], typer.Argument(help="corpus (documents) or dataset (samples in use).")]
AuthorOption = Annotated[str | None, typer.Option(help="Whose; may be left out where there is one author.")]
_NAMES = "now, a number, the first digits of a hash, or a date."


def _rows(frame: Any, form: str) -> None:
    """Write a frame's rows as a table, as JSON or as CSV."""
    from twin_assets.core.warehouse import as_rows

    rows = as_rows(frame)
    if form == "csv":
        # CSV holds no lists: they are written as JSON.
        flat = [{k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()} for row in rows]
        import polars as pl

        typer.echo(pl.DataFrame(flat, schema=frame.columns, infer_schema_length=None).write_csv(), nl=False)
    else:
        answer(rows, form == "json", table)


@app.command()
def sql(
    statement: Annotated[
        str, typer.Argument(help="A SELECT over the lake's tables, e.g. documents, chunks, samples; or SHOW TABLES.")
    ],
    form: Format = "table",
    at: Annotated[
        list[str] | None, typer.Option(help="Read a table as of a Delta version: samples=12. Repeatable.")
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="Read every table as of a date or time, e.g. 2026-05-01.")] = None,
    as_json: Json = False,
) -> None:
    """Ask the lake a question in SQL (DuckDB); it can read all tables and write nothing."""
    from twin_assets.core.errors import InputError
    from twin_assets.core.warehouse import ask, parse_moment

    versions = {}
    for text in at or []:
        name, found, number = text.partition("=")
        if not found or not number.isdecimal():
            raise InputError(f"--at {text!r} is not table=version, as in samples=12.")
        versions[name] = int(number)
    moment = parse_moment(as_of) if as_of else None
    _rows(ask(open_workspace().lake, statement, versions=versions, moment=moment), "json" if as_json else form)


@versions_app.command("list")
def versions_list(
    kind: Kind,
    author: AuthorOption = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest this many.")] = 20,
    as_json: Json = False,
) -> None:
    """List versions, newest first: Delta version, when, content hash, rows, and the models made from them."""
    from twin_assets.core.warehouse import list_versions

    workspace = open_workspace()
    name = workspace.authors.get(author or only_author(workspace)).id
    found = list_versions(workspace.lake, name, kind, workspace.registry.versions(name), limit)
    rows = [asdict(version) for version in found]
    unit = "documents" if kind == "corpus" else "samples"
    answer(
        rows,
        as_json,
        lambda values: table(
            [
                {
                    "version": row["delta_version"],
                    "written": f"{row['written_at']:%Y-%m-%d %H:%M:%S}",
                    "content hash": row["content"][:12] if row["content"] else "(removed)",
                    unit: row["rows"],
                    "models": ", ".join(row["models"]),
                }
                for row in values
            ]
        ),
    )


@versions_app.command("diff")
def versions_diff(
    kind: Kind,
    before: Annotated[str, typer.Argument(help=f"The earlier version: {_NAMES}")],
    after: Annotated[str, typer.Argument(help=f"The later version: {_NAMES}")] = "now",
    author: AuthorOption = None,
    as_json: Json = False,
) -> None:
    """Show the documents or samples that came, went or changed from one version to another."""
    from twin_assets.core.warehouse import compare, resolve

    workspace = open_workspace()
    name = workspace.authors.get(author or only_author(workspace)).id
    old, new = (resolve(workspace.lake, name, kind, text) for text in (before, after))
    found = compare(workspace.lake, name, kind, old, new)
    parts = {"added": found.added, "removed": found.removed, "changed": found.changed}
    values = {
        "before": old, "after": new, "unchanged": found.unchanged,
        **{part: frame.to_dicts() for part, frame in parts.items()},
    }  # fmt: skip

    def show(values: dict[str, Any]) -> None:
        for part in parts:
            if values[part]:
                table(values[part], f"{part}: {len(values[part])}")
        counts = ", ".join(f"{len(values[part])} {part}" for part in parts)
        typer.echo(f"{kind} {old} → {new}: {counts}, {values['unchanged']} unchanged.")

    answer(values, as_json, show)


@versions_app.command("show")
def versions_show(
    kind: Kind,
    version: Annotated[str, typer.Argument(help=f"Which: {_NAMES}")] = "now",
    author: AuthorOption = None,
    form: Format = "table",
    as_json: Json = False,
) -> None:
    """Read the corpus or the dataset as it was: a list of what is in it, or with --format json or csv all of it."""
    from twin_assets.core.warehouse import KEYS, SHOWN, read_version, resolve

    workspace = open_workspace()
    name = workspace.authors.get(author or only_author(workspace)).id
    frame = read_version(workspace.lake, name, kind, resolve(workspace.lake, name, kind, version))
    whole = as_json or form != "table"
    _rows(frame if whole else frame.select(*KEYS[kind], *SHOWN[kind]), "json" if as_json else form)


@app.command()
def vacuum(
    keep_days: Annotated[
        float | None, typer.Option(help="Days all versions stay readable; default TWIN_LAKE_RETENTION_DAYS (30).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Merge small files and remove what the retention no longer keeps; versions that models were made from stay."""
    from twin_assets.core.housekeeping import tidy

    keep = None if keep_days is None else timedelta(days=keep_days)
    done = tidy(open_workspace(), keep, dry_run=dry_run, progress=lambda text: typer.echo(f"{text} …", err=True))

    def show(values: dict[str, Any]) -> None:
        rows = [row for row in values["tables"] if row["merged"] or row["removed"] or row["kept"]]
        if rows:
            title = "files merged and removed, and versions kept for models, by table"
            table([row | {"kept": ", ".join(map(str, row["kept"]))} for row in rows], title)
        would = "would be removed" if dry_run else "removed"
        typer.echo(f"{values['embeddings']} unused embeddings and {len(values['imports'])} replaced exports {would}.")

    answer(asdict(done), as_json, show)
