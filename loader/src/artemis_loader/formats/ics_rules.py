"""Refuses recurrence rules (RFC 5545, 3.3.10) that make no sense, and that take seconds or for ever to expand."""

from datetime import date, datetime
from typing import Any

from dateutil.rrule import rrulestr  # type: ignore[import-untyped]  # it ships no types

_MAX_PER_DAY = 24
_MAX_YEARS = 100
_DAYS = ("BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "BYEASTER")
_LAST_YEARS = datetime(9960, 1, 1)
"""The years from here to 9999 have every kind of year: common and leap, beginning on each day of the week."""
_PERIODS = {"HOURLY": 1, "DAILY": 1, "WEEKLY": 7}
"""Days of the periods that are so short that going through all of them until the year 9999 takes seconds."""


def check_series(component: Any, first: date) -> None:
    """Refuses a series whose times from this day on take seconds or more to compute.

    Raises:
        ValueError: it is such a series; the text tells why.
    """
    if "RRULE" not in component:
        return
    rules = component["RRULE"]
    for rule in rules if isinstance(rules, list) else [rules]:
        _check_often(rule)
        if _frequency(rule) in _PERIODS:
            _check_ever(rule)
    if first.year - component.start.year > _MAX_YEARS:
        raise ValueError(f"begins more than {_MAX_YEARS} years before the window")


def _frequency(rule: Any) -> str:
    return str(rule.get("FREQ", [""])[0]).upper()


def _times(rule: Any) -> int:
    """Returns how often a series may happen in one day, or with HOURLY in one hour."""
    hours, minutes, seconds = (len(rule.get(key, [])) or 1 for key in ("BYHOUR", "BYMINUTE", "BYSECOND"))
    return (1 if _frequency(rule) == "HOURLY" else hours) * minutes * seconds


def _check_often(rule: Any) -> None:
    """Refuses a series that happens so often that it is no event any more."""
    if rule.get("INTERVAL", [1])[0] < 1:  # it would be expanded for ever
        raise ValueError("RRULE: INTERVAL must be positive")
    hourly = _frequency(rule) == "HOURLY"
    if hourly and ("BYMONTHDAY" in rule or "BYYEARDAY" in rule):
        raise ValueError("RRULE: HOURLY on some days of a month or year is not supported")
    per_day = _times(rule) * (24 if hourly else 1)
    if _frequency(rule) in ("SECONDLY", "MINUTELY") or per_day > _MAX_PER_DAY:
        raise ValueError(f"may happen more than {_MAX_PER_DAY} times a day")


def _check_ever(rule: Any) -> None:
    """Refuses a series that never happens, such as on 30 February, or on a position that its periods do not have."""
    days = ";".join(f"{key}={_values(rule, key)}" for key in _DAYS if key in rule)
    if days and next(iter(rrulestr(f"FREQ=YEARLY;{days}", dtstart=_LAST_YEARS)), None) is None:
        raise ValueError(f"RRULE: no day has {days}")
    most = _times(rule) * _PERIODS[_frequency(rule)]
    if "BYSETPOS" in rule and all(abs(position) > most for position in rule["BYSETPOS"]):
        raise ValueError(f"RRULE: no period has the position BYSETPOS={_values(rule, 'BYSETPOS')}")


def _values(rule: Any, key: str) -> str:
    """Returns the values of a key; of days their names, because numbers mean nothing with these frequencies."""
    values = map(str, rule[key])
    return ",".join(value[-2:] if key == "BYDAY" else value for value in values)
