"""Converts rows column by column, in half the time of one by one, if nothing in them is unusual.

It gives the same records as `row_by_row`, or none: then `row_by_row` finds out which row is wrong, and why.
tests/unit/test_loader_mapping.py compares the two.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from artemis_loader.convert.row_by_row import InvalidRecord, getter, identifier
from artemis_loader.convert.rules import all_faultless
from artemis_loader.convert.times import InvalidTime, compile_times
from artemis_loader.entities import ENTITIES, EXTERNAL_ID, Field
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import Row
from artemis_loader.records import Record, Value

_Convert: TypeAlias = Callable[[Sequence[Row]], list[Any]]

_record: Callable[[tuple[str, tuple[Value, ...], int]], Record] = partial(tuple.__new__, Record)
"""Makes a Record of its two parts, in less time than calling the class."""


class ConvertAll(Protocol):
    """Makes the records of rows; none if any of them may be invalid."""

    def __call__(self, rows: Sequence[Row], places: Sequence[int] = (), /) -> list[Record]:
        """Returns the records, with the places of the rows if they are given."""


def compile_columns(feed: Feed, file: LocalFile) -> ConvertAll:
    """Returns the function that makes the records of rows from this file."""
    entity = ENTITIES[feed.entity].mapped_by(feed.fields)
    identify = _column(feed.fields[EXTERNAL_ID.name], identifier(feed, file))
    converters = [_field_column(feed, field, file) for field in entity.fields]

    def convert(rows: Sequence[Row], places: Sequence[int] = (), /) -> list[Record]:
        try:
            external_ids = identify(rows)
            columns = [convert_column(rows) for convert_column in converters]
        except (InvalidRecord, InvalidTime):
            return []
        if not all_faultless(entity, external_ids, columns):
            return []
        places = places or [0] * len(rows)
        return list(map(_record, zip(external_ids, zip(*columns, strict=True), places, strict=True)))

    return convert


def _field_column(feed: Feed, field: Field, file: LocalFile) -> _Convert:
    source = feed.fields.get(field.name)
    parse = None
    if source and not field.max_length:
        parse = compile_times(source, feed.time_zone, is_end=bool(field.end_of))
    return _column(source, getter(feed, field, file), parse)


def _column(
    source: Source | None, get: Callable[[Row], Any], parse: Callable[[Sequence[str]], list[Any]] | None = None
) -> _Convert:
    """Returns the function that gives the result of `get` for each row, or of `parse` for all texts together."""

    def one_by_one(rows: Sequence[Row]) -> list[Any]:
        return list(map(get, rows))

    if source is None or len(source.key) != 1 or source.default or source.transforms or source.zone:
        return one_by_one
    [key] = source.key

    def at_once(rows: Sequence[Row]) -> list[Any]:
        try:
            texts = list(map(str.strip, [row.get(key, "") for row in rows]))
        except TypeError:  # not all are texts
            return one_by_one(rows)
        return parse(texts) if parse else texts

    return at_once
