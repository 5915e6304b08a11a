"""How the fields of a message become column values, as its descriptor tells."""

from collections.abc import Callable, Iterable
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from artemis_server.contract import is_timestamp
from artemis_server.db import times
from artemis_server.errors import InvalidArgument, Violation

Values = dict[str, Any]
"""Column values by the name of the column, which is the name of the field."""


class Columns:
    """Reads column values from messages of one type."""

    def __init__(self, message: type[Message]) -> None:
        descriptor = message.DESCRIPTOR
        self._prefix = descriptor.name.lower() + "."
        self._readers = {field.name: _reader(cast("FieldDescriptor", field)) for field in descriptor.fields}

    def values(self, message: Message, paths: Iterable[str]) -> Values:
        """Returns the values of these fields; an unset field with presence is None.

        Raises:
            InvalidArgument: a timestamp is malformed.
        """
        values: Values = {}
        for path in paths:
            try:
                values[path] = self._readers[path](message)
            except ValueError as error:
                raise InvalidArgument(Violation(field=self._prefix + path, description=str(error))) from None
        return values


def _reader(field: FieldDescriptor) -> Callable[[Message], Any]:
    name = field.name
    if is_timestamp(field):
        return lambda message: times.to_micros(getattr(message, name))
    if field.has_presence:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    return lambda message: getattr(message, name)
