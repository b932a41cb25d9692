"""Routes of lineage: what a model version was made from, and which versions learned a document."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from twin_assets.core.workspace import Workspace


def lineage_routes(workspace: Workspace) -> APIRouter:
    """Routes under /v1/twins/{author_id}/lineage."""
    router = APIRouter(prefix="/v1/twins/{author_id}/lineage", tags=["models"])

    @router.get("/models/{version}")
    def of_model(author_id: str, version: str) -> dict[str, Any]:
        """A version's dataset, documents and addresses."""
        from twin_assets.core.lineage import lineage

        return lineage(workspace, author_id, version).to_dict()

    @router.get("/documents")
    def of_document(author_id: str, document: str) -> dict[str, Any]:
        """The versions whose datasets hold a document, named by its id (or first digits) or address."""
        from twin_assets.core.lineage import find_documents, learners

        workspace.authors.get(author_id)
        ids = find_documents(workspace, author_id, document)
        return {"documents": ids, "models": [asdict(each) for each in learners(workspace, author_id, ids)]}

    return router
