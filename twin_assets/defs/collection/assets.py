"""raw_<platform>: one asset for each platform of the registry, each with a check on the health of its sources."""

from collections import Counter

import dagster as dg

from twin_assets.core.collection import collect_platform, source_states
from twin_assets.core.documents import content_hash
from twin_assets.core.sources import PLATFORMS
from twin_assets.core.status import quarantined
from twin_assets.defs.partitions import authors
from twin_assets.defs.reporting import OWNERS, say, table
from twin_assets.resources.workspace import WorkspaceResource

LINK_COLUMNS = ("url", "title", "reason", "remedy")
LINKS = 50  # shown in a check's metadata; `twin status --json` has all of them
RAW_COLUMNS = ["document_id", "raw_hash", "removed_at"]


def raw_asset_name(platform: str) -> str:
    """Name of the asset that collects a platform."""
    return f"raw_{platform}"


def _raw_asset(platform: str) -> dg.AssetsDefinition:
    descriptor = PLATFORMS[platform]

    @dg.asset(
        name=raw_asset_name(platform),
        group_name="collection",
        partitions_def=authors,
        kinds={"deltalake", "httpx"},
        owners=OWNERS,
        description=f"What the author published on {descriptor.title}, as it was sent. A failing source fails alone.",
    )
    def raw(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
        stores = workspace.open()
        author = stores.authors.get(context.partition_key)
        results = collect_platform(stores, author, platform, say(context))
        for result in results:
            context.log.info(
                f"{result.source}: {result.status}, {result.new} new, {result.changed} changed; {result.message}"
            )
        rows = stores.lake.read("raw_documents", author.id, columns=["platform", *RAW_COLUMNS])
        rows = rows.filter(rows["platform"] == platform)
        counts = {
            name: sum(getattr(result, name) for result in results)
            for name in ("new", "changed", "unchanged", "removed", "quarantined")
        }
        return dg.MaterializeResult(
            data_version=dg.DataVersion(content_hash(rows.select(RAW_COLUMNS).sort("document_id").rows())),
            metadata={
                **counts,
                "documents": rows.filter(rows["removed_at"].is_null()).height,
                "sources": table(
                    [{"source": r.source, "status": r.status, "message": r.message or ""} for r in results]
                ),
            },
        )

    return raw


def _sources_check(platform: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=raw_asset_name(platform),
        name="sources_answered",
        partitions_def=authors,
        description="Every source answered, and nothing it sent had to be put in quarantine.",
    )
    def sources_answered(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
        stores = workspace.open()
        states = [state for state in source_states(stores, context.partition_key) if state["platform"] == platform]
        failed = [state for state in states if state["status"] != "ok"]
        held = [row for row in quarantined(stores, context.partition_key) if row["platform"] == platform]
        reasons = Counter((row["source"], row["reason"]) for row in held)
        return dg.AssetCheckResult(
            passed=not failed and not held,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(f"{state['source']}: {state['message']}" for state in failed)
            or (f"{len(held)} documents are in quarantine, see `twin status`" if held else None),
            metadata={
                "sources": len(states),
                "failed": len(failed),
                "quarantined": len(held),
                "quarantine": table(
                    [
                        {"source": source, "reason": reason, "documents": count}
                        for (source, reason), count in sorted(reasons.items())
                    ]
                ),
                "links": table([{name: row[name] or "" for name in LINK_COLUMNS} for row in held[:LINKS]]),
            },
        )

    return sources_answered


raw_assets = [_raw_asset(platform) for platform in PLATFORMS]
raw_checks = [_sources_check(platform) for platform in PLATFORMS]
