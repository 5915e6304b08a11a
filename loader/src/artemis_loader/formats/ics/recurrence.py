"""Expands a recurrence rule (RFC 5545, 3.3.10) into local times; it knows no time zones.

A rule goes from period to period: years, months, weeks, days, hours, minutes or seconds, every `interval` one. Within
a period, `_Days` finds the days and `_Clock` the times of a day. BYSETPOS chooses among all, also before DTSTART.
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain, product
from math import prod

from artemis_loader.formats.ics.lines import Malformed
from artemis_loader.formats.ics.rules import FREQUENCIES, Rule

MAX_PER_DAY = 24
"""Times of one day. A series that happens more often is no event any more."""
MAX_STEPS = 200_000
"""Hours, minutes or seconds of a series that are looked at, which takes less than half a second."""
_DAY_PERIODS = FREQUENCIES[:4]
_SECONDS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
_A_DAY = 86400
_LAST_YEARS = range(9960, 10000)
"""These have every kind of year: common and leap, beginning on each day of the week."""
_MAX_DAYS = {"YEARLY": 366, "MONTHLY": 31, "WEEKLY": 7}


def expand(rule: Rule, start: datetime, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yields DTSTART, which counts as the first time (3.8.5.3), and the times of the rule after it, up to `last`.

    Times before `first` are left out, but for DTSTART, when none has to be counted.

    Raises:
        Malformed: the rule never happens, or too often.
    """
    yield start
    left = rule.count - 1 if rule.count is not None else None
    happens = left == 0
    for moment in matching(rule, start, first, last):
        happens = True
        if moment > start:
            if left is not None:
                if left == 0:
                    return
                left -= 1
            yield moment
    if not happens:
        _check_ever(rule, start)


def matching(rule: Rule, start: datetime, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yields the times from `start` to `last` that match a rule; without a COUNT, only those from `first` on.

    Raises:
        Malformed: there are too many on one day.
    """
    begin = start if rule.count is not None else max(start, first)
    moments = (
        _by_days(rule, start, begin, last) if rule.frequency in _DAY_PERIODS else _by_clock(rule, start, begin, last)
    )
    day, number = 0, 0
    for moment in moments:
        if moment > last:
            return
        if moment < begin:
            continue
        number = number + 1 if moment.toordinal() == day else 1
        day = moment.toordinal()
        if number > MAX_PER_DAY:
            raise Malformed(f"may happen more than {MAX_PER_DAY} times a day")
        yield moment


def _by_days(rule: Rule, start: datetime, begin: datetime, last: datetime) -> Iterator[datetime]:
    """Yields the times of a rule whose periods have one day or more."""
    days, clock = _Days(rule, start.date()), _Clock(rule, start)
    origin = days.period(start.date())
    skipped = max(0, days.period(begin.date()) - origin) // rule.interval
    for number in range(origin + skipped * rule.interval, days.period(last.date()) + 1, rule.interval):
        yield from _chosen(days.of(number), clock.times, rule.positions)


def _by_clock(rule: Rule, start: datetime, begin: datetime, last: datetime) -> Iterator[datetime]:
    """Yields the times of a rule whose periods are hours, minutes or seconds."""
    days, clock = _Days(rule, start.date()), _Clock(rule, start)
    steps = 0
    for number in range(begin.toordinal(), last.toordinal() + 1):
        if not days.fits(date.fromordinal(number)):
            continue
        earliest = _seconds(begin) if number == begin.toordinal() else 0
        steps += clock.steps
        if steps > MAX_STEPS:
            raise Malformed("RRULE: has too many hours, minutes or seconds to look through")
        for times in clock.periods(number):
            if times[-1] >= earliest:
                yield from _chosen([number], times, rule.positions)


def _chosen(days: Sequence[int], times: Sequence[int], positions: Iterable[int]) -> Iterator[datetime]:
    """Yields the times, in seconds, of the days, by their number; only those at the positions if there are any."""
    if not positions:
        pairs: Iterable[tuple[int, int]] = product(days, times)
    else:
        size = len(days) * len(times)
        found = {at - 1 if at > 0 else size + at for at in positions if 1 <= abs(at) <= size}
        pairs = ((days[at // len(times)], times[at % len(times)]) for at in sorted(found))
    for day, seconds in pairs:
        yield datetime.fromordinal(day) + timedelta(seconds=seconds)


class _Days:
    """The days of a rule's periods. What the rule does not say, DTSTART does: `FREQ=WEEKLY` is its day of the week."""

    def __init__(self, rule: Rule, start: date) -> None:
        self._rule = rule = _completed(rule, start)
        self._weekdays = rule.weekdays | {day for _, day in rule.nth}
        self._in_month = rule.frequency == "MONTHLY" or bool(rule.months)

    def period(self, day: date) -> int:
        """Returns the number of the period that has the day."""
        if self._rule.frequency == "YEARLY":
            return day.year
        if self._rule.frequency == "MONTHLY":
            return day.year * 12 + day.month - 1
        if self._rule.frequency == "WEEKLY":
            return (day.toordinal() - 1 - self._rule.week_start) // 7
        return day.toordinal()

    def of(self, period: int) -> list[int]:
        """Returns the days of a period, as ordinals."""
        return sorted({day for day in self._candidates(period) if self.fits(date.fromordinal(day))})

    def _candidates(self, period: int) -> Iterable[int]:
        """Yields the days that may fit, and others."""
        rule = self._rule
        if rule.frequency == "YEARLY":
            if rule.months or rule.month_days:
                months = rule.months or range(1, 13)
                return chain.from_iterable(self._of_month(period, month) for month in months)
            return self._with_weekday(date(period, 1, 1).toordinal(), date(period, 12, 31).toordinal())
        if rule.frequency == "MONTHLY":
            return self._of_month(period // 12, period % 12 + 1)
        if rule.frequency == "WEEKLY":
            monday = period * 7 + 1 + rule.week_start
            return self._with_weekday(max(monday, 1), min(monday + 6, date.max.toordinal()))
        return (period,)

    def _of_month(self, year: int, month: int) -> Iterable[int]:
        length = monthrange(year, month)[1]
        before = date(year, month, 1).toordinal() - 1
        if self._rule.month_days:
            days = (day if day > 0 else length + 1 + day for day in self._rule.month_days)
            return (before + day for day in days if 1 <= day <= length)
        return self._with_weekday(before + 1, before + length)

    def _with_weekday(self, first: int, last: int) -> Iterable[int]:
        """Yields the days of a range that have a day of the week of the rule; all of them if it names none."""
        if not self._weekdays:
            return range(first, last + 1)
        weekday = (first - 1) % 7
        return chain.from_iterable(range(first + (day - weekday) % 7, last + 1, 7) for day in self._weekdays)

    def fits(self, day: date) -> bool:
        """Tells whether a day has all parts of the rule that choose days."""
        rule = self._rule
        if rule.months and day.month not in rule.months:
            return False
        if rule.month_days and not _counted(day.day, monthrange(day.year, day.month)[1], rule.month_days):
            return False
        if rule.year_days and not _counted(*_in_year(day), rule.year_days):
            return False
        if rule.weeks and not _counted(*_week(day, rule.week_start), rule.weeks):
            return False
        return not self._weekdays or day.weekday() in rule.weekdays or (bool(rule.nth) and self._is_nth(day))

    def _is_nth(self, day: date) -> bool:
        at, length = (day.day, monthrange(day.year, day.month)[1]) if self._in_month else _in_year(day)
        numbers = ((at - 1) // 7 + 1, -((length - at) // 7 + 1))
        return any((number, day.weekday()) in self._rule.nth for number in numbers)


def _completed(rule: Rule, start: date) -> Rule:
    """Returns the rule with the days of DTSTART where it names none."""
    if rule.month_days or rule.year_days or rule.weekdays or rule.nth:
        return rule
    if rule.frequency == "WEEKLY" or (rule.frequency == "YEARLY" and rule.weeks):
        return replace(rule, weekdays=frozenset({start.weekday()}))
    if rule.frequency == "YEARLY":
        return replace(rule, months=rule.months or frozenset({start.month}), month_days=frozenset({start.day}))
    return replace(rule, month_days=frozenset({start.day})) if rule.frequency == "MONTHLY" else rule


def _counted(at: int, length: int, numbers: frozenset[int]) -> bool:
    """Tells whether a place is one of the numbers, which count from the end when they are negative."""
    return at in numbers or at - length - 1 in numbers


def _in_year(day: date) -> tuple[int, int]:
    """Returns the number of a day in its year, and the days of the year."""
    before = date(day.year, 1, 1).toordinal() - 1
    return day.toordinal() - before, date(day.year, 12, 31).toordinal() - before


def _week(day: date, week_start: int) -> tuple[int, int]:
    """Returns the number of a day's week, and the weeks of its year. The first one has four days in the year."""
    fourth = day.toordinal() - (day.toordinal() - 1 - week_start) % 7 + 3
    if fourth > date.max.toordinal():
        return 52, 52
    at, length = _in_year(date.fromordinal(fourth))
    return (at - 1) // 7 + 1, (at - 1) // 7 + 1 + (length - at) // 7


class _Clock:
    """The times of a rule within a day, in seconds after midnight."""

    def __init__(self, rule: Rule, start: datetime) -> None:
        self._interval = rule.interval
        self._unit = _SECONDS.get(rule.frequency, _A_DAY)
        self._origin = _period(start.toordinal(), _seconds(start), self._unit)
        parts = (
            (3600, rule.hours, start.hour, 24),
            (60, rule.minutes, start.minute, 60),
            (1, rule.seconds, start.second, 60),
        )
        chosen = [
            (unit, values or (range(number) if self._unit <= unit else (own,))) for unit, values, own, number in parts
        ]
        self._outer = [(unit, values) for unit, values in chosen if unit >= self._unit]
        """The hours, minutes and seconds that choose a period within the day."""
        self.times = [sum(each) for each in product(*(_times(*part) for part in chosen if part[0] < self._unit))]
        """The times of a period after it begins."""
        self._by_parts = prod(len(values) for _, values in self._outer)
        self._by_interval = -(-_A_DAY // self._unit // self._interval)
        self.steps = min(self._by_parts, self._by_interval)
        """Periods of a day that are looked at."""

    def periods(self, day: int) -> Iterator[list[int]]:
        """Yields the times of each period of a day, for periods that are shorter."""
        first = _period(day, 0, self._unit)
        if self._by_interval <= self._by_parts:
            by_interval = range((self._origin - first) % self._interval, _A_DAY // self._unit, self._interval)
            begins: Iterable[int] = (number * self._unit for number in by_interval)
            begins = filter(self._is_chosen, begins)
        else:
            begins = (sum(each) for each in product(*(_times(*part) for part in self._outer)))
            begins = (each for each in begins if (first + each // self._unit - self._origin) % self._interval == 0)
        for begin in begins:
            yield [begin + each for each in self.times]

    def _is_chosen(self, seconds: int) -> bool:
        """Tells whether a period that begins then has the hour, the minute and the second of the rule."""
        places = {3600: seconds // 3600, 60: seconds // 60 % 60, 1: seconds % 60}
        return all(places[unit] in values for unit, values in self._outer)


def _times(unit: int, values: Iterable[int]) -> list[int]:
    return [unit * value for value in values]


def _period(day: int, seconds: int, unit: int) -> int:
    """Returns the number of the hour, minute or second (of `unit` seconds) at a time of a day."""
    return (day * _A_DAY + seconds) // unit


def _seconds(moment: datetime) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _check_ever(rule: Rule, start: datetime) -> None:
    """Refuses a rule that never happens, such as on 30 February, or on a position that its periods do not have.

    Raises:
        Malformed: it is such a rule.
    """
    days = _Days(rule, start.date())
    if rule.days and not any(days.fits(date.fromordinal(day)) for year in _LAST_YEARS for day in _days_of(year)):
        raise Malformed(f"RRULE: no day has {rule.days}")
    size = _MAX_DAYS.get(rule.frequency, 1) * len(_Clock(rule, start).times)
    if rule.positions and all(abs(at) > size for at in rule.positions):
        raise Malformed(f"RRULE: no period has the position BYSETPOS={','.join(map(str, sorted(rule.positions)))}")


def _days_of(year: int) -> range:
    return range(date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal() + 1)
