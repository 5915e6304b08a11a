"""Input of commands: ids, and resources as JSON in the form of protobuf, which is also what `--format json` prints."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import click
from google.protobuf import json_format
from google.protobuf.message import Message

from artemis_client.cli.resources import Resource

STDIN = "-"
_MAX_ID = 2**63 - 1


class InvalidInput(ValueError):
    """An input that is not what it should be; the message says where and why."""


def read_ids(arguments: Sequence[str]) -> list[int]:
    """Returns the ids of arguments; "-" stands for those on stdin, one on a line: an id, or JSON with an "id".

    Raises:
        click.ClickException: an argument or a line has no id.
    """
    ids: list[int] = []
    for argument in arguments:
        if argument != STDIN:
            ids.append(_id(argument, f"{argument!r}"))
            continue
        for number, line in enumerate(sys.stdin, 1):
            if line.strip():
                ids.append(_id(line.strip(), f"line {number} of stdin"))
    return ids


def _id(text: str, where: str) -> int:
    if text.startswith("{"):
        try:
            text = str(json.loads(text).get("id"))
        except ValueError as error:
            raise click.UsageError(f"{where} is not JSON: {error}") from None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MAX_ID):
        raise click.UsageError(f"{where} is not an id; ids are whole numbers, such as 7")
    return int(text)


def read_resources(resource: Resource, file: BinaryIO) -> Iterator[tuple[Message, list[str]]]:
    """Yields the resources of a file and the fields that each has. It is one JSON object, or several in a row.

    Raises:
        click.ClickException: the file is malformed.
    """
    try:
        for value in _values(file.read().decode("utf-8-sig")):
            yield parse(resource, value)
    except (InvalidInput, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file.name}: {error}") from None


def parse_line(resource: Resource, line: bytes) -> Message:
    """Returns the resource in a line. Raises InvalidInput."""
    try:
        text = line.decode("utf-8")
        value = json.loads(text.rstrip())
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not UTF-8: {error.reason} at byte {error.start + 1}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {_reason(error)}") from None
    return parse(resource, value)[0]


def parse(resource: Resource, value: Any) -> tuple[Message, list[str]]:
    """Returns the resource of a JSON value, and the names of the content fields that the value has. null clears one.

    Raises:
        InvalidInput: the value is no such resource.
    """
    if not isinstance(value, dict):
        raise InvalidInput(f"it must be a JSON object, the fields of one {resource.singular}")
    message = resource.message()
    try:
        json_format.ParseDict(value, message)
    except (json_format.ParseError, RecursionError) as error:
        raise InvalidInput(str(error).partition("\n")[0]) from None  # the rest lists all fields
    content = {name: field.name for field in resource.writable for name in (field.name, field.json_name)}
    return message, [content[name] for name in value if name in content]


def _reason(error: Exception) -> str:
    """Returns the reason and the place, such as "Expecting value at character 7 of line 2"."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}" + (f" of line {error.lineno}" if error.lineno > 1 else "")
    return str(error)


def _values(text: str) -> Iterator[Any]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"not JSON: {_reason(error)}") from None
        yield value
