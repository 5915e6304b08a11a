"""The bytes of a request: the elements of its repeated fields are counted before it is parsed.

A parsed message takes up to 64 times its bytes: a batch of a million empty events has 4 MiB and takes 250 MiB.
This module knows descriptors and the encoding (https://protobuf.dev/programming-guides/encoding), and no messages.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from artemis_server.errors import InvalidArgument, Violation

M = TypeVar("M", bound=Message)
MAX_ITEMS = 1000
"""The most elements of a repeated field of a request. The rules of the contract allow no more."""
MAX_PATHS = 100
"""The most paths of an update mask, which may repeat some: no resource has as many fields."""
MAX_FIELDS = 100_000
"""The most fields that are looked at. With a full batch of updates there are fewer."""
_TIDY = 4096  # bytes of a request in which unknown fields do not matter
_SMALL = 2 * MAX_PATHS  # bytes; an element takes two at least, so a message of this size has not too many
_VARINT, _LENGTH_DELIMITED = 0, 2  # wire types
_PATHS = "google.protobuf.FieldMask.paths"
_CONTINUED = bytes(range(0x80, 0x100))
"""All bytes of a varint but its last one."""


def bounded(parse: Callable[[bytes], M]) -> Callable[[bytes], M]:
    """Returns the parser of a message with a check before it.

    It drops the unknown fields of a long message: protovalidate takes 1.5 s for a million of them.

    Raises:
        InvalidArgument: raised by the function; a repeated field has too many elements.
        DecodeError: raised by the function; the bytes are no message of this type.
    """
    descriptor: Descriptor = parse(b"").DESCRIPTOR  # type: ignore[assignment]  # the stubs name upb's own class as well
    repeats = bool(_watched(descriptor))

    def parse_bounded(raw: bytes) -> M:
        if repeats and len(raw) > _SMALL:
            _Walk(raw).message(0, len(raw), descriptor, "", Counter())
        request = parse(raw)
        if len(raw) > _TIDY:
            request.DiscardUnknownFields()
        return request

    return parse_bounded


@cache
def _watched(descriptor: "Descriptor") -> dict[int, FieldDescriptor]:
    """Returns the fields that repeat, or whose messages have such fields, by number."""
    return {
        field.number: field
        for field in descriptor.fields
        if field.is_repeated or (field.message_type and _watched(field.message_type))
    }


class _Walk:
    """A walk over the fields of a message and of those messages in it that have repeated fields."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._left = MAX_FIELDS

    def message(self, start: int, end: int, descriptor: Descriptor, path: str, counts: "Counter[str]") -> None:
        """Adds the elements between two positions to `counts`, by path. Raises the errors of `bounded`."""
        watched, position, groups = _watched(descriptor), start, 0
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise _too_many(path.rstrip("."), f"the request must have no more than {MAX_FIELDS} fields", MAX_FIELDS)
            tag, begin = self._varint(position, end)
            groups += {3: 1, 4: -1}.get(tag & 7, 0)
            begin, position = self._value(tag & 7, begin, end)
            if groups < 0 or position > end:
                raise DecodeError
            field = watched.get(tag >> 3)
            if field and not groups and (tag & 7 == _LENGTH_DELIMITED or (tag & 7 == _VARINT and _is_packed(field))):
                self._count(field, begin, position, path, counts)
        if groups:
            raise DecodeError

    def _value(self, wire_type: int, position: int, end: int) -> tuple[int, int]:
        """Returns where the value begins and ends; a group begins and ends at its tags."""
        match wire_type:
            case 0:
                return position, self._varint(position, end)[1]
            case 1:
                return position, position + 8
            case 2:
                length, begin = self._varint(position, end)
                return begin, begin + length
            case 3 | 4:
                return position, position
            case 5:
                return position, position + 4
        raise DecodeError

    def _count(self, field: FieldDescriptor, begin: int, end: int, path: str, counts: "Counter[str]") -> None:
        name = path + field.name
        if field.is_repeated:
            limit = MAX_PATHS if field.full_name == _PATHS else MAX_ITEMS
            # Of a packed field, each number ends with the one byte that has not the highest bit.
            counts[name] += len(self._raw[begin:end].translate(None, _CONTINUED)) if _is_packed(field) else 1
            if counts[name] > limit:
                raise _too_many(name, f"must contain no more than {limit} item(s)", limit)
            name += f"[{counts[name] - 1}]"
            if end - begin <= _SMALL:
                return
        if field.message_type and _watched(field.message_type):
            self.message(begin, end, field.message_type, f"{name}.", counts)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """Returns the number at a position, and the position after it: the bytes AC 02 are 300."""
        raw, number = self._raw, 0
        for shift in range(0, 70, 7):
            if position >= end:
                break
            byte = raw[position]
            position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004, the last byte has not the highest bit
                return number, position
        raise DecodeError


def _is_packed(field: FieldDescriptor) -> bool:
    """Tells whether the field repeats numbers; the contract repeats no others than varints."""
    return bool(field.is_repeated) and field.message_type is None and field.type != FieldDescriptor.TYPE_STRING


def _too_many(field: str, description: str, limit: int) -> InvalidArgument:
    return InvalidArgument(
        Violation(
            field=field,
            description=description,
            rule="repeated.max_items",
            values={"limit": str(limit)},
        )
    )
