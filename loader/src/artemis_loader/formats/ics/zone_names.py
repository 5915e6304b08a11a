"""Names of time zones: those of the IANA database and of Windows, and the texts that Outlook shows for the latter."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from tzlocal.windows_tz import win_tz

_OF_THE_MACHINE = {"localtime", "Factory", "posixrules"}
"""Files of the IANA database that are no zones, but what the machine has instead."""
_DISPLAYED = re.compile(r"\((?:UTC|GMT)(?:([+-])(\d\d):([0-5]\d))?\) (.+)", re.ASCII)
_WINTER_AND_SUMMER = (datetime(2025, 1, 1), datetime(2025, 7, 1))
"""In one of them, every zone has its standard time, which is the smaller offset."""


@cache
def _names() -> dict[str, str]:
    """Returns the names of zones by how they are looked up: those of Windows, and of the IANA database."""
    windows = {name.lower(): zone for name, zone in win_tz.items()}
    iana = {name.lower(): name for name in available_timezones() - _OF_THE_MACHINE}
    others = ("z", "tzone://microsoft/utc", "(utc) coordinated universal time")
    return windows | iana | dict.fromkeys(others, "UTC")


@lru_cache(maxsize=1000)
def known_zone(name: str) -> tzinfo | None:
    """Returns the zone that a name means by itself: of the IANA database or of Windows, also after a prefix.

    "/example.org/20240101_1/Europe/Berlin" is Europe/Berlin (3.2.19: a leading "/" is a registry that nobody made).
    """
    parts = name.strip().strip('"').lower().strip("/").split("/")
    for begin in range(len(parts)) if name.startswith("/") else (0,):
        found = _names().get("/".join(parts[begin:]))
        if found is not None:
            return UTC if found == "UTC" else ZoneInfo(found)
    return None


@lru_cache(maxsize=1000)
def displayed_zone(name: str) -> tzinfo | None:
    """Returns the zone of a text that Outlook shows to people; None if it is none, or not clear.

    "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna" is Europe/Amsterdam. No table of these texts can be
    used here, and they change from release to release. So the places are looked up in the IANA database: those with the
    same standard time must agree about summer time as well. "(UTC-07:00) La Paz, Mazatlan" is not America/La_Paz.
    """
    found = _DISPLAYED.fullmatch(name.strip())
    if found is None:
        return None
    sign = -1 if found[1] == "-" else 1
    standard = sign * timedelta(hours=int(found[2] or 0), minutes=int(found[3] or 0))
    fitting = {zone: offsets for zone in _zones_of(found[4].lower()) if min(offsets := _offsets(zone)) == standard}
    return next(iter(fitting)) if len(set(fitting.values())) == 1 else None


def _zones_of(places: str) -> Iterator[ZoneInfo]:
    """Yields the zones of places: "eastern time (us & canada)" is "Eastern Standard Time" of Windows."""
    for text in places.split(","):
        place = text.partition("(")[0].strip()
        yield from map(ZoneInfo, _places().get(place, ()))
        if windows := _names().get(f"{place.removesuffix(' time')} standard time"):
            yield ZoneInfo(windows)


@cache
def _places() -> dict[str, list[str]]:
    """Returns the names of zones by the last part of the name, as people write it: "mexico city"."""
    places: dict[str, list[str]] = {}
    for name in sorted(available_timezones() - _OF_THE_MACHINE):
        places.setdefault(name.rpartition("/")[2].replace("_", " ").lower(), []).append(name)
    return places


def _offsets(zone: ZoneInfo) -> tuple[timedelta, ...]:
    return tuple(moment.replace(tzinfo=zone).utcoffset() or timedelta() for moment in _WINTER_AND_SUMMER)
