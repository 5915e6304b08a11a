"""Recurrence rules as a calendar writes them (RFC 5545, 3.3.10).

`FREQ=MONTHLY;BYDAY=1MO,TU` is Rule(frequency="MONTHLY", weekdays={1}, nth={(1, 0)}): the first Monday, all Tuesdays.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from artemis_loader.formats.ics.lines import Malformed, shown
from artemis_loader.formats.ics.values import read_moment

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_NUMBERED = ("YEARLY", "MONTHLY")
"""Frequencies with which a day of the week may have a number."""
_DAY = re.compile(r"([+-]?\d{1,2})?([A-Z]{2})", re.ASCII)
_RANGES = {
    "BYMONTH": (1, 12, False),
    "BYWEEKNO": (1, 53, True),
    "BYYEARDAY": (1, 366, True),
    "BYMONTHDAY": (1, 31, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSECOND": (0, 60, False),
    "BYSETPOS": (1, 366, True),
}
"""The smallest and the largest number of a part, and whether it may also be counted from the end."""
_FORBIDDEN = {
    "BYWEEKNO": FREQUENCIES[1:],
    "BYYEARDAY": ("MONTHLY", "WEEKLY", "DAILY"),
    "BYMONTHDAY": ("WEEKLY",),
}
"""The frequencies with which RFC 5545 forbids a part; it can still mean one thing only, which is to limit the days."""
_OTHERS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "RSCALE", "SKIP"}
_HARMLESS = {"RSCALE": "GREGORIAN", "SKIP": "OMIT"}
"""The parts of RFC 7529 that are understood, with the only value that they may have."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A recurrence rule; days of the week count from 0, Monday."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: date | None = None
    """A date, a time in UTC, or a local time without a zone."""
    week_start: int = 0
    months: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()
    """Numbered days of the week: (-1, 6) is the last Sunday of the month or the year."""
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: frozenset[int] = frozenset()

    @property
    def days(self) -> str:
        """Returns the parts that choose days, as a calendar writes them, for messages."""
        names = [*(f"{number}{WEEKDAYS[day]}" for number, day in sorted(self.nth))]
        names += [WEEKDAYS[day] for day in sorted(self.weekdays)]
        parts = {
            "BYMONTH": self.months,
            "BYMONTHDAY": self.month_days,
            "BYYEARDAY": self.year_days,
            "BYWEEKNO": self.weeks,
            "BYDAY": names,
        }
        return ";".join(
            f"{key}={','.join(map(str, values if key == 'BYDAY' else sorted(values)))}"  # type: ignore[type-var]
            for key, values in parts.items()
            if values
        )


def read_rule(text: str, warn: Callable[[str], None]) -> Rule:
    """Returns a rule. `warn` is called with what is written wrong, but can mean one thing only.

    Raises:
        Malformed: it is none; the text tells why.
    """
    parts = _parts(text, warn)
    frequency = parts.get("FREQ", "")
    if frequency not in FREQUENCIES:
        raise Malformed(f"FREQ={frequency} is not a frequency" if frequency else "has no FREQ")
    numbers = {key: _numbers(key, parts[key]) for key in _RANGES if key in parts}
    weekdays, nth = _weekdays(parts.get("BYDAY", ""))
    if nth and (frequency not in _NUMBERED or "BYWEEKNO" in numbers):
        warn(f"a number in BYDAY means nothing with {'BYWEEKNO' if 'BYWEEKNO' in numbers else frequency}")
        weekdays, nth = weekdays | {day for _, day in nth}, frozenset()
    for key in numbers:
        if frequency in _FORBIDDEN.get(key, ()):
            warn(f"{key} is not for {frequency}; only days that it has are taken")
    if "BYSETPOS" in numbers and not any(key.startswith("BY") and key != "BYSETPOS" for key in parts):
        warn("BYSETPOS needs another part that begins with BY; it is applied to the times of each period")
    if "COUNT" in parts and "UNTIL" in parts:
        warn("has both COUNT and UNTIL; the first to come ends it")
    return Rule(
        frequency=frequency,
        interval=_positive("INTERVAL", parts.get("INTERVAL", "1")),
        count=_positive("COUNT", parts["COUNT"]) if "COUNT" in parts else None,
        until=_until(parts["UNTIL"]) if "UNTIL" in parts else None,
        week_start=_weekday(parts["WKST"]) if parts.get("WKST") else 0,
        months=frozenset(numbers.get("BYMONTH", ())),
        weeks=frozenset(numbers.get("BYWEEKNO", ())),
        year_days=frozenset(numbers.get("BYYEARDAY", ())),
        month_days=frozenset(numbers.get("BYMONTHDAY", ())),
        weekdays=weekdays,
        nth=nth,
        hours=numbers.get("BYHOUR", ()),
        minutes=numbers.get("BYMINUTE", ()),
        seconds=tuple(sorted({min(second, 59) for second in numbers.get("BYSECOND", ())})),  # a leap second
        positions=frozenset(numbers.get("BYSETPOS", ())),
    )


def _parts(text: str, warn: Callable[[str], None]) -> dict[str, str]:
    """Returns the values of the parts by name, without spaces."""
    written = "".join(text.split()).upper()
    if len(written) != len(text.strip()):
        warn("has spaces in it; they are left out")
    parts: dict[str, str] = {}
    for part in filter(None, written.split(";")):
        name, equals, value = part.partition("=")
        if name.startswith("X-"):
            warn(f"{shown(name)} is not understood; it is left out")
        elif not equals or name not in _OTHERS | _RANGES.keys() or value != _HARMLESS.get(name, value):
            raise Malformed(f"{shown(part)} is not supported")
        elif parts.get(name, value) != value:
            raise Malformed(f"has more than one {name}")
        else:
            _take(parts, name, value, warn)
    return parts


def _take(parts: dict[str, str], name: str, value: str, warn: Callable[[str], None]) -> None:
    """Adds a part to the others without the empty items of its value."""
    items = ",".join(filter(None, value.split(",")))
    if name in parts:
        warn(f"has {name} twice")
    elif not items:
        warn(f"{name} is empty; it is left out")
    elif items != value:
        warn(f"{name} has an empty item, which is left out")
    if items:
        parts[name] = items


def _until(text: str) -> date:
    try:
        return read_moment(text)
    except Malformed as error:
        raise Malformed(f"UNTIL: {error}") from None


def _positive(name: str, text: str) -> int:
    number = _number(name, text)
    if number < 1:
        raise Malformed(f"{name} must be positive")
    return number


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII):
        raise Malformed(f"{name}={text[:40]} is not a number")
    return int(text)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    """Returns the numbers of a part, sorted, each once."""
    low, high, from_end = _RANGES[name]
    numbers = {_number(name, item) for item in text.split(",")}
    for number in numbers:
        if not (low <= number <= high or (from_end and low <= -number <= high)):
            raise Malformed(f"{name}={number} is out of range")
    return tuple(sorted(numbers))


def _weekday(text: str) -> int:
    if text not in WEEKDAYS:
        raise Malformed(f"{shown(text)} is no day of the week")
    return WEEKDAYS.index(text)


def _weekdays(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    """Returns the days of the week without and with a number."""
    plain, nth = set(), set()
    for item in filter(None, text.split(",")):
        found = _DAY.fullmatch(item)
        if found is None or (found[1] and not 1 <= abs(int(found[1])) <= 53):  # noqa: PLR2004, weeks of a year
            raise Malformed(f"BYDAY: {shown(item)} is no day of the week")
        day = _weekday(found[2])
        if found[1]:
            nth.add((int(found[1]), day))
        else:
            plain.add(day)
    return frozenset(plain), frozenset(nth)
