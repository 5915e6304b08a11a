"""The events of one UID of a calendar: a single one, or all the times that a series happens in a window (RFC 5545)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import inf
from typing import Any

import recurring_ical_events  # type: ignore[import-untyped]  # it ships no types
from icalendar import Calendar
from icalendar.prop import vDDDTypes
from recurring_ical_events.selection.name import ComponentsWithName  # type: ignore[import-untyped]  # likewise

from artemis_loader.formats.ics_blocks import Block
from artemis_loader.formats.ics_rules import check_series

_RECURRING = ("RRULE", "RDATE", "RECURRENCE-ID")


@dataclass(frozen=True)
class Event:
    """An event that could be parsed, and where it was; or one time that it happens."""

    block: Block
    component: Any
    identity: str = ""
    """The UID, with the time that it was planned for when it happens several times."""


def occurrences(events: Sequence[Event], days: tuple[date, date]) -> list[Event]:
    """Returns the times that the events of one UID happen; a series in these days, from the first to the last.

    Of several revisions, only the newest counts, and none if that is cancelled. Revisions of a single event that
    nothing tells apart are all returned.

    Raises:
        Exception: the properties of a parsed component are computed, and may fail in any way.
    """
    uid = str(events[0].component.get("UID", ""))
    cores = _newest(event for event in events if not _is_override(event))
    cancelled = bool(cores) and str(cores[-1].component.get("STATUS", "")).strip().upper() == "CANCELLED"
    ended = _sequence(cores[-1].component) if cancelled else -inf
    cores = [] if cancelled else cores
    start = cores[-1].component.start if cores else None
    series = [*cores[-1:], *_overrides(events, start, ended)]
    if not any(name in event.component for event in series for name in _RECURRING):
        return [Event(event.block, event.component, uid) for event in cores]
    return list(_expanded(series, start, days))


def _is_override(event: Event) -> bool:
    return "RECURRENCE-ID" in event.component


def _newest(revisions: Iterable[Event]) -> list[Event]:
    """Returns the newest, in their order; more than one if nothing tells them apart."""
    ranked = [(_rank(event.component), event) for event in revisions]
    best = max((rank for rank, _ in ranked), default=None)
    return [event for rank, event in ranked if rank == best]


def _rank(component: Any) -> tuple[int, float, float]:
    """Returns a key that is higher for a newer revision (RFC 5545, 3.8.7.4; RFC 5546, 2.1.5)."""
    stamped = _stamp(component, "DTSTAMP")
    return _sequence(component), _stamp(component, "LAST-MODIFIED") or stamped, stamped


def _sequence(component: Any) -> int:
    return int(component.get("SEQUENCE", 0))


def _stamp(component: Any, name: str) -> float:
    moment = getattr(component.get(name), "dt", None)
    if not isinstance(moment, datetime):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _overrides(events: Iterable[Event], start: date | None, ended: float) -> Iterator[Event]:
    """Yields the newest override of each time, but not those that ended when the series was cancelled."""
    revisions: dict[str, list[Event]] = {}
    for event in filter(_is_override, events):
        revisions.setdefault(_written(event.component["RECURRENCE-ID"].dt, start), []).append(event)
    for override in (_newest(each)[-1] for each in revisions.values()):
        if _sequence(override.component) > ended:
            yield override


class _Occurrence(recurring_ical_events.Occurrence):  # type: ignore[misc]  # as above
    """Tells the time that it was planned for, also when an override has moved it together with all later ones."""

    def as_component(self, keep_recurrence_attributes: bool) -> Any:
        component = super().as_component(keep_recurrence_attributes)
        override = self._adapter
        if override.this_and_future and self.start != override.start:
            component["RECURRENCE-ID"] = vDDDTypes(self.start - override.move_recurrences_by)
        return component


def _expanded(series: Sequence[Event], start: date | None, days: tuple[date, date]) -> Iterator[Event]:
    first, last = days
    calendar = Calendar()
    for event in series:
        check_series(event.component, first)
        calendar.add_component(event.component)
    selected = [ComponentsWithName("VEVENT", occurrence=_Occurrence)]
    query = recurring_ical_events.of(calendar, components=selected)
    for component in query.between(first, last + timedelta(days=1)):
        if _day(component.start) <= last:
            uid = str(component.get("UID", ""))
            planned = _written(component["RECURRENCE-ID"].dt, start)
            yield Event(series[0].block, component, uid and f"{uid}/{planned}")


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _written(planned: date, start: date | None) -> str:
    """Returns a time of a series in UTC, because an override may write it in another zone than the series."""
    moment = _like(planned, start) if start is not None else planned
    if not isinstance(moment, datetime):
        return f"{moment:%Y%m%d}"
    if moment.tzinfo is None:
        return f"{moment:%Y%m%dT%H%M%S}"
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _like(moment: date, start: date) -> date:
    """Returns the moment as a date, or in a time zone, as the start of the series is."""
    if not isinstance(start, datetime):
        return _day(moment)
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if (moment.tzinfo is None) == (start.tzinfo is None):
        return moment
    return moment.replace(tzinfo=start.tzinfo)
