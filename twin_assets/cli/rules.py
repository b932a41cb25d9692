"""When an author's twin is trained by itself, what its models are held to, and what became of them."""

from typing import Annotated, Any

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace, table

OwnRules = Annotated[
    list[str] | None,
    typer.Option("--set", help="A rule of the author's own as name=value; name= takes it away. Repeatable."),
]


@app.command()
def policy(author: AuthorArgument, own: OwnRules = None, as_json: Json = False) -> None:
    """Say whether a training would start by itself now and why; --set runs_per_week=3 changes the author's rules."""
    from dataclasses import asdict

    from twin_assets.core.training.policy import training_wanted

    workspace = open_workspace()
    _change(workspace, author, "training", own)
    decision = training_wanted(workspace, workspace.authors.get(author))
    values = asdict(decision) | {"rules": decision.rules.model_dump(mode="json")}

    def show(value: dict[str, Any]) -> None:
        typer.echo(f"{'Trains now' if value['wanted'] else 'Does not train'}: {value['reason']}.")
        table([{"rule": name, "value": str(each)} for name, each in value["rules"].items()])

    answer(values, as_json, show)


@app.command()
def gate(author: AuthorArgument, own: OwnRules = None, as_json: Json = False) -> None:
    """Show what the author's candidates are held to and the newest decision; --set margin=0.01 changes the rules."""
    from twin_assets.core.errors import TwinError
    from twin_assets.core.evaluation.release import decide_newest
    from twin_assets.core.rules import gate_rules

    workspace = open_workspace()
    _change(workspace, author, "gate", own)
    rules = gate_rules(workspace.settings, workspace.authors.get(author)).model_dump(mode="json")
    try:
        reasons = decide_newest(workspace, author).reasons
    except TwinError as error:
        reasons = [str(error)]

    def show(value: dict[str, Any]) -> None:
        table([{"rule": name, "value": str(each)} for name, each in value["rules"].items()])
        for reason in value["reasons"]:
            typer.echo(reason)

    answer({"rules": rules, "reasons": reasons}, as_json, show)


def _change(workspace: Any, author: str, kind: Any, own: list[str] | None) -> None:
    from twin_assets.core.errors import ConfigurationError
    from twin_assets.core.rules import set_rules

    if not own:
        return
    before = getattr(workspace.authors.get(author), kind).model_dump(mode="json", exclude_none=True)
    for each in own:
        name, given, value = each.partition("=")
        if not given:
            raise ConfigurationError(f"{each!r} is no rule; write name=value, such as runs_per_week=3.")
        before.pop(name, None)
        if value:
            before[name] = value.split(",") if name == "required" else value
    set_rules(workspace, author, kind, before)
