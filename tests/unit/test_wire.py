"""Requests that repeat too much are refused before they are parsed, and all others are parsed as ever."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from artemis.v1 import events_pb2, users_pb2
from artemis_server import contract, requests
from artemis_server.errors import InvalidArgument
from artemis_server.wire import MAX_FIELDS, MAX_ITEMS, MAX_PATHS, bounded
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import example, given
from hypothesis import strategies as st

GetEvents, CreateEvents = events_pb2.BatchGetEventsRequest, events_pb2.BatchCreateEventsRequest
UpdateEvents, UpdateEvent = events_pb2.BatchUpdateEventsRequest, events_pb2.UpdateEventRequest


def varint(number: int) -> bytes:
    """Returns a number as a protobuf message has it."""
    head = bytearray()
    while number > 0x7F:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(head) + bytes([number])


def sized(number: int, value: bytes) -> bytes:
    """Returns a field with this number: a message, a text or packed numbers."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def paths(count: int) -> bytes:
    """Returns the `update_mask` of an update."""
    return sized(2, sized(1, b"a") * count)


@pytest.mark.parametrize("size", [0, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF])
def test_texts_of_any_length_are_stepped_over(size: int) -> None:
    raw = sized(1, sized(3, b"x" * size)) + b"\x0a\x80\x00" + b"\x0a\x00" * 998
    assert len(bounded(CreateEvents.FromString)(raw).requests) == MAX_ITEMS
    with pytest.raises(InvalidArgument):
        bounded(CreateEvents.FromString)(raw + b"\x0a\x00")


@pytest.mark.parametrize(
    ("kind", "raw", "field", "limit"),
    [
        (GetEvents, sized(1, bytes(1001)), "ids", 1000),
        (GetEvents, sized(1, b"\xff\xff\x01" * 1001), "ids", 1000),
        (GetEvents, b"\x08\x01" * 1001, "ids", 1000),
        (GetEvents, sized(1, b"\x01" * 500) * 2 + b"\x08\x01", "ids", 1000),
        (CreateEvents, b"\x0a\x00" * 1001, "requests", 1000),
        (CreateEvents, b"\x13\x0a\x00\x14" + b"\x0a\x00" * 1001, "requests", 1000),
        (UpdateEvents, b"\x0a\x00" * 1001, "requests", 1000),
        (UpdateEvent, paths(251), "update_mask.paths", 250),
        (UpdateEvent, paths(150) * 2, "update_mask.paths", 250),
        (UpdateEvents, sized(1, b"") * 2 + sized(1, paths(251)), "requests[2].update_mask.paths", 250),
        (UpdateEvents, sized(1, paths(100) * 3), "requests[0].update_mask.paths", 250),
    ],
)
def test_too_many_elements_are_refused(kind: type[Message], raw: bytes, field: str, limit: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        bounded(kind.FromString)(raw)
    assert [(field, f"must contain no more than {limit} item(s)")] == [
        (each.field, each.description) for each in refused.value.violations
    ]
    assert refused.value.metadata == {"field": field, "limit": str(limit)}


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (GetEvents, sized(1, b"\xff\xff\x01" * MAX_ITEMS)),
        (CreateEvents, b"\x0a\x00" * MAX_ITEMS),
        (CreateEvents, b"\x13" + b"\x0a\x00" * 1001 + b"\x14"),
        (UpdateEvents, sized(1, paths(MAX_PATHS)) * 100),
        (UpdateEvent, sized(1, b"\x08\x01") * 2000),
    ],
)
def test_as_many_elements_as_are_allowed_are_parsed(kind: type[Message], raw: bytes) -> None:
    expected = kind.FromString(raw)
    if len(raw) > 4096:
        expected.DiscardUnknownFields()
    assert expected == bounded(kind.FromString)(raw)


def test_more_fields_than_anybody_sends_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=f"no more than {MAX_FIELDS} fields"):
        bounded(UpdateEvents.FromString)(sized(1, b"\xf8\x01\x00" * (MAX_FIELDS + 1)))


NUMBERS = st.one_of(st.integers(1, 4), st.integers(1, 2**29 - 1))
FIELDS: st.SearchStrategy[bytes] = st.deferred(
    lambda: st.one_of(
        st.tuples(NUMBERS, st.integers(0, 2**64 - 1)).map(lambda drawn: varint(drawn[0] << 3) + varint(drawn[1])),
        st.tuples(NUMBERS, st.binary(min_size=8, max_size=8)).map(lambda drawn: varint(drawn[0] << 3 | 1) + drawn[1]),
        st.tuples(NUMBERS, st.binary(min_size=4, max_size=4)).map(lambda drawn: varint(drawn[0] << 3 | 5) + drawn[1]),
        st.tuples(NUMBERS, MESSAGES).map(lambda drawn: sized(*drawn)),
        st.tuples(NUMBERS, MESSAGES).map(
            lambda drawn: varint(drawn[0] << 3 | 3) + drawn[1] + varint(drawn[0] << 3 | 4)
        ),
    )
)
MESSAGES: st.SearchStrategy[bytes] = st.lists(FIELDS, max_size=6).map(b"".join)
FILLING = b"\x7a\x7f" + bytes(127)  # an unknown field, so that a short message is looked at as well
BROKEN = st.tuples(MESSAGES, st.binary(max_size=12), MESSAGES).map(b"".join)


@given(st.one_of(MESSAGES, BROKEN, st.binary(max_size=300)))
@example(b"\x0b\x0c" * 100)
@example(b"\x80" * 300)
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
def test_what_can_be_parsed_is_parsed_alike_and_the_rest_is_malformed(raw: bytes) -> None:
    for kind in (GetEvents, CreateEvents, UpdateEvents, UpdateEvent):
        for sent in (raw, FILLING * 4 + raw):
            assert outcome(kind.FromString, sent) == outcome(bounded(kind.FromString), sent)


def outcome(parse: Callable[[bytes], Message], raw: bytes) -> Message | None:
    try:
        return parse(raw)
    except DecodeError:
        return None


def repeated_fields(descriptor: Any) -> Iterator[Any]:
    """Yields the repeated fields of a message and of the messages in it, but for paths of masks."""
    for field in descriptor.fields:
        if field.is_repeated:
            yield field
        if field.message_type and field.message_type.name != "FieldMask":
            yield from repeated_fields(field.message_type)


REPEATED = {
    field.full_name: field
    for file in (events_pb2, users_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    for field in repeated_fields(method.input_type)
}


@pytest.mark.parametrize("field", REPEATED.values(), ids=REPEATED)
def test_the_contract_allows_no_more_elements_than_are_parsed(field: Any) -> None:
    request: Any = GetMessageClass(field.containing_type)()
    for _ in range(MAX_ITEMS + 1):
        getattr(request, field.name).add() if field.message_type else getattr(request, field.name).append(1)
    assert "must contain no more than 1000 item(s)" in [
        violation.description for violation in contract.violations(request)
    ]


def test_a_large_batch_of_bad_requests_is_looked_at_until_there_are_enough_violations() -> None:
    with pytest.raises(InvalidArgument) as refused:
        requests.validate(CreateEvents(requests=[events_pb2.CreateEventRequest()] * 1000, request_id="x"))
    fields = [each.field for each in refused.value.violations]
    assert [f"requests[{index}].event" for index in range(50)] == fields
    assert refused.value.unlisted == 1
