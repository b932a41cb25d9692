"""When assets run by themselves; composed in one place.

Not `eager()`: it fires again on identical content and never retries a failure. Checked by ticks in tests/graph.
"""

import dagster as dg

AC = dg.AutomationCondition
# Tag of jobs that derive from what they collect: what they updated needs no second run.
DERIVES = {"twin/derives": "features"}

_asked = AC.newly_requested() | AC.initial_evaluation()
# Dagster itself knows a run that went on to the target only by an explicit asset selection, which jobs have not.
_changed = AC.any_deps_updated().replace(
    "newly_updated", AC.data_version_changed() & ~AC.executed_with_tags(tag_values=DERIVES)
)
# A partition that a job has filled meanwhile is missing no more. A change is not settled by an update in the same way:
# the run that made it may have begun before the change.
_first = AC.newly_missing().since(_asked | AC.newly_updated())
_wanted = (_changed | AC.code_version_changed()).since(_asked) | _first

# Runs once when an upstream's content changed, waits behind failed gates, retries a failure exactly once.
on_new_data = (
    (_wanted | AC.execution_failed().newly_true())
    & AC.all_deps_blocking_checks_passed()
    & ~AC.any_deps_missing()
    & ~AC.any_deps_in_progress()
    & ~AC.in_progress()
).with_label("on_new_data")
