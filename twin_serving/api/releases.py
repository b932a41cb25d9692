"""Routes about how versions come to be served: their reports and decisions, the gate's rules, training by itself."""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter

from twin_assets.core.workspace import Workspace


def release_routes(workspace: Workspace) -> APIRouter:
    """Routes under /v1/twins/{author}."""
    router = APIRouter(prefix="/v1/twins/{author_id}", tags=["models"])

    @router.get("/models/{version}/report")
    def report(author_id: str, version: str) -> dict[str, Any]:
        """The version's evaluation, the gate's reasons and what was decided; raises GateError where there is none."""
        from twin_assets.core.evaluation.release import recorded_report

        workspace.authors.get(author_id)
        found = recorded_report(workspace, author_id, version)
        return {
            **found.model_dump(mode="json", exclude={"held_out": {"texts"}, "champion": {"held_out": {"texts"}}}),
            "notice": found.notice,
            "improvement": found.held_out.improvement,
            "gate": workspace.registry.report(author_id, version, "gate"),
            "decisions": workspace.registry.decisions(author_id, version),
        }

    @router.get("/training")
    def training(author_id: str) -> dict[str, Any]:
        """Whether a training would start by itself now, why, and the rules it follows."""
        return _training(workspace, author_id)

    @router.put("/rules/{kind}")
    def rules(author_id: str, kind: Literal["gate", "training"], values: dict[str, Any]) -> dict[str, Any]:
        """Set the author's own rules; what is left out is the deployment's."""
        from twin_assets.core.rules import set_rules

        set_rules(workspace, author_id, kind, values)
        return _training(workspace, author_id)

    return router


def _training(workspace: Workspace, author_id: str) -> dict[str, Any]:
    from twin_assets.core.rules import gate_rules
    from twin_assets.core.training.policy import training_wanted

    author = workspace.authors.get(author_id)
    decision = asdict(training_wanted(workspace, author))
    return {
        **decision,
        "rules": decision["rules"].model_dump(),
        "own_rules": author.training.model_dump(exclude_none=True),
        "gate": gate_rules(workspace.settings, author).model_dump(),
        "own_gate": author.gate.model_dump(exclude_none=True),
        "approval": author.approval or workspace.settings.approval,
    }
