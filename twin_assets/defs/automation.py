"""When assets run by themselves; composed in one place.

Not `eager()`: it fires again on identical content and never retries a failure. Checked by ticks in tests/graph.
"""

import dagster as dg

AC = dg.AutomationCondition

_changed = AC.any_deps_updated().replace("newly_updated", AC.data_version_changed())
_wanted = (_changed | AC.newly_missing() | AC.code_version_changed()).since(
    AC.newly_requested() | AC.initial_evaluation()
)

# Runs once when an upstream's content changed, waits behind failed gates, retries a failure exactly once.
on_new_data = (
    (_wanted | AC.execution_failed().newly_true())
    & AC.all_deps_blocking_checks_passed()
    & ~AC.any_deps_missing()
    & ~AC.any_deps_in_progress()
    & ~AC.in_progress()
).with_label("on_new_data")
