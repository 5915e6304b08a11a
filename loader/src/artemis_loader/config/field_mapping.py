"""Reads the `fields` of a feed: where the value of each field comes from. It refuses mappings that cannot work.

`name = { join = ["first", "last"], separator = " " }` makes
`Source(join=(Source(key=("first",)), Source(key=("last",))), separator=" ")`,
and `convert.row_by_row` makes the name "Ada Lovelace" of the record `{"first": "Ada", "last": "Lovelace"}` with it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from artemis_loader.config.toml_table import TomlTable
from artemis_loader.config.transforms import read_transforms
from artemis_loader.convert.times import EPOCH_FORMATS, RFC_822, InvalidTime, compile_time
from artemis_loader.entities import EXTERNAL_ID, Entity, Field
from artemis_loader.errors import ConfigError
from artemis_loader.feeds import Format, Source

_KINDS = ("key", "constant", "file", "join", "first")


def read_fields(table: TomlTable, entity: Entity, form: Format) -> Mapping[str, Source]:
    """Returns the source of external_id, and of each field that is mapped or that a calendar has by default.

    Raises:
        ConfigError: a field is unknown, a required one is missing, or a mapping cannot work.
    """
    sources: dict[str, Source] = {}
    for field in (EXTERNAL_ID, *entity.fields, *entity.optional):
        if field.name in table:
            sources[field.name] = _field(table, field, nested=form.nested)
        elif form.calendar and field.calendar_key:
            sources[field.name] = Source(key=(field.calendar_key,))
    table.close()
    for field in (EXTERNAL_ID, *entity.fields):
        if field.required and field.name not in sources:
            raise table.fail(field.name, "is missing; every record needs one")
    return MappingProxyType(sources)


def _field(table: TomlTable, field: Field, *, nested: bool) -> Source:
    value = table.take(field.name, str, dict)
    if isinstance(value, str):
        return Source(key=_path(table, field.name, value, nested=nested))
    inner = TomlTable(f"{table.where}.{field.name}", value)
    source = read_source(inner, nested=nested)
    if field is EXTERNAL_ID and "separator" not in inner:
        source = replace(source, separator="|")
    if not field.max_length:
        source = _time(inner, source, nested=nested)
    inner.close()
    if field is EXTERNAL_ID and not source.key and not source.join and not source.first:
        raise table.fail(field.name, "must differ from record to record")
    return source


def read_source(table: TomlTable, *, nested: bool) -> Source:
    """Reads a value: `{ key = "a.b", default = "-" }` makes `Source(key=("a", "b"), default="-")`.

    Raises:
        ConfigError: not exactly one of key, constant, file, join and first is there, or it cannot work.
    """
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        raise ConfigError(f"{table.where}: needs exactly one of {', '.join(_KINDS)}")
    [kind] = kinds
    if kind == "join":
        source = Source(join=_parts(table, kind, nested=nested))
    elif kind == "first":
        source = Source(first=_parts(table, kind, nested=nested))
    elif kind == "key":
        source = Source(key=_key(table, nested=nested))
    elif kind == "file":
        source = Source(file=table.choice(kind, ("stem", "name", "folder")))
    else:
        source = Source(constant=table.text(kind))
    if kind in ("key", "join", "first"):
        source = replace(source, separator=table.take("separator", str, default=", "))
    if kind != "constant":
        source = replace(read_transforms(table, source), default=table.text("default", ""))
    return source


def _parts(table: TomlTable, kind: str, *, nested: bool) -> tuple[Source, ...]:
    values = table.take(kind, list)
    if not values:
        raise table.fail(kind, "must not be empty")
    return tuple(_part(table, f"{kind}[{index}]", value, nested=nested) for index, value in enumerate(values))


def _part(table: TomlTable, where: str, value: object, *, nested: bool) -> Source:
    """Reads one item of join or first: a key as text, or a table. The field itself says how times are read."""
    if isinstance(value, str):
        return Source(key=_path(table, where, value, nested=nested))
    inner = TomlTable(f"{table.where}.{where}", value)
    source = read_source(inner, nested=nested)
    inner.close()
    return source


def _key(table: TomlTable, *, nested: bool) -> tuple[str, ...]:
    """Returns the path: text is split at dots, an array names its steps, so that a name may have dots."""
    value = table.take("key", str, list)
    if isinstance(value, str):
        return _path(table, "key", value, nested=nested)
    if not value or not all(isinstance(step, str) and step for step in value):
        raise table.fail("key", "must be a text, or an array of texts")
    if not nested and len(value) > 1:
        raise table.fail("key", "must be one text, because nothing is nested in CSV")
    return tuple(value)


def _path(table: TomlTable, where: str, text: str, *, nested: bool) -> tuple[str, ...]:
    path = tuple(text.split(".")) if nested else (text,)
    if not all(path):
        raise table.fail(where, "must not be empty" if not text else f"{text!r} has an empty step")
    return path


def _time(table: TomlTable, source: Source, *, nested: bool) -> Source:
    zone = _zone_source(table, nested=nested)
    source = replace(
        source,
        formats=_formats(table),
        time_zone=None if zone else table.zone("time_zone"),
        zone=zone,
        last_day=table.take("last_day", bool, default=True),
    )
    for kind, text in (("constant", source.constant), ("default", source.default)):
        try:
            _ = text and compile_time(source, UTC, is_end=False)(text)
        except InvalidTime as error:
            raise table.fail(kind, str(error)) from None
    return source


def _zone_source(table: TomlTable, *, nested: bool) -> Source | None:
    """Returns where the record names the zone of its times; None when the zone is declared, or none is."""
    if "time_zone" not in table or not isinstance(table.take("time_zone", str, dict), dict):
        return None
    inner = table.table("time_zone")
    source = read_source(inner, nested=nested)
    inner.close()
    return source


def _formats(table: TomlTable) -> tuple[str, ...]:
    if "format" not in table:
        table.take("format", str, default="")
        return ()
    value = table.take("format", str, list)
    formats = [value] if isinstance(value, str) else value
    if not formats:
        raise table.fail("format", "must not be empty")
    for each in formats:
        if not isinstance(each, str) or not (each in EPOCH_FORMATS or each == RFC_822 or _gives_a_date(each)):
            raise table.fail("format", f"{each!r} does not tell a year, a month and a day, as %Y-%m-%d does")
    return tuple(formats)


def _gives_a_date(form: str) -> bool:
    """Tells whether a date that is written so can be read back."""
    sample = datetime(2001, 11, 23, tzinfo=UTC)
    if "%Z" in form:  # strptime takes the names of zones and forgets them
        return False
    try:
        return datetime.strptime(sample.strftime(form), form).date() == sample.date()
    except (ValueError, IndexError):  # IndexError: a lone % at the end, in older versions
        return False
