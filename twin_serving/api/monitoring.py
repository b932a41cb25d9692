"""The route of monitoring: how a twin does in use."""

from typing import Any

from fastapi import APIRouter, Query

from twin_assets.core.workspace import Workspace


def monitoring_routes(workspace: Workspace) -> APIRouter:
    """GET /v1/twins/{author}/monitoring."""
    router = APIRouter(prefix="/v1/twins/{author_id}", tags=["monitoring"])

    @router.get("/monitoring")
    def monitoring(author_id: str, days: int = Query(30, ge=1, le=365)) -> dict[str, Any]:
        """Traffic, latency by step, ratings, costs, drift of each measure and the newest traces."""
        from twin_assets.core.monitoring import monitoring

        return monitoring(workspace, author_id, days)

    return router
