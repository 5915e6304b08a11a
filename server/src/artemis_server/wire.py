"""The bytes of a request: the elements of its repeated fields are counted before it is parsed.

A parsed message takes up to 64 times its bytes: a batch of a million empty events has 4 MiB and takes 250 MiB.
This module knows descriptors and the encoding (https://protobuf.dev/programming-guides/encoding), and no messages.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple, TypeAlias, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from artemis_server.errors import InvalidArgument, Violation

M = TypeVar("M", bound=Message)
MAX_ITEMS = 1000
"""The most elements of a repeated field of a request. The rules of the contract allow no more."""
MAX_PATHS = 250
"""The most paths of a field mask, which may repeat some: no resource has as many fields."""
MAX_FIELDS = 100_000
"""The most fields that are looked at: a full batch may have a hundred in each request."""
_TIDY = 4096  # bytes of a request in which unknown fields do not matter
_SMALL = 2 * MAX_PATHS  # bytes; an element takes two at least, so a message of this size has not too many
_VARINT, _LENGTH_DELIMITED = 0, 2  # wire types
_GROUPS = {3: 1, 4: -1}
"""The wire types of the tags that begin and end a group, and what they add to the depth."""
Span: TypeAlias = tuple[int, int]
"""The positions where a part of the request begins and ends."""
_PATHS = "google.protobuf.FieldMask.paths"
_MORE = 0x80
"""The bit of a byte of a varint after which another byte follows."""
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
            _Walk(raw).message([(0, len(raw))], descriptor, "")
        request = parse(raw)
        if len(raw) > _TIDY:
            request.DiscardUnknownFields()
        return request

    return parse_bounded


class _Field(NamedTuple):
    """A field that repeats, or whose message has such fields, which is `watched` then."""

    name: str
    limit: int | None
    """The most elements; None if the field does not repeat."""
    packed: bool
    """True if its elements are numbers. All repeated numbers of the contract are varints, such as `repeated int64`."""
    watched: Descriptor | None


@cache
def _watched(descriptor: "Descriptor") -> dict[int, _Field]:
    """Returns the fields that repeat, or whose messages have such fields, by number."""
    fields = {}
    for field in descriptor.fields:
        inner = field.message_type if field.message_type and _watched(field.message_type) else None
        limit = (MAX_PATHS if field.full_name == _PATHS else MAX_ITEMS) if field.is_repeated else None
        packed = limit is not None and field.message_type is None and field.type != FieldDescriptor.TYPE_STRING
        if inner or limit:
            fields[field.number] = _Field(field.name, limit, packed, inner)
    return fields


class _Walk:
    """A walk over the fields of a message and of those messages in it that have repeated fields."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._left = MAX_FIELDS

    def message(self, spans: "Sequence[Span]", descriptor: Descriptor, path: str) -> None:
        """Raises the errors of `bounded`. The spans are those of one message, whose parts a parser merges."""
        watched, counts = _watched(descriptor), Counter[int]()
        parts: dict[_Field, list[Span]] = {}
        for number, wire_type, begin, end in chain.from_iterable(self._fields(*span, path) for span in spans):
            field = watched.get(number)
            if field is None or not (wire_type == _LENGTH_DELIMITED or (wire_type == _VARINT and field.packed)):
                continue
            if field.limit is None:
                parts.setdefault(field, []).append((begin, end))
                continue
            # Of packed numbers, each ends with the one byte that has not the highest bit.
            counts[number] += len(self._raw[begin:end].translate(None, _CONTINUED)) if field.packed else 1
            if counts[number] > field.limit:
                description = f"must contain no more than {field.limit} item(s)"
                raise _too_many(path + field.name, description, field.limit)
            if field.watched and end - begin > _SMALL:
                self.message([(begin, end)], field.watched, f"{path}{field.name}[{counts[number] - 1}].")
        for field, merged in parts.items():
            if field.watched and sum(end - begin for begin, end in merged) > _SMALL:
                self.message(merged, field.watched, f"{path}{field.name}.")

    def _fields(self, start: int, end: int, path: str) -> "Iterator[tuple[int, int, int, int]]":
        """Yields the fields between two positions: number, wire type, begin and end of the value."""
        position, groups = start, 0
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise _too_many(path.rstrip("."), f"the request must have no more than {MAX_FIELDS} fields", MAX_FIELDS)
            first = self._raw[position]
            tag, begin = (first, position + 1) if first < _MORE else self._varint(position, end)
            wire_type = tag & 7
            begin, position = self._value(wire_type, begin, end)
            if position > end:
                raise DecodeError
            if wire_type in _GROUPS:
                groups += _GROUPS[wire_type]
                if groups < 0:
                    raise DecodeError
            elif not groups:
                yield tag >> 3, wire_type, begin, position
        if groups:
            raise DecodeError

    def _value(self, wire_type: int, position: int, end: int) -> Span:
        """Returns where the value begins and ends; a group begins and ends at its tags."""
        if wire_type == _LENGTH_DELIMITED:
            return self._delimited(position, end)
        match wire_type:
            case 0:
                return position, self._varint(position, end)[1]
            case 1:
                return position, position + 8
            case 5:
                return position, position + 4
            case 3 | 4:
                return position, position
        raise DecodeError

    def _delimited(self, position: int, end: int) -> Span:
        """Returns where a value with a length begins and ends. Most lengths have one byte or two."""
        raw = self._raw
        if position + 1 < end and raw[position] & raw[position + 1] < _MORE:
            length, begin = raw[position], position + 1
            if length >= _MORE:
                length, begin = length - _MORE + raw[begin] * _MORE, begin + 1
        else:
            length, begin = self._varint(position, end)
        return begin, begin + length

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """Returns the number at a position, and the position after it: the bytes AC 02 are 300."""
        raw, number = self._raw, 0
        for shift in range(0, 70, 7):
            if position >= end:
                break
            byte = raw[position]
            position += 1
            if byte < 0x80:  # noqa: PLR2004, the last byte has not the highest bit
                return number | byte << shift, position
            number |= (byte & 0x7F) << shift
        raise DecodeError


def _too_many(field: str, description: str, limit: int) -> InvalidArgument:
    return InvalidArgument(
        Violation(
            field=field,
            description=description,
            rule="repeated.max_items",
            values={"limit": str(limit)},
        )
    )
