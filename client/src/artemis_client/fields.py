"""The values of fields: from Python's types to the contract's, and back. It knows no entity.

Every check raises TypeError for a wrong type and ValueError for a value that the contract cannot hold, with the name of
the field, such as "Event.start_time".
"""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

UNSET_TIME: Any = None
"""The default of a time. Its type is Any, because the annotation of a time is `datetime`: a stored entity has it."""
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - as the documents write it
_MICROSECOND = timedelta(microseconds=1)

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


class Entity(Protocol[M_co]):
    """A resource in Python's terms."""

    def to_message(self) -> M_co:
        """Returns the message of the stubs."""


def check_integer(name: str, value: int) -> None:
    """Raises if this is not a 64-bit integer. A bool is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(name, "an int", value)
    if not MIN_INT64 <= value <= MAX_INT64:
        raise ValueError(f"{name} must be a 64-bit integer, and is out of its range")


def checked_ids(ids: Iterable[int]) -> list[int]:
    """Returns the ids. Raises if one is not a 64-bit integer, and names its place, such as "ids[3]"."""
    checked = list(ids)
    for index, each in enumerate(checked):
        check_integer(f"ids[{index}]", each)
    return checked


def check_text(name: str, value: str) -> None:
    """Raises if this is not a text that UTF-8 can encode: half of a surrogate pair has no encoding."""
    if not isinstance(value, str):
        raise _wrong_type(name, "a str", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{name} has half of a surrogate pair at index {error.start}, which UTF-8 cannot encode"
            ) from None


def check_time(name: str, value: datetime) -> None:
    """Raises if this is not a datetime with a time zone: one without is not one moment."""
    if not isinstance(value, datetime):
        raise _wrong_type(name, "a datetime", value)
    if value.utcoffset() is None:
        raise ValueError(
            f"{name} has no time zone: {value.isoformat()}; "
            "give it one, such as datetime(..., tzinfo=timezone.utc), or value.astimezone() for local time"
        )


def message_of(entity: "Entity[M]", kind: "type[Entity[M]]") -> M:
    """Returns the message of an entity. Raises TypeError if it is not of this kind."""
    if not isinstance(entity, kind):
        found = type(entity)
        raise TypeError(f"expected an artemis_client.{kind.__name__}, not {found.__module__}.{found.__qualname__}")
    return entity.to_message()


def set_time(message: Timestamp, time: datetime) -> None:
    """Sets a message to a time that has a time zone."""
    micros = (time - _EPOCH) // _MICROSECOND
    message.seconds, rest = divmod(micros, 1_000_000)
    message.nanos = rest * 1000


def time_of(message: Timestamp) -> datetime:
    """Returns the time in UTC. Digits finer than a microsecond, which the server does not store, are cut off."""
    return _EPOCH + timedelta(0, message.seconds, message.nanos // 1000)


def utc_text(name: str, time: datetime) -> str:
    """Returns the time in RFC 3339, in UTC: "2030-05-04T09:00:00.000001Z"."""
    check_time(name, time)
    try:
        utc = time.astimezone(timezone.utc)  # noqa: UP017 - as the documents write it
    except OverflowError:
        raise ValueError(f"{name} is not within the years 0001 to 9999 in UTC") from None
    return f"{utc.replace(tzinfo=None).isoformat()}Z"


def _wrong_type(name: str, expected: str, value: object) -> TypeError:
    text = repr(value)
    shown = text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - a line
    return TypeError(f"{name} must be {expected}, not the {type(value).__name__} {shown}")
