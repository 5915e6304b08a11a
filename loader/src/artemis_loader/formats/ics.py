"""iCalendar (RFC 5545): each event is a row, recurring ones once for each time that they happen in the window.

A calendar is read whole, because a time zone or an override may stand anywhere in it.
"""

import io
import re
import threading
import warnings
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

from icalendar import Component
from icalendar.timezone import tzp

from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats.ics_blocks import PARTS, Block, CalendarText, split
from artemis_loader.formats.ics_series import Event, occurrences
from artemis_loader.formats.rows import Fault, Rows

_MATTERS = {None, "UID", "SUMMARY", "DESCRIPTION", "LOCATION", "CATEGORIES", "STATUS", "DURATION", "SEQUENCE"}
"""An event with one of these properties broken is rejected; None stands for a line that is no property."""
_TIMES = {"DTSTART", "DTEND", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID"}
_ONCE = ("UID", "SEQUENCE", "DTSTART", "DTEND", "RECURRENCE-ID")
_UID = re.compile(rb"^UID[;:][^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(rb"\r?\n[ \t]")
_OVERRIDE = re.compile(rb"^(?:RECURRENCE-ID|RRULE|RDATE)[;:]", re.IGNORECASE | re.MULTILINE)
_ZONES = threading.Lock()
"""Held while a calendar is read: icalendar keeps the time zones that one defines for the whole process."""


def read_calendar(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows; cancelled events are left out.

    Raises:
        FeedError: the file is no calendar, or ends early.
    """
    calendars = split(stream, file)
    days = feed.window.days(datetime.now(UTC).date())
    for calendar in calendars:
        with _ZONES:
            rows = list(_read(calendar, days))
        yield from rows


def _read(calendar: CalendarText, days: tuple[date, date]) -> Iterable[tuple[int, Any] | Fault]:
    tzp.use_default()  # forgets the time zones that other calendars have defined
    for kind in reversed(PARTS):
        blocks = [block for block in calendar.blocks if block.kind == kind]
        yield from _rows(blocks, days) if kind == "VEVENT" else _define(blocks)


def _define(blocks: list[Block]) -> Rows:
    """Makes the calendar's own time zones known to the parser."""
    for block in blocks:
        try:
            _parse(block)
        except ValueError as error:
            yield block.rejected(f"a time zone cannot be read: {error}")


def _rows(blocks: list[Block], days: tuple[date, date]) -> Rows:
    series: dict[str, list[Event]] = {}
    for block in blocks:
        try:
            component = _parse(block)
            _check_once(component)
            _check_zones(component)
        except ValueError as error:
            yield block.rejected(str(error), _uid(block))
            continue
        series.setdefault(str(component.get("UID", "")) or f"\0{block.line}", []).append(Event(block, component))
    for events in series.values():
        try:
            rows = [(event.block.line, _row(event)) for event in occurrences(events, days)]
        except Exception as error:  # computing a property may raise anything
            for event in events:
                yield event.block.rejected(_one_line(error), _uid(event.block))
        else:
            yield from (item for item in rows if item[1]["status"] != "CANCELLED")


def _parse(block: Block) -> Any:
    """Returns the component.

    Raises:
        ValueError: it cannot be read; the text tells why.
    """
    if block.fault:
        raise ValueError(block.fault)
    try:
        text = block.data.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it guesses the time zone that a name means, and warns
            component = Component.from_ical(text)
    except Exception as error:  # the parser may raise anything
        raise ValueError(_one_line(error)) from None
    for name, reason in component.errors:
        if name in _MATTERS or name in _TIMES:
            raise ValueError(f"{name or 'a line'}: {_one_line(reason)}")
    return component


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _uid(block: Block) -> str:
    """Returns the UID of a single event that cannot be read; nothing for a part of a series, which has several ids."""
    found = _UID.search(block.data)
    if found is None or _OVERRIDE.search(block.data):
        return ""
    line = _FOLD.sub(b"", found[0])
    alone = Block("VEVENT", block.line, block.calendar, b"BEGIN:VEVENT\n" + line + b"\nEND:VEVENT\n")
    try:
        return str(_parse(alone).get("UID", "")).strip()
    except ValueError:
        return ""


def _check_once(component: Any) -> None:
    """Raises ValueError if a property that must be there once is there several times."""
    for name in _ONCE:
        if isinstance(component.get(name), list):
            raise ValueError(f"has more than one {name}")


def _check_zones(component: Any) -> None:
    """Refuses times in a zone that neither the calendar nor the IANA database defines.

    Raises:
        ValueError: there is one.
    """
    for name in ("DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE"):
        values = component.get(name, [])
        for value in values if isinstance(values, list) else [values]:
            zone = value.params.get("TZID")
            if zone and any(map(_is_floating, getattr(value, "dts", [value]))):
                raise ValueError(f"{name}: the time zone {zone!r} is not defined")


def _is_floating(value: Any) -> bool:
    """Tells whether a time, or the beginning of a period, has no zone."""
    moment = value.dt[0] if isinstance(value.dt, tuple) else value.dt
    return isinstance(moment, datetime) and moment.tzinfo is None


def _row(event: Event) -> dict[str, Any]:
    """Returns the properties under their names in lower case, and those that are computed."""
    component = event.component
    row: dict[str, Any] = {name.lower(): _value(value) for name, value in component.items()}
    start = component.start
    return row | {
        "id": event.identity,
        "calendar": event.block.calendar.name,
        "status": str(row.get("status", "")).strip().upper(),
        "start": _moment(start),
        "end": _moment(component.end),
        "all_day": not isinstance(start, datetime),
    }


def _value(value: Any) -> Any:
    """Returns a value that the mapping takes: text, or a list of texts."""
    if isinstance(value, list):
        items = (_value(item) for item in value)
        return [text for item in items for text in (item if isinstance(item, list) else [item])]
    if hasattr(value, "cats"):
        return [str(text) for text in value.cats]
    if hasattr(value, "dt"):
        return _moment(value.dt) if isinstance(value.dt, date) else str(value.dt)
    return str(value)


def _moment(value: date) -> datetime:
    """Returns a time as it is, and midnight for a day; without a zone where the calendar names none."""
    return value if isinstance(value, datetime) else datetime.combine(value, time())
