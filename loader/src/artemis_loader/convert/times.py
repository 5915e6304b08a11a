"""Reads times as feeds write them. They are stored as integers, microseconds since the Unix epoch, UTC."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache
from operator import add
from typing import Any, cast

from artemis_loader.feeds import Source
from artemis_loader.formats.rows import shown

EPOCH_FORMATS = {"unix": 1_000_000, "unix_ms": 1000}
"""Counts of seconds or milliseconds since 1970, and how many microseconds one is."""
RFC_822 = "rfc822"
"""The format of the dates of RSS and of mail (RFC 5322, section 3.3): "Sat, 09 Mar 2024 10:00:00 GMT"."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000
_MAX_LENGTH = 64
_DATE = len("2024-03-09")
_CACHED = 4096
_EXAMPLE_DAY = "2000-01-01"
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)? ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_TIME_DIRECTIVES = re.compile("%[HIMSfpcXsTRr]")
_RANGE = re.compile("(?:year|month|day|hour|minute|second|microsecond) ")
"""Errors of datetime that are for people: "month must be in 1..12". That of an offset names a timedelta."""
_MAX_MICROS = 1 << 62


class InvalidTime(ValueError):
    """The value is no time in a format that was declared."""


def compile_time(source: Source, feed_zone: tzinfo, *, is_end: bool) -> Callable[[Any], int]:
    """Returns the function that turns a value into microseconds.

    A date without a time begins at midnight in its zone. As an end it is the last day of the event, which is over at
    the next midnight, unless the source says that it is the first day after.

    The function raises InvalidTime for what it cannot read.
    """
    zone = source.time_zone or feed_zone
    whole_day = is_end and source.last_day
    read_text = _cached(source, zone, whole_day=whole_day)
    per_unit = next((EPOCH_FORMATS[each] for each in source.formats if each in EPOCH_FORMATS), 0)

    def read(value: Any) -> int:
        if value.__class__ is str:
            if len(value) > _MAX_LENGTH:
                raise InvalidTime(f"{value[:_MAX_LENGTH]!r}... is not a time")
            return read_text(value)
        if isinstance(value, datetime):
            return _micros(value, zone)
        if isinstance(value, date):
            return _day(value, zone, whole=whole_day)
        if per_unit and isinstance(value, (int, float)) and not isinstance(value, bool):
            return _from_epoch(value, per_unit)
        raise InvalidTime(f"{shown(value)[:_MAX_LENGTH]} is not a time")

    return read


def compile_times(source: Source, feed_zone: tzinfo, *, is_end: bool) -> Callable[[Sequence[str]], list[int]]:
    """Returns the function that reads many texts together, with the results of `compile_time` for each."""
    read = compile_time(source, feed_zone, is_end=is_end)

    def read_all(texts: Sequence[str]) -> list[int]:
        if not source.formats and max(map(len, texts), default=0) <= _MAX_LENGTH:
            clocks = [_CLOCKS[text[_DATE:]] for text in texts]
            midnights = [_MIDNIGHTS[text[:_DATE]] for text in texts]
            if None not in clocks and None not in midnights:
                return list(map(add, cast("list[int]", midnights), cast("list[int]", clocks)))
        return list(map(read, texts))

    return read_all


def _cached(source: Source, zone: tzinfo, *, whole_day: bool) -> Callable[[str], int]:
    """Returns the function for texts. It caches results, because the dates and the times of a feed repeat."""
    parsers = [_parser(form) for form in source.formats] or [_from_iso]

    @lru_cache(maxsize=_CACHED)
    def read_whole(text: str) -> int:
        for parse in parsers:
            found = parse(text)
            if found is not None:
                break
        else:
            described = " or ".join(source.formats) or "of ISO 8601, such as 2024-03-09 or 2024-03-09T10:00:00Z"
            raise InvalidTime(f"{text!r} is not a time in the format {described}")
        if isinstance(found, datetime):
            return _micros(found, zone)
        if isinstance(found, int):
            return found
        return _day(found, zone, whole=whole_day)

    def read_parts(text: str) -> int:
        clock = _CLOCKS[text[_DATE:]]
        midnight = None if clock is None else _MIDNIGHTS[text[:_DATE]]
        return read_whole(text) if clock is None or midnight is None else midnight + clock

    return read_whole if source.formats else read_parts


def _midnight(text: str) -> int | None:
    """Returns the first moment, in UTC, of a date of ISO 8601; None if it is none."""
    try:
        return _micros(datetime.combine(date.fromisoformat(text), time()), UTC) if _ISO.fullmatch(text) else None
    except ValueError:
        return None


def _clock(text: str) -> int | None:
    """Returns the microseconds that the end of a time of ISO 8601 adds to midnight, UTC, of its date.

    "T10:00:00+01:00" gives nine hours. None if it is no such end, or has no offset, so that the date matters.
    """
    try:
        found = _from_iso(_EXAMPLE_DAY + text)
    except InvalidTime:
        return None
    if not isinstance(found, datetime) or found.tzinfo is None:
        return None
    return _micros(found, UTC) - _micros(datetime.fromisoformat(_EXAMPLE_DAY), UTC)


class _Cache(dict[str, int | None]):
    """A cache of a function's results by text. A dict with __missing__ answers faster than functools.lru_cache."""

    def __init__(self, compute: Callable[[str], int | None]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, text: str) -> int | None:
        if len(self) >= _CACHED:
            self.clear()
        found = self[text] = self._compute(text)
        return found


_MIDNIGHTS = _Cache(_midnight)
_CLOCKS = _Cache(_clock)


def _parser(form: str) -> Callable[[str], date | int | None]:
    """Returns the function that reads this format: a datetime, a date, microseconds, or None when it cannot."""
    if form in EPOCH_FORMATS:
        return lambda text: _epoch_text(text, EPOCH_FORMATS[form])
    if form == RFC_822:
        return _from_rfc_822
    has_time = _TIME_DIRECTIVES.search(form.replace("%%", "")) is not None

    def parse(text: str) -> date | None:
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            return None
        return found if has_time else found.date()

    return parse


def _from_rfc_822(text: str) -> datetime | None:
    """Reads a date of RFC 822. One without a zone, or with the zone -0000, is in the zone of the feed."""
    try:
        return parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):  # it raises all of them for texts that are no dates
        return None


def _from_iso(text: str) -> date | None:
    """Reads a date or a time of ISO 8601 (RFC 3339 with a space or without an offset as well)."""
    text = text.upper()
    if not _ISO.fullmatch(text):
        return None
    if " " in text:  # before the offset, where datetime takes none
        text = text[: _DATE + 1] + text[_DATE + 1 :].replace(" ", "")
    try:
        return date.fromisoformat(text) if len(text) == _DATE else datetime.fromisoformat(text)
    except ValueError as error:
        reason = str(error) if _RANGE.match(str(error)) else "there is no such offset"
        raise InvalidTime(f"{text!r} is not a time: {reason}") from None


def _epoch_text(text: str, per_unit: int) -> int | None:
    try:
        return _from_epoch(int(text) if text.lstrip("-").isdecimal() else float(text), per_unit)
    except ValueError:
        return None


def _from_epoch(value: float, per_unit: int) -> int:
    """Returns the microseconds, cut off below; the rules check that they are within the years 1 to 9999."""
    if not abs(value) < _MAX_MICROS:  # not a number, and infinity, too
        raise InvalidTime(f"{str(value)[:_MAX_LENGTH]} is not a time")
    return value * per_unit if isinstance(value, int) else round(value * per_unit)


def _micros(value: datetime, zone: tzinfo) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=zone)
    try:
        since = aware - _EPOCH
    except (OverflowError, ValueError):  # a custom zone may compute beyond the years that there are
        raise InvalidTime(f"{value.isoformat()} is not a time in the years 1 to 9999") from None
    return since.days * _DAY + since.seconds * 1_000_000 + since.microseconds


def _day(day: date, zone: tzinfo, *, whole: bool) -> int:
    """Returns the day's first moment, or with `whole` the moment after its last."""
    if not whole:
        return _micros(datetime(day.year, day.month, day.day), zone)
    if day == date.max:  # often means "for ever"; there is no next midnight
        return _micros(datetime.max.replace(tzinfo=UTC), zone)
    return _day(day + timedelta(days=1), zone, whole=False)
