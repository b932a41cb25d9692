"""What was composed and what became of it: answers, drafts and feedback in the lake."""

import json
import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from twin_assets.core.errors import InputError, LakeError
from twin_assets.core.workspace import Workspace
from twin_serving.schemas import FeedbackRequest

logger = logging.getLogger(__name__)

MOST_WAITING = 32  # answers that are not written yet
BEGINNING = 160  # characters of the best draft that a list shows
_SHARED = ("author", "format", "prompt", "index_version", "dataset_version", "trace_id")


class Keeper:
    """Writes answers to the lake in a thread of its own, in their order: a commit takes 50 ms that nobody waits for.

    Who reads them calls flush() before, which sees what this process has been handed: with several servers on one lake,
    another's newest answer is there a moment later. What the lake does not take is tried again with every later
    answer and reader, the newest MOST_WAITING of it. Those that wait when the process is killed are lost, which is the
    time of a commit or two.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._waiting: deque[Future[None]] = deque()
        self._refused: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)

    def keep(self, answer: dict[str, Any]) -> None:
        """Hand in an answer; waits where many are waiting."""
        self._waiting.append(self._writer.submit(self._keep, answer))
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft().result()

    def flush(self) -> None:
        """Wait until everything handed in is written, or was refused by the lake again."""
        if self._refused:
            self._waiting.append(self._writer.submit(self._keep_refused))
        for waiting in list(self._waiting):
            waiting.result()

    def close(self) -> None:
        """Write what is left."""
        self._writer.submit(self._keep_refused)
        self._writer.shutdown()

    def _keep(self, answer: dict[str, Any]) -> None:
        self._keep_refused()
        self._write(answer)

    def _keep_refused(self) -> None:
        """Try what the lake refused, until it refuses one again: the others are then before it the next time."""
        for _ in range(len(self._refused)):
            if not self._write(self._refused.popleft(), again=True):
                return

    def _write(self, answer: dict[str, Any], *, again: bool = False) -> bool:
        """Whether nothing is left to try."""
        try:
            keep_composition(self._workspace, answer, again=again)
        except LakeError as error:
            _not_kept(answer, error)
            self._refused.append(answer)
            return False
        except Exception as error:  # the answer has been given
            _not_kept(answer, error)
        return True


def _not_kept(answer: dict[str, Any], error: Exception) -> None:
    # Of the error the beginning: the rest may repeat what was to be written.
    reason = str(error).partition("\n")[0][:200]
    logger.error("the composition %s was not kept: %s: %s", answer["trace_id"], type(error).__name__, reason)


class UnknownCompositionError(InputError):
    """There is no such composition of this author's."""


def keep_composition(workspace: Workspace, answer: dict[str, Any], *, again: bool = False) -> None:
    """Write an answer and its drafts to the lake: feedback and preference pairs refer to them.

    The drafts first, so that an answer that is listed is whole. again: a part of it may be there and is replaced, which
    reads the author's files. Raises LakeError.
    """
    from twin_assets.core.lake import json_text

    created = datetime.fromisoformat(answer["created_at"])
    rows = [
        {
            **{name: answer[name] for name in _SHARED},
            **{name: draft[name] for name in ("draft_id", "kind", "text")},
            "created_at": created,
            "links": json_text(answer["links"]),
            "sentences": json_text(draft["sentences"]),
            "scores": json_text(draft["scores"]),
            "model_version": answer["model_version"] if draft["kind"] == "model" else None,
        }
        for draft in answer["drafts"]
    ]
    best = answer["drafts"][0]["text"] if answer["drafts"] else ""
    row = {name: answer[name] for name in ("author", "trace_id", "format", "prompt")}
    row |= {"created_at": created, "drafts": len(rows), "beginning": " ".join(best.split())[:BEGINNING]}
    written = {"drafts": rows, "compositions": [row | {"answer": json_text(answer)}]}
    for table, made in written.items():
        if again:
            workspace.lake.replace(table, answer["author"], "trace_id", [answer["trace_id"]], made)
        else:
            workspace.lake.append(table, made)


def compositions(workspace: Workspace, author: str, limit: int, before: datetime | None) -> list[dict[str, Any]]:
    """What was composed for an author, newest first, before a moment where one is given. Raises UnknownAuthorError."""
    import polars as pl

    workspace.authors.get(author)
    columns = ["trace_id", "created_at", "format", "prompt", "drafts", "beginning"]
    where = pl.lit(True) if before is None else pl.col("created_at") < before
    # The moments alone first: prompts are long, and all that were ever written are not read for a page of them.
    moments = workspace.lake.read("compositions", author, columns=["created_at"], where=where)["created_at"]
    if moments.is_empty():
        return []
    where &= pl.col("created_at") >= moments.top_k(limit).min()
    rows = workspace.lake.read("compositions", author, columns=columns, where=where)
    newest = rows.sort("created_at", descending=True).head(limit)
    return [row | {"created_at": row["created_at"].isoformat()} for row in newest.to_dicts()]


def composition(workspace: Workspace, author: str, trace_id: str) -> dict[str, Any]:
    """An answer as it was, each draft with its latest feedback. Raises UnknownCompositionError."""
    import polars as pl

    workspace.authors.get(author)
    rows = workspace.lake.read("compositions", author, columns=["answer"], where=pl.col("trace_id") == trace_id)
    if rows.is_empty():
        raise UnknownCompositionError(
            f"{author} has no composition {trace_id!r}; GET /v1/twins/{author}/compositions lists them."
        )
    answer: dict[str, Any] = json.loads(rows["answer"][0])
    said = _feedback(workspace, author, [draft["draft_id"] for draft in answer["drafts"]])
    for draft in answer["drafts"]:
        draft["feedback"] = said.get(draft["draft_id"])
    return answer


def _feedback(workspace: Workspace, author: str, drafts: list[str]) -> dict[str, dict[str, Any]]:
    """What was said of drafts, by draft: of each kind of feedback the latest."""
    import polars as pl

    kinds = ("rating", "edited_text", "comment", "chosen")
    rows = workspace.lake.read("feedback", author, where=pl.col("draft_id").is_in(drafts)).sort("created_at")
    said: dict[str, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        known = said.setdefault(row["draft_id"], dict.fromkeys(kinds))
        known.update({name: row[name] for name in kinds if row[name] is not None})
    return said


def keep_feedback(workspace: Workspace, request: FeedbackRequest) -> str:
    """Write one row of `feedback` and return its id. Raises InputError for a draft that is not this author's."""
    import polars as pl

    workspace.authors.get(request.author)
    if all(said is None for said in (request.rating, request.edited_text, request.comment, request.chosen)):
        raise InputError("The feedback says nothing; give a rating, an edited text, a comment or a choice.")
    known = workspace.lake.read(
        "drafts", request.author, columns=["draft_id"], where=pl.col("draft_id") == request.draft_id
    )
    if known.is_empty():
        raise InputError(f"{request.author} has no draft {request.draft_id!r}; use the draft_id of a compose answer.")
    feedback_id = uuid4().hex
    row = {"feedback_id": feedback_id, "created_at": datetime.now(UTC), **request.model_dump()}
    workspace.lake.append("feedback", [row])
    return feedback_id
