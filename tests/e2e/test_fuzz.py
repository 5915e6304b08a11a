"""The answer to any request is never UNKNOWN and never INTERNAL: those are bugs of the server."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.depth import examples
from tests.e2e.wire import REQUESTS, refusal

BUGS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
FUZZ = settings(max_examples=examples(30))
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["*", "id", "name", "email", "etag", "ada@example.com", "AAAAAAAAAAE="]),
    st.sampled_from(["0b7d6e3c-94a4-4d1c-8d5e-6f1f0c2a9b11", 'name = "*a*"', "-(id > 1 OR a)", "start_time desc, id"]),
)
NUMBERS = st.one_of(
    st.integers(-2, 5),
    st.sampled_from([-(2**63), -(2**31), 2**31 - 1, 2**63 - 1, 253_402_300_799]),
)


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Returns messages of a type, with any values in any of their fields."""
    fields = {field.name: values(field) for field in kind.DESCRIPTOR.fields}
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: kind(**chosen))


def values(field: Any) -> st.SearchStrategy[Any]:
    """Returns values for a field (a FieldDescriptor, of either of the two classes that protobuf has for it)."""
    return st.lists(value(field), max_size=3) if field.is_repeated else value(field)


def value(field: Any) -> st.SearchStrategy[Any]:
    """Returns single values for a field."""
    if field.message_type is not None:
        return messages(GetMessageClass(field.message_type))
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    small = field.type == FieldDescriptor.TYPE_INT32
    return NUMBERS.filter(lambda number: -(2**31) <= number < 2**31) if small else NUMBERS


@pytest.mark.thorough
@pytest.mark.parametrize("method", REQUESTS)
def test_no_message_is_answered_with_unknown_or_internal(channel: grpc.Channel, method: str) -> None:
    @FUZZ
    @given(messages(REQUESTS[method]))
    def send_one(request: Message) -> None:
        refused = refusal(channel, method, request.SerializeToString())
        assert refused is None or refused.code() not in BUGS

    send_one()


@pytest.mark.thorough
@pytest.mark.parametrize("method", REQUESTS)
def test_no_bytes_are_answered_with_unknown_or_internal(channel: grpc.Channel, method: str) -> None:
    @FUZZ
    @given(st.binary(max_size=60))
    def send_one(request: bytes) -> None:
        refused = refusal(channel, method, request)
        assert refused is None or refused.code() not in BUGS

    send_one()
