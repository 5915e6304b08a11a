"""Writes messages to stdout in the format that the user chose: a table, JSON, lines of JSON, or CSV (RFC 4180)."""

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from io import StringIO
from itertools import chain
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from artemis_client.cli.output.columns import Column
from artemis_client.cli.output.escape import for_spreadsheet, for_terminal, json_for_terminal
from artemis_client.cli.output.tables import Heading, write_record, write_table

FORMATS = ("table", "json", "jsonl", "csv")


@dataclass(frozen=True, kw_only=True)
class View:
    """The fields and headings of messages of one kind."""

    key: str
    """The field of a response that has them, such as "events"."""
    columns: Sequence[Column]
    required: Sequence[str]
    """The columns that every table has."""
    optional: Sequence[str] = ()
    """Those that it has when there is room."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """The format that the user chose, or that suits the terminal."""

    format: str
    columns: Sequence[str] | None = None
    """None for those of the view."""
    zone: tzinfo | None = None
    """The zone of times in tables, None for that of this machine."""


def default_format() -> str:
    """Returns the format that is used when the user names none: a table on a terminal, lines of JSON elsewhere."""
    return "table" if sys.stdout.isatty() else "jsonl"


def write_all(messages: Iterable[Message], view: View, style: Style) -> None:
    """Writes messages as they come. Whatever the format, memory does not grow with their number."""
    _WRITERS[style.format](messages, view, style)


def write_one(message: Message, view: View, style: Style) -> None:
    """Writes one message: as an object of JSON, or with one field on each line instead of a table."""
    if style.format == "json":
        click.echo(to_json(message, view, style, indent=2))
    elif style.format == "table":
        shown = chosen(view, style.columns) if style.columns else view.columns
        write_record([each.name for each in shown], [each.for_people(message, style.zone) for each in shown])
    else:
        write_all([message], view, style)


def to_json(message: Message, view: View, style: Style, indent: int | None = None) -> str:
    """Returns the message in protobuf's JSON: fields in lowerCamelCase, ids as texts, times in UTC."""
    value: dict[str, Any] = MessageToDict(message)
    if style.columns:
        fields = message.DESCRIPTOR.fields_by_name
        names = [fields[column.name].json_name for column in chosen(view, style.columns)]
        value = {name: value[name] for name in names if name in value}
    return json_for_terminal(json.dumps(value, ensure_ascii=False, indent=indent))


def chosen(view: View, names: Sequence[str]) -> list[Column]:
    """Returns the columns of these names. Raises click.BadParameter if there is no such column."""
    known = {column.name: column for column in view.columns}
    unknown = [name for name in names if name not in known]
    if unknown:
        message = f"there is no column {unknown[0]!r}; there are {', '.join(known)}"
        raise click.BadParameter(message, param_hint="--columns")
    return [known[name] for name in names]


def terminal_width() -> int | None:
    """Returns the columns of the terminal that stdout is, None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _write_json(messages: Iterable[Message], view: View, style: Style) -> None:
    """Writes the messages as the response that has them."""
    separator = "\n"
    click.echo(f'{{\n  "{view.key}": [', nl=False)
    for message in messages:
        text = to_json(message, view, style, indent=2).replace("\n", "\n    ")
        click.echo(f"{separator}    {text}", nl=False)
        separator = ",\n"
    click.echo("]\n}" if separator == "\n" else "\n  ]\n}")


def _write_jsonl(messages: Iterable[Message], view: View, style: Style) -> None:
    for message in messages:
        click.echo(to_json(message, view, style))


def _write_csv(messages: Iterable[Message], view: View, style: Style) -> None:
    write = csv_writer(chosen(view, style.columns) if style.columns else view.columns)
    for message in messages:
        write(message)


def csv_writer(columns: Sequence[Column]) -> Callable[[Message], None]:
    """Prints the names of the columns, and returns the function that prints a row for a message."""
    show = for_terminal if sys.stdout.isatty() else str

    def write(values: Iterable[str]) -> None:
        row = StringIO(newline="")
        csv.writer(row, lineterminator="\r\n").writerow(values)
        click.echo(row.getvalue().encode(), nl=False)  # as bytes, whose line ends no system changes

    write(column.name for column in columns)
    return lambda message: write(show(_csv_value(column, message)) for column in columns)


def _csv_value(column: Column, message: Message) -> str:
    text = column.for_programs(message)
    return for_spreadsheet(text) if isinstance(column.value(message), str) else text


def _write_table(messages: Iterable[Message], view: View, style: Style) -> None:
    rows = iter(messages)
    first = next(rows, None)
    if first is None:
        click.echo(f"no {view.key}", err=True)
        return
    names = style.columns or [*view.required, *view.optional]
    columns = chosen(view, names)
    optional = () if style.columns else view.optional
    headings = [
        Heading(column.name.upper(), not isinstance(column.value(first), str | None), column.name in optional)
        for column in columns
    ]
    cells: Iterator[Sequence[str]] = (
        [column.for_people(message, style.zone) for column in columns] for message in chain([first], rows)
    )
    write_table(headings, cells, terminal_width())


_WRITERS = {"table": _write_table, "json": _write_json, "jsonl": _write_jsonl, "csv": _write_csv}
