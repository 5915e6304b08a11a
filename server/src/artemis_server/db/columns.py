"""Turns rows into messages and messages into column values, as the descriptor of the message tells.

A column has the name of its field, except `version`, whose field is `etag`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from keyword import iskeyword
from typing import Any, Generic, TypeAlias, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from artemis_server.contract import ETAG, is_timestamp, writable_fields
from artemis_server.db import etags, times
from artemis_server.db.statements import Row, Values

M = TypeVar("M", bound=Message)
VERSION = "version"
Fields: TypeAlias = tuple[str, ...] | None
"""The names of the fields that a read returns, in the order of their declaration; None for all of them."""
Fill: TypeAlias = Callable[[Any, Row], None]
"""Sets fields of an empty message from a row."""
MAX_FILLS = 128
"""The number of functions for parts of a message that are kept: callers choose the parts."""


class RowCodec(Generic[M]):
    """Turns the rows of one table into messages of one type, and such messages into column values.

    `names` has the columns of a row in order; `writable` those that callers set; `new` the values that a row made
    over the API has in the columns that neither callers nor the clock set, such as {"source": "", "version": 1}.
    `fill(message, row)` sets every field of an empty message from a row with all columns. `fill_of(columns, fields)`
    returns the function that sets these fields alone, from a row with these columns.
    """

    def __init__(self, message: type[M]) -> None:
        descriptor = cast("Descriptor", message.DESCRIPTOR)
        fields = list(descriptor.fields)
        self._message = message
        self._readers = {field.name: _reader(field) for field in fields}
        self.names = tuple(_column(field) for field in fields)
        self.writable = writable_fields(descriptor)
        others = [
            field for field in fields if field.name not in (*self.writable, "id", ETAG) and not is_timestamp(field)
        ]
        self.new: Values = {field.name: field.default_value for field in others} | {VERSION: 1}
        self.fill: Fill = _compile_fill(fields, self.names)
        self.fill_of = lru_cache(MAX_FILLS)(self._fill_of)

    def columns(self, fields: Fields, also: Collection[str] = ()) -> tuple[str, ...]:
        """Returns the columns of these fields, and of those in `also`, in the order of `names`."""
        if fields is None:
            return self.names
        chosen = {*fields, *also}
        return tuple(name for field, name in zip(self._readers, self.names, strict=True) if field in chosen)

    def _fill_of(self, columns: tuple[str, ...], fields: Fields) -> Fill:
        descriptor = cast("Descriptor", self._message.DESCRIPTOR)
        chosen = [field for field in descriptor.fields if fields is None or field.name in fields]
        return _compile_fill(chosen, columns)

    def to_message(self, row: Row) -> M:
        """Returns the row as a message."""
        message = self._message()
        self.fill(message, row)
        return message

    def to_columns(self, message: Message, paths: Iterable[str]) -> Values:
        """Returns the values of these fields of a valid message; an unset field with presence is None."""
        return {path: self._readers[path](message) for path in paths}


def _column(field: FieldDescriptor) -> str:
    return VERSION if field.name == ETAG else field.name


def _reader(field: FieldDescriptor) -> Callable[[Message], Any]:
    name = field.name
    if is_timestamp(field):
        return lambda message: times.to_micros(getattr(message, name))
    if field.has_presence:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    return lambda message: getattr(message, name)


def _compile_fill(fields: Sequence[FieldDescriptor], columns: Sequence[str]) -> Fill:
    """Returns a function that sets the fields of a message from a row, compiled from source code as dataclasses do.

    A loop over the fields makes a page of 100 events cost a tenth more. For the fields `name`, `start_time`
    (a Timestamp), `owner_id` (optional) and `etag`, and a row with these columns, the source is

        def fill(_message, _row):
            (f0, f1, f2, f3, ) = _row
            _message.name = f0
            _time = _message.start_time
            _time.seconds = f1 // 1000000
            if _rest := f1 % 1000000: _time.nanos = _rest * 1000
            if f2 is not None: _message.owner_id = f2
            _message.etag = _etag(f3)

    A field that is named as a keyword of Python, such as `from`, is set by `setattr`.
    """
    lines = [f"({''.join(f'f{index}, ' for index, _ in enumerate(columns))}) = _row"]
    for field in fields:
        name, value = field.name, f"f{columns.index(_column(field))}"
        if is_timestamp(field):
            lines += [
                f"_time = getattr(_message, {name!r})" if iskeyword(name) else f"_time = _message.{name}",
                f"_time.seconds = {value} // {times.MICROS}",
                f"if _rest := {value} % {times.MICROS}: _time.nanos = _rest * 1000",
            ]
            continue
        stored = f"_etag({value})" if name == ETAG else value
        change = f"setattr(_message, {name!r}, {stored})" if iskeyword(name) else f"_message.{name} = {stored}"
        lines.append(f"if {value} is not None: {change}" if field.has_presence else change)
    source = "\n    ".join(["def fill(_message, _row):", *lines])
    namespace: dict[str, Any] = {"_etag": etags.from_version}
    exec(source, namespace)  # noqa: S102, the source has nothing but names of the contract
    return cast("Fill", namespace["fill"])
