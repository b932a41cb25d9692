"""Success ought to have a size.

A job that ends with "OK" has told you about itself and nothing about the data. Ours had been green
for eight months; on 61 of those days it had imported an empty folder, in 0.4 seconds.
"""

from dataclasses import dataclass
from statistics import median


@dataclass
class Counted:
    """Counts of one run of one job, and the sentence they make."""

    job: str
    read: int = 0
    written: int = 0
    left_out: int = 0

    def add(self, read: int = 0, written: int = 0, left_out: int = 0) -> None:
        """Add the counts of one batch. Negative counts are refused: rows do not un-arrive."""
        if min(read, written, left_out) < 0:
            raise ValueError(f"job {self.job}: counts cannot be negative ({read}, {written}, {left_out}).")
        self.read += read
        self.written += written
        self.left_out += left_out

    @property
    def missing(self) -> int:
        """Rows that were read and are neither written nor kept aside. On the quay the ship waits
        until this number is zero."""
        return self.read - self.written - self.left_out

    def sentence(self) -> str:
        """One line that a tired person can compare with yesterday's."""
        text = f"{self.job}: read {self.read:,} rows, wrote {self.written:,}, left out {self.left_out:,}"
        return f"{text} with reasons." if not self.missing else f"{text}, and {self.missing:,} have no name."


def same_weekday_alarm(today: int, same_weekdays: list[int], tolerance: float = 0.4) -> str | None:
    """Say what looks strange about today's row count, or None.

    `same_weekdays` are the counts of the last few days with the same weekday, newest first. Suppliers
    have weekdays; comparing a Monday with a Sunday only teaches people to ignore the alarm. The median
    of up to eight is used, so that one public holiday does not ruin two months.

    Counting caught 70 of our 94 data incidents. Begin with counting.
    """
    history = same_weekdays[:8]
    if len(history) < 3:
        return None
    usual = median(history)
    if usual == 0:
        return f"{today:,} rows today, and usually none" if today else None
    change = (today - usual) / usual
    if abs(change) <= tolerance:
        return None
    return f"{today:,} rows today, usually {usual:,.0f} on this weekday ({change:+.0%})"
