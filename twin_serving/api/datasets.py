"""Routes about what is learned from: the author's documents, datasets and exclusions, trainings and what one takes."""

import re
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from twin_assets.core.workspace import Workspace
from twin_serving.api.permission import principal_of, refuse_folders
from twin_serving.schemas import Strict

# A size, auto, nano or a hub id; everything else is a folder of this machine.
_PUBLIC_BASE = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)?")


class ExclusionRequest(Strict):
    """A document or sample to keep out of datasets: its id, the first digits of it, or an address."""

    document_id: str = Field(min_length=1, max_length=4_000)
    note: str = Field(default="", max_length=1_000)


class ExcludedRequest(Strict):
    """Whether a document is kept out of datasets."""

    excluded: bool
    note: str = Field(default="", max_length=1_000)


class PreflightRequest(Strict):
    """A base model (a size such as 7B, hub id, folder, auto, nano; every size where left out) and recipe settings."""

    base: str | None = Field(default=None, max_length=500)
    settings: dict[str, Any] = Field(default_factory=dict)


def dataset_routes(workspace: Workspace) -> APIRouter:
    """Routes under /v1/twins/{author_id}."""
    router = APIRouter(prefix="/v1/twins/{author_id}", tags=["datasets"])

    @router.get("/dataset")
    def dataset(author_id: str, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> dict[str, Any]:
        """The dataset's versions, newest first, and how many samples there are now, by form, split and reason."""
        import polars as pl

        from twin_assets.core.datasets import load_dataset, load_preferences
        from twin_assets.core.warehouse import list_versions

        author = workspace.authors.get(author_id).id
        models = workspace.registry.versions(author)
        now = load_dataset(workspace.lake, author)
        used = now.samples.filter(pl.col("excluded").is_null())
        pairs = load_preferences(workspace.lake, author)
        return {
            "version": now.version,
            "samples": used.height,
            "by_split": now.counts,
            "by_form": _counts(used, "form"),
            "left_out": _counts(now.samples.drop_nulls("excluded"), "excluded"),
            "preferences": {"version": pairs.version, "pairs": pairs.pairs.height, "by_source": pairs.counts},
            "versions": [asdict(each) for each in list_versions(workspace.lake, author, "dataset", models, limit)],
        }

    @router.get("/dataset/exclusions")
    def exclusions(author_id: str) -> dict[str, Any]:
        """What the author keeps out of datasets, oldest first."""
        from twin_assets.core.datasets.exclusions import exclusions

        rows = exclusions(workspace.lake, workspace.authors.get(author_id).id)
        return {"exclusions": rows.drop("author").to_dicts()}

    @router.post("/dataset/exclusions", status_code=201)
    def exclude(author_id: str, request: ExclusionRequest) -> dict[str, Any]:
        """Keep a document or sample out of the next datasets."""
        from twin_assets.core.datasets.exclusions import exclude

        rows = exclude(workspace, workspace.authors.get(author_id).id, request.document_id, request.note)
        return {"excluded": rows.drop("author").to_dicts()}

    @router.delete("/dataset/exclusions")
    def include(author_id: str, document_id: str) -> dict[str, int]:
        """Take an exclusion back."""
        from twin_assets.core.datasets.exclusions import include

        return {"included": include(workspace, workspace.authors.get(author_id).id, document_id)}

    @router.get("/experiments")
    def experiments(author_id: str) -> dict[str, Any]:
        """All trainings side by side, those on one dataset best first."""
        from twin_assets.core.training.experiments import experiments

        return {"experiments": experiments(workspace, workspace.authors.get(author_id).id)}

    @router.post("/preflight")
    def preflight(http: Request, author_id: str, request: PreflightRequest) -> dict[str, Any]:
        """What a training takes here; where it does not fit, why and the nearest setting that fits."""
        from twin_assets.core.training.forecast import forecast

        if request.base is not None and not _PUBLIC_BASE.fullmatch(request.base):
            refuse_folders(principal_of(http))
        machine, found = forecast(workspace, author_id, request.base, request.settings)
        return {"machine": asdict(machine), "estimates": [asdict(each) for each in found]}

    return router


def document_routes(workspace: Workspace) -> APIRouter:
    """Routes under /v1/twins/{author_id}/documents, and /statistics."""
    router = APIRouter(prefix="/v1/twins/{author_id}", tags=["library"])

    @router.get("/documents")
    def documents(
        author_id: str,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
        offset: Annotated[int, Query(ge=0)] = 0,
        platform: str | None = None,
        category: Literal["post", "article", "code"] | None = None,
        text: Annotated[str | None, Query(max_length=500)] = None,
        published_from: date | None = None,
        published_until: date | None = None,
    ) -> dict[str, Any]:
        """The author's documents, newest first; published_until: the last day that counts."""
        from twin_assets.core.holdings import list_documents

        return list_documents(
            workspace, workspace.authors.get(author_id).id, limit, offset, platform=platform, category=category,
            text=text, published_from=_moment(published_from, time.min),
            published_until=_moment(published_until, time.max),
        )  # fmt: skip

    @router.get("/documents/{document_id}")
    def document(author_id: str, document_id: str) -> dict[str, Any]:
        """One document in full, with the versions that learned it."""
        from twin_assets.core.holdings import one_document

        return one_document(workspace, workspace.authors.get(author_id).id, document_id)

    @router.put("/documents/{document_id}/excluded")
    def excluded(author_id: str, document_id: str, request: ExcludedRequest) -> dict[str, bool]:
        """Leave a document out of every next dataset, or let it in again."""
        from twin_assets.core.datasets.exclusions import exclude, excluded_by_author, include
        from twin_assets.core.holdings import one_document

        author = workspace.authors.get(author_id).id
        one_document(workspace, author, document_id)
        if request.excluded:
            exclude(workspace, author, document_id, request.note)
        elif document_id in excluded_by_author(workspace.lake, author)[0]:
            include(workspace, author, document_id)
        return {"excluded": request.excluded}

    @router.delete("/documents/{document_id}")
    def forget(
        author_id: str,
        document_id: str,
        dry_run: bool = False,
        policy: Literal["withdraw", "keep"] | None = None,
    ) -> dict[str, Any]:
        """Forget a document everywhere, or with dry_run only say what that would take away."""
        from twin_assets.core import forgetting

        author = workspace.authors.get(author_id).id
        act = forgetting.plan_forgetting if dry_run else forgetting.forget
        return act(workspace, author, document=document_id, policy=policy).to_dict()

    @router.get("/statistics")
    def statistics(author_id: str) -> dict[str, Any]:
        """The library in figures: documents, words, months, lengths, vocabulary."""
        from twin_assets.core.holdings import statistics

        return statistics(workspace.lake, workspace.authors.get(author_id).id)

    return router


def _moment(day: date | None, at: time) -> datetime | None:
    return None if day is None else datetime.combine(day, at, UTC)


def _counts(frame: Any, column: str) -> dict[str, int]:
    return dict(frame.group_by(column).len().sort(column).iter_rows())
