"""Compiles the mapping of a feed into one function that makes a Record of a row.

The mapping `name = { join = ["first", "last"], separator = " " }` makes a function that returns the name "Ada Lovelace"
for the row `{"first": "Ada", "last": "Lovelace"}`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from artemis_loader.convert.rules import fault, identity_fault
from artemis_loader.convert.times import InvalidTime, compile_time
from artemis_loader.convert.transforms import compile_transforms
from artemis_loader.entities import ENTITIES, EXTERNAL_ID, Field
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.formats.rows import Row, shown
from artemis_loader.records import Record, Value

_GetRaw: TypeAlias = Callable[[Row], Any]
_GetText: TypeAlias = Callable[[Row], str]

_SHOWN_NAME = 64
_MAX_ZONES = 512
"""Time zones of records that are cached; the IANA database has about 600 names."""


class InvalidRecord(ValueError):
    """The record cannot be stored; the text tells why."""

    external_id = ""
    """The record's external_id; empty if that is wrong, too."""


def compile_mapping(feed: Feed, file: LocalFile) -> Callable[[Row], Record]:
    """Returns the function that makes a valid Record of a row from this file, or raises InvalidRecord."""
    entity = ENTITIES[feed.entity].mapped_by(feed.fields)
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
    return text_of(EXTERNAL_ID.name, feed.fields[EXTERNAL_ID.name], file, keep_places=True)


def getter(feed: Feed, field: Field, file: LocalFile) -> Callable[[Row], Value]:
    """Returns the function that gives the value of a field, or raises InvalidRecord."""
    source = feed.fields.get(field.name)
    if source is None:
        return lambda _: ""
    if field.max_length:
        return text_of(field.name, source, file)
    raw = _raw(field.name, source, file)
    parse = compile_time(source, feed.time_zone, is_end=bool(field.end_of))
    parse_in_zone = _zoned(feed, field, source.zone, file) if source.zone else None

    def get(row: Row) -> int:
        value = raw(row)
        if value is None:
            raise InvalidRecord(f"{field.name} is missing")
        try:
            return parse_in_zone(row, value) if parse_in_zone else parse(value)
        except InvalidTime as error:
            raise InvalidRecord(f"{field.name}: {error}") from None

    return get


def _zoned(feed: Feed, field: Field, zone: Source, file: LocalFile) -> Callable[[Row, Any], int]:
    """Returns the function that reads a time in the zone that its row names; in the declared one if it names none."""
    source, is_end = feed.fields[field.name], bool(field.end_of)
    name_of = text_of(f"the zone of {field.name}", zone, file)

    @lru_cache(maxsize=_MAX_ZONES)
    def parser_in(name: str) -> Callable[[Any], int] | None:
        try:
            found = ZoneInfo(name) if name else source.time_zone
        except (ValueError, OSError, KeyError):  # not a name, a folder of the database, not in it
            return None
        return compile_time(replace(source, time_zone=found), feed.time_zone, is_end=is_end)

    def parse(row: Row, value: Any) -> int:
        name = name_of(row)
        parser = parser_in(name)
        if parser is None:
            raise InvalidTime(f"{shown(name)[:_SHOWN_NAME]!r} is no time zone, such as Europe/Berlin")
        return parser(value)

    return parse


def text_of(field: str, source: Source, file: LocalFile, *, keep_places: bool = False) -> _GetText:
    """Returns the function that gives a field's text, empty when it is missing.

    The key `("city", "0")` on `{"city": ["Oslo ", "Rome"]}` gives "Oslo", and the key `("city",)` gives "Oslo, Rome".
    """
    if source.key:
        get = _text_at(field, source)
    elif source.join:
        get = _joined(field, source, file, keep_places=keep_places)
    elif source.first:
        texts = [text_of(field, part, file) for part in source.first]
        get = lambda row: next(filter(None, (text(row) for text in texts)), "")  # noqa: E731, like `find` below
    else:
        fixed = {"": source.constant, "stem": file.stem, "name": file.base, "folder": file.folder}[source.file]
        get = lambda _: fixed  # noqa: E731, likewise
    if source.transforms and not source.key:
        get = _transformed(get, source)
    default = source.default
    return (lambda row: get(row) or default) if default else get


def _transformed(get: _GetText, source: Source) -> _GetText:
    transform = compile_transforms(source)
    return lambda row: transform(get(row))


def _text_at(field: str, source: Source) -> _GetText:
    path, separator = source.key, source.separator
    transform = compile_transforms(source) if source.transforms else None

    def to_text(value: Any) -> str:
        if value is None:
            return ""
        try:
            texts = [_scalar(item) for item in (value if isinstance(value, list) else [value])]
        except TypeError as error:
            raise InvalidRecord(f"{field} {error}") from None
        return separator.join(filter(None, map(transform, texts) if transform else texts))

    def get(row: Row) -> str:
        value: Any = row
        for step in path:
            value = value.get(step) if value.__class__ is dict else _item(value, step)
        return value.strip() if value.__class__ is str and transform is None else to_text(value)

    return get


def _item(value: Any, step: str) -> Any:
    """Returns the item of an array, or the values of a key in all its objects; None where there is no array."""
    if not isinstance(value, list):
        return None
    if step.isdecimal():
        return value[int(step)] if int(step) < len(value) else None
    return [each[step] for each in value if isinstance(each, dict) and step in each]


def _joined(field: str, source: Source, file: LocalFile, *, keep_places: bool) -> _GetText:
    """Returns the function that joins parts. Missing ones leave nothing, or with `keep_places` an empty place."""
    parts = [text_of(field, part, file) for part in source.join]
    separator = source.separator

    def join(row: Row) -> str:
        return separator.join([text for part in parts if (text := part(row))])

    def join_places(row: Row) -> str:
        texts = [part(row) for part in parts]
        return separator.join(texts) if any(texts) else ""

    return join_places if keep_places else join


def _raw(field: str, source: Source, file: LocalFile) -> _GetRaw:
    """Returns the function that gives a value as the feed has it, text stripped; None when it is missing."""
    if source.first and not source.transforms:
        parts = [_raw(field, part, file) for part in source.first]
        find: _GetRaw = lambda row: next((value for part in parts if (value := part(row)) is not None), None)  # noqa: E731
    elif source.key and not source.transforms:
        find = raw_at(source.key)
    else:
        text = text_of(field, source, file)
        return lambda row: text(row) or None
    default = source.default
    return (lambda row: default if (value := find(row)) is None else value) if default else find


def raw_at(path: tuple[str, ...]) -> _GetRaw:
    """Returns the function that gives the value at a path, text stripped; None when it is missing."""

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
