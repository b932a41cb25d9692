"""eval_report and approved_model: a candidate is served only if it is better."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from twin_assets.core.documents import content_hash
from twin_assets.core.errors import TwinError
from twin_assets.defs.partitions import authors
from twin_assets.defs.reporting import OWNERS, as_failure, picture, share_to_log, table
from twin_assets.defs.training.assets import fine_tuned_model
from twin_assets.resources.workspace import WorkspaceResource

if TYPE_CHECKING:
    from twin_assets.core.evaluation.report import Report

RELEASE: dict[str, Any] = {"group_name": "release", "partitions_def": authors, "owners": OWNERS}


@dg.asset(
    **RELEASE,
    deps=[fine_tuned_model],
    kinds={"litserve", "ragas", "mlflow"},
    description="The candidate on held-out documents, through the very server that would serve it; kept per version.",
)
def eval_report(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    from twin_assets.core.evaluation.plots import report_plot
    from twin_serving.evaluation import evaluate_candidate

    stores, author = workspace.open(), context.partition_key
    try:
        report = evaluate_candidate(stores, author, progress=share_to_log(context))
    except TwinError as error:
        raise as_failure(error) from error
    metrics = report.metrics()
    return dg.MaterializeResult(
        data_version=dg.DataVersion(content_hash(report.model_dump(mode="json", exclude={"evaluated_at"}))),
        metadata={
            "model version": report.version,
            "held-out samples": report.held_out.samples,
            "written samples": report.generated.samples if report.generated else 0,
            "tuned against base": f"{report.held_out.improvement:+.2%}",
            "notice": report.notice or "",
            "figures": table([{"figure": name, "value": f"{value:.4g}"} for name, value in metrics.items()]),
            "differences": table(_differences(report)),
            "left out": table([{"metric": name, "why": why} for name, why in report.left_out.items()]),
            "plot": picture(report_plot(report)),
        },
    )


def _differences(report: "Report") -> list[dict[str, Any]]:
    """Rows of the candidate's differences from what it was compared with, paired on the same texts."""
    return [
        {
            "compared with": other,
            "figure": name,
            "difference": f"{found.value:+.4g}",
            "95% from": f"{found.low:+.4g}",
            "95% to": f"{found.high:+.4g}",
            "texts": found.samples,
        }
        for other, figures in report.differences.items()
        for name, found in figures.items()
    ]


@dg.asset_check(
    asset=eval_report,
    partitions_def=authors,
    description="The candidate is better than the champion, or than its base where there is none.",
)
def gate(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    from twin_assets.core.evaluation.release import decide_on, newest, recorded_report

    stores, author = workspace.open(), context.partition_key
    version = newest(stores, author).version
    try:
        decision = decide_on(stores, author, version)
        report = recorded_report(stores, author, version)
    except TwinError as error:
        raise as_failure(error) from error
    return dg.AssetCheckResult(
        passed=decision.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(decision.reasons),
        metadata={name: float(value) for name, value in report.metrics().items()},
    )


@dg.asset(
    **RELEASE,
    deps=[eval_report],
    kinds={"mlflow"},
    description="The version that is served: promoted by the gate (approval: auto) or by a person (approval: manual).",
)
def approved_model(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    from twin_assets.core.evaluation.release import settle

    stores = workspace.open()
    author = stores.authors.get(context.partition_key)
    try:
        outcome = settle(stores, author)
    except TwinError as error:
        raise as_failure(error) from error
    approved = stores.registry.approved(author.id)
    context.log.info(outcome.message)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(approved.version if approved else "none"),
        metadata={
            "served version": approved.version if approved else "none",
            "candidate": outcome.version,
            "decision": outcome.action,
            "reasons": table([{"reason": reason} for reason in outcome.reasons]),
        },
    )
