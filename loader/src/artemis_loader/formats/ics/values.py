"""Times and durations as a calendar writes them (RFC 5545, 3.3.4 to 3.3.6).

A date is an all-day event, a datetime without a zone a floating time. Local times that a change of clocks skips have
the offset before it, and of times that happen twice the first one is meant (3.3.5): so does Python with fold=0.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from artemis_loader.formats.ics.lines import Malformed, shown

_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(Z?)", re.ASCII)
_DURATION = re.compile(
    r"([+-]?)P(?=.)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII | re.IGNORECASE
)
_MAX_DIGITS = 9
_LEAP_SECOND = 60


@lru_cache(maxsize=4096)
def read_moment(text: str, zone: tzinfo | None = None) -> date:
    """Returns a date, or a time: with "Z" in UTC, else in the zone. A leap second is the second before it (3.3.12).

    Raises:
        Malformed: it is neither.
    """
    written = text.strip().upper()
    try:
        if found := _TIME.fullmatch(written):
            year, month, day, hour, minute, second = map(int, found.groups()[:6])
            second = 59 if second == _LEAP_SECOND else second
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC if found[7] else zone)
        if found := _DATE.fullmatch(written):
            return date(*map(int, found.groups()))
    except ValueError:
        pass
    raise Malformed(f"{shown(text)} is no date or time, such as 20240309 or 20240309T100000Z")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: days as the calendar counts them, and an exact time (3.3.6)."""

    days: int = 0
    exact: timedelta = timedelta()

    @property
    def negative(self) -> bool:
        """Tells whether the end is before the start."""
        return timedelta(days=self.days) + self.exact < timedelta()

    def after(self, start: date, floating: tzinfo) -> date:
        """Returns the end of what begins then; a floating time is in the zone `floating`.

        Raises:
            Malformed: it is beyond the years that there are.
        """
        try:
            return self._after(start, floating)
        except (OverflowError, ValueError):
            raise Malformed("ends in no year from 1 to 9999") from None

    def _after(self, start: date, floating: tzinfo) -> date:
        if not isinstance(start, datetime):
            return start + timedelta(days=self.days) + self.exact
        end = start + timedelta(days=self.days) if self.days else start  # as the clock on the wall shows it
        if not self.exact:
            return end
        zone = end.tzinfo
        moved = (in_utc(end, floating) + self.exact).astimezone(zone or floating)
        return moved if zone else moved.replace(tzinfo=None)


@lru_cache(maxsize=1024)
def read_duration(text: str) -> Duration:
    """Returns a duration: "-P1DT2H" is Duration(-1, timedelta(hours=-2)).

    Raises:
        Malformed: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    numbers = found.groups()[1:] if found else ()
    if found is None or any(number and len(number) > _MAX_DIGITS for number in numbers):
        raise Malformed(f"{shown(text)} is no duration, such as P1D or PT1H30M")
    sign = -1 if found[1] == "-" else 1
    weeks, days, hours, minutes, seconds = (sign * int(number or 0) for number in numbers)
    return Duration(7 * weeks + days, timedelta(hours=hours, minutes=minutes, seconds=seconds))


def read_offset(text: str) -> int:
    """Returns the seconds of an offset from UTC (3.3.14): "-0330" is -12600.

    Raises:
        Malformed: it is none.
    """
    found = re.fullmatch(r"([+-])(\d\d):?([0-5]\d)(?::?([0-5]\d))?", text.strip(), re.ASCII)
    if found is None or int(found[2]) >= 24:  # noqa: PLR2004, hours
        raise Malformed(f"{shown(text)} is no offset, such as +0100")
    seconds = int(found[2]) * 3600 + int(found[3]) * 60 + int(found[4] or 0)
    return -seconds if found[1] == "-" else seconds


def in_utc(moment: date, floating: tzinfo) -> datetime:
    """Returns a time in UTC; a date is its midnight, and it and a floating time are in the zone `floating`.

    Raises:
        Malformed: it is in no year from 1 to 9999.
    """
    at = at_midnight(moment)
    try:
        return (at if at.tzinfo else at.replace(tzinfo=floating)).astimezone(UTC)
    except (OverflowError, ValueError):
        raise Malformed("is in no year from 1 to 9999") from None


def at_midnight(moment: date) -> datetime:
    """Returns a time as it is, and the midnight of a date, without a zone."""
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time())


def like(moment: date, start: date | None, floating: tzinfo) -> tuple[date, str]:
    """Returns a time as DTSTART is: a date, in a zone, or in none, which is `floating`; and how it was not so.

    With a DTSTART of 10:00 in Berlin, 2 July is 10:00 on that day, and 11:00 without a zone is 11:00 in Berlin. They
    must be alike (3.8.2.2, 3.8.4.4, 3.8.5.1, 3.8.5.2), and are not in some calendars.
    """
    if start is None:
        return moment, ""
    if not isinstance(start, datetime):
        is_date = not isinstance(moment, datetime)
        return day_of(moment), "" if is_date else "is a time, and DTSTART a date; its date is taken"
    if not isinstance(moment, datetime):
        at = datetime.combine(moment, start.time(), start.tzinfo)
        return at, "is a date, and DTSTART a time; the time of that is taken"
    if start.tzinfo is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=start.tzinfo), "names no zone; that of DTSTART is taken"
    if start.tzinfo is None and moment.tzinfo is not None:
        return moment.astimezone(floating).replace(
            tzinfo=None
        ), "has a zone, and DTSTART has none, so that it is in the feed's"
    return moment, ""


def day_of(moment: date) -> date:
    """Returns the day of a time in its own zone, and a date as it is."""
    return moment.date() if isinstance(moment, datetime) else moment
