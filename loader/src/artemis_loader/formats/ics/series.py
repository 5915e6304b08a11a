"""The events of one UID of a calendar: a single one, or all the times that a series happens in a window (RFC 5545)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from math import inf

from artemis_loader.formats.ics.events import Event
from artemis_loader.formats.ics.lines import Malformed
from artemis_loader.formats.ics.recurrence import expand, matching
from artemis_loader.formats.ics.rules import Rule
from artemis_loader.formats.ics.values import Duration, at_midnight, day_of, in_utc, like

_MAX_YEARS = 100
_A_DAY = timedelta(days=1)
MAX_TIMES = 100_000
"""Times of one series in a window; one that happens every hour has 87,672 in ten years."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A time that an event happens."""

    event: Event
    start: date
    end: date
    identity: str
    """The UID, with the time that it was planned for when the event happens several times."""
    instant: datetime | None = None
    """The start in UTC, if that is known already."""


@dataclass(frozen=True)
class Expander:
    """Finds the times of events within a window of days."""

    first: date
    last: date
    floating: tzinfo
    """The zone of times that name none."""
    warn: Callable[[int, str], None]

    def occurrences(self, events: Sequence[Event]) -> list[Occurrence]:
        """Returns the times that the events of one UID happen; a series in the window, from the first to the last.

        Of several revisions, only the newest counts, and none if that is cancelled. Revisions of a single event that
        nothing tells apart are all returned.

        Raises:
            Malformed: the series never happens, too often, or began too long ago.
        """
        if len(events) == 1 and events[0].alone:
            return [Occurrence(events[0], *_times(events[0]), events[0].uid)]
        cores = _newest(event for event in events if event.planned is None)
        ended: float = -inf
        if cores and cores[-1].cancelled:
            ended, cores = cores[-1].rank[0], []
        master = cores[-1] if cores else None
        overrides = self._overrides(events, master, ended)
        if not overrides and not any(event.recurs for event in cores[-1:]):
            return [Occurrence(event, *_times(event), event.uid) for event in cores]
        times = (each for each in _Series(self, master, overrides).all() if self._shows(each.start, each.end))
        found = list(islice(times, MAX_TIMES + 1))
        if len(found) > MAX_TIMES:
            raise Malformed(f"happens more than {MAX_TIMES} times in the window")
        return sorted(found, key=lambda each: each.instant or in_utc(each.start, self.floating))

    def _overrides(self, events: Iterable[Event], master: Event | None, ended: float) -> dict[str, Event]:
        """Returns the newest override of each time, but not those that ended when the series was cancelled."""
        revisions: dict[str, list[Event]] = {}
        for event in events:
            if event.planned is not None:
                planned, reason = like(event.planned, master.start if master else None, self.floating)
                if reason:
                    self.warn(event.block.line, f"RECURRENCE-ID: {reason}")
                alike = replace(event, planned=planned) if reason else event
                revisions.setdefault(_written(planned), []).append(alike)
        newest = {planned: _newest(each)[-1] for planned, each in revisions.items()}
        return {planned: event for planned, event in newest.items() if event.rank[0] > ended}

    def _shows(self, start: date, end: date) -> bool:
        """Tells whether an event is in the window, at least in part."""
        if day_of(start) > self.last:
            return False
        return day_of(start) >= self.first or _wall(end) > datetime.combine(self.first, time())


class _Series:
    """A series: its first event, if there is one, and its overrides by the times that they replace."""

    def __init__(self, expander: Expander, master: Event | None, overrides: dict[str, Event]) -> None:
        self._expander = expander
        self._floating = expander.floating
        self._master = master
        self._start = master.start if master else None
        self._overrides = overrides
        onward = [(self._instant(each.planned), each) for each in overrides.values() if each.onward and each.planned]
        self._onward = sorted(onward, key=lambda pair: pair[0])

    def _instant(self, moment: date) -> datetime:
        """Returns a time of the series in UTC."""
        return in_utc(moment, self._floating)

    def all(self) -> Iterator[Occurrence]:
        """Yields its times in the window, and some beside it, in any order."""
        for planned, event in self._overrides.items():
            if not event.cancelled and event.start is not None:
                yield self._made(event, *_times(event), planned)
        if self._master is None or self._start is None:
            return
        for moment, instant, length in self._planned(self._master, self._start):
            planned = _written(instant if isinstance(moment, datetime) and moment.tzinfo else moment)
            if planned not in self._overrides:
                yield from self._occurrence(self._master, moment, instant, length, planned)

    def _occurrence(
        self, master: Event, moment: date, instant: datetime, length: Duration, planned: str
    ) -> Iterator[Occurrence]:
        """Yields the time that was planned, moved by the last override that is for it and all later ones."""
        if not self._onward:
            yield self._made(master, moment, length.after(moment, self._floating), planned, instant)
            return
        before = [event for since, event in self._onward if since <= instant]
        event = before[-1] if before else master
        if event.cancelled or event.start is None:
            return
        start = _moved(moment, event) if before else moment
        yield self._made(event, start, (event.length if before else length).after(start, self._floating), planned)

    def _made(self, event: Event, start: date, end: date, planned: str, instant: datetime | None = None) -> Occurrence:
        return Occurrence(event, start, end, event.uid and f"{event.uid}/{planned}", instant)

    def _planned(self, master: Event, start: date) -> Iterator[tuple[date, datetime, Duration]]:
        """Yields the times of the recurrence set (3.8.5.2), also in UTC, and their lengths: without exceptions."""
        first, last = self._bounds(master)
        timed = isinstance(start, datetime)
        excluded = {self._instant(moment) for moment in master.excluded if isinstance(moment, datetime) is timed}
        days = {day_of(moment) for moment in master.excluded if isinstance(moment, datetime) is not timed}
        for rule in master.excluding_rules:
            found = islice(matching(rule, _wall(start), first, self._last(rule, start, last)), rule.count)
            excluded |= {self._instant(moment) for moment in self._until(rule, found, start)}
        seen = set()
        for moment, length in self._included(master, start, first, last):
            instant = self._instant(moment)
            if instant not in excluded and instant not in seen and not (days and day_of(moment) in days):
                seen.add(instant)
                yield moment, instant, length

    def _included(self, master: Event, start: date, first: datetime, last: datetime) -> Iterator[tuple[date, Duration]]:
        for moment, own in master.dates:
            yield moment, own or master.length
        if not master.rules:
            yield start, master.length
        elif self._expander.first.year - start.year > _MAX_YEARS:
            raise Malformed(f"begins more than {_MAX_YEARS} years before the window")
        for rule in master.rules:
            found = expand(rule, _wall(start), first, self._last(rule, start, last))
            yield from ((moment, master.length) for moment in self._until(rule, found, start))

    def _bounds(self, master: Event) -> tuple[datetime, datetime]:
        """Returns the local times between which those that may show in the window are planned."""
        moves = [
            abs(_wall(event.start) - _wall(event.planned)) for _, event in self._onward if event.start and event.planned
        ]
        move = max(moves, default=timedelta()) + 2 * _A_DAY  # two for time zones
        length = max(timedelta(days=master.length.days) + master.length.exact, timedelta())
        try:
            first = datetime.combine(self._expander.first, time()) - move - length
        except OverflowError:
            first = datetime.min
        try:
            return first, datetime.combine(self._expander.last, time()) + move
        except OverflowError:
            return first, datetime.max

    def _last(self, rule: Rule, start: date, last: datetime) -> datetime:
        """Returns a local time after which a rule has ended, or the window has."""
        if rule.until is None:
            return last
        until = at_midnight(rule.until)
        if until.tzinfo is not None:
            zone = start.tzinfo if isinstance(start, datetime) and start.tzinfo else self._floating
            until = until.astimezone(zone).replace(tzinfo=None)
        return min(last, until + _A_DAY) if until.year < 9999 else last  # noqa: PLR2004, the last year

    def _until(self, rule: Rule, walls: Iterable[datetime], start: date) -> Iterator[date]:
        """Yields local times as DTSTART is, as dates or in its zone, up to UNTIL; DTSTART itself in any case."""
        if not isinstance(start, datetime):
            days = (wall.date() for wall in walls)
            yield from (day for day in days if rule.until is None or day <= rule.until or day == start)
            return
        until = None if rule.until is None else in_utc(rule.until, self._floating)
        for wall in walls:
            moment = wall.replace(tzinfo=start.tzinfo)
            if until is None or in_utc(moment, self._floating) <= until or moment == start:
                yield moment


def _newest(revisions: Iterable[Event]) -> list[Event]:
    """Returns the newest, in their order; more than one if nothing tells them apart."""
    events = list(revisions)
    best = max((event.rank for event in events), default=None)
    return [event for event in events if event.rank == best]


def _times(event: Event) -> tuple[date, date]:
    assert event.start is not None  # noqa: S101, for the type checker
    assert event.end is not None  # noqa: S101, likewise
    return event.start, event.end


def _wall(moment: date) -> datetime:
    """Returns what the clock on the wall shows."""
    return at_midnight(moment).replace(tzinfo=None)


def _moved(moment: date, override: Event) -> date:
    """Returns a time as far from its plan, by the clock on the wall, as the override is from its own."""
    assert override.start is not None  # noqa: S101, for the type checker
    assert override.planned is not None  # noqa: S101, likewise
    planned = _alike(override.planned, override.start)
    if not isinstance(override.start, datetime):
        return day_of(moment) + (override.start - day_of(planned))
    zone = override.start.tzinfo
    there = _in_zone(_alike(moment, override.start), zone)
    move = _wall(override.start) - _wall(_in_zone(planned, zone))
    return (_wall(there) + move).replace(tzinfo=zone)


def _in_zone(moment: date, zone: tzinfo | None) -> date:
    return moment.astimezone(zone) if zone and isinstance(moment, datetime) and moment.tzinfo else moment


def _written(planned: date) -> str:
    """Returns a time of a series in UTC, because an override may write it in another zone than the series."""
    if not isinstance(planned, datetime) or planned.tzinfo is None:
        return planned.isoformat().replace("-", "").replace(":", "")
    return f"{_written(planned.astimezone(UTC).replace(tzinfo=None))}Z"


def _alike(moment: date, start: date | None) -> date:
    """Returns the moment as a date, or in a time zone, as the start of the series is; a date at the time of that."""
    if start is None:
        return moment
    if not isinstance(start, datetime):
        return day_of(moment)
    if not isinstance(moment, datetime):
        return datetime.combine(moment, start.time(), start.tzinfo)
    if (moment.tzinfo is None) == (start.tzinfo is None):
        return moment
    return moment.replace(tzinfo=start.tzinfo)
