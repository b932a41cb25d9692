"""Let the good rows sail on and keep the bad ones, with reasons.

One wrong comma should not stop 40,000 customers. It should not vanish either.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """A sentence that ought to be true of every row, and a way to find out.

    Write the sentence for the owner of the data, in the owner's words. It is the text they will
    read at nine in the morning, and nobody in the workshop has ever repaired a "regex mismatch".
    """

    sentence: str
    holds: Callable[[Row], bool]

    def reason(self, row: Row) -> str | None:
        """Why the row breaks the rule, or None.

        A rule that raises has met something nobody imagined. Meeting it is the job of a rule, so
        the exception becomes part of the reason instead of ending the night.
        """
        try:
            return None if self.holds(row) else f"not true: {self.sentence}"
        except Exception as error:
            return f"could not be checked: {self.sentence} ({type(error).__name__}: {error})"


def split(rows: Iterable[Row], rules: Iterable[Rule]) -> tuple[list[Row], list[tuple[Row, list[str]]]]:
    """Divide rows into those that keep every rule and those that do not.

    A bad row comes with all its reasons and not only the first, because a person who mends a row
    would like to mend it once. Order is kept on both sides. The rows themselves are not changed:
    whoever repairs data silently has two problems, and the second one is trust.
    """
    rule_list = list(rules)
    good: list[Row] = []
    bad: list[tuple[Row, list[str]]] = []
    for row in rows:
        reasons = [reason for rule in rule_list if (reason := rule.reason(row)) is not None]
        if reasons:
            bad.append((row, reasons))
        else:
            good.append(row)
    return good, bad
