"""Options made from the fields of a message, and messages made from their values. No field is named here."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, cast

import click
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from artemis_client.cli import times
from artemis_client.cli.comments import field_comments
from artemis_client.cli.options import flags
from artemis_client.cli.resources import descriptor_of

_TIME = Timestamp.DESCRIPTOR.full_name
_MAX_INT64 = 2**63 - 1
_INT = re.compile("-?[0-9]{1,19}")
CLEARED = ""
"""The value of an option that clears its field."""


def options_of(fields: Iterable[FieldDescriptor]) -> list[click.Parameter]:
    """Returns an option for each field, whose help is the comment of the .proto file. A switch for a bool."""
    return [_option(field) for field in fields]


def scalar_fields(request: type[Message]) -> list[FieldDescriptor]:
    """Returns the fields of a request that are options as they are; not the resource, its id and its mask."""
    return [each for each in descriptor_of(request).fields if each.message_type is None and each.name != "id"]


def is_time(field: FieldDescriptor) -> bool:
    """Tells whether the field is a time."""
    return field.message_type is not None and field.message_type.full_name == _TIME


def fill(message: Message, values: Mapping[str, Any]) -> list[str]:
    """Sets the fields of a message to the values of options, and returns the names of those that were given.

    Raises:
        click.BadParameter: a value is not of the field's type.
    """
    given = [name for name, value in values.items() if value is not None]
    for name in given:
        field = descriptor_of(type(message)).fields_by_name[name]
        message.ClearField(name)
        if values[name] == CLEARED:
            continue
        value = _parse(field, values[name])
        if isinstance(value, datetime):
            getattr(message, name).FromDatetime(value)
        else:
            setattr(message, name, value)
    return given


def _option(field: FieldDescriptor) -> click.Option:
    message = cast("Descriptor", field.containing_type)  # None is for extensions
    help_text = field_comments(message.file.name, message.name).get(field.name)
    flag = f"--{field.name.replace('_', '-')}"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return click.Option([flag], is_flag=True, help=help_text)
    return click.Option([flag], metavar=_metavar(field), help=help_text)


def _metavar(field: FieldDescriptor) -> str:
    if is_time(field):
        return "TIME"
    return "NUMBER" if field.type == FieldDescriptor.TYPE_INT64 else "TEXT"


def _parse(field: FieldDescriptor, text: str) -> Any:
    parse = _parse_time if is_time(field) else _PARSERS[field.type]
    try:
        return parse(text)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error), param_hint=f"--{field.name.replace('_', '-')}") from None


def _parse_int(text: str) -> int:
    if not _INT.fullmatch(text) or abs(int(text)) > _MAX_INT64:
        raise ValueError(f"{text!r} is not a whole number of 64 bits")
    return int(text)


def _parse_time(text: str) -> datetime:
    try:
        time, placed = times.parse(text, flags().get("time_zone"))
    except ValueError as error:
        reason = f" ({error})" if "clocks" in str(error) else ""
        advice = "2030-05-04T09:00:00Z, or 2030-05-04 09:00 in your time zone"
        raise ValueError(f"{text!r} is not a time{reason}; write it as {advice}") from None
    if placed:
        zone = flags().get("time_zone") or "your time zone; --time-zone names another"
        click.echo(f"{text} is {time.isoformat(' ', 'minutes')} ({zone})", err=True)
    return time


_PARSERS: Mapping[int, Callable[[str], Any]] = {
    FieldDescriptor.TYPE_STRING: str,
    FieldDescriptor.TYPE_INT64: _parse_int,
}
