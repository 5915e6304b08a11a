"""Compiles the mapping of a feed into one function that makes a Record of a row.

The mapping `name = { join = ["first", "last"], separator = " " }` makes a function that returns the name "Ada Lovelace"
for the row `{"first": "Ada", "last": "Lovelace"}`.
"""

import math
from collections.abc import Callable
from datetime import date
from typing import Any, TypeAlias

from artemis_loader.convert.rules import fault, identity_fault
from artemis_loader.convert.times import InvalidTime, compile_time
from artemis_loader.entities import ENTITIES, EXTERNAL_ID, Field
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import Row
from artemis_loader.records import Record, Value

_GetRaw: TypeAlias = Callable[[Row], Any]
_GetText: TypeAlias = Callable[[Row], str]


class InvalidRecord(ValueError):
    """The record cannot be stored; the text tells why."""

    external_id = ""
    """The record's external_id; empty if that is wrong, too."""


def compile_mapping(feed: Feed, file: LocalFile) -> Callable[[Row], Record]:
    """Returns the function that makes a valid Record of a row from this file, or raises InvalidRecord."""
    entity = ENTITIES[feed.entity]
    identify = identifier(feed, file)
    getters = tuple(getter(feed, field, file) for field in entity.fields)

    def convert(row: Row) -> Record:
        external_id = identify(row)
        if reason := identity_fault(external_id):
            raise InvalidRecord(reason)
        try:
            values = tuple([get(row) for get in getters])
            if reason := fault(entity, values):
                raise InvalidRecord(reason)
        except InvalidRecord as error:
            error.external_id = external_id
            raise
        return Record(external_id, values)

    return convert


def identifier(feed: Feed, file: LocalFile) -> Callable[[Row], str]:
    """Returns the function that gives the external_id of a row, or raises InvalidRecord."""
    return _text(EXTERNAL_ID.name, feed.fields[EXTERNAL_ID.name], file, keep_places=True)


def getter(feed: Feed, field: Field, file: LocalFile) -> Callable[[Row], Value]:
    """Returns the function that gives the value of a field, or raises InvalidRecord."""
    source = feed.fields.get(field.name)
    if source is None:
        return lambda _: ""
    if field.max_length:
        return _text(field.name, source, file)
    raw = _raw(field.name, source, file)
    parse = compile_time(source, feed.time_zone, is_end=bool(field.end_of))

    def get(row: Row) -> int:
        value = raw(row)
        if value is None:
            raise InvalidRecord(f"{field.name} is missing")
        try:
            return parse(value)
        except InvalidTime as error:
            raise InvalidRecord(f"{field.name}: {error}") from None

    return get


def _text(field: str, source: Source, file: LocalFile, *, keep_places: bool = False) -> _GetText:
    """Returns the function that gives a field's text, empty when it is missing.

    The key `("city", "0")` on `{"city": ["Oslo ", "Rome"]}` gives "Oslo", and the key `("city",)` gives "Oslo, Rome".
    """
    if source.key:
        get = _text_at(field, source)
    elif source.join:
        get = _joined(field, source, file, keep_places=keep_places)
    elif source.first:
        texts = [_text(field, part, file) for part in source.first]
        get = lambda row: next(filter(None, (text(row) for text in texts)), "")  # noqa: E731, like `find` below
    else:
        fixed = {"": source.constant, "stem": file.stem, "name": file.base, "folder": file.folder}[source.file]
        return lambda _: fixed
    default = source.default
    return (lambda row: get(row) or default) if default else get


def _text_at(field: str, source: Source) -> _GetText:
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


def _joined(field: str, source: Source, file: LocalFile, *, keep_places: bool) -> _GetText:
    """Returns the function that joins parts. Missing ones leave nothing, or with `keep_places` an empty place."""
    parts = [_text(field, part, file) for part in source.join]
    separator = source.separator

    def join(row: Row) -> str:
        return separator.join([text for part in parts if (text := part(row))])

    def join_places(row: Row) -> str:
        texts = [part(row) for part in parts]
        return separator.join(texts) if any(texts) else ""

    return join_places if keep_places else join


def _raw(field: str, source: Source, file: LocalFile) -> _GetRaw:
    """Returns the function that gives a value as the feed has it, text stripped; None when it is missing."""
    if source.first:
        parts = [_raw(field, part, file) for part in source.first]
        find: _GetRaw = lambda row: next((value for part in parts if (value := part(row)) is not None), None)  # noqa: E731
    elif source.key:
        find = _raw_at(source.key)
    else:
        text = _text(field, source, file)
        return lambda row: text(row) or None
    default = source.default
    return (lambda row: default if (value := find(row)) is None else value) if default else find


def _raw_at(path: tuple[str, ...]) -> _GetRaw:
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
            raise TypeError("is a number that is too large")
        return str(value)
    raise TypeError("is an object or an array of arrays, not a text")
