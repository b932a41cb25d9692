"""Where a model comes from, forgetting, and taking a twin to another machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace, table

forget_app = typer.Typer(no_args_is_help=True, help="Take a document, a source or an author out of everything.")
app.add_typer(forget_app, name="forget")

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]
Policy = Annotated[
    Literal["withdraw", "retrain", "keep"] | None,
    typer.Option(help="What becomes of models that learned it; default TWIN_FORGET_POLICY (withdraw)."),
]


@app.command()
def lineage(
    author: AuthorArgument,
    version: Annotated[str | None, typer.Argument(help="Model version; the one that is served where left out.")] = None,
    document: Annotated[
        str | None, typer.Option(help="A document's id or address: the versions that learned it are named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a model version was made from, down to the addresses; or which versions learned a document."""
    from twin_assets.core import lineage as core

    workspace = open_workspace()
    workspace.authors.get(author)
    if document is not None:
        ids = core.find_documents(workspace, author, document)
        found = [asdict(each) for each in core.learners(workspace, author, ids)]
        answer({"documents": ids, "models": found}, as_json, lambda value: _show_learners(value["models"]))
        return
    told = core.lineage(workspace, author, version or _served(workspace, author))
    answer(told.to_dict(), as_json, _show_lineage)


def _served(workspace: Any, author: str) -> str:
    from twin_assets.core.errors import UnknownModelError

    approved = workspace.registry.approved(author)
    if approved is None:
        raise UnknownModelError(f"No model of {author!r} is served; say which version, `twin status` shows them.")
    return str(approved.version)


def _show_learners(models: list[dict[str, Any]]) -> None:
    table([row | {"samples": _counts(row["samples"])} for row in models], "models whose datasets hold it")


def _show_lineage(value: dict[str, Any]) -> None:
    known = {
        "version": f"{value['version']} ({value['status']}), {value['created_at'][:16]} UTC",
        "base model": f"{value['base_model']} {value['base_identity']}",
        "dataset": f"{value['dataset_version']}, Delta version {value['dataset_delta_version']}",
        "corpus": value["corpus_version"],
        "told by": value["told_by"],
    }
    table([{"what": name, "is": text} for name, text in known.items()])
    rows = [
        {
            "document": each["document_id"][:12],
            "samples": _counts(each["samples"]),
            "platform": each["platform"],
            "title": each["title"][:60] or ("(forgotten)" if each["forgotten"] else ""),
            "addresses": "\n".join(each["urls"]),
        }
        for each in value["documents"]
    ]
    table(rows, f"{len(rows)} documents")


def _counts(samples: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in samples.items())


@forget_app.command("document")
def forget_document(
    author: AuthorArgument,
    document: Annotated[str, typer.Argument(help="Its address, or its id (the first eight digits are enough).")],
    policy: Policy = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Forget a document, and other addresses of the same text, for good: it stays away when it is collected again."""
    _forget(author, {"document": document}, policy, yes, dry_run, as_json)


@forget_app.command("source")
def forget_source(
    author: AuthorArgument,
    source: Annotated[str, typer.Argument(help="The source as `twin source list` names it.")],
    policy: Policy = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Forget a source and every document that only it held."""
    _forget(author, {"source": source}, policy, yes, dry_run, as_json)


@forget_app.command("author")
def forget_author(author: AuthorArgument, yes: Yes = False, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Forget an author: documents, models, drafts, voice, exports, and what Dagster remembers of their runs."""
    from twin_assets.core import forgetting_author as core

    workspace = open_workspace()
    plan = core.plan_author(workspace, author).to_dict()
    if dry_run or not _confirmed(plan, yes, as_json):
        answer(plan, as_json, lambda value: None if not dry_run else _show_plan(value))
        raise typer.Exit(0 if dry_run else 1)
    done = core.forget_author(workspace, author, progress=_tell).to_dict()
    done["runs"] = _forget_runs(workspace.settings, author)
    answer(done, as_json, lambda _: typer.echo(f"{author} is forgotten."))


def _forget(author: str, what: dict[str, str], policy: Any, yes: bool, dry_run: bool, as_json: bool) -> None:
    from twin_assets.core import forgetting as core

    workspace = open_workspace()
    plan = core.plan_forgetting(workspace, author, **what, policy=policy).to_dict()
    if dry_run or not _confirmed(plan, yes, as_json):
        answer(plan, as_json, lambda value: None if not dry_run else _show_plan(value))
        raise typer.Exit(0 if dry_run else 1)
    done = core.forget(workspace, author, **what, policy=policy, progress=_tell)
    values = done.to_dict() | {"runs": _forget_runs(workspace.settings, author)}
    _refresh_server(workspace, author)
    answer(values, as_json, _show_done)
    if done.policy == "retrain" and done.withdrawn:
        from twin_assets.progress import run_with_progress

        outcome = run_with_progress("twin", author, workspace.settings, quiet=as_json)
        raise typer.Exit(0 if outcome.success else 1)


def _forget_runs(settings: Any, author: str) -> int:
    if not (settings.home / "dagster").is_dir():  # it never ran, and importing it takes seconds
        return 0
    from twin_assets.defs.forgetting import forget_runs

    return forget_runs(settings, author)


def _confirmed(plan: dict[str, Any], yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if as_json:
        from twin_assets.core.errors import ConfigurationError

        raise ConfigurationError("Nothing was forgotten; say --yes as well, or --dry-run to see what would go.")
    _show_plan(plan)
    return typer.confirm("Forget it? This cannot be undone.")


def _show_plan(plan: dict[str, Any]) -> None:
    if "documents" in plan:
        table([{"document": d["document_id"][:12], **{n: d[n] for n in ("platform", "title", "url")}}
               for d in plan["documents"]], "documents that go")  # fmt: skip
        table([row | {"samples": _counts(row["samples"]), "then": "withdrawn" if row["version"] in plan["withdrawn"]
                      else "kept"} for row in plan["models"]], "models whose datasets hold them")  # fmt: skip
        typer.echo(f"Served afterwards: {plan['served'] or 'no model'}.")
    else:
        typer.echo(f"Everything of {plan['name']} ({plan['author']}), {len(plan['models'])} models among it.")
    table([{"table": name, "rows": number} for name, number in plan["rows"].items()], "rows that go")
    typer.echo(f"{plan['past_files']} data files of older versions go, so that these cannot be read any more.")
    for name in plan.get("rewritten", ()):
        typer.echo(f"written anew without it: {name}")
    for name in plan["files"]:
        typer.echo(f"deleted: {name}")


def _show_done(done: dict[str, Any]) -> None:
    typer.echo(
        f"{len(done['documents'])} documents are forgotten; `twin run {done['author']}` brings datasets up to date."
    )
    for model in done["models"]:
        state = "withdrawn" if model["version"] in done["withdrawn"] else "kept"
        typer.echo(f"model version {model['version']} {model['how']} it: {state}")
    typer.echo(f"Served now: {done['served'] or 'no model'}.")


def _tell(step: str) -> None:
    typer.echo(f"{step} …", err=True)


def _refresh_server(workspace: Any, author: str) -> None:
    """Have a running server let go of its copy of the old index, which it keeps until it is asked something."""
    from twin_assets.core.errors import TwinError
    from twin_serving.client import TwinClient

    settings = workspace.settings
    key = settings.api_key.get_secret_value() if settings.api_key else None
    try:
        with TwinClient(settings.serving_url, api_key=key, timeout=5) as client:
            client.health()
            client.search(author, "anything")
    except TwinError:
        pass  # none runs, or nothing is published any more


@app.command("export")
def export(
    author: AuthorArgument,
    file: Annotated[Path, typer.Argument(help="The bundle to write, a .zip.")],
    version: Annotated[str | None, typer.Option(help="Model version; default: the one that is served.")] = None,
    merged: Annotated[bool, typer.Option("--merged", help="With the adapter merged into its base as well.")] = False,
    no_index: Annotated[bool, typer.Option("--no-index", help="Without the passages: no writing is in it.")] = False,
    as_json: Json = False,
) -> None:
    """Write a twin as one portable ZIP: model, voice, index, cards. The index holds the author's published passages."""
    from twin_assets.core.bundles import export_bundle

    done = export_bundle(open_workspace(), author, file, version=version, merged=merged, index=not no_index)
    passages = "no passages" if done.passages is None else f"{done.passages} passages of published writing"
    answer(
        asdict(done),
        as_json,
        lambda _: typer.echo(f"{file}: version {done.version}, {passages}, {done.bytes / 1e6:.1f} MB."),
    )
