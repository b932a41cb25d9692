"""Routes about authors: who there is, what was collected, which models there are, and decisions about them."""

import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, File, Request, UploadFile

from twin_assets.core.authors import Author
from twin_assets.core.errors import InputError
from twin_assets.core.workspace import Workspace
from twin_serving.api.permission import principal_of, refuse_folders
from twin_serving.schemas import DecisionRequest, NamesRequest, ScheduleRequest, SourceRequest, TwinRequest

# Platforms whose location is a folder of this machine.
LOCAL_PLATFORMS = frozenset({"files"})
NANO_NOTICE = (
    "This text comes from nano, a tiny model built from this author's own writing in half a minute: it proves that "
    "training and serving work and is not prose. Use the assembled draft, or train on a real base model."
)


def nano_notice(is_nano: bool) -> str | None:
    """What stands beside every text of a nano model; None for real models."""
    return NANO_NOTICE if is_nano else None


def twin_routes(workspace: Workspace) -> APIRouter:
    """Routes under /v1/twins, /v1/models and /v1/platforms."""
    router = APIRouter(prefix="/v1", tags=["twins"])

    @router.get("/platforms")
    def platforms() -> dict[str, Any]:
        """The platforms an author can publish on."""
        from twin_assets.core.sources import PLATFORMS

        names = ("name", "title", "hint", "reads", "archive")
        return {"platforms": [{name: getattr(p, name) for name in names} for p in PLATFORMS.values()]}

    @router.get("/models")
    def models(http: Request) -> dict[str, Any]:
        """OpenAI's list of models: the authors that have an approved version."""
        served = ((author, workspace.registry.approved(author.id)) for author in _visible(workspace, http))
        return {
            "object": "list",
            "data": [
                {
                    "id": author.id,
                    "object": "model",
                    "created": int(version.created_at.timestamp()),
                    "owned_by": author.id,
                    "version": version.version,
                    "notice": nano_notice(version.is_nano),
                }
                for author, version in served
                if version is not None
            ],
        }

    @router.get("/twins")
    def twins(http: Request) -> dict[str, Any]:
        """Every author that the key is for, with counts and what serves them."""
        return {"twins": [_summary(workspace, author) for author in _visible(workspace, http)]}

    @router.post("/twins", status_code=201)
    def add_twin(http: Request, request: TwinRequest) -> dict[str, Any]:
        """Add an author; nothing is kept where one of the sources is wrong."""
        from twin_assets.core.collection import add_source
        from twin_assets.core.sources import platform_named

        for source in request.sources:
            _refuse_local(http, source)
            platform_named(source.platform).normalise(source.location)
        _add_author(workspace, request.id, request.name)
        for source in request.sources:
            add_source(workspace, request.id, source.platform, source.location)
        return _summary(workspace, workspace.authors.get(request.id))

    @router.get("/twins/{author_id}")
    def twin(author_id: str) -> dict[str, Any]:
        """One author in full."""
        from twin_assets.core.serving_export import engine_of
        from twin_assets.core.status import quarantined, source_report, timetable_status

        author = workspace.authors.get(author_id)
        return {
            **_summary(workspace, author),
            **timetable_status(workspace, author),
            "names": list(author.names),
            "source_states": source_report(workspace, author),
            "quarantined": quarantined(workspace, author_id),
            "models": [
                {
                    "version": version.version,
                    "status": version.status,
                    "metrics": dict(version.metrics),
                    "created_at": version.created_at,
                    "base_model": version.base_model,
                    "is_nano": version.is_nano,
                    "engine": engine_of(workspace, version) if version.status == "approved" else None,
                }
                for version in workspace.registry.versions(author_id)
            ],
        }

    @router.post("/twins/{author_id}/sources", status_code=201)
    def source(http: Request, author_id: str, request: SourceRequest) -> dict[str, str]:
        """Add a place the author publishes."""
        from twin_assets.core.collection import add_source
        from twin_assets.core.sources import platform_named

        _refuse_local(http, request)
        add_source(workspace, author_id, request.platform, request.location)
        location = platform_named(request.platform).normalise(request.location)
        return {"platform": request.platform, "location": location}

    @router.delete("/twins/{author_id}/sources")
    def remove(author_id: str, source: str, dry_run: bool = False) -> dict[str, Any]:
        """Take a source (its key, platform:location) away, or with dry_run only say what that would do."""
        from twin_assets.core.source_removal import plan_removal, remove_source

        removal = (plan_removal if dry_run else remove_source)(workspace, author_id, source)
        return {**asdict(removal), "sentence": removal.sentence}

    @router.put("/twins/{author_id}/schedule")
    def schedule(author_id: str, request: ScheduleRequest) -> dict[str, Any]:
        """Set when the author is collected by itself, or stop that with null."""
        from twin_assets.core.status import timetable_status
        from twin_assets.core.timetable import set_schedule

        return timetable_status(workspace, set_schedule(workspace, author_id, request.schedule))

    @router.put("/twins/{author_id}/names")
    def names(author_id: str, request: NamesRequest) -> dict[str, Any]:
        """Set the other names the author signs with; texts under them count as theirs from the next run on."""
        with workspace.authors.changing(author_id) as author:
            wanted = tuple(dict.fromkeys(name.strip() for name in request.names if name.strip()))
            workspace.authors.save(author.model_copy(update={"names": wanted}))
        return {"names": list(wanted)}

    @router.post("/twins/{author_id}/imports", status_code=201)
    def imports(author_id: str, file: UploadFile = File()) -> dict[str, str]:  # noqa: B008  FastAPI's way
        """Hand in an export; it is recognised by what is inside and becomes a source."""
        from twin_assets.core.collection import import_export

        workspace.authors.get(author_id)
        with tempfile.TemporaryDirectory(prefix="twin-upload-") as folder:
            path = Path(folder) / upload_name(file.filename)
            with path.open("wb") as target:
                shutil.copyfileobj(file.file, target)
            added = import_export(workspace, author_id, path)
        return {"platform": added.platform, "location": added.location}

    return router


def upload_name(sent: str | None) -> str:
    """The last part of the name a client sent, as far as a file can be called so: errors and the source tell it."""
    name = re.sub(r"[\x00-\x1f\x7f/\\]", "", Path(sent or "").name)
    stem, suffix = Path(name).stem[:50], Path(name).suffix[:10]
    return f"{stem}{suffix}" if stem.strip(". ") else "export.zip"


def _refuse_local(http: Request, source: SourceRequest) -> None:
    """Clients name places of the web; a folder of this machine is the operator's to add."""
    if source.platform in LOCAL_PLATFORMS:
        refuse_folders(principal_of(http))


def _visible(workspace: Workspace, http: Request) -> list[Author]:
    principal = principal_of(http)
    return [author for author in workspace.authors.list() if principal.may_see(author.id)]


def decision_routes(workspace: Workspace) -> APIRouter:
    """Routes that change which version is served; the worker follows the registry within seconds."""
    router = APIRouter(prefix="/v1/twins/{author_id}", tags=["models"])

    def _answer(version: Any) -> dict[str, Any]:
        return {"author": version.author, "version": version.version, "status": version.status}

    @router.post("/models/{version}/approve")
    def approve(author_id: str, version: str, request: DecisionRequest | None = None) -> dict[str, Any]:
        """Serve this version from now on."""
        workspace.authors.get(author_id)
        return _answer(workspace.registry.approve(author_id, version, _reason(request), by="author"))

    @router.post("/models/{version}/reject")
    def reject(author_id: str, version: str, request: DecisionRequest | None = None) -> dict[str, Any]:
        """Mark this version as refused."""
        workspace.authors.get(author_id)
        return _answer(workspace.registry.reject(author_id, version, _reason(request), by="author"))

    @router.post("/rollback")
    def rollback(author_id: str, request: DecisionRequest | None = None) -> dict[str, Any]:
        """Serve the version that was approved before the present one."""
        workspace.authors.get(author_id)
        return _answer(workspace.registry.rollback(author_id, _reason(request), by="author"))

    return router


def _reason(request: DecisionRequest | None) -> str:
    return (request or DecisionRequest()).reason


def _add_author(workspace: Workspace, author_id: str, name: str) -> None:
    if any(author.id == author_id for author in workspace.authors.list()):
        raise InputError(f"There is an author {author_id!r} already; choose another id, or add sources to that one.")
    try:
        author = Author(id=author_id, name=name)
    except ValueError as error:
        raise InputError(
            f"{author_id!r} is not an author id: use lower-case letters, digits and hyphens (at most 63)."
        ) from error
    workspace.authors.save(author)


def _summary(workspace: Workspace, author: Author) -> dict[str, Any]:
    from twin_assets.core.status import document_counts, index_version

    counts = document_counts(workspace, author.id)
    approved = workspace.registry.approved(author.id)
    return {
        "id": author.id,
        "name": author.name,
        "sources": [{"platform": s.platform, "location": s.location} for s in author.sources],
        "documents": sum(counts.values()),
        "by_platform": counts,
        "index_version": index_version(workspace, author.id),
        "model_version": approved.version if approved else None,
        "is_nano": approved.is_nano if approved else None,
        "notice": nano_notice(approved.is_nano) if approved else None,
    }
