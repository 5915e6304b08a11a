"""Previews: the first records of a feed, field by field, beside the values of the feed that they come from."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pkgutil import resolve_name
from typing import Any

from rich.console import Console
from rich.table import Table

from artemis_loader.convert.conditions import LeftOut, compile_conditions
from artemis_loader.convert.row_by_row import InvalidRecord, compile_mapping, raw_at
from artemis_loader.entities import ENTITIES, EXTERNAL_ID
from artemis_loader.feeds import FORMATS, Feed, Source
from artemis_loader.files import Fetched, open_file
from artemis_loader.formats.rows import Fault, Reader, Row, shown
from artemis_loader.records import FeedWarning, Record

MAX_VALUE = 60
"""Characters of a value that are shown."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Previewed:
    """One record of a preview, or why it would be rejected."""

    place: str
    """The file and the line."""
    reason: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    """Each field: its name, its value, and the values that it comes from; if there is a reason, without its value."""
    warning: bool = False
    """True if the reason is that of a warning, which is no record."""


def preview(feed: Feed, fetched: Fetched, count: int) -> list[Previewed]:
    """Returns the first records of the feed, rejects included; those that `where` leaves out are passed over.

    Raises:
        FeedError: a file cannot be read.
    """
    found: list[Previewed] = []
    with closing(_previewed(feed, fetched)) as previewed:
        for one in previewed:
            found.append(one)
            count -= not one.warning
            if not count:
                break
    return found


def _previewed(feed: Feed, fetched: Fetched) -> Generator[Previewed]:
    reader: Reader = resolve_name(FORMATS[feed.format].reader)
    for file in fetched.files:
        convert, keep = compile_mapping(feed, file), compile_conditions(feed, file)
        with open_file(file, feed) as stream:
            for item in LeftOut().filter(reader(stream, file, feed), keep):
                if isinstance(item, Fault):
                    yield Previewed(place=f"{file.name}:{item.line}", reason=item.reason)
                elif isinstance(item, FeedWarning):
                    yield Previewed(place=f"{file.name}:{item.line}", reason=item.reason, warning=True)
                else:
                    yield _record(feed, f"{file.name}:{item[0]}", item[1], convert)


def _record(feed: Feed, place: str, row: Any, convert: Any) -> Previewed:
    if not isinstance(row, dict):
        return Previewed(place=place, reason="is not an object")
    try:
        record = convert(row)
    except InvalidRecord as error:
        return Previewed(place=place, reason=str(error), fields=tuple(_fields(feed, row, None)))
    return Previewed(place=place, fields=tuple(_fields(feed, row, record)))


def _fields(feed: Feed, row: Row, record: Record | None) -> Iterator[tuple[str, str, str]]:
    entity = ENTITIES[feed.entity].mapped_by(feed.fields)
    values = (record.external_id, *record.values) if record else None
    for index, field in enumerate((EXTERNAL_ID, *entity.fields)):
        if field.name in feed.fields:
            value = values[index] if values else ""
            text = value if isinstance(value, str) else _time(value)
            yield field.name, _cut(text), _cut(", ".join(_origins(feed.fields[field.name], row)))


def _origins(source: Source, row: Row) -> Iterator[str]:
    """Yields the keys of a source with the values that the row has under them."""
    if source.key:
        value = raw_at(source.key)(row)
        yield f"{'.'.join(source.key)}: {'-' if value is None else shown(value)}"
    elif source.file:
        yield f"the file's {source.file}"
    elif source.constant:
        yield "a constant"
    for part in (*source.join, *source.first, *((source.zone,) if source.zone else ())):
        yield from _origins(part, row)


def _time(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 3]}..."


def print_preview(feed: Feed, records: list[Previewed]) -> None:
    """Prints the records of a preview, a table for each."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(f"feed {feed.name}: {sum(not record.warning for record in records)} records")
    for record in records:
        kind = "warning" if record.warning else "rejected"
        console.print(f"\n{record.place}{f': {kind}: {record.reason}' if record.reason else ''}")
        table = Table("field", "value", "from", box=None, pad_edge=False)
        for row in record.fields:
            table.add_row(*row)
        if record.fields:
            console.width = max(console.width, 3 * MAX_VALUE)
            console.print(table)
