"""Reads an event (VEVENT, RFC 5545, 3.6.1): its times and its recurrence rules; `properties` reads the others.

A property that is broken rejects the event only if a time, or whether the event takes place, depends on it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from artemis_loader.formats.ics.components import Block, Warn
from artemis_loader.formats.ics.lines import Malformed, Property, shown
from artemis_loader.formats.ics.properties import Properties, collect, read_row
from artemis_loader.formats.ics.rules import FREQUENCIES, Rule, read_rule
from artemis_loader.formats.ics.values import Duration, in_utc, like, read_duration, read_moment
from artemis_loader.formats.ics.zones import Zones

_A_DAY = timedelta(days=1)


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
        try:
            found = collect(block.properties(self.warn), self.warn)
        except UnicodeDecodeError:
            raise Malformed("is not UTF-8") from None
        return self._event(block, found)

    def _event(self, block: Block, found: Properties) -> Event:
        row = read_row(found, self.warn)
        status = self._status(found)
        start = self._one(found, "DTSTART", self._moment)
        cancelled = status == "CANCELLED" or (start is None and block.calendar.method == "CANCEL")
        if start is None and not cancelled:
            raise Malformed("DTSTART is missing")
        end, length = self._length(found, start)
        planned = self._one(found, "RECURRENCE-ID", self._moment)
        if planned is not None:
            self._drop_series(found)
        if "EXDATE" in found and not ("RRULE" in found or "RDATE" in found):
            self.warn(found["EXDATE"][0].line, "EXDATE: means nothing without RRULE or RDATE; it is left out")
        modified, stamped = (_stamp(row.get(name)) for name in ("last-modified", "dtstamp"))
        return Event(
            block=block,
            uid=str(row.get("uid", "")).strip(),
            start=start,
            end=end,
            length=length,
            rules=self._rules(found, "RRULE", start) if "RRULE" in found else (),
            excluding_rules=self._rules(found, "EXRULE", start) if "EXRULE" in found else (),
            dates=tuple(self._list(found, "RDATE", start)) if "RDATE" in found else (),
            excluded=tuple(moment for moment, _ in self._list(found, "EXDATE", start)) if "EXDATE" in found else (),
            planned=planned,
            onward=planned is not None and self._is_onward(found["RECURRENCE-ID"][0]),
            cancelled=cancelled,
            rank=(int(row.get("sequence", 0)), modified or stamped, stamped),
            row=row | {"status": status},
        )

    def _status(self, found: Properties) -> str:
        if "STATUS" not in found:
            return ""
        prop = found["STATUS"][0]
        status = prop.value.strip().upper()
        if status == "CANCELED":
            self.warn(prop.line, "STATUS: CANCELED is taken for CANCELLED")
            return "CANCELLED"
        return status

    def _is_onward(self, prop: Property) -> bool:
        kind = prop.params.get("RANGE", "").upper()
        if kind not in ("", "THISANDFUTURE"):
            self.warn(prop.line, f"RECURRENCE-ID: RANGE={kind[:40]} is not supported; the one time is replaced")
        return kind == "THISANDFUTURE"

    def _drop_series(self, found: Properties) -> None:
        """Leaves out what makes a series, because an override is no series."""
        for name in ("RRULE", "EXRULE", "RDATE", "EXDATE"):
            for prop in found.pop(name, ()):
                self.warn(prop.line, f"{name}: means nothing beside RECURRENCE-ID; it is left out")

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
        zone, params = self.own, prop.params
        if "TZID" in params and "T" in written.upper():
            if written.strip().upper().endswith("Z"):
                self.warn(prop.line, f"{prop.name}: is in UTC, so that TZID means nothing (RFC 5545, 3.2.19)")
            else:
                zone = self.zones.find(params["TZID"], lambda reason: self.warn(prop.line, f"{prop.name}: {reason}"))
        moment = read_moment(written, zone)
        is_time = isinstance(moment, datetime)
        if is_time and params.get("VALUE", "").upper() == "DATE":
            self.warn(prop.line, f"{prop.name}: VALUE is DATE, and the value a time, which is taken")
        elif not is_time and params.get("VALUE", "").upper() != "DATE":
            self.warn(prop.line, f"{prop.name}: is a date, which needs VALUE=DATE; it is taken as a date")
        return moment

    def _alike(self, prop: Property, moment: date, start: date | None) -> date:
        """Returns a time as DTSTART is, with a warning if it is written in another way."""
        found, reason = like(moment, start, self.floating)
        if reason:
            self.warn(prop.line, f"{prop.name}: {reason}")
        return found

    def _length(self, found: Properties, start: date | None) -> tuple[date | None, Duration]:
        """Returns the end, and the length: exact for times with DTEND, as written for DURATION (3.8.5.3)."""
        end = self._one(found, "DTEND", self._moment)
        if start is None:
            return None, Duration()
        timed = isinstance(start, datetime)
        if end is not None:
            end, length = self._until_end(found, start, end)
        else:
            length = self._one(found, "DURATION", lambda prop: read_duration(prop.value))
            if length is None:
                length = Duration() if timed else Duration(1)
            elif not timed and length.exact % _A_DAY:
                raise Malformed("DURATION: has hours, and DTSTART is a date")
        if length.negative and ("RRULE" in found or "RDATE" in found):
            raise Malformed("DTEND: is before DTSTART" if end is not None else "DURATION: is negative")
        if not timed and length == Duration():
            name = "DTEND" if end is not None else "DURATION"
            self.warn(found[name][0].line, f"{name}: leaves the event no day; it has one")
            end, length = None, Duration(1)
        return end or length.after(start, self.floating), length

    def _until_end(self, found: Properties, start: date, end: date) -> tuple[date, Duration]:
        if "DURATION" in found:
            self.warn(found["DURATION"][0].line, "DURATION: there is a DTEND, too, which is taken")
        timed = isinstance(start, datetime)
        if isinstance(end, datetime) is not timed:
            kinds = ("a time", "a date") if timed else ("a date", "a time")
            raise Malformed(f"DTEND: is {kinds[1]}, and DTSTART is {kinds[0]}")
        end = self._alike(found["DTEND"][0], end, start)
        if timed:
            return end, Duration(0, in_utc(end, self.floating) - in_utc(start, self.floating))
        return end, Duration((end - start).days)

    def _rules(self, found: Properties, name: str, start: date | None) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        for prop in found.get(name, ()):

            def warn(reason: str, line: int = prop.line) -> None:
                self.warn(line, f"{name}: {reason}")

            if name == "EXRULE":
                warn("is obsolete (RFC 5545, A.3); the times that it excludes are left out")
            elif rules:
                warn("there is another one; the times of both are taken")
            if not prop.value.strip():
                warn("is empty; it is left out")
            elif start is not None:
                try:
                    rules.append(_fitted(read_rule(prop.value, warn), start, self.floating, warn))
                except Malformed as error:
                    raise Malformed(f"{name}: {error}") from None
        return tuple(rules)

    def _list(self, found: Properties, name: str, start: date | None) -> Iterable[tuple[date, Duration | None]]:
        """Yields the times of a list as DTSTART is, and the lengths of its periods."""
        for prop in found.get(name, ()):
            items = [text.strip() for text in prop.value.split(",")]
            if not any(items):
                self.warn(prop.line, f"{name}: is empty; it is left out")
            elif not all(items):
                self.warn(prop.line, f"{name}: has an empty item, which is left out")
            for text in filter(None, items):
                try:
                    moment, length = self._period(prop, text)
                except Malformed as error:
                    raise Malformed(f"{name}: {error}") from None
                if name == "EXDATE" and isinstance(start, datetime) and not isinstance(moment, datetime):
                    self.warn(prop.line, "EXDATE: is a date, and DTSTART a time; all times of that day are left out")
                    yield moment, None
                else:
                    yield self._alike(prop, moment, start), length

    def _period(self, prop: Property, text: str) -> tuple[date, Duration | None]:
        """Returns the start of a period (3.3.9), and its length; of a time or date no length."""
        begin, slash, end = text.partition("/")
        moment = self._moment(prop, begin)
        if not slash:
            return moment, None
        if "P" in end.upper():
            length = read_duration(end)
        else:
            length = Duration(0, in_utc(self._moment(prop, end), self.floating) - in_utc(moment, self.floating))
        if length.negative:
            raise Malformed(f"{shown(text)} ends before it begins")
        return moment, length


def _stamp(moment: object) -> float:
    if not isinstance(moment, datetime):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _fitted(rule: Rule, start: date, floating: tzinfo, warn: Callable[[str], None]) -> Rule:
    """Returns the rule without what means nothing for dates, and with an UNTIL that can be compared with DTSTART.

    Raises:
        Malformed: the rule has times, and DTSTART has none.
    """
    if not isinstance(start, datetime):
        if rule.frequency in FREQUENCIES[4:]:
            raise Malformed(f"{rule.frequency} needs a DTSTART with a time")
        if rule.hours or rule.minutes or rule.seconds:
            warn("has times of the day, which mean nothing, because DTSTART is a date")
            rule = replace(rule, hours=(), minutes=(), seconds=())
    if rule.until is None:
        return rule
    until = _comparable(rule.until, start, warn)
    if in_utc(until, floating) < in_utc(start, floating):
        warn("UNTIL is before DTSTART; there is only that")
    return replace(rule, until=until)


def _comparable(until: date, start: date, warn: Callable[[str], None]) -> date:
    """Returns an UNTIL that can be compared with DTSTART."""
    if not isinstance(start, datetime):
        if not isinstance(until, datetime):
            return until
        warn("UNTIL is a time, and DTSTART a date; its date is taken")
        return until.date()
    if not isinstance(until, datetime):
        warn("UNTIL is a date, and DTSTART a time; the whole day is meant")
        return datetime.combine(until, time(23, 59, 59), start.tzinfo)
    if until.tzinfo is None and start.tzinfo is not None:
        warn("UNTIL is a local time; it is read in the zone of DTSTART")
        return until.replace(tzinfo=start.tzinfo)
    if until.tzinfo is not None and start.tzinfo is None:
        warn("UNTIL is in UTC, and DTSTART in no zone; both are compared in UTC")
    return until
