"""The properties of an event by name, with the values that fields are made of; no time is read here but stamps.

A property that is broken, or stands twice, costs itself, unless a time of the event depends on it.
"""

import re
from collections.abc import Iterable
from typing import Any

from artemis_loader.formats.ics.components import Warn
from artemis_loader.formats.ics.lines import Malformed, Property, texts, unescape
from artemis_loader.formats.ics.values import at_midnight, read_moment

_ONCE = {"UID", "DTSTART", "DTEND", "DURATION", "RECURRENCE-ID"}
"""Properties of which two reject the event."""
_FIRST_COUNTS = {
    "CLASS", "CREATED", "DESCRIPTION", "DTSTAMP", "GEO", "LAST-MODIFIED", "LOCATION", "ORGANIZER", "PRIORITY",
    "SEQUENCE", "STATUS", "SUMMARY", "TRANSP", "URL",
}  # fmt: skip
"""The others that an event has once (RFC 5545, 3.6.1)."""
_LISTS = ("CATEGORIES", "RESOURCES")
_STAMPS = ("CREATED", "LAST-MODIFIED", "DTSTAMP")
_VERBATIM = {
    "URL", "ORGANIZER", "ATTENDEE", "ATTACH", "RRULE", "EXRULE", "RDATE", "EXDATE", "DURATION", "CONFERENCE",
}  # fmt: skip
"""Properties whose values are no texts, so that nothing in them is escaped."""
_NUMBERS = {"SEQUENCE": range(1 << 31), "PRIORITY": range(10)}
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_GEO = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*;\s*[+-]?\d+(\.\d*)?\s*", re.ASCII)
_SPECIAL = {*_LISTS, *_STAMPS, *_VERBATIM, *_NUMBERS, "GEO"}
Properties = dict[str, list[Property]]
"""By their names, in the order of the file."""


def collect(props: Iterable[Property], warn: Warn) -> Properties:
    """Returns properties by name; of those that an event has once, only the first.

    Raises:
        Malformed: a time depends on one that stands twice, or two do not agree whether the event takes place.
    """
    found: Properties = {}
    for prop in props:
        name = prop.name
        if name not in found:
            found[name] = [prop]
        elif name in _ONCE or (name == "STATUS" and prop.value != found[name][0].value):
            raise Malformed(f"has more than one {name}")
        elif name in _FIRST_COUNTS:
            warn(prop.line, f"{name}: is there already; the first one is taken")
        else:
            found[name].append(prop)
    return found


def read_row(found: Properties, warn: Warn) -> dict[str, Any]:
    """Returns the values of properties by their names in lower case; broken ones are left out."""
    row: dict[str, Any] = {}
    for name, props in found.items():
        if name not in _SPECIAL and len(props) == 1:
            prop = props[0]
            if prop.params and prop.params.get("ENCODING", "").upper() == "QUOTED-PRINTABLE":
                warn(prop.line, f"{name}: is quoted-printable, which no iCalendar is; it is taken as written")
            row[name.lower()] = unescape(prop.value) if "\\" in prop.value else prop.value
            continue
        values = [value for prop in props for value in _values(prop, warn)]
        if values:
            row[name.lower()] = values[0] if len(values) == 1 and name not in _LISTS else values
    return row


def _values(prop: Property, warn: Warn) -> list[Any]:
    if prop.name in _LISTS:
        return texts(prop.value)
    if prop.name in _VERBATIM:
        return [prop.value.strip()]
    try:
        return [_checked(prop)]
    except Malformed as error:
        warn(prop.line, f"{prop.name}: {error}; the property is left out")
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
        if not _NUMBER.fullmatch(text) or int(text) not in _NUMBERS[prop.name]:
            raise Malformed(f"is not a number from 0 to {_NUMBERS[prop.name][-1]}")
        return text
    return unescape(prop.value)
