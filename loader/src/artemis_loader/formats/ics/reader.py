"""iCalendar (RFC 5545): each event is a row, recurring ones once for each time that they happen in the window.

A calendar is read whole, because a time zone or an override may stand anywhere in it.
"""

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from artemis_loader.feeds import Feed
from artemis_loader.files import LocalFile
from artemis_loader.formats.ics.components import Block, CalendarText, split
from artemis_loader.formats.ics.events import Event, EventReader
from artemis_loader.formats.ics.lines import Line, Malformed, boundary, name_of, parse, unescape
from artemis_loader.formats.ics.series import Expander, Occurrence
from artemis_loader.formats.ics.values import at_midnight
from artemis_loader.formats.ics.zone_names import displayed_zone, known_zone
from artemis_loader.formats.ics.zones import Zones, define
from artemis_loader.formats.rows import Fault, Rows
from artemis_loader.records import FeedWarning

_MESSAGES = {"REPLY", "COUNTER", "DECLINECOUNTER", "REFRESH", "ADD"}
"""Methods of messages that answer, change or ask for events which the receiver has already (RFC 5546, 1.4)."""
_PARTS_OF_SERIES = {"RECURRENCE-ID", "RRULE", "RDATE"}


def read_calendar(stream: io.BufferedReader, file: LocalFile, feed: Feed) -> Rows:
    """Returns the rows; cancelled events are left out.

    Raises:
        FeedError: the file is no calendar, or ends early.
    """
    days = feed.window.days(datetime.now(UTC).date())
    for calendar in split(stream, file):
        yield from _Reader(calendar, file, feed, days).rows()


class _Reader:
    """Reads one calendar of a file."""

    def __init__(self, calendar: CalendarText, file: LocalFile, feed: Feed, days: tuple[date, date]) -> None:
        self._calendar = calendar
        self._file = file
        self._warnings: list[FeedWarning] = []
        self._zones = Zones(lambda _: feed.time_zone if feed.calendar.undefined_zone == "feed" else None)
        start = feed.fields.get("start_time")
        self._floating: tzinfo = (start and start.time_zone) or feed.time_zone
        self._own: tzinfo | None = None
        """The zone that the calendar's X-WR-TIMEZONE gives to times that name none."""
        self._feed = feed
        self._days = days

    def rows(self) -> Rows:
        """Yields the rows, the faults and the warnings."""
        yield from self._define()
        self._take_calendar_zone()
        self._check_calendar()
        reader = EventReader(self._zones, self._floating, self._own, self._warn)
        series: dict[str, list[Event]] = {}
        for block in self._blocks("VEVENT"):
            try:
                event = reader.read(block)
            except Malformed as error:
                yield block.rejected(str(error), _uid(block))
            else:
                series.setdefault(event.uid or f"\0{block.line}", []).append(event)
            if self._warnings:
                yield from self._warned()
        yield from self._warned()
        expander = Expander(*self._days, self._floating, self._warn)
        for events in series.values():
            yield from self._expanded(expander, events)
            if self._warnings:
                yield from self._warned()

    def _check_calendar(self) -> None:
        """Warns of what the calendar's own properties say, and is not done."""
        if self._calendar.version.startswith("1"):
            self._warn(self._calendar.lines["VERSION"], "VERSION: is 1.0, vCalendar; it is read as iCalendar")
        method = self._calendar.method
        if method == "CANCEL":
            reason = "only events with STATUS:CANCELLED, or no DTSTART, are left out"
            self._warn(self._calendar.lines["METHOD"], f"METHOD:CANCEL: {reason}")
        elif method in _MESSAGES:
            reason = "is a message about events that somebody has already; it is read as events"
            self._warn(self._calendar.lines["METHOD"], f"METHOD:{method}: {reason}")

    def _blocks(self, kind: str) -> Iterable[Block]:
        return (block for block in self._calendar.blocks if block.kind == kind)

    def _define(self) -> Iterator[Fault]:
        """Takes the calendar's own time zones."""
        for block in self._blocks("VTIMEZONE"):
            try:
                if block.fault:
                    raise Malformed(block.fault)
                name, zone = define(block, self._warn)
                if not self._zones.add(name, zone):
                    self._warn(block.line, f"VTIMEZONE: {name[:100]!r} is defined already; the first one is taken")
            except UnicodeDecodeError:
                yield block.rejected("a time zone cannot be read: is not UTF-8")
            except Malformed as error:
                yield block.rejected(f"a time zone cannot be read: {error}")

    def _take_calendar_zone(self) -> None:
        """Takes the zone of X-WR-TIMEZONE for times that name none, if the feed is declared so."""
        name, line = self._calendar.time_zone, self._calendar.lines.get("X-WR-TIMEZONE", 0)
        if not name or self._feed.calendar.floating_zone != "calendar":
            return
        zone = known_zone(name) or displayed_zone(name)
        if zone is None:
            self._warn(line, f"X-WR-TIMEZONE: {name[:100]!r} is not defined; the zone of the feed is taken instead")
        else:
            self._warn(line, f"X-WR-TIMEZONE: times without a zone are in {zone}")
            self._own = self._floating = zone

    def _expanded(self, expander: Expander, events: list[Event]) -> Rows:
        try:
            rows = [(found.event.block.line, self._row(found)) for found in expander.occurrences(events)]
        except Malformed as error:
            for event in events:
                yield event.block.rejected(str(error), _uid(event.block))
        except (OverflowError, ValueError):  # at the ends of the years that there are
            for event in events:
                yield event.block.rejected("has times in no year from 1 to 9999", _uid(event.block))
        else:
            yield from (item for item in rows if item[1]["status"] != "CANCELLED")

    def _row(self, found: Occurrence) -> dict[str, Any]:
        """Returns the properties under their names in lower case, and those that are computed."""
        start, end = self._at(found.start), self._at(found.end)
        return found.event.row | {
            "id": found.identity,
            "uid": found.event.uid,
            "calendar": self._calendar.name,
            "dtstart": start,
            "dtend": end,
            "start": start,
            "end": end,
            "all_day": not isinstance(found.start, datetime),
        }

    def _at(self, moment: date) -> datetime:
        """Returns a time as it is, and midnight for a day; without a zone where the calendar names none."""
        return moment if isinstance(moment, datetime) else at_midnight(moment).replace(tzinfo=self._own)

    def _warn(self, line: int, reason: str) -> None:
        self._warnings.append(FeedWarning(self._file.name, line, reason))

    def _warned(self) -> Iterator[FeedWarning]:
        yield from self._warnings
        self._warnings.clear()


def _uid(block: Block) -> str:
    """Returns the UID of a single event that cannot be read; nothing for a part of a series, which has several ids."""
    names = [name_of(line) for line in block.lines]
    if _PARTS_OF_SERIES.intersection(names):
        return ""
    depth = 0
    for line, name in zip(block.lines[1:], names[1:], strict=True):
        text = boundary(line)
        depth += text.startswith("BEGIN:") - text.startswith("END:")
        if name == "UID" and depth == 0:
            return _text(line)
    return ""


def _text(line: Line) -> str:
    """Returns the value of a line; nothing if that cannot be read."""
    try:
        return unescape(parse(line).value).strip()
    except (Malformed, UnicodeDecodeError):
        return ""
