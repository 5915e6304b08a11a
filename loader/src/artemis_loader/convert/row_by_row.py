"""Compiles the mapping of a feed into one function that makes a Record of what a reader gives."""

import math
from collections.abc import Callable
from datetime import date
from typing import Any, TypeAlias

from artemis_loader.config.field_mapping import EXTERNAL_ID, TIMES
from artemis_loader.convert.rules import fault, identity_fault
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.records import COLUMNS, Record, Value
from artemis_loader.times import InvalidTime, compile_time

Row: TypeAlias = dict[str, Any]
"""A record of a feed as its reader gives it: values by key, as JSON has them, and datetimes."""
_Raw: TypeAlias = Callable[[Row], Any]
_Text: TypeAlias = Callable[[Row], str]


class InvalidRecord(ValueError):
    """The record cannot be stored; the text tells why."""

    external_id = ""
    """What identifies it, if that much is known."""


def compile_mapping(feed: Feed, file: LocalFile) -> Callable[[Row], Record]:
    """Returns the function that makes a valid Record of a row from this file, or raises InvalidRecord."""
    identify = identifier(feed, file)
    getters = tuple(getter(feed, column, file) for column in COLUMNS[feed.entity])
    entity = feed.entity

    def convert(row: Row) -> Record:
        external_id = identify(row)
        if wrong := identity_fault(external_id):
            raise InvalidRecord(wrong)
        try:
            values = tuple([get(row) for get in getters])
            if wrong := fault(entity, values):
                raise InvalidRecord(wrong)
        except InvalidRecord as error:
            error.external_id = external_id
            raise
        return Record(external_id, values)

    return convert


def identifier(feed: Feed, file: LocalFile) -> Callable[[Row], str]:
    """Returns the function that gives what identifies a row; it raises InvalidRecord, too."""
    return _text(EXTERNAL_ID, feed.fields[EXTERNAL_ID], file, keep_places=True)


def getter(feed: Feed, column: str, file: LocalFile) -> Callable[[Row], Value]:
    """Returns the function that gives the value of a column; it raises InvalidRecord, too."""
    source = feed.fields.get(column)
    if source is None:
        return _always("")
    return _time(feed, column, source, file) if column in TIMES else _text(column, source, file)


def _always(value: str) -> _Text:
    return lambda _: value


def _time(feed: Feed, field: str, source: Source, file: LocalFile) -> Callable[[Row], int]:
    raw = _raw(field, source, file)
    parse = compile_time(source, feed.time_zone, is_end=field == "end_time")

    def get(row: Row) -> int:
        value = raw(row)
        if value is None:
            raise InvalidRecord(f"{field} is missing")
        try:
            return parse(value)
        except InvalidTime as error:
            raise InvalidRecord(f"{field}: {error}") from None

    return get


def _text(field: str, source: Source, file: LocalFile, *, keep_places: bool = False) -> _Text:
    """Returns the function that gives a field's text, empty when it is missing."""
    if source.key:
        get = _text_at(field, source)
    elif source.join:
        get = _joined(field, source, file, keep_places=keep_places)
    elif source.first:
        get = _first_text([_text(field, part, file) for part in source.first])
    else:
        return _always(_fixed(source, file))
    default = source.default
    return (lambda row: get(row) or default) if default else get


def _text_at(field: str, source: Source) -> _Text:
    path, separator = source.key, source.separator

    def to_text(value: Any) -> str:
        if value is None:
            return ""
        try:
            return separator.join(filter(None, map(_scalar, value))) if isinstance(value, list) else _scalar(value)
        except TypeError as error:
            raise InvalidRecord(f"{field} {error}") from None

    def get(row: Row) -> str:
        value: Any = row
        for step in path:
            value = value.get(step) if value.__class__ is dict else _item(value, step)
        return value.strip() if value.__class__ is str else to_text(value)

    return get


def _item(value: Any, step: str) -> Any:
    """Returns the item of an array; None where there is none, or no array."""
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return None


def _joined(field: str, source: Source, file: LocalFile, *, keep_places: bool) -> _Text:
    """Returns the function that joins parts. Missing ones leave nothing, or with `keep_places` an empty place."""
    parts = [_text(field, part, file) for part in source.join]
    separator = source.separator

    def join(row: Row) -> str:
        return separator.join([text for part in parts if (text := part(row))])

    def join_places(row: Row) -> str:
        texts = [part(row) for part in parts]
        return separator.join(texts) if any(texts) else ""

    return join_places if keep_places else join


def _first_text(parts: list[_Text]) -> _Text:
    return lambda row: next(filter(None, (part(row) for part in parts)), "")


def _fixed(source: Source, file: LocalFile) -> str:
    """Returns the text that is the same for every record of a file."""
    return {"": source.constant, "stem": file.stem, "name": file.base, "folder": file.folder}[source.file]


def _raw(field: str, source: Source, file: LocalFile) -> _Raw:
    """Returns the function that gives a value as the feed has it, text stripped; None when it is missing."""
    if source.first:
        find = _first([_raw(field, part, file) for part in source.first])
    elif source.key:
        find = _raw_at(source.key)
    else:
        text = _text(field, source, file)
        return lambda row: text(row) or None
    default = source.default
    return (lambda row: default if (value := find(row)) is None else value) if default else find


def _first(parts: list[_Raw]) -> _Raw:
    return lambda row: next((value for part in parts if (value := part(row)) is not None), None)


def _raw_at(path: tuple[str, ...]) -> _Raw:
    def get(row: Row) -> Any:
        value: Any = row
        for step in path:
            value = value.get(step) if value.__class__ is dict else _item(value, step)
        if value.__class__ is str:
            return value.strip() or None
        return None if value == [] else value

    return get


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # and so a datetime
        return value.isoformat()
    if isinstance(value, (int, float)):
        if abs(value) == math.inf:
            raise TypeError("is a number beyond all bounds")
        return str(value)
    raise TypeError("is an object or an array of arrays, not a text")
