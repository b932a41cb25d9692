"""Small parts for incremental pipelines that can be run twice."""

from keelson.compare import Difference, NotSorted, compare
from keelson.counted import Counted, same_weekday_alarm
from keelson.quarantine import Rule, split
from keelson.watermark import Watermark

__all__ = ["Counted", "Difference", "NotSorted", "Rule", "Watermark", "compare", "same_weekday_alarm", "split"]
__version__ = "1.4.0"
