"""Rows as messages and back, as the descriptors tell."""

from typing import Any, cast

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server.contract import is_timestamp
from artemis_server.db import etags
from artemis_server.db.columns import RowCodec
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

MESSAGES = (Event, User)


def sample(message: type[Message]) -> dict[str, Any]:
    """Returns a value for each column that no other column has."""
    codec, fields = RowCodec(message), message.DESCRIPTOR.fields_by_name
    return {
        name: f"text {number}" if name in fields and fields[name].type == fields[name].TYPE_STRING else 10**15 + number
        for number, name in enumerate(codec.names)
    }


@pytest.mark.parametrize("message", MESSAGES)
def test_every_field_of_a_message_is_set_from_the_column_of_its_name(message: type[Message]) -> None:
    row = sample(message)
    filled = RowCodec(message).to_message(tuple(row.values()))
    for field in cast("Descriptor", message.DESCRIPTOR).fields:
        value = getattr(filled, field.name)
        if is_timestamp(field):
            seconds, micros = divmod(row[field.name], 10**6)
            assert value == Timestamp(seconds=seconds, nanos=micros * 1000)
        else:
            assert value == (etags.from_version(row["version"]) if field.name == "etag" else row[field.name])


@pytest.mark.parametrize("message", MESSAGES)
@given(st.data())
def test_some_fields_are_set_as_all_are_whatever_other_columns_the_row_has(
    message: type[Message], data: st.DataObject
) -> None:
    codec, row = RowCodec(message), sample(message)
    names = [field.name for field in cast("Descriptor", message.DESCRIPTOR).fields]
    chosen = data.draw(st.sets(st.sampled_from(names), min_size=1))
    also = data.draw(st.sets(st.sampled_from([name for name in names if name != "etag"])))
    fields = tuple(name for name in names if name in chosen)
    columns = codec.columns(fields, also)
    filled, whole = message(), codec.to_message(tuple(row.values()))
    codec.fill_of(columns, fields)(filled, tuple(row[name] for name in columns))

    assert columns == tuple(name for name, field in zip(codec.names, names, strict=True) if field in chosen | also)
    for name in set(names) - chosen:
        whole.ClearField(name)
    assert whole == filled


@pytest.mark.parametrize("message", MESSAGES)
def test_the_columns_of_the_writable_fields_come_back(message: type[Message]) -> None:
    codec, row = RowCodec(message), sample(message)
    filled = codec.to_message(tuple(row.values()))
    assert codec.to_columns(filled, codec.writable) == {name: row[name] for name in codec.writable}


def test_a_field_may_be_named_by_a_keyword() -> None:
    file = FileDescriptorProto(name="keywords.proto", package="keywords", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    kind = file.message_type.add(name="Trip")
    kind.field.add(name="from", number=1, type=FieldDescriptorProto.TYPE_STRING)
    kind.field.add(
        name="while", number=2, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp"
    )
    pool = DescriptorPool()
    pool.AddSerializedFile(Timestamp.DESCRIPTOR.file.serialized_pb)
    pool.Add(file)
    trip = GetMessageClass(pool.FindMessageTypeByName("keywords.Trip"))
    filled: Any = RowCodec(trip).to_message(("Rome", 3_000_004))
    assert (getattr(filled, "from"), getattr(filled, "while").ToNanoseconds()) == ("Rome", 3_000_004_000)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_new_row_has_a_value_for_every_column(message: type[Message]) -> None:
    codec = RowCodec(message)
    assert {*codec.names} == {"id", "create_time", "update_time", *codec.writable, *codec.new}
    assert codec.new == {"source": "", "external_id": "", "version": 1}


def test_a_column_without_a_value_leaves_its_field_unset() -> None:
    codec = RowCodec(Event)
    filled = codec.to_message(tuple((sample(Event) | {"owner_id": None}).values()))
    assert not filled.HasField("owner_id")
    assert codec.to_columns(filled, ["owner_id"]) == {"owner_id": None}
