"""`twin voice …`: the measured voice profile and the author's edits of it."""

import json
from typing import Annotated, Any

import typer

from twin_assets.cli.shared import AuthorArgument, Json, answer, app, open_workspace, table

voice_app = typer.Typer(no_args_is_help=True, help="Show what makes the author sound like themselves, and edit it.")
app.add_typer(voice_app, name="voice")


@voice_app.command("show")
def voice_show(author: AuthorArgument, as_json: Json = False) -> None:
    """Show the measured profile by category, the author's edits, and what a model is told."""
    _show(author, as_json)


@voice_app.command("set")
def voice_set(
    author: AuthorArgument,
    name: Annotated[str, typer.Argument(metavar="FIELD", help="E.g. emoji, forbidden_phrases, opening, note.")],
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", help="E.g. never, or one or more phrases.")],
    add: Annotated[bool, typer.Option("--add", help="Add to the phrases there are.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take these phrases away.")] = False,
    as_json: Json = False,
) -> None:
    """Set one field of the edits; they lie over what was measured, and no run overwrites them."""
    from twin_assets.core.errors import InputError
    from twin_assets.core.voice_edits import VoiceEdits, check_edits, load_edits, save_edits

    workspace = open_workspace()
    workspace.authors.get(author)
    edits = load_edits(workspace, author).model_dump()
    if name not in edits:
        raise InputError(f"The voice has no field {name!r}; there are {', '.join(VoiceEdits.model_fields)}.")
    if isinstance(edits[name], list):
        present = edits[name] if add or remove else []
        edits[name] = [p for p in present if p not in values] if remove else [*present, *values]
    elif add or remove or len(values) > 1:
        raise InputError(f"{name} holds one value; set it as in `twin voice set {author} {name} 'VALUE'`.")
    else:
        edits[name] = values[0]
    save_edits(workspace, author, check_edits(edits))
    _show(author, as_json)


@voice_app.command("edit")
def voice_edit(author: AuthorArgument) -> None:
    """Open the edits in your editor ($EDITOR); what is not valid is said, and nothing is changed."""
    import click

    from twin_assets.core.errors import InputError
    from twin_assets.core.voice_edits import check_edits, load_edits, save_edits

    workspace = open_workspace()
    workspace.authors.get(author)
    before = load_edits(workspace, author).model_dump_json(indent=2) + "\n"
    after = click.edit(before, extension=".json")
    if after is None or after == before:
        typer.echo("Nothing was changed.")
        return
    try:
        values = json.loads(after)
    except ValueError as error:
        raise InputError(f"What you saved is not JSON ({error}); nothing was changed.") from error
    save_edits(workspace, author, check_edits(values))
    typer.echo(f"The voice of {author} is edited; the next draft heeds it.")


@voice_app.command("reset")
def voice_reset(author: AuthorArgument) -> None:
    """Take all edits back: the voice is as it was measured."""
    from twin_assets.core.voice_edits import reset_edits

    workspace = open_workspace()
    workspace.authors.get(author)
    reset_edits(workspace, author)
    typer.echo(f"The voice of {author} is as it was measured.")


def _show(author: str, as_json: bool) -> None:
    from twin_assets.core.voice_edits import VoiceEdits, load_voice

    workspace = open_workspace()
    name = workspace.authors.get(author).name
    voice = load_voice(workspace, author)
    measured = voice.profile.model_dump(mode="json")["categories"] if voice.profile else {}
    values = {
        "author": author,
        "measured": measured or None,
        "edits": voice.edits.model_dump(mode="json"),
        "guides": {category: voice.guide(category) for category in measured or ("post", "article")},
    }

    def show(values: dict[str, Any]) -> None:
        if not measured:
            typer.echo(f"The voice of {name} has not been measured yet; `twin collect {author}` does.")
        for category, found in measured.items():
            table(_figures(found), f"{name}: {category}, {found['documents']} documents")
        changed = {key: value for key, value in values["edits"].items() if value != VoiceEdits().model_dump()[key]}
        if changed:
            table([{"edit": key, "value": _plain(value)} for key, value in changed.items()], "edits")
        for category, guide in values["guides"].items():
            typer.echo(f"A model is told for {category}: {guide or '(nothing)'}")

    answer(values, as_json, show)


def _figures(found: dict[str, Any]) -> list[dict[str, Any]]:
    words, sentence = found["words_per_document"], found["words_per_sentence"]
    values = {
        "words": f"{words['low']:.0f} to {words['high']:.0f}, usually {words['median']:.0f}",
        "words in a sentence": f"{sentence['low']:.0f} to {sentence['high']:.0f}, usually {sentence['median']:.0f}",
        "emoji": f"{found['emoji_per_document']} a text {' '.join(found['emoji'])}",
        "hashtags": f"{found['hashtags_per_document']} a text {' '.join('#' + tag for tag in found['hashtags'][:5])}",
        "opens with": _shares(found["openings"]),
        "ends with": _shares(found["endings"]),
        "own words": ", ".join(word["word"] for word in found["vocabulary"][:15]),
        "own phrases": ", ".join(f"“{phrase['phrase']}”" for phrase in found["phrases"][:8]),
    }
    return [{"what": name, "measured": value} for name, value in values.items()]


def _shares(found: dict[str, float]) -> str:
    common = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in common if share)


def _plain(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
