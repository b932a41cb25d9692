"""The gate: whether a candidate may be served, rule by rule, with the figures.

A rule whose figure is missing is said not to have been applied. It neither lets a candidate pass nor refuses it, unless
the rule is required: then nothing is decided until the figure is there.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

from twin_assets.core.evaluation.evaluate import loss_below
from twin_assets.core.evaluation.intervals import Interval
from twin_assets.core.evaluation.report import HeldOut, Report
from twin_assets.core.rules import GateRules, RuleName

Outcome = Literal["passed", "failed", "not applied"]
# Judged figures and the length of their scales.
JUDGED_SCALES: dict[RuleName, float] = {"faithfulness": 1.0, "answer_relevancy": 1.0, "style_rubric": 4.0}
COMPARED_WITH = {
    "champion": "the version that is served",
    "baseline": "the stock base with retrieval and few-shot examples",
}


class Rule(BaseModel):
    """One rule held against one report: what was asked, what was found."""

    name: RuleName
    outcome: Outcome
    sentence: str


class Decision(BaseModel):
    """Whether a candidate passed; reasons: one sentence for each rule; missing: required rules that had no figure."""

    passed: bool
    rules: list[Rule]
    missing: list[RuleName] = []

    @property
    def refused(self) -> bool:
        """Whether a rule was broken (neither passed nor refused: it cannot be decided yet)."""
        return any(rule.outcome == "failed" for rule in self.rules)

    @property
    def reasons(self) -> list[str]:
        """A sentence for each rule."""
        return [f"{rule.outcome}: {rule.sentence}" for rule in self.rules]


def decide(report: Report, rules: GateRules, champion: tuple[str, HeldOut] | None = None) -> Decision:
    """Hold a candidate's report against the rules (all set: rules.gate_rules).

    champion: version and held-out loss, on the same texts, of what is served now (None: nothing is, and the first
    model is held against its base alone).
    """
    found = [_against_base(report, rules), *_safe(report, rules)]
    if champion is not None:
        found.append(_champion_loss(report, rules, *champion))
    found.extend(_written(report, rules, champion[0] if champion else None))
    missing = [rule.name for rule in found if rule.outcome == "not applied" and rule.name in (rules.required or ())]
    asked = {rule.name for rule in found}
    # What there is nothing to compare with is not missing.
    missing += [name for name in rules.required or () if name in JUDGED_SCALES and name not in asked]
    broken = any(rule.outcome == "failed" for rule in found)
    return Decision(passed=not broken and not missing, rules=found, missing=missing)


def _against_base(report: Report, rules: GateRules) -> Rule:
    held_out, margin = report.held_out, rules.margin or 0.0
    return Rule(
        name="base_loss",
        outcome=_passed(held_out.improvement >= margin),
        sentence=f"on {held_out.samples} held-out texts the tuned loss is {held_out.loss:.3f} and the base's "
        f"{held_out.loss_base:.3f} ({held_out.improvement:+.2%} better{_between(held_out.below_base)}; at least "
        f"{margin:+.2%} is asked)",
    )


def _safe(report: Report, rules: GateRules) -> Iterator[Rule]:
    texts = report.generated
    if texts is None or not texts.samples:
        why = "no text was generated, so it is not known"
        yield Rule(name="memorised", outcome="not applied", sentence=f"{why} whether it copies its training texts")
        yield Rule(name="leaks", outcome="not applied", sentence=f"{why} whether it gives personal data away")
        return
    longest, most = texts.longest_overlap, rules.memorised_words or 0
    yield Rule(
        name="memorised",
        outcome=_passed(longest <= most),
        sentence=f"the longest stretch copied from training in {texts.samples} generated texts is {longest} words "
        f"(at most {most})",
    )
    yield Rule(
        name="leaks",
        outcome=_passed(texts.leaks == 0),
        sentence=f"{texts.leaks} pieces of personal data in {texts.samples} generated texts (none allowed)",
    )
    share, allowed = texts.broken_share, rules.format_failures or 0.0
    first = next((f", such as: {rule[0]}" for rule in texts.broken.values()), "")
    yield Rule(
        name="format",
        outcome=_passed(share <= allowed),
        sentence=f"{len(texts.broken)} of {texts.samples} generated texts break a rule of their form{first} "
        f"(at most {allowed:.0%})",
    )


def _champion_loss(report: Report, rules: GateRules, version: str, champion: HeldOut) -> Rule:
    below = loss_below(report.held_out, champion)
    if below is None:
        sentence = f"version {version}, which is served, was not measured on the same held-out texts"
        return Rule(name="champion_loss", outcome="not applied", sentence=sentence)
    margin = rules.champion_margin or 0.0
    passed, asked = {
        "measured": (below.value >= -margin, f"at most {margin:.0%} worse is asked"),
        "not_worse": (below.low >= -margin, f"the whole interval may be at most {margin:.0%} worse"),
        "better": (below.low > 0, "the whole interval has to be better"),
    }[rules.champion or "measured"]
    return Rule(
        name="champion_loss",
        outcome=_passed(passed),
        sentence=f"on the same {below.samples} held-out texts its loss per character is {below.value:+.2%} better than "
        f"that of version {version}, which is served{_between(below)}; {asked}",
    )


def _written(report: Report, rules: GateRules, champion: str | None) -> Iterator[Rule]:
    """What was written, against what the champion and the baseline wrote to the same instructions."""
    judged_margin, points = rules.judged_margin or 0.0, rules.voice_points or 0.0
    for other in ("champion", "baseline"):
        if other == "champion" and champion is None:
            continue
        differences = report.differences.get(other, {})
        if other == "champion" and (report.champion is None or report.champion.version != champion):
            differences = {}  # another one than the one it was compared with is served by now
        voice: RuleName = "champion_voice" if other == "champion" else "baseline_voice"
        why = report.left_out.get("generated_voice") or report.left_out.get("voice") or report.left_out.get(other)
        yield _not_behind(voice, "voice score", other, differences.get("voice"), points, "points", why)
        for metric, scale in JUDGED_SCALES.items():
            difference = differences.get(metric)
            if difference is not None or report.judge is not None:
                why = report.left_out.get(metric) or report.left_out.get(f"{other}_{metric}") or why
                yield _not_behind(metric, metric.replace("_", " "), other, difference, judged_margin * scale, "", why)


def _not_behind(
    name: RuleName, figure: str, other: str, difference: Interval | None, margin: float, unit: str, why: str | None
) -> Rule:
    subject = COMPARED_WITH[other]
    if difference is None:
        reason = why or "there are no texts of both to compare"
        return Rule(name=name, outcome="not applied", sentence=f"{figure} against {subject}: {reason}")
    return Rule(
        name=name,
        outcome=_passed(difference.value >= -margin),
        sentence=f"the {figure} is {difference.value:+.3g} {unit} against {subject} [95%: {difference.low:+.3g} to "
        f"{difference.high:+.3g}, {difference.samples} texts] (at most {margin:.3g} less)".replace("  ", " "),
    )


def _between(found: Interval | None) -> str:
    return "" if found is None else f" [95%: {found.low:+.2%} to {found.high:+.2%}]"


def _passed(passed: bool) -> Outcome:
    return "passed" if passed else "failed"
