"""Converts rows column by column, which takes half the time of one by one, where nothing is unusual in them.

It gives the very records that `row_by_row` does, or nothing: then `row_by_row` finds out what is wrong, and with which row.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from artemis_loader.config.field_mapping import EXTERNAL_ID, TIMES
from artemis_loader.convert.row_by_row import InvalidRecord, Row, getter, identifier
from artemis_loader.convert.rules import all_faultless
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.records import COLUMNS, Record, Value
from artemis_loader.times import InvalidTime, compile_times

_Get: TypeAlias = Callable[[Row], Any]
_Column: TypeAlias = Callable[[Sequence[Row]], list[Any]]
_Parse: TypeAlias = Callable[[Sequence[str]], list[Any]]

_record: Callable[[tuple[str, tuple[Value, ...]]], Record] = partial(tuple.__new__, Record)
"""Makes a Record of its two parts, in less time than calling the class."""


def compile_columns(feed: Feed, file: LocalFile) -> Callable[[Sequence[Row]], list[Record]]:
    """Returns the function that makes the records of rows from this file; none if any of them may be invalid."""
    identify = _column(feed.fields[EXTERNAL_ID], identifier(feed, file))
    columns = tuple(_column_of(feed, name, file) for name in COLUMNS[feed.entity])
    entity = feed.entity

    def convert(rows: Sequence[Row]) -> list[Record]:
        try:
            external_ids = identify(rows)
            values = [column(rows) for column in columns]
        except (InvalidRecord, InvalidTime):
            return []
        if not all_faultless(entity, external_ids, values):
            return []
        return list(map(_record, zip(external_ids, zip(*values, strict=True), strict=True)))

    return convert


def _column_of(feed: Feed, name: str, file: LocalFile) -> _Column:
    get = getter(feed, name, file)
    if name in TIMES:
        source = feed.fields[name]
        return _column(source, get, compile_times(source, feed.time_zone, is_end=name == "end_time"))
    return _column(feed.fields.get(name), get)


def _column(source: Source | None, get: _Get, parse: _Parse | None = None) -> _Column:
    """Returns the function that gives what `get` does for each row: texts, or what `parse` makes of them."""

    def one_by_one(rows: Sequence[Row]) -> list[Any]:
        return list(map(get, rows))

    if source is None or len(source.key) != 1 or source.default:
        return one_by_one
    [key] = source.key

    def at_once(rows: Sequence[Row]) -> list[Any]:
        try:
            texts = list(map(str.strip, [row.get(key, "") for row in rows]))
        except TypeError:  # not all are texts
            return one_by_one(rows)
        return parse(texts) if parse else texts

    return at_once
