"""From a report to what is served: the gate's decision on the newest version, applied once and recorded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from twin_assets.core.authors import Author
from twin_assets.core.errors import GateError, UnknownModelError
from twin_assets.core.evaluation.evaluate import evaluate
from twin_assets.core.evaluation.gate import Decision, decide
from twin_assets.core.evaluation.report import Report
from twin_assets.core.registry import ModelVersion

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

Action = Literal["approved", "refused", "waiting", "unchanged"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a version: the action taken, one sentence, and the gate's reasons."""

    version: str
    action: Action
    message: str
    reasons: tuple[str, ...] = ()


def newest(workspace: "Workspace", author: str) -> ModelVersion:
    """The author's newest version; raises UnknownModelError where nothing was trained yet."""
    versions = workspace.registry.versions(author)
    if not versions:
        raise UnknownModelError(f"No model has been trained for {author!r} yet; `twin run {author}` trains one.")
    return versions[0]


def recorded_report(workspace: "Workspace", author: str, version: str) -> Report:
    """The report kept with a version; raises GateError where it was never evaluated."""
    stored = workspace.registry.report(author, version)
    if stored is None:
        raise GateError(f"Version {version} of {author!r} has no evaluation; `twin run {author}` makes one.")
    return Report.model_validate(stored)


def decide_newest(workspace: "Workspace", author: str) -> Decision:
    """Hold the newest version's report against its base and against the version that is served."""
    candidate = newest(workspace, author)
    approved = workspace.registry.approved(author)
    champion = None
    if approved is not None and approved.version != candidate.version:
        # On the candidate's dataset: its own report where it was made on that, else its held-out loss alone.
        champion = evaluate(workspace, author, approved.version, None)
    return decide(recorded_report(workspace, author, candidate.version), champion)


def settle(workspace: "Workspace", author: Author) -> Outcome:
    """Apply the gate's decision to the newest version, once: a version that was decided on stays as it is.

    approval "auto" promotes what passes and rejects what does not; "manual" rejects what does not pass and lets the
    rest wait for a person.
    """
    candidate = newest(workspace, author.id)
    if candidate.status != "candidate":
        return Outcome(candidate.version, "unchanged", f"version {candidate.version} is {candidate.status} already")
    decision = decide_newest(workspace, author.id)
    reasons = tuple(decision.reasons)
    if not decision.passed:
        workspace.registry.reject(author.id, candidate.version, "; ".join(reasons), by="gate")
        return Outcome(candidate.version, "refused", f"version {candidate.version} was refused", reasons)
    if (author.approval or workspace.settings.approval) == "manual":
        message = f"version {candidate.version} passed and waits for `twin approve {author.id} {candidate.version}`"
        return Outcome(candidate.version, "waiting", message, reasons)
    workspace.registry.approve(author.id, candidate.version, "; ".join(reasons), by="gate")
    return Outcome(candidate.version, "approved", f"version {candidate.version} is served now", reasons)
