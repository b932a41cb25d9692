"""What there is of an author, for `twin status` and the page: counts, how each source fares, what is in quarantine."""

from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.authors import Author
from twin_assets.core.collection import source_states
from twin_assets.core.errors import IndexMissingError

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace


def quarantined(workspace: "Workspace", author: str) -> list[dict[str, Any]]:
    """Documents that were collected but kept from the corpus: platform, url, title, reason, remedy."""
    barred = pl.col("quarantine").is_not_null() & pl.col("removed_at").is_null()
    columns = ["platform", "url", "title", "quarantine", "remedy"]
    rows = workspace.lake.read("raw_documents", author, columns=columns, where=barred)
    return rows.rename({"quarantine": "reason"}).sort("platform", "url").to_dicts()


def index_version(workspace: "Workspace", author: str) -> str | None:
    """Version of the author's published index, None where there is none yet."""
    try:
        return workspace.index.version(author)
    except IndexMissingError:
        return None


def document_counts(workspace: "Workspace", author: str) -> dict[str, int]:
    """Documents of the corpus by platform."""
    accepted = workspace.lake.read("documents", author, columns=["platform"], where=pl.col("rejected").is_null())
    return dict(accepted.group_by("platform").len().sort("platform").iter_rows())


def author_status(workspace: "Workspace", author: Author) -> dict[str, Any]:
    """Everything `twin status` shows of an author, as plain values."""
    counts = document_counts(workspace, author.id)
    states = {state["source"]: state for state in source_states(workspace, author.id)}
    approved = workspace.registry.approved(author.id)
    sources = []
    for source in author.sources:
        state = states.get(source.key, {})
        sources.append(
            {
                "source": source.key,
                "status": state.get("status", "not collected yet"),
                "last success": str(state.get("succeeded_at") or "")[:19],
                **{name: state.get(name) for name in ("new", "changed", "removed", "quarantined")},
                "message": state.get("message") or "",
            }
        )
    return {
        "id": author.id,
        "name": author.name,
        "documents": sum(counts.values()),
        "by_platform": counts,
        "chunks": workspace.lake.read("chunks", author.id, columns=["chunk_id"]).height,
        "index_version": index_version(workspace, author.id),
        "model_version": approved.version if approved else None,
        "is_nano": approved.is_nano if approved else None,
        "sources": sources,
        "quarantined": quarantined(workspace, author.id),
    }
