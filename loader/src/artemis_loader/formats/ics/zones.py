"""Time zones of a calendar: its own (VTIMEZONE, RFC 5545, 3.6.5), and others by their names."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import partial
from itertools import islice

from artemis_loader.formats.ics.components import Block, Warn
from artemis_loader.formats.ics.lines import Malformed, Property, shown, unescape
from artemis_loader.formats.ics.recurrence import expand
from artemis_loader.formats.ics.rules import Rule, read_rule
from artemis_loader.formats.ics.values import at_midnight, read_moment, read_offset
from artemis_loader.formats.ics.zone_names import displayed_zone, known_zone

_EPOCH = datetime(1970, 1, 1)
_FIRST = datetime(1900, 1, 1)
"""The changes of rules before it are left out: Outlook begins all of them in 1601."""
_FIRST_HORIZON = 2050
_MAX_ONSETS = 20_000
_ZERO = timedelta()


class _Broken(Malformed):
    """A VTIMEZONE cannot be used."""


@dataclass(frozen=True)
class _Observance:
    """A STANDARD or DAYLIGHT: when it begins, each time in the offset that it replaces, and the offsets in seconds."""

    start: datetime
    before: int
    after: int
    rules: tuple[Rule, ...]
    dates: tuple[datetime, ...]

    def onsets(self, last: datetime) -> Iterator[int]:
        """Yields when it begins, in seconds of UTC since 1970, in any order."""
        zone = timezone(timedelta(seconds=self.before))
        yield from (_seconds(moment) - self.before for moment in (self.start, *self.dates))
        for rule in self.rules:
            for moment in expand(rule, self.start, max(self.start, _FIRST), last):
                if rule.until is None or _is_until(moment.replace(tzinfo=zone), rule.until):
                    yield _seconds(moment) - self.before


def _is_until(moment: datetime, until: date) -> bool:
    """Tells whether a rule goes on until then: UNTIL is a time in UTC (3.3.10), but some write a local one."""
    end = at_midnight(until) if isinstance(until, datetime) else at_midnight(until) + timedelta(days=1, seconds=-1)
    return moment <= end if end.tzinfo else moment.replace(tzinfo=None) <= end


class CalendarZone(tzinfo):
    """A time zone that a calendar defines. Before its first onset, the offset is the one that the onset replaces."""

    def __init__(self, name: str, observances: Iterable[_Observance]) -> None:
        self._name = name
        self._observances = tuple(observances)
        self._horizon = 0
        self._extend(_FIRST_HORIZON)

    def __repr__(self) -> str:
        return f"CalendarZone({self._name!r})"

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Returns the offset at a local time, by its `fold` where that is ambiguous, as PEP 495 has it."""
        if moment is None:
            return _ZERO
        if moment.year >= self._horizon:
            self._extend(min(moment.year + 50, 9999))
        walls = self._walls[moment.fold]
        return self._offsets[bisect_right(walls, _seconds(moment.replace(tzinfo=None)))]

    def dst(self, moment: datetime | None) -> timedelta | None:  # noqa: ARG002, the signature of tzinfo
        """Returns None: unknown."""
        return None

    def tzname(self, moment: datetime | None) -> str:  # noqa: ARG002, likewise
        """Returns the zone's TZID."""
        return self._name

    def fromutc(self, moment: datetime) -> datetime:
        """Returns the local time of a time in UTC that has this zone."""
        if moment.year >= self._horizon - 1:
            self._extend(min(moment.year + 50, 9999))
        offset = self._offsets[bisect_right(self._onsets, _seconds(moment.replace(tzinfo=None)))]
        local = moment + offset
        return local if self.utcoffset(local) == offset else local.replace(fold=1)

    def _extend(self, year: int) -> None:
        """Computes the onsets up to the end of a year."""
        if year <= self._horizon:
            return
        self._horizon = year
        last = datetime(year, 12, 31)
        onsets = {onset: each for each in self._observances for onset in islice(each.onsets(last), _MAX_ONSETS)}
        if len(onsets) >= _MAX_ONSETS:
            raise Malformed("changes too often")
        changes = sorted(onsets.items(), key=lambda pair: pair[0])
        self._onsets = [onset for onset, _ in changes]
        offsets = [changes[0][1].before, *(each.after for _, each in changes)]
        self._offsets = [timedelta(seconds=seconds) for seconds in offsets]
        steps = list(zip(self._onsets, offsets, offsets[1:], strict=False))
        self._walls = (
            [onset + max(before, after) for onset, before, after in steps],
            [onset + min(before, after) for onset, before, after in steps],
        )


def define(block: Block, warn: Warn) -> tuple[str, CalendarZone]:
    """Returns the TZID and the zone of a VTIMEZONE. What it has beside its rules does no harm.

    Raises:
        Malformed: it has no TZID, or cannot be used.
    """
    parts = [own := list[Property]()]
    current = own
    for prop in block.properties(warn, ("BEGIN:STANDARD", "BEGIN:DAYLIGHT")):
        if prop.name == "BEGIN":
            parts.append(current := [])
        elif prop.name == "END":
            current = own
        else:
            current.append(prop)
    name = next((unescape(prop.value).strip() for prop in own if prop.name == "TZID"), "")
    if not name:
        raise _Broken("has no TZID")
    observances = [_observance(properties, warn) for properties in parts[1:]]
    if not observances:
        raise _Broken(f"{shown(name)} has neither STANDARD nor DAYLIGHT")
    try:
        return name, CalendarZone(name, observances)
    except Malformed as error:
        raise _Broken(f"{shown(name)}: {error}") from None


def _observance(properties: Iterable[Property], warn: Warn) -> _Observance:
    """Returns an observance of its properties."""
    values: dict[str, list[str]] = {}
    rules = []
    for prop in properties:
        values.setdefault(prop.name, []).append(prop.value)
        if prop.name == "RRULE" and prop.value.strip():
            rules.append(read_rule(prop.value, partial(_warn_of_rule, warn, prop.line)))
        elif prop.name.startswith("TZOFFSET") and ":" in prop.value:
            warn(prop.line, f"{prop.name}: has a colon in it, which is left out")
    for needed in ("DTSTART", "TZOFFSETFROM", "TZOFFSETTO"):
        if len(values.get(needed, ())) != 1:
            raise _Broken(f"{needed} is missing, or there several times")
    dates = (part.split("/")[0] for value in values.get("RDATE", ()) for part in value.split(",") if part.strip())
    return _Observance(
        start=_local(values["DTSTART"][0]),
        before=read_offset(values["TZOFFSETFROM"][0]),
        after=read_offset(values["TZOFFSETTO"][0]),
        rules=tuple(rules),
        dates=tuple(map(_local, dates)),
    )


def _warn_of_rule(warn: Warn, line: int, reason: str) -> None:
    warn(line, f"RRULE: {reason}")


def _local(text: str) -> datetime:
    return at_midnight(read_moment(text)).replace(tzinfo=None)


def _seconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return since.days * 86400 + since.seconds


class Zones:
    """The zones of one calendar."""

    def __init__(self, fallback: Callable[[str], tzinfo | None]) -> None:
        """`fallback` returns the zone for a name that is not known, if times in it are not to be rejected."""
        self._own: dict[str, tzinfo] = {}
        self._fallback = fallback

    def add(self, name: str, zone: tzinfo) -> bool:
        """Adds a zone of the calendar's own, which wins over others of its name.

        The first of several counts; tells whether it is that.
        """
        return self._own.setdefault(name, zone) is zone

    def find(self, name: str, warn: Callable[[str], None]) -> tzinfo:
        """Returns the zone of a name, with a warning if that is guessed.

        Raises:
            Malformed: it is not defined.
        """
        zone = self._own.get(name) or known_zone(name)
        if zone is not None:
            return zone
        zone = displayed_zone(name) or self._fallback(name)
        if zone is None:
            raise Malformed(f"the time zone {name[:100]!r} is not defined")
        warn(f"the time zone {name[:100]!r} is not defined; {zone} is taken instead")
        return zone
