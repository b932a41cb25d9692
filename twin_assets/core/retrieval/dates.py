"""Dates in a question, English only: "last year", "since March 2022", "in 2023", "two years ago", "Q3 2021" …

A year or a month alone counts only after a word that makes it a time ("in 2023", "since May"), for "2023" may be what
is asked about. Months and years are the calendar's: in June, "last year" is January to December of the year before.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MONTHS = """january february march april may june july august september october november december""".split()  # noqa: SIM905
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
           "nine": 9, "ten": 10, "couple of": 2, "few": 3}  # fmt: skip

_MONTH = rf"(?:{'|'.join(f'{name[:3]}(?:{name[3:]})?' if len(name) > 3 else name for name in MONTHS)}|sept)\.?"
_YEAR = r"(?:19[89]\d|20[0-4]\d)"
_NUMBER = rf"(?:\d{{1,3}}|{'|'.join(NUMBERS)})"
# One stretch of time: 2023-05-17, 2023-05, Q3 2021, May 2023, May, 2023.
_STRETCH = (
    rf"(?:(?P<{{0}}day>{_YEAR}-\d\d(?:-\d\d)?)|(?P<{{0}}quarter>q[1-4])\s+(?:of\s+)?(?P<{{0}}quarter_year>{_YEAR})"
    rf"|(?P<{{0}}month>{_MONTH})(?:\s+(?:of\s+)?(?P<{{0}}month_year>{_YEAR}))?|(?P<{{0}}year>{_YEAR}))\b"
)


@dataclass(frozen=True, slots=True)
class Period:
    """[begin, end) in UTC, open where None; `text` is what said so in the question, from `start` to `stop`."""

    begin: datetime | None
    end: datetime | None
    text: str
    start: int
    stop: int


def find_period(question: str, now: datetime) -> Period | None:
    """The first time that the question restricts itself to, or None."""
    found = []
    for pattern, read in _RULES:
        match = pattern.search(question)
        if match and (period := read(match, now)):
            found.append(Period(*period, match.group(), match.start(), match.end()))
    # Of rules that match at the same place the longest says most: "since March 2022" holds "March 2022".
    return min(found, key=lambda period: (period.start, period.start - period.stop), default=None)


Bounds = tuple[datetime | None, datetime | None]


def _stretch(match: re.Match[str], now: datetime, name: str = "") -> tuple[datetime, datetime] | None:
    """First instant of the stretch of time and of what follows it."""
    part = {key.removeprefix(name): value for key, value in match.groupdict().items() if key.startswith(name) and value}
    try:
        if day := part.get("day"):
            if len(day) == 7:
                return _months(int(day[:4]), int(day[5:]), 1)
            begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
            return begin, begin + timedelta(days=1)
    except ValueError:  # 2023-02-31
        return None
    if quarter := part.get("quarter"):
        return _months(int(part["quarter_year"]), 3 * int(quarter[1]) - 2, 3)
    if month := part.get("month"):
        number = next(i for i, known in enumerate(MONTHS, 1) if known.startswith(month.lower()[:3]))
        # "in March" without a year is the last one that has begun.
        year = int(part.get("month_year") or now.year - (number > now.month))
        return _months(year, number, 1)
    return _months(int(part["year"]), 1, 12)


def _months(year: int, month: int, count: int) -> tuple[datetime, datetime]:
    begin = datetime(year, 1, 1, tzinfo=UTC)
    return _shift(begin, month - 1), _shift(begin, month - 1 + count)


def _shift(begin: datetime, months: int) -> datetime:
    total = begin.year * 12 + begin.month - 1 + months
    return begin.replace(year=total // 12, month=total % 12 + 1, day=1)


def _unit(unit: str, now: datetime, back: int) -> tuple[datetime, datetime]:
    """The calendar's day, week, month or year that lies `back` of them before now."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "day":
        begin = today - timedelta(days=back)
        return begin, begin + timedelta(days=1)
    if unit == "week":
        begin = today - timedelta(days=today.weekday() + 7 * back)
        return begin, begin + timedelta(days=7)
    if unit == "month":
        begin = _shift(today, -back)
        return begin, _shift(begin, 1)
    return _months(now.year - back, 1, 12)


def _count(text: str | None) -> int:
    if text is None:
        return 1
    return int(text) if text.isdigit() else NUMBERS[text.lower()]


def _between(match: re.Match[str], now: datetime) -> Bounds | None:
    last = _stretch(match, now, "b_")
    # "from May to June 2021" begins in the May before that June.
    first = _stretch(match, last[0], "a_") if last else None
    return (first[0], last[1]) if first and last and first[0] <= last[0] else None


def _since(match: re.Match[str], now: datetime) -> Bounds | None:
    stretch = _stretch(match, now)
    if stretch is None:
        return None
    after = match["since"].lower() == "after"
    return (stretch[1] if after else stretch[0]), None


def _before(match: re.Match[str], now: datetime) -> Bounds | None:
    stretch = _stretch(match, now)
    if stretch is None:
        return None
    exclusive = match["before"].lower() in ("before", "prior to")
    return None, (stretch[0] if exclusive else stretch[1])


def _ago(match: re.Match[str], now: datetime) -> Bounds:
    return _unit(match["unit"].lower(), now, _count(match["number"]))


def _past(match: re.Match[str], now: datetime) -> Bounds:
    number, unit = _count(match["number"]), match["unit"].lower()
    if unit in ("day", "week"):
        return now - timedelta(days=number * (7 if unit == "week" else 1)), None
    back = _shift(now, -number * (12 if unit == "year" else 1))
    last_day = (_shift(back, 1) - timedelta(days=1)).day
    return back.replace(day=min(now.day, last_day)), None


def _named(match: re.Match[str], now: datetime) -> Bounds:
    named, unit = match["named"].lower(), (match["unit"] or "day").lower()
    begin, end = _unit(unit, now, 1 if named in ("last", "previous", "yesterday") else 0)
    return begin, (None if match["from"] else end)


def _rule(pattern: str, read: Callable[[re.Match[str], datetime], Bounds | None]) -> tuple[re.Pattern[str], Callable[
    [re.Match[str], datetime], Bounds | None]]:  # fmt: skip
    return re.compile(pattern, re.IGNORECASE), read


_RULES = (
    _rule(
        rf"\b(?:between|from)\s+{_STRETCH.format('a_')}\s+(?:and|to|till|until|through)\s+{_STRETCH.format('b_')}",
        _between,
    ),
    _rule(rf"\b(?P<since>since|after)\s+{_STRETCH.format('')}", _since),
    _rule(rf"\b(?P<since>from)\s+{_STRETCH.format('')}\s+(?:on|onwards?)\b", _since),
    _rule(rf"\b(?P<before>before|prior to|until|till|up to)\s+{_STRETCH.format('')}", _before),
    _rule(rf"\b(?:in|during|of|on|for|from|throughout|back in)\s+(?:early\s+|late\s+|mid[- ])?{_STRETCH.format('')}",
          lambda match, now: _stretch(match, now)),
    _rule(rf"\b(?P<number>{_NUMBER})\s+(?P<unit>day|week|month|year)s?\s+ago\b", _ago),
    _rule(rf"\b(?:in|over|during|within|from)?\s*(?:the\s+)?(?:(?:last|past)\s+(?P<number>{_NUMBER})|past)\s+"
          r"(?P<unit>day|week|month|year)s?\b", _past),
    _rule(r"\b(?P<from>since\s+)?(?:(?P<named>last|previous|this)\s+(?P<unit>week|month|year))\b", _named),
    _rule(r"\b(?P<from>since\s+)?(?P<named>yesterday|today)(?P<unit>(?!))?\b", _named),
)  # fmt: skip
