"""Forgetting an author: everything this deployment keeps of them, their file last, so that a killed run is taken up."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin_assets.core.documents import TABLES
from twin_assets.core.forgetting import Progress, alone, no_training
from twin_assets.core.forgetting_traces import drop_dead_copies
from twin_assets.core.lake_purge import past_files, purge_author
from twin_assets.core.sources import PLATFORMS

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class AuthorRemoval:
    """What goes with an author: rows by table, data files of older versions, model versions, folders and files
    (relative to the home)."""

    author: str
    name: str
    rows: dict[str, int]
    past_files: int
    models: tuple[str, ...]
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def plan_author(workspace: "Workspace", author: str) -> AuthorRemoval:
    """What forget_author() would take away; raises UnknownAuthorError, LakeError, ModelError."""
    known, lake, home = workspace.authors.get(author), workspace.lake, workspace.settings.home
    rows = {table: lake.read(table, author, columns=["author"]).height for table in TABLES}
    return AuthorRemoval(
        author, known.name, {table: number for table, number in rows.items() if number},
        sum(past_files(lake, table, author) for table in TABLES),
        tuple(version.version for version in workspace.registry.versions(author)),
        tuple(path.relative_to(home).as_posix() for path in _places(workspace, author) if path.exists()),
    )  # fmt: skip


def forget_author(workspace: "Workspace", author: str, progress: Progress | None = None) -> AuthorRemoval:
    """Delete everything of an author, and say what that was; what Dagster remembers is up to the caller.

    Waits for runs that write the author's tables. Raises UnknownAuthorError, ConfigurationError where a training runs,
    LakeError, ModelError; doing it again finishes what was interrupted.
    """
    tell = progress or (lambda _: None)
    plan = plan_author(workspace, author)
    lake = workspace.lake
    with no_training(workspace, author), alone(workspace, author):
        tell("models")
        workspace.registry.remove_author(author)
        workspace.registry.compact()
        tell("index")
        workspace.index.remove(author)
        drop_dead_copies(workspace)
        tell("tables")
        for table in TABLES:
            if lake.read(table, author, columns=["author"]).height:
                lake.replace_author(table, author)
            purge_author(lake, table, author, whole=True)
        tell("files")
        for path in _places(workspace, author):
            _delete(path)
    for path in _locks(workspace, author):
        path.unlink(missing_ok=True)
    _delete(workspace.settings.authors_folder / f"{author}.json")
    return plan


def _places(workspace: "Workspace", author: str) -> list[Path]:
    """Everything of the author's under the home beside lake, index, registry and the author file."""
    settings = workspace.settings
    profiles = settings.home / "profiles"
    return [
        settings.imports_folder / author, settings.inbox_folder / author, settings.home / "training" / author,
        settings.home / "policy" / f"{author}.json",
        *(profiles / f"{author}{suffix}" for suffix in (".json", ".voice.npz", ".edits.json")),
    ]  # fmt: skip


def _locks(workspace: "Workspace", author: str) -> list[Path]:
    names = [*TABLES, *(f"raw_documents-{platform}" for platform in PLATFORMS)]
    authors = workspace.settings.authors_folder
    folder = Path(workspace.lake.location, ".locks")
    local = [] if "://" in workspace.lake.location else [folder / f"{name}-{author}.lock" for name in names]
    return [*local, authors / f"{author}.lock"]


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
