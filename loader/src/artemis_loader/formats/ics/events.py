"""Reads an event (VEVENT, RFC 5545, 3.6.1): its times, its recurrence rules, and its other properties.

A property that is broken rejects the event only if a time, or whether the event takes place, depends on it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from artemis_loader.formats.ics.components import Block, Warn
from artemis_loader.formats.ics.lines import Malformed, Property, texts, unescape
from artemis_loader.formats.ics.rules import FREQUENCIES, Rule, read_rule
from artemis_loader.formats.ics.values import Duration, at_midnight, in_utc, read_duration, read_moment
from artemis_loader.formats.ics.zones import Zones

_ONCE = ("UID", "DTSTART", "DTEND", "DURATION", "RECURRENCE-ID")
_LISTS = ("CATEGORIES", "RESOURCES")
_STAMPS = ("CREATED", "LAST-MODIFIED", "DTSTAMP")
_VERBATIM = {
    "URL",
    "ORGANIZER",
    "ATTENDEE",
    "ATTACH",
    "RRULE",
    "EXRULE",
    "RDATE",
    "EXDATE",
    "DURATION",
    "GEO",
    "CONFERENCE",
}
"""Properties whose values are no texts, so that nothing in them is escaped."""
_NUMBERS = {"SEQUENCE": range(1 << 31), "PRIORITY": range(10)}
_GEO = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*;\s*[+-]?\d+(\.\d*)?\s*", re.ASCII)
_SPECIAL = {*_LISTS, *_STAMPS, *_VERBATIM, *_NUMBERS}
_A_DAY = timedelta(days=1)
Properties = dict[str, list[Property]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that could be read, and where it was."""

    block: Block
    uid: str
    start: date | None
    """None only if it is cancelled."""
    end: date | None
    length: Duration
    """Of each time that it happens."""
    rules: tuple[Rule, ...] = ()
    excluding_rules: tuple[Rule, ...] = ()
    dates: tuple[tuple[date, Duration | None], ...] = ()
    """RDATE: further times, and their lengths if they have their own."""
    excluded: tuple[date, ...] = ()
    planned: date | None = None
    """The time of the series that it replaces."""
    onward: bool = False
    """True if it replaces all later ones, too."""
    cancelled: bool = False
    rank: tuple[int, float, float] = (0, 0.0, 0.0)
    """Higher for a newer revision (3.8.7.4; RFC 5546, 2.1.5)."""
    row: dict[str, Any]
    """Its properties by their names in lower case."""

    @property
    def alone(self) -> bool:
        """Tells whether it happens once, and is no part of a series."""
        return not (self.rules or self.dates or self.cancelled or self.planned)

    @property
    def recurs(self) -> bool:
        """Tells whether it is a series."""
        return bool(self.rules or self.dates)


@dataclass(frozen=True)
class EventReader:
    """Reads the events of one calendar."""

    zones: Zones
    floating: tzinfo
    """The zone of times that name none, which they keep."""
    own: tzinfo | None
    """The zone that is put into such times instead."""
    warn: Warn

    def read(self, block: Block) -> Event:
        """Returns the event of a component.

        Raises:
            Malformed: it cannot be read; the text tells why.
        """
        if block.fault:
            raise Malformed(block.fault)
        found: Properties = {}
        try:
            for prop in block.properties(self.warn):
                found.setdefault(prop.name, []).append(prop)
        except UnicodeDecodeError:
            raise Malformed("is not UTF-8") from None
        for name in _ONCE:
            if name in found and len(found[name]) > 1:
                raise Malformed(f"has more than one {name}")
        return self._event(block, found)

    def _event(self, block: Block, found: Properties) -> Event:
        row = self._row(found)
        status = str(row.get("status", "")).strip().upper()
        start = self._one(found, "DTSTART", self._moment)
        cancelled = status == "CANCELLED" or (start is None and block.calendar.method == "CANCEL")
        if start is None and not cancelled:
            raise Malformed("DTSTART is missing")
        end, length = self._length(found, start)
        planned = self._one(found, "RECURRENCE-ID", self._moment)
        modified, stamped = (_stamp(row.get(name)) for name in ("last-modified", "dtstamp"))
        return Event(
            block=block,
            uid=str(row.get("uid", "")).strip(),
            start=start,
            end=end,
            length=length,
            rules=self._rules(found, "RRULE", start) if "RRULE" in found else (),
            excluding_rules=self._rules(found, "EXRULE", start) if "EXRULE" in found else (),
            dates=tuple(self._dates(found, start)) if "RDATE" in found else (),
            excluded=tuple(moment for moment, _ in self._list(found, "EXDATE")) if "EXDATE" in found else (),
            planned=planned,
            onward="RECURRENCE-ID" in found
            and found["RECURRENCE-ID"][0].params.get("RANGE", "").upper() == "THISANDFUTURE",
            cancelled=cancelled,
            rank=(int(row.get("sequence", 0)), modified or stamped, stamped),
            row=row | {"status": status},
        )

    def _one(self, found: Properties, name: str, read: Callable[[Property], Any]) -> Any:
        """Returns the value of a property; None if there is none. Malformed names it."""
        if name not in found:
            return None
        try:
            return read(found[name][0])
        except Malformed as error:
            raise Malformed(f"{name}: {error}") from None

    def _moment(self, prop: Property, text: str | None = None) -> date:
        written = prop.value if text is None else text
        zone = self.own
        if "TZID" in prop.params and "T" in written.upper() and not written.strip().upper().endswith("Z"):
            zone = self.zones.find(prop.params["TZID"], lambda reason: self.warn(prop.line, f"{prop.name}: {reason}"))
        moment = read_moment(written, zone)
        if prop.params.get("VALUE", "").upper() == "DATE" and isinstance(moment, datetime):
            self.warn(prop.line, f"{prop.name}: VALUE is DATE, and the value a time, which is taken")
        return moment

    def _length(self, found: Properties, start: date | None) -> tuple[date | None, Duration]:
        """Returns the end, and the length: exact for times with DTEND, as written for DURATION (3.8.5.3)."""
        end = self._one(found, "DTEND", self._moment)
        length = self._one(found, "DURATION", lambda prop: read_duration(prop.value))
        if start is None:
            return None, Duration()
        timed = isinstance(start, datetime)
        if end is not None:
            if length is not None:
                self.warn(found["DURATION"][0].line, "DURATION: there is a DTEND, too, which is taken")
            if isinstance(end, datetime) is not timed:
                kinds = ("a time", "a date") if timed else ("a date", "a time")
                raise Malformed(f"DTEND: is {kinds[1]}, and DTSTART is {kinds[0]}")
            if timed:
                return end, Duration(0, in_utc(end, self.floating) - in_utc(start, self.floating))
            return end, Duration((end - start).days)
        if length is None:
            length = Duration() if timed else Duration(1)
        elif not timed and length.exact % _A_DAY:
            raise Malformed("DURATION: has hours, and DTSTART is a date")
        return length.after(start, self.floating), length

    def _rules(self, found: Properties, name: str, start: date | None) -> tuple[Rule, ...]:
        rules = []
        for prop in found.get(name, ()):

            def warn(reason: str, line: int = prop.line) -> None:
                self.warn(line, f"{name}: {reason}")

            if name == "EXRULE":
                warn("is obsolete (RFC 5545, A.3); the times that it excludes are left out")
            if not prop.value.strip():
                warn("is empty; it is left out")
            elif start is not None:
                try:
                    rules.append(_fitted(read_rule(prop.value, warn), start, warn))
                except Malformed as error:
                    raise Malformed(f"{name}: {error}") from None
        return tuple(rules)

    def _list(self, found: Properties, name: str) -> Iterable[tuple[date, Duration | None]]:
        """Yields the times of a list, and the lengths of its periods."""
        for prop in found.get(name, ()):
            if not prop.value.strip(" ,"):
                self.warn(prop.line, f"{name}: is empty; it is left out")
            for text in filter(None, map(str.strip, prop.value.split(","))):
                try:
                    yield self._period(prop, text)
                except Malformed as error:
                    raise Malformed(f"{name}: {error}") from None

    def _period(self, prop: Property, text: str) -> tuple[date, Duration | None]:
        """Returns the start of a period (3.3.9), and its length; of a time or date no length."""
        begin, slash, end = text.partition("/")
        moment = self._moment(prop, begin)
        if not slash:
            return moment, None
        if "P" in end.upper():
            return moment, read_duration(end)
        return moment, Duration(0, in_utc(self._moment(prop, end), self.floating) - in_utc(moment, self.floating))

    def _dates(self, found: Properties, start: date | None) -> Iterable[tuple[date, Duration | None]]:
        """Yields the times of RDATE as DTSTART is: dates, or times."""
        for moment, length in self._list(found, "RDATE"):
            if start is None or isinstance(moment, datetime) is isinstance(start, datetime):
                yield moment, length
                continue
            self.warn(found["RDATE"][0].line, "RDATE: is of another kind than DTSTART, whose kind is taken")
            yield _like(moment, start), length

    def _row(self, found: Properties) -> dict[str, Any]:
        """Returns the values of properties by their names; broken ones that no time depends on are left out."""
        row: dict[str, Any] = {}
        for name, props in found.items():
            if name not in _SPECIAL and len(props) == 1:
                value = props[0].value
                row[name.lower()] = unescape(value) if "\\" in value else value
                continue
            values = [value for prop in props for value in self._values(prop)]
            if name in _NUMBERS and values:
                row[name.lower()] = str(max(map(int, values)))
            elif values:
                row[name.lower()] = values[0] if len(values) == 1 and name not in _LISTS else values
        return row

    def _values(self, prop: Property) -> list[Any]:
        if prop.name in _LISTS:
            return texts(prop.value)
        if prop.name in _VERBATIM and prop.name != "GEO":
            return [prop.value.strip()]
        try:
            return [_checked(prop)]
        except Malformed as error:
            self.warn(prop.line, f"{prop.name}: {error}; the property is left out")
            return []


def _checked(prop: Property) -> Any:
    """Returns the value of a property that no time of the event depends on.

    Raises:
        Malformed: it is broken.
    """
    if prop.name in _STAMPS:
        return at_midnight(read_moment(prop.value))
    if prop.name == "GEO" and not _GEO.fullmatch(prop.value):
        raise Malformed("is not two numbers with a semicolon between them")
    if prop.name in _NUMBERS:
        text = prop.value.strip()
        if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) not in _NUMBERS[prop.name]:
            raise Malformed(f"is not a number from 0 to {_NUMBERS[prop.name][-1]}")
        return text
    return unescape(prop.value)


def _stamp(moment: object) -> float:
    if not isinstance(moment, datetime):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _like(moment: date, start: date) -> date:
    """Returns the day of a time for a series of days, and a day at the time of DTSTART for one of times."""
    if not isinstance(start, datetime):
        return date(moment.year, moment.month, moment.day)
    return start.replace(year=moment.year, month=moment.month, day=moment.day, fold=0)


def _fitted(rule: Rule, start: date, warn: Callable[[str], None]) -> Rule:
    """Returns the rule without what means nothing for dates, and with an UNTIL that can be compared with DTSTART.

    Raises:
        Malformed: the rule has times, and DTSTART has none.
    """
    until = rule.until
    if not isinstance(start, datetime):
        if rule.frequency in FREQUENCIES[4:]:
            raise Malformed(f"{rule.frequency} needs a DTSTART with a time")
        if isinstance(until, datetime):
            warn("UNTIL is a time, and DTSTART a date; its date is taken")
            until = until.date()
        return replace(rule, hours=(), minutes=(), seconds=(), until=until)
    if until is None:
        return rule
    if not isinstance(until, datetime):
        warn("UNTIL is a date, and DTSTART a time; the whole day is meant")
        until = datetime.combine(until, time(23, 59, 59), start.tzinfo)
    elif until.tzinfo is None and start.tzinfo is not None:
        warn("UNTIL is a local time; it is read in the zone of DTSTART")
        until = until.replace(tzinfo=start.tzinfo)
    elif until.tzinfo is not None and start.tzinfo is None:
        warn("UNTIL is in UTC, and DTSTART in no zone; both are compared in UTC")
    return replace(rule, until=until)
