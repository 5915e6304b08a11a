"""iCalendar (RFC 5545): each event is a row, recurring ones once for each time that they happen in the window.

A calendar is read whole, because a time zone or an override may stand anywhere in it.
"""

import io
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import recurring_ical_events  # type: ignore[import-untyped]  # it ships no types
from icalendar import Calendar, Component
from icalendar.timezone import tzp

from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import LONGEST_LINE, Fault, Rows, shown

_PARTS = ("VEVENT", "VTIMEZONE")
_RECURRING = ("RRULE", "RDATE", "RECURRENCE-ID")
_NAMES = ("X-WR-CALNAME", "NAME")
_MATTERS = {None, "UID", "SUMMARY", "DESCRIPTION", "LOCATION", "CATEGORIES", "STATUS", "DURATION", "SEQUENCE"}
"""Properties that an event cannot do without when they are broken; None is a line that is no property."""
_TIMES = {"DTSTART", "DTEND", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID"}
_MOST_PER_DAY = 24
_MOST_YEARS = 100
_ZONES = threading.Lock()
"""Held while a calendar is read: icalendar keeps the time zones that one defines for the whole process."""


@dataclass
class _Block:
    """The lines of one component."""

    kind: str
    line: int
    calendar: "_Calendar"
    data: bytes = b""
    complete: bool = False

    def fault(self, reason: str) -> Fault:
        return Fault(self.line, reason, shown(self.data.decode(errors="backslashreplace")))


@dataclass
class _Calendar:
    """A VCALENDAR of the file: its name, and its time zones and events as they are written."""

    name: str = ""
    blocks: list[_Block] = field(default_factory=list)
    complete: bool = False


@dataclass(frozen=True)
class _Event:
    """An event that could be parsed, and where it was."""

    block: _Block
    component: Any


def read_calendar(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows; cancelled events are left out.

    Raises:
        FeedError: the file is no calendar, or ends early.
    """
    calendars = _split(stream, file)
    days = feed.window.days(datetime.now(UTC).date())
    for calendar in calendars:
        with _ZONES:
            rows = list(_read(calendar, days))
        yield from rows


def _read(calendar: _Calendar, days: tuple[date, date]) -> Iterable[tuple[int, Any] | Fault]:
    tzp.use_default()  # forgets the time zones that other calendars have defined
    for kind in reversed(_PARTS):
        blocks = [block for block in calendar.blocks if block.kind == kind]
        yield from _rows(blocks, days) if kind == "VEVENT" else _define(blocks)


def _split(stream: io.BufferedReader, file: LocalFile) -> list[_Calendar]:
    """Returns the calendars, cut into their components, so that a broken one cannot hurt its neighbours."""
    splitter = _Splitter()
    for number, data in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), 1):
        splitter.add(number, data)
    if not splitter.calendars:
        raise FeedError(f"{file.name}: is no calendar, because it has no BEGIN:VCALENDAR")
    if not splitter.calendars[-1].complete:
        raise FeedError(f"{file.name}: ends early, without END:VCALENDAR")
    return splitter.calendars


class _Splitter:
    """Cuts the lines of a file into components."""

    def __init__(self) -> None:
        self.calendars: list[_Calendar] = []
        self._lines: list[bytes] = []
        self._block: _Block | None = None

    def add(self, number: int, data: bytes) -> None:
        """Takes one line."""
        line = data.rstrip(b"\r\n ").upper()
        if line == b"BEGIN:VCALENDAR":
            self.calendars.append(_Calendar())
        elif line == b"END:VCALENDAR":
            self._end(complete=False)
            if self.calendars:
                self.calendars[-1].complete = True
        elif self.calendars:
            self._add_inner(number, data, line)

    def _add_inner(self, number: int, data: bytes, line: bytes) -> None:
        if line[:6] == b"BEGIN:" and line[6:].decode(errors="replace") in _PARTS:
            self._end(complete=False)
            self._block = _Block(line[6:].decode(), number, self.calendars[-1])
        if self._block is None:
            self._name(data)
            return
        self._lines.append(data)
        if line == f"END:{self._block.kind}".encode():
            self._end(complete=True)

    def _end(self, *, complete: bool) -> None:
        if self._block is not None:
            self._block.data = b"".join(self._lines)
            self._block.complete = complete
            self.calendars[-1].blocks.append(self._block)
        self._block = None
        self._lines = []

    def _name(self, data: bytes) -> None:
        name, _, value = data.partition(b":")
        if name.split(b";")[0].upper().decode(errors="replace") in _NAMES:
            self.calendars[-1].name = value.decode(errors="replace").strip().replace("\\,", ",").replace("\\;", ";")


def _define(blocks: list[_Block]) -> Rows:
    """Makes the calendar's own time zones known to the parser."""
    for block in blocks:
        try:
            _parse(block)
        except ValueError as error:
            yield block.fault(f"a time zone cannot be read: {error}")


def _parse(block: _Block) -> Any:
    """Returns the component.

    Raises:
        ValueError: it cannot be read; the text tells why.
    """
    if not block.complete:
        raise ValueError(f"has no END:{block.kind}")
    try:
        text = block.data.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # guesses that it makes about names of time zones
            component = Component.from_ical(text)
    except Exception as error:  # the parser raises what it comes upon
        raise ValueError(_one_line(error)) from None
    for name, reason in component.errors:
        if name in _MATTERS or name in _TIMES:
            raise ValueError(f"{name or 'a line'}: {_one_line(reason)}")
    return component


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _rows(blocks: list[_Block], days: tuple[date, date]) -> Rows:
    series: dict[str, list[_Event]] = {}
    for block in blocks:
        try:
            component = _parse(block)
            _check_zones(component)
        except ValueError as error:
            yield block.fault(str(error))
            continue
        event = _Event(block, component)
        series.setdefault(str(component.get("UID", "")) or f"\0{block.line}", []).append(event)
    for events in series.values():
        if any(name in event.component for event in events for name in _RECURRING):
            yield from _expanded(events, days)
        else:
            for event in events:
                yield from _single(event)


def _check_zones(component: Any) -> None:
    """Refuses times in a zone that neither the calendar nor the IANA database defines.

    Raises:
        ValueError: there is one.
    """
    for name in ("DTSTART", "DTEND", "RECURRENCE-ID"):
        value = component.get(name)
        if value is None:
            continue
        if isinstance(value, list):
            raise ValueError(f"has more than one {name}")
        zone = value.params.get("TZID")
        if zone and isinstance(value.dt, datetime) and value.dt.tzinfo is None:
            raise ValueError(f"{name}: the time zone {zone!r} is not defined")


def _single(event: _Event) -> Rows:
    try:
        row = _row(event.component, event.block)
    except Exception as error:  # the properties of a parsed component are computed, and may fail in any way
        yield event.block.fault(_one_line(error))
        return
    if row["status"] != "CANCELLED":
        yield event.block.line, row


def _expanded(events: list[_Event], days: tuple[date, date]) -> Rows:
    """Returns each time that a series happens in the window, with its overrides."""
    first, last = days
    calendar = Calendar()
    try:
        for event in events:
            _check_rule(event.component)
            _check_start(event.component, first)
            calendar.add_component(event.component)
        found = recurring_ical_events.of(calendar).between(first, last + timedelta(days=1))
        rows = [_row(component, events[0].block, recurring=True) for component in found]
    except Exception as error:  # as in _single
        for event in events:
            yield event.block.fault(_one_line(error))
        return
    for row in rows:
        if row["status"] != "CANCELLED" and row["start"].date() <= last:
            yield events[0].block.line, row


def _check_rule(component: Any) -> None:
    """Refuses a series that happens so often that it is no event any more.

    Raises:
        ValueError: it does.
    """
    rules = component.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        if rule.get("INTERVAL", [1])[0] < 1:  # it would be expanded for ever
            raise ValueError("RRULE: INTERVAL must be positive")
        hours, minutes, seconds = (len(rule.get(key, [])) or 1 for key in ("BYHOUR", "BYMINUTE", "BYSECOND"))
        frequency = str(rule.get("FREQ", [""])[0])
        per_day = 24 if frequency == "HOURLY" else hours
        if frequency == "HOURLY" and ("BYMONTHDAY" in rule or "BYYEARDAY" in rule):
            raise ValueError("RRULE: HOURLY on some days of a month or year is not supported")
        if frequency in ("SECONDLY", "MINUTELY") or per_day * minutes * seconds > _MOST_PER_DAY:
            raise ValueError(f"may happen more than {_MOST_PER_DAY} times a day")


def _check_start(component: Any, first: date) -> None:
    """Refuses a series that begins so long before the window that the way there takes seconds.

    Raises:
        ValueError: it does.
    """
    if "RRULE" in component and first.year - component.start.year > _MOST_YEARS:
        raise ValueError(f"begins more than {_MOST_YEARS} years before the window")


def _row(component: Any, block: _Block, *, recurring: bool = False) -> dict[str, Any]:
    """Returns the properties under their names in lower case, and those that are computed."""
    row: dict[str, Any] = {name.lower(): _value(value) for name, value in component.items()}
    start = component.start
    return row | {
        "id": _identity(component, row.get("uid", ""), recurring=recurring),
        "calendar": block.calendar.name,
        "status": str(row.get("status", "")).strip().upper(),
        "start": _moment(start),
        "end": _moment(component.end),
        "all_day": not isinstance(start, datetime),
    }


def _value(value: Any) -> Any:
    """Returns what the mapping can take: text, or a list of texts."""
    if isinstance(value, list):
        items = (_value(item) for item in value)
        return [text for item in items for text in (item if isinstance(item, list) else [item])]
    if hasattr(value, "cats"):
        return [str(text) for text in value.cats]
    if hasattr(value, "dt"):
        return _moment(value.dt) if isinstance(value.dt, date) else str(value.dt)
    return str(value)


def _identity(component: Any, uid: str, *, recurring: bool) -> str:
    """Returns the UID, with the time that it was planned for when it happens several times.

    That time stays when an override moves the event.
    """
    planned = component.get("RECURRENCE-ID")
    if not uid or not recurring or planned is None:
        return uid
    moment = planned.dt
    if not isinstance(moment, datetime):
        return f"{uid}/{moment:%Y%m%d}"
    if moment.tzinfo is None:
        return f"{uid}/{moment:%Y%m%dT%H%M%S}"
    return f"{uid}/{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _moment(value: date) -> datetime:
    """Returns a time as it is, and midnight for a day; without a zone where the calendar names none."""
    return value if isinstance(value, datetime) else datetime.combine(value, time())
