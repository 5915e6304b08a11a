"""Columns: the values of a message that a table or CSV shows, derived from its descriptor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from artemis_client.cli import times
from artemis_client.cli.fields import is_time


@dataclass(frozen=True, kw_only=True)
class Column:
    """A value of a message, by a name such as "start_time" or "event.name"."""

    name: str
    value: Callable[[Message], Any]
    """Returns a text, a number, a Timestamp, or None if the field is not set."""

    def for_people(self, message: Message, zone: tzinfo | None) -> str:
        """Returns the value as a text, times in their zone."""
        value = self.value(message)
        return times.shown(value, zone) if isinstance(value, Timestamp) else _text(value)

    def for_programs(self, message: Message) -> str:
        """Returns the value as a text, times in UTC as RFC 3339 has them."""
        value = self.value(message)
        return value.ToJsonString() if isinstance(value, Timestamp) else _text(value)


def columns_of(message: Descriptor, prefix: str = "", inside: Sequence[str] = ()) -> list[Column]:
    """Returns a column for each field, and those of the messages in the fields that `inside` names."""
    columns: list[Column] = []
    for field in message.fields:
        if field.message_type is None or is_time(field):
            columns.append(Column(name=f"{prefix}{field.name}", value=_getter(field)))
        elif field.name in inside:
            nested = columns_of(field.message_type, f"{prefix}{field.name}.")
            columns += [_within(field.name, column) for column in nested]
    return columns


def _within(name: str, column: Column) -> Column:
    return Column(name=column.name, value=lambda message: column.value(getattr(message, name)))


def _getter(field: FieldDescriptor) -> Callable[[Message], Any]:
    def get(message: Message) -> Any:
        if field.has_presence and not message.HasField(field.name):
            return None
        value = getattr(message, field.name)
        if field.enum_type is None:
            return value
        named = field.enum_type.values_by_number.get(value)  # None for one of a later server
        return named.name.rpartition("_")[2].lower() if named else value

    return get


def _text(value: object) -> str:
    return "" if value is None else str(value)
