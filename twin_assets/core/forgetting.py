"""Forgetting: a document, a source or an author taken out of everything this deployment keeps, older versions as well.

Where a document's words can be, and what becomes of them:

tables of the lake      its rows go, and with them every older version of the author's rows (lake_purge.py)
drafts, feedback, pairs those that cite or quote it go
imported exports        one that holds it is written anew without it, or deleted where its format does not allow that:
                            the rest of its documents is in the lake already
index                   published anew from what is left, since an embedded shard keeps the bytes of dropped points
models that learned it  named, and withdrawn with their weights unless the policy is "keep"
reports of evaluations  answers and targets that quote it go
traces in MLflow        those that hold prompts and texts go, all of the author's
voice, training         the profile is measured again; checkpoints go

What keeps it from coming back is a tombstone of nothing but the hash of who it was, which is written first and
declared finished last: a run that was killed is taken up by the next one, whatever that was asked to forget.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from twin_assets.core import features
from twin_assets.core import forgetting_traces as traces
from twin_assets.core.corpus import same_texts
from twin_assets.core.documents import TABLES
from twin_assets.core.errors import ConfigurationError, InputError, LakeError
from twin_assets.core.forgetting_exports import Exports, exports_that_hold, take_out_of_exports
from twin_assets.core.forgetting_traces import Quotes
from twin_assets.core.lake_purge import past_files, purge_author
from twin_assets.core.lineage import Learner, Lineage, find_documents, keep_record, learners_among, lineages
from twin_assets.core.monitoring import drop_texts
from twin_assets.core.source_removal import documents_of, remove_source
from twin_assets.core.sources import PLATFORMS

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

Policy = Literal["withdraw", "retrain", "keep"]
Progress = Callable[[str], None]
# Serving appends to these without a lock: a file that no commit names yet may be one that is just being written.
APPENDED_WHILE_SERVING = ("drafts", "compositions", "feedback", "usage")
IN_FLIGHT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ForgottenDocument:
    """A document that goes, for the person who is asked."""

    document_id: str
    platform: str = ""
    title: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What forgetting takes away, or took.

    rows: by table; past_files: data files of older versions of the author's tables; files: exports (relative to the
    home) that are deleted, rewritten: those that are written anew without it; models: versions whose datasets held
    any of it; withdrawn: those no longer to be served; served: the one that is served then; unfinished: how many
    documents are of an earlier request that was interrupted.
    """

    author: str
    policy: Policy
    documents: tuple[ForgottenDocument, ...]
    rows: dict[str, int] = field(default_factory=dict)
    past_files: int = 0
    files: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    models: tuple[Learner, ...] = ()
    withdrawn: tuple[str, ...] = ()
    served: str | None = None
    unfinished: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def plan_forgetting(
    workspace: "Workspace",
    author: str,
    *,
    document: str | None = None,
    source: str | None = None,
    policy: Policy | None = None,
) -> Forgetting:
    """What forget() would do, without doing it; arguments and errors as there."""
    ids, unfinished = _asked_for(workspace, author, document, source)
    return _plan(workspace, author, ids, unfinished, policy or workspace.settings.forget_policy)


def forget(
    workspace: "Workspace",
    author: str,
    *,
    document: str | None = None,
    source: str | None = None,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Forgetting:
    """Forget a document (by id, its first digits, or address) or a source (by its key), and say what that did.

    Whatever else holds the same text goes with a document. policy: what becomes of models that learned it, default
    TWIN_FORGET_POLICY; to train anew for "retrain" is up to the caller. Waits for runs that write the author's tables;
    afterwards the next run brings datasets up to date. Raises UnknownAuthorError, InputError where there is no such
    document or an export that holds it was not read yet, ConfigurationError where there is no such source or a training
    runs, LakeError, ModelError; doing it again finishes what was interrupted.
    """
    tell = progress or (lambda _: None)
    ids, unfinished = _asked_for(workspace, author, document, source)
    plan = _plan(workspace, author, ids, unfinished, policy or workspace.settings.forget_policy)
    with no_training(workspace, author):
        _bury(workspace, author, ids)
        if source is not None and _has_source(workspace, author, source):
            remove_source(workspace, author, source)
        with alone(workspace, author):
            _take_out(workspace, author, ids, plan, tell)
    served = workspace.registry.approved(author)
    return Forgetting(**{name: getattr(plan, name) for name in plan.__slots__} | {
        "served": served.version if served else None,
    })  # fmt: skip


def _asked_for(
    workspace: "Workspace", author: str, document: str | None, source: str | None
) -> tuple[list[str], list[str]]:
    """Ids of the documents to go, and those among them that an earlier request left half done."""
    if (document is None) == (source is None):
        raise InputError("Say what is to be forgotten: one document or one source.")
    workspace.authors.get(author)
    stones = workspace.lake.read("forgotten", author)
    unfinished = stones.filter(pl.col("finished_at").is_null())["document_id"].to_list()
    try:
        found = (
            same_texts(workspace.lake, author, find_documents(workspace, author, document))
            if document is not None
            else documents_of(workspace, author, str(source))
        )
    except (InputError, ConfigurationError):
        if not unfinished:
            raise
        found = []
    return sorted({*found, *unfinished}), unfinished


def _plan(
    workspace: "Workspace", author: str, ids: Sequence[str], unfinished: Sequence[str], policy: Policy
) -> Forgetting:
    lake, registry = workspace.lake, workspace.registry
    wanted = pl.col("document_id").is_in(ids)
    rows = lake.read("raw_documents", author, columns=["document_id", "platform", "title", "url"], where=wanted)
    known = {row[0]: ForgottenDocument(*(value or "" for value in row)) for row in rows.iter_rows()}
    quotes = Quotes.of(lake, author, ids)
    counts = {table: number for table in TABLES if (number := len(traces.doomed(lake, author, table, ids, quotes)[1]))}
    exports = exports_that_hold(workspace, author, ids, quotes)
    found = learners_among(lineages(workspace, author), ids)
    withdrawn = [each.version for each in found if policy != "keep" and each.how == "learned"]
    fit = [v for v in registry.history(author) if v not in withdrawn and registry.get(author, v).status != "withdrawn"]
    return Forgetting(
        author, policy, tuple(known.get(each, ForgottenDocument(each)) for each in ids), counts,
        sum(past_files(lake, table, author) for table in TABLES),
        exports.deleted, exports.rewritten, tuple(found), tuple(withdrawn),
        fit[-1] if fit else None, len(unfinished),
    )  # fmt: skip


def _take_out(workspace: "Workspace", author: str, ids: Sequence[str], plan: Forgetting, tell: Progress) -> None:
    """All that can be done again and again; the texts themselves go last, as they tell what quotes them."""
    lake, registry = workspace.lake, workspace.registry
    quotes = Quotes.of(lake, author, ids)
    tell("models that learned it")
    told: list[Lineage] = list(lineages(workspace, author))
    for each in told:
        if each.told_by != "nothing":
            keep_record(workspace, each, ids)
    for version in plan.withdrawn:
        registry.withdraw(author, version, "it learned what was forgotten", by="forgetting")
        registry.delete_files(author, version)
    tell("reports")
    registry.scrub(author, quotes.scrubbed)
    drop_texts(workspace, author)
    tell("exports")
    take_out_of_exports(workspace, author, ids, quotes, Exports(plan.rewritten, plan.files))
    tell("tables")
    traces.delete_rows(lake, author, ids, quotes)
    tell("index")
    _publish_anew(workspace, author)
    tell("older versions")
    for table in TABLES:
        purge_author(lake, table, author, in_flight=IN_FLIGHT if table in APPENDED_WHILE_SERVING else timedelta(0))
    tell("voice")
    traces.measure_voice_again(workspace, author)
    traces.drop_checkpoints(workspace, author)
    registry.compact()
    _bury(workspace, author, ids, finished=True)


def _publish_anew(workspace: "Workspace", author: str) -> None:
    if workspace.index.version(author) is None:
        return
    try:
        features.update_index(workspace, author, anew=True)
    except LakeError:  # passages that have no embedding yet: the next run makes them and publishes
        workspace.index.remove(author)
    traces.drop_dead_copies(workspace)


def _bury(workspace: "Workspace", author: str, ids: Sequence[str], finished: bool = False) -> None:
    """Write the tombstones; what was finished before stays so."""
    lake, now = workspace.lake, datetime.now(UTC)
    present = {row["document_id"]: row for row in lake.read("forgotten", author).to_dicts()}
    rows = [
        {
            "author": author,
            "document_id": each,
            "asked_at": present.get(each, {}).get("asked_at") or now,
            "finished_at": now if finished else None,
        }
        for each in ids
    ]
    lake.replace("forgotten", author, "document_id", list(ids), rows)


def _has_source(workspace: "Workspace", author: str, key: str) -> bool:
    states = workspace.lake.read("source_state", author, columns=["source"])["source"].to_list()
    return key in states or key in {source.key for source in workspace.authors.get(author).sources}


@contextmanager
def no_training(workspace: "Workspace", author: str) -> Iterator[None]:
    """Hold back trainings of the author's, which would register a model of what is being forgotten."""
    from filelock import FileLock, Timeout

    folder = workspace.settings.home / "training" / author
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigurationError(
            f"A training of {author!r} is running and would learn what is to be forgotten; "
            "nothing was done: stop it, or run this again when it has ended."
        ) from error


@contextmanager
def alone(workspace: "Workspace", author: str) -> Iterator[None]:
    """Hold back everybody else who derives the author's tables: downstream first, as those hold what is upstream."""
    with ExitStack() as locks:
        for table in (*reversed(list(TABLES)), *(f"raw_documents-{platform}" for platform in PLATFORMS)):
            locks.enter_context(workspace.lake.exclusive(table, author))
        yield
