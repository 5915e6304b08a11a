"""Reads the configuration: a TOML file that declares feeds. docs/feeds.md is its reference."""

import csv
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zoneinfo import ZoneInfo

from artemis_loader.config.conditions import read_conditions
from artemis_loader.config.field_mapping import read_fields
from artemis_loader.config.requests import read_http
from artemis_loader.config.toml_table import TomlTable
from artemis_loader.entities import ENTITIES
from artemis_loader.errors import ConfigError
from artemis_loader.feeds import (
    FORMATS,
    Calendar,
    Config,
    Csv,
    Feed,
    FloatingZone,
    Limits,
    Mode,
    UndefinedZone,
    Window,
    Xlsx,
)

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CRON_FIELDS = 5
_SCHEMES = {"http": "http", "https": "https", "webcal": "https", "webcals": "https"}
"""Schemes of URLs, and what they are fetched by. Calendars are published as webcal, which no server speaks."""
_MAX_SKIPPED = 10_000
_MAX_BYTES = 1 << 40
_MAX_DAYS = 3660
_MAX_AGE = 86400.0 * _MAX_DAYS


def read_config(path: Path) -> Config:
    """Returns the feeds that the file declares.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or declares a feed that cannot work; with its line or key.
    """
    declared = _parse(path)
    for key in declared:
        if key != "feeds":
            raise ConfigError(f"{path}: {key}: unknown key; each feed is a table [feeds.NAME]")
    feeds = TomlTable(f"{path}: feeds", declared.get("feeds", {}))
    found = {name: _feed(name, TomlTable(f"{feeds.where}.{name}", value), path) for name, value in feeds.items()}
    if not found:
        raise ConfigError(f"{path}: declares no feeds; each is a table [feeds.NAME]")
    return Config(path=path, feeds=MappingProxyType(found))


def _parse(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _feed(name: str, table: TomlTable, path: Path) -> Feed:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{table.where}: a feed's name is up to 100 letters, digits, dots, dashes and underscores")
    form, entity = _form_and_entity(table)
    feed = Feed(
        name=name,
        url=_url(table, path),
        format=form,
        entity=entity,
        mode=table.choice("mode", get_args(Mode), "refresh"),
        schedule=_schedule(table),
        max_age=_max_age(table),
        time_zone=table.zone("time_zone") or ZoneInfo("UTC"),
        limits=_limits(table.table("limits")),
        allow_empty=table.take("allow_empty", bool, default=False),
        owner_missing=_owner_missing(table),
        where=read_conditions(table, FORMATS[form]),
        http=read_http(table.table("http"), path.parent, form),
        records=_records(table, form),
        csv=_csv(table.table("csv")),
        xlsx=_xlsx(table.table("xlsx")),
        window=_window(table.table("window")),
        calendar=_calendar(table.table("calendar")),
        fields=read_fields(table.table("fields"), ENTITIES[entity], FORMATS[form]),
    )
    if "http" in table and not feed.remote:
        raise table.fail("http", "means nothing for a file")
    table.close()
    return feed


def _records(table: TomlTable, form: str) -> str:
    path: str = table.take("records", str, default="")
    if form == "xml" and not all(path.split("/")):
        raise table.fail("records", "must be the path to the elements that are records, such as rss/channel/item")
    return path


def _owner_missing(table: TomlTable) -> Literal["reject", "none"]:
    choice: Literal["reject", "none"] = table.choice("owner_missing", ("reject", "none"), Feed.owner_missing)
    if "owner_missing" in table and "owner" not in table.table("fields"):
        raise table.fail("owner_missing", "means nothing without a field owner")
    return choice


def _form_and_entity(table: TomlTable) -> tuple[str, str]:
    form, entity = table.choice("format", FORMATS), table.choice("entity", ENTITIES)
    for option in {option for other in FORMATS.values() for option in other.options}.difference(FORMATS[form].options):
        if option in table:
            raise table.fail(option, f"means nothing for the format {form}")
    in_calendars = [name for name, each in ENTITIES.items() if any(field.calendar_key for field in each.fields)]
    if FORMATS[form].calendar and entity not in in_calendars:
        raise table.fail("entity", f"must be {' or '.join(in_calendars)}, because a calendar has no {entity}")
    return form, entity


def _url(table: TomlTable, path: Path) -> str:
    """Returns an http or https URL as it is, and a path or glob made absolute from the configuration's folder."""
    url = table.text("url")
    scheme = re.match("([A-Za-z][A-Za-z0-9+.-]+):", url)
    if scheme is None or os.sep + scheme[0] in url:
        return os.path.join(path.absolute().parent, url)  # a Path would tidy the glob
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise table.fail("url", "is not a URL") from None
    if parts.scheme == "file" and parts.path.startswith("/"):
        return url2pathname(parts.path)
    if parts.scheme not in _SCHEMES:
        raise table.fail("url", f"must be a path, a glob, http or https, not {scheme[1]}")
    if not host:
        raise table.fail("url", "names no host")
    return f"{_SCHEMES[parts.scheme]}{url[len(parts.scheme) :]}"


def _schedule(table: TomlTable) -> str:
    text = " ".join(table.text("schedule", "").split())
    if "schedule" in table and len(text.split()) != _CRON_FIELDS:
        raise table.fail("schedule", 'must be a cron expression of five fields, such as "0 3 * * *"')
    return text


def _max_age(table: TomlTable) -> float | None:
    age = table.number("max_age", 0, _MAX_AGE, 0)
    if "max_age" in table and age == 0:
        raise table.fail("max_age", "must be more than 0 seconds")
    return age or None


def _limits(table: TomlTable) -> Limits:
    limits = Limits(
        max_rejects=_max_rejects(table),
        max_shrink=table.number("max_shrink", 0, 1, Limits.max_shrink),
        max_bytes=int(table.number("max_bytes", 1, _MAX_BYTES, Limits.max_bytes)),
        timeout=table.number("timeout", 0.001, 3600, Limits.timeout),
        deadline=table.number("deadline", 0.001, 86400, Limits.deadline),
    )
    table.close()
    return limits


def _max_rejects(table: TomlTable) -> int | float:
    """Returns a number of records, or as a float a share of them."""
    value: int | float = table.take("max_rejects", int, float, default=Limits.max_rejects)
    if value < 0 or (isinstance(value, float) and not value <= 1):
        raise table.fail("max_rejects", "must be a number of records, such as 10, or a share from 0.0 to 1.0")
    return value


def _csv(table: TomlTable) -> Csv:
    header = table.take("header", bool, list, default=True)
    dialect = Csv(
        delimiter=table.text("delimiter", Csv.delimiter),
        quote=table.take("quote", str, default=Csv.quote),
        encoding=_encoding(table),
        header=_header(table, header),
        skip_lines=_skip_lines(table),
    )
    table.close()
    _check_dialect(table, dialect)
    return dialect


def _skip_lines(table: TomlTable) -> int:
    return int(table.number("skip_lines", 0, _MAX_SKIPPED, 0))


def _xlsx(table: TomlTable) -> Xlsx:
    xlsx = Xlsx(sheet=table.text("sheet", ""), skip_lines=_skip_lines(table))
    table.close()
    return xlsx


def _check_dialect(table: TomlTable, dialect: Csv) -> None:
    for key, value, lengths in (("delimiter", dialect.delimiter, (1,)), ("quote", dialect.quote, (0, 1))):
        if len(value) not in lengths or value in ("\n", "\r", "\0"):
            raise table.fail(key, "must be one character")
    if dialect.delimiter == dialect.quote:
        raise table.fail("quote", "must not be the delimiter")
    try:
        csv.reader((), delimiter=dialect.delimiter, quotechar=dialect.quote or '"')
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{table.where}: {error}") from None


def _encoding(table: TomlTable) -> str:
    name = table.text("encoding", Csv.encoding)
    try:
        _ = name and "".encode(name)
    except (LookupError, UnicodeError, ValueError):
        raise table.fail("encoding", f"{name!r} is no encoding, such as utf-8 or cp1252") from None
    return name


def _header(table: TomlTable, header: object) -> tuple[str, ...]:
    if header is True:
        return ()
    if not isinstance(header, list) or not header or not all(isinstance(name, str) for name in header):
        raise table.fail("header", "must be true, or the names of the columns when the file does not begin with them")
    return tuple(str(name) for name in header)


def _window(table: TomlTable) -> Window:
    window = Window(first=_bound(table, "first", Window.first), last=_bound(table, "last", Window.last))
    table.close()
    first, last = window.days(datetime.now(UTC).date())
    if not 0 <= (last - first).days <= _MAX_DAYS:
        raise table.fail("last", f"must be from 0 to {_MAX_DAYS} days after first")
    return window


def _calendar(table: TomlTable) -> Calendar:
    found = Calendar(
        undefined_zone=table.choice("undefined_zone", get_args(UndefinedZone), Calendar.undefined_zone),
        floating_zone=table.choice("floating_zone", get_args(FloatingZone), Calendar.floating_zone),
    )
    table.close()
    return found


def _bound(table: TomlTable, key: str, default: int | date) -> int | date:
    """Returns a day, or a number of days from today."""
    bound: int | date = table.take(key, int, date, default=default)
    if isinstance(bound, int) and abs(bound) > _MAX_DAYS:
        raise table.fail(key, f"must be within {_MAX_DAYS} days of today")
    return bound
