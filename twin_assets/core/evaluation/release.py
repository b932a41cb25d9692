"""From a report to what is served: the gate's decision on the newest version, applied once and recorded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from twin_assets.core.authors import Author
from twin_assets.core.datasets import load_dataset
from twin_assets.core.errors import GateError, TwinError, UnknownModelError
from twin_assets.core.evaluation.gate import Decision, Rule, decide
from twin_assets.core.evaluation.held_out import kept_held_out
from twin_assets.core.evaluation.report import EVALUATION_VERSION, HeldOut, Report
from twin_assets.core.registry import ModelVersion
from twin_assets.core.rules import gate_rules

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
    """The report kept with a version; raises GateError where there is none, or none that can be read."""
    again = f"`twin run {author}` makes one."
    try:
        stored = workspace.registry.report(author, version)
        if stored is None:
            raise GateError(f"Version {version} of {author!r} has no evaluation; {again}")
        if stored.get("evaluation_version") != EVALUATION_VERSION:
            raise GateError(f"The evaluation of version {version} of {author!r} was made by older code; {again}")
        return Report.model_validate(stored)
    except (ValidationError, ValueError) as error:  # a report cut short or tampered with
        raise GateError(f"The evaluation of version {version} of {author!r} cannot be read; {again}") from error


def decide_newest(workspace: "Workspace", author: str) -> Decision:
    """Hold the newest version's report against its base, and against what is served now on the same texts."""
    return decide_on(workspace, author, newest(workspace, author).version)


def decide_on(workspace: "Workspace", author: str, version: str) -> Decision:
    """As decide_newest(), for any version; raises GateError where its report is missing or unreadable."""
    report = recorded_report(workspace, author, version)
    rules = gate_rules(workspace.settings, workspace.authors.get(author))
    approved = workspace.registry.approved(author)
    if approved is None or approved.version == version:
        return decide(report, rules)
    try:
        champion = _champion(workspace, report, approved)
    except TwinError as error:
        decision = decide(report, rules)
        # Neither in the candidate's favour nor against it: somebody has to look.
        sentence = f"version {approved.version}, which is served, could not be measured on the same texts: {error}"
        rule = Rule(name="champion_loss", outcome="not applied", sentence=sentence)
        return Decision(passed=False, rules=[*decision.rules, rule], missing=[*decision.missing, "champion_loss"])
    return decide(report, rules, (approved.version, champion))


def settle(workspace: "Workspace", author: Author) -> Outcome:
    """Apply the gate's decision to the newest version, once: a version that was decided on stays as it is.

    approval "auto" promotes what passes and rejects what does not; "manual" rejects what does not pass and lets the
    rest wait for a person. What cannot be decided, as a required figure is missing, waits in either case.
    """
    candidate = newest(workspace, author.id)
    if candidate.status != "candidate":
        return Outcome(candidate.version, "unchanged", f"version {candidate.version} is {candidate.status} already")
    decision = decide_newest(workspace, author.id)
    reasons = tuple(decision.reasons)
    workspace.registry.record_report(
        author.id, candidate.version, {**decision.model_dump(mode="json"), "reasons": reasons}, name="gate"
    )
    if decision.refused:
        workspace.registry.reject(author.id, candidate.version, "; ".join(reasons), by="gate")
        return Outcome(candidate.version, "refused", f"version {candidate.version} was refused", reasons)
    by_hand = f"`twin approve {author.id} {candidate.version}`"
    if not decision.passed:
        missing = ", ".join(decision.missing)
        message = f"version {candidate.version} could not be decided on ({missing}) and waits for {by_hand}"
        return Outcome(candidate.version, "waiting", message, reasons)
    if (author.approval or workspace.settings.approval) == "manual":
        message = f"version {candidate.version} passed and waits for {by_hand}"
        return Outcome(candidate.version, "waiting", message, reasons)
    workspace.registry.approve(author.id, candidate.version, "; ".join(reasons), by="gate")
    return Outcome(candidate.version, "approved", f"version {candidate.version} is served now", reasons)


def _champion(workspace: "Workspace", report: Report, approved: ModelVersion) -> HeldOut:
    """Held-out loss of what is served, on the texts of the report."""
    if report.champion is not None and report.champion.version == approved.version:
        return report.champion.held_out
    dataset = load_dataset(workspace.lake, report.author, report.dataset_delta_version)
    return kept_held_out(workspace, approved, dataset)
