"""Bundles: a twin in one ZIP, to be taken to another machine.

    manifest.json           who, what it was made from, and the SHA-256 of every other file
    model_card.md, dataset_card.md
    model/adapter/, model/base/   the adapter with its tokenizer, and a nano's own base; safetensors only
    merged/                 the adapter merged into its base, where it was asked for
    reports/<name>.json     evaluations, less the texts in them
    lineage.json            the documents it learned, by id, title and address
    voice/                  the measured profile, the author's edits of it, the voice score's statistics
    index.parquet           the published passages with their vectors: the only place with the author's writing

No settings and no secrets are in it.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.archives import BLOCK, Archive
from twin_assets.core.errors import GateError, InputError
from twin_assets.core.registry import ModelVersion
from twin_assets.core.serving_export import FOLDER

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

MANIFEST = "manifest.json"
FORMAT: Literal["llm-twin bundle"] = "llm-twin bundle"
# What may be in a bundle, so that nothing else is ever unpacked.
FOLDERS = ("model/", "merged/", "reports/", "voice/")
FILES = ("model_card.md", "dataset_card.md", "lineage.json", "index.parquet")
WEIGHTS_AND_TEXT = frozenset({".safetensors", ".json", ".md", ".txt", ".model", ".jinja", ".npz", ".parquet"})
_CAREFUL = ConfigDict(extra="forbid", frozen=True)


class BundledFile(BaseModel):
    """One file of a bundle."""

    model_config = _CAREFUL

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class BundledModel(BaseModel):
    """What the registry knows of the version."""

    model_config = _CAREFUL

    version: str
    base_model: str
    base_identity: str
    is_nano: bool
    dataset_version: str
    corpus_version: str
    code_version: str
    fingerprint: str
    created_at: datetime
    metrics: dict[str, float]


class Manifest(BaseModel):
    """A bundle's contents."""

    model_config = _CAREFUL

    format: Literal["llm-twin bundle"] = FORMAT
    layout: Literal[1] = 1
    author: str
    name: str
    names: tuple[str, ...] = ()
    exported_at: datetime
    model: BundledModel
    index_schema: str | None = None
    files: dict[str, BundledFile]


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that was written; passages: of the index, None where it was left out."""

    path: Path
    author: str
    version: str
    bytes: int
    files: int
    passages: int | None


@dataclass(frozen=True, slots=True)
class Imported:
    """A bundle that was taken in; notes: what was left as it was here, and what is missing still."""

    author: str
    version: str
    status: str
    passages: int | None
    notes: tuple[str, ...] = ()


def export_bundle(
    workspace: "Workspace",
    author: str,
    path: Path,
    *,
    version: str | None = None,
    merged: bool = False,
    index: bool = True,
) -> Exported:
    """Write a version (default: the one that is served) as a bundle, whole or not at all.

    merged: with the adapter merged into its base; index: with the published passages. Raises UnknownAuthorError,
    UnknownModelError, GateError where none is served or the version was withdrawn, ModelError, VectorIndexError.
    """
    from twin_assets.core import bundle_parts as parts

    known = workspace.authors.get(author)
    found = _chosen(workspace, author, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".bundle-") as scratch:
        folder = Path(scratch)
        # What the version was exported to for serving is made again where it is wanted.
        left_out = shutil.ignore_patterns(FOLDER, f".{FOLDER}-*")
        shutil.copytree(workspace.registry.folder(author, found.version), folder / "model", ignore=left_out)
        if merged:
            parts.merge(workspace, found, folder / "merged")
        parts.write_reports(workspace, found, folder)
        parts.write_voice(workspace, author, folder / "voice")
        schema, passages = parts.write_index(workspace, author, folder) if index else (None, None)
        parts.write_cards(workspace, known, found, folder, passages)
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        manifest = Manifest(
            author=author, name=known.name, names=known.names, exported_at=datetime.now(UTC), index_schema=schema,
            model=BundledModel.model_validate({name: getattr(found, name) for name in BundledModel.model_fields}),
            files={name: BundledFile(sha256=_digest(folder / name), size=(folder / name).stat().st_size)
                   for name in names},
        )  # fmt: skip
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        packed = folder / ".zip"
        _pack(folder, [MANIFEST, *names], packed)
        os.replace(packed, path)
    return Exported(path, author, found.version, path.stat().st_size, len(names), passages)


def is_bundle(path: Path) -> bool:
    """Whether a file is a bundle, by its contents; False as well for what is no ZIP."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return MANIFEST in archive.namelist() and FORMAT.encode() in archive.open(MANIFEST).read(1000)


def read_manifest(archive: Archive) -> Manifest:
    """The manifest of an opened bundle, held against its list of files; raises InputError."""
    try:
        manifest = Manifest.model_validate_json(archive.text(MANIFEST))
    except (KeyError, ValidationError) as error:
        raise InputError(f"{archive.path.name} is no bundle that this version can read: {error}") from error
    if set(archive.names) != {MANIFEST, *manifest.files}:
        odd = sorted(set(archive.names) ^ {MANIFEST, *manifest.files})[0]
        raise InputError(f"{archive.path.name} does not hold what its manifest lists ({odd!r}); export it again.")
    for name in manifest.files:
        if not (name in FILES or name.startswith(FOLDERS)) or Path(name).suffix not in WEIGHTS_AND_TEXT:
            raise InputError(
                f"{archive.path.name} holds {name!r}, which does not belong in a bundle; it was not opened."
            )
    return manifest


def import_bundle(workspace: "Workspace", path: Path, *, author: str | None = None, approve: bool = False) -> Imported:
    """Take in a bundle: the author where they are not here yet, the version as a candidate, voice and index.

    author: id to take it in under, default the bundle's; approve: serve it from now on. What the author already has
    here stays. A version that was taken in before is not taken in again; what was interrupted is finished. Raises
    InputError where the bundle is damaged or holds what it must not, VectorIndexError, ModelError.
    """
    from twin_assets.core import bundle_parts as parts

    with _unpacked(workspace, path) as (manifest, folder):
        name = author or manifest.author
        parts.add_author(workspace, name, manifest)
        version = _register(workspace, name, manifest, folder)
        parts.read_reports(workspace, version, folder)
        notes = parts.read_voice(workspace, name, folder / "voice")
        passages, note = parts.read_index(workspace, name, folder, manifest.index_schema)
    notes += [note] if note else []
    if not version.is_nano:
        notes.append(f"its base model, {version.base_model}, is not in the bundle and is fetched when it is served")
    if approve:
        version = workspace.registry.approve(name, version.version, f"imported from {path.name}", by="person")
    return Imported(name, version.version, version.status, passages, tuple(notes))


def _chosen(workspace: "Workspace", author: str, version: str | None) -> ModelVersion:
    found = workspace.registry.get(author, version) if version else workspace.registry.approved(author)
    if found is None:
        raise GateError(f"No model of {author!r} is served; say which one with --version, or `twin approve` one.")
    if found.status == "withdrawn":
        raise GateError(f"Version {found.version} of {author!r} was withdrawn: it learned what was forgotten since.")
    return found


def _register(workspace: "Workspace", author: str, manifest: Manifest, folder: Path) -> ModelVersion:
    registry, model = workspace.registry, manifest.model
    found = registry.find(author, model.fingerprint)
    if found is not None:
        return found
    run = registry.start_run(author, f"imported version {model.version}", {"exported_at": manifest.exported_at})
    made = registry.register(
        author, run_id=run, folder=folder / "model", base_model=model.base_model, is_nano=model.is_nano,
        base_identity=model.base_identity, dataset_version=model.dataset_version, dataset_delta_version=None,
        corpus_version=model.corpus_version, code_version=model.code_version, fingerprint=model.fingerprint,
        metrics=model.metrics,
    )  # fmt: skip
    registry.end_run(run)
    return made


@contextmanager
def _unpacked(workspace: "Workspace", path: Path) -> Iterator[tuple[Manifest, Path]]:
    """The manifest and a folder of the files, each compared with its hash while it is written."""
    home = workspace.settings.home
    home.mkdir(parents=True, exist_ok=True)
    with Archive(path) as archive, tempfile.TemporaryDirectory(dir=home, prefix=".bundle-") as scratch:
        manifest = read_manifest(archive)
        for name, file in manifest.files.items():
            target = Path(scratch, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with archive.open(name, file.size) as source, target.open("wb") as copy:
                while block := source.read(BLOCK):
                    digest.update(block)
                    copy.write(block)
            if digest.hexdigest() != file.sha256:
                raise InputError(f"{path.name} is damaged: {name!r} is not what its manifest says; copy it again.")
        if not (Path(scratch) / "model" / "adapter").is_dir():
            raise InputError(f"{path.name} holds no model; export it again.")
        yield manifest, Path(scratch)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(folder: Path, names: list[str], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            kind = zipfile.ZIP_STORED if name.endswith((".safetensors", ".parquet", ".npz")) else zipfile.ZIP_DEFLATED
            packed.write(folder / name, name, kind)
