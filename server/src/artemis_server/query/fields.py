"""The fields of a message, and the comparisons that each kind of field allows in a filter."""

import enum
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from artemis_server.contract import ETAG, is_timestamp
from artemis_server.query.tree import NEVER, Compare, HasEtag, Matches, Node, Not, Operator, Present

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_TIME = re.compile(  # RFC 3339, or its full-date alone
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d)))?", re.ASCII
)
_BOUNDS = (
    (datetime.min - _EPOCH) // _MICROSECOND,
    (datetime.max - _EPOCH) // _MICROSECOND,
)


class Kind(enum.Enum):
    """A kind of field, and an example of its values."""

    INTEGER = "a 64-bit integer such as 42"
    TEXT = "text"
    TIME = 'a time such as "2026-11-24T09:30:00Z" or a date such as "2026-11-24"'
    ETAG = "an etag"


@dataclass(frozen=True)
class Field:
    """A field of a message; one that is nullable can be unset."""

    name: str
    kind: Kind
    nullable: bool


@dataclass(frozen=True)
class Value:
    """A value in a filter.

    For `"*day"` with its quotes, `whole` is `*day`, `text` is `day`, `quoted` and `open_start` are true, and
    `open_end` is false.
    """

    whole: str
    text: str
    quoted: bool
    open_start: bool
    open_end: bool

    @property
    def is_star(self) -> bool:
        """True for the `*` that asks for presence."""
        return not self.quoted and self.open_start and not self.text


@cache
def fields_of(descriptor: "Descriptor") -> dict[str, Field]:
    """Returns the fields of a message by name."""
    return {field.name: _field(field) for field in descriptor.fields}


def _field(field: FieldDescriptor) -> Field:
    if is_timestamp(field):
        return Field(field.name, Kind.TIME, nullable=False)
    if field.name == ETAG:
        return Field(field.name, Kind.ETAG, nullable=False)
    kind = Kind.TEXT if field.type == FieldDescriptor.TYPE_STRING else Kind.INTEGER
    return Field(field.name, kind, nullable=field.has_presence)


def restriction(field: Field, operator: str, value: Value) -> Node:
    """Returns the node of `field operator value`.

        name = "py*"                 Matches("name", "py", open_start=False, open_end=True)
        name : day                   Matches("name", "day", open_start=True, open_end=True)
        owner_id != 7                Not(Compare("owner_id", Operator.EQ, 7))
        start_time < 1970-01-02      Compare("start_time", Operator.LT, 86400000000), in microseconds
        location : *                 Present("location")

    Raises:
        ValueError: fields of this kind have no such operator or value; its text names the ones that they have.
    """
    if operator == ":" and value.is_star and field.kind is not Kind.ETAG:
        return Present(field.name)
    if operator == "!=":
        return Not(restriction(field, "=", value))
    return _NODES[field.kind](field.name, operator, value)


def contains(name: str, value: Value) -> Node:
    """Returns the node of a text field that contains the value."""
    return Matches(name, value.text, open_start=True, open_end=True)


def _text(name: str, operator: str, value: Value) -> Node:
    if operator == ":":
        return contains(name, value)
    if operator == "=":
        return Matches(name, value.text, value.open_start, value.open_end)
    return Compare(name, Operator(operator), value.whole)


def _integer(name: str, operator: str, value: Value) -> Node:
    if value.quoted or not _INTEGER.fullmatch(value.whole) or int(value.text) not in _INT64:
        raise ValueError(Kind.INTEGER.value)
    return Compare(name, _equals(operator), int(value.text))


def _time(name: str, operator: str, value: Value) -> Node:
    micros, finer = _to_micros(value.whole)
    if not finer:
        return Compare(name, _equals(operator), micros)
    # Stored times have no digits beyond the microsecond: they lie before or after such a time, never on it.
    match _equals(operator):
        case Operator.EQ:
            return NEVER
        case Operator.LT | Operator.LE:
            return Compare(name, Operator.LE, micros)
        case _:
            return Compare(name, Operator.GT, micros)


def _etag(_: str, operator: str, value: Value) -> Node:
    if operator != "=":
        raise ValueError("= or !=, because an etag has no order")
    return HasEtag(value.whole)


_NODES = {Kind.TEXT: _text, Kind.INTEGER: _integer, Kind.TIME: _time, Kind.ETAG: _etag}


def _equals(operator: str) -> Operator:
    """Returns the operator; `:` is `=` for a number or a time."""
    return Operator.EQ if operator == ":" else Operator(operator)


def _to_micros(text: str) -> tuple[int, bool]:
    """Returns microseconds since the epoch, and whether finer digits were cut off (RFC 3339).

    "1970-01-01T00:00:01.0000005Z" gives (1000000, True).
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(Kind.TIME.value)
    date, clock, digits, sign, hours, minutes = match.groups()
    try:
        wall = datetime.fromisoformat(f"{date}T{clock or '00:00:00'}")
        offset = _offset(hours, minutes)
    except ValueError:
        raise ValueError(Kind.TIME.value) from None
    digits = digits or ""
    micros = (wall - _EPOCH) // _MICROSECOND + int(digits[:6].ljust(6, "0"))
    micros += offset if sign == "-" else -offset
    if not _BOUNDS[0] <= micros <= _BOUNDS[1]:
        raise ValueError("a time in the years 0001 to 9999")
    return micros, bool(digits[6:].strip("0"))


def _offset(hours: str | None, minutes: str | None) -> int:
    if hours is None or minutes is None:
        return 0
    if int(hours) > 23 or int(minutes) > 59:  # noqa: PLR2004, a clock
        raise ValueError
    return timedelta(hours=int(hours), minutes=int(minutes)) // _MICROSECOND
