"""`create` and `update`: from options, or from JSON in a file or on stdin."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, BinaryIO

import click
from google.protobuf.message import Message

from artemis_client.cli.commands.common import (
    calls,
    command,
    format_option,
    request_options,
    style_of,
    view_of,
)
from artemis_client.cli.fields import fill, options_of, scalar_fields
from artemis_client.cli.inputs import STDIN, read_ids, read_resources
from artemis_client.cli.lazy import Command
from artemis_client.cli.output.writers import write_all, write_one
from artemis_client.cli.resources import ETAG, RESOURCES, Calls, Resource, descriptor_of

_Change = tuple[Message, list[str]]
"""A resource with new values, and the fields to change."""


def create(name: str) -> Command:
    """Builds `create`."""
    resource = RESOURCES[name]
    view = view_of(resource)
    requests = scalar_fields(resource.create_request)

    def run(file: BinaryIO | None, format: str | None, **values: Any) -> None:  # noqa: A002 - the option's name
        style = style_of(view, format)
        options = request_options({field.name: values.pop(field.name) for field in requests})
        message = _one(resource, file) if file else resource.message()
        if not fill(message, values) and file is None:
            raise click.UsageError(f"give the {resource.singular} by options, such as --name, or by --file")
        with calls(resource) as client:
            write_one(client.create(message, **options), view, style)

    params = [*options_of(resource.writable), _file_option(resource), *options_of(requests), format_option()]
    help_text = f"""Create one {resource.singular} and print it as it is stored.

    Its fields are options, or JSON in a file, which options override. To create many, use `import`."""
    return command(resource, "create", run, params, help_text)


def update(name: str) -> Command:
    """Builds `update`."""
    resource = RESOURCES[name]
    view = view_of(resource)
    requests = scalar_fields(resource.update_request)
    etag = descriptor_of(resource.message).fields_by_name[ETAG]

    def run(ids: tuple[str, ...], file: BinaryIO | None, format: str | None, **values: Any) -> None:  # noqa: A002
        style = style_of(view, format)
        options = request_options({field.name: values.pop(field.name) for field in requests})
        changes = _from_file(resource, file, ids, values) if file else _from_options(resource, ids, values)
        if options.get("request_id") and len(changes) > 1:
            raise click.UsageError("--request-id is for the update of one")
        with calls(resource) as client:
            updated = _updated(client, changes, options)
            if len(ids) == 1 and STDIN not in ids:
                write_one(next(updated), view, style)
            else:
                write_all(updated, view, style)

    params = [
        click.Argument(["ids"], nargs=-1, metavar="[ID...]"),
        *options_of([*resource.writable, etag]),
        _file_option(resource),
        *options_of(requests),
        format_option(),
    ]
    last = resource.writable[-1].name.replace("_", "-")
    help_text = f"""Change fields of {name} and print them as they are now.

    Options change the same fields of every {resource.singular} that an id names; an empty value, such as
    --{last} '', clears the field. The id - stands for those on stdin.

    With --file each JSON object names its own "id", and each field that it has is changed; null clears one. If it has
    an "etag", the update is made only if nobody changed the {resource.singular} since it was read.

    Up to 1000 are changed in one call, all of them or none, where the server has batches."""
    return command(resource, "update", run, params, help_text)


def _file_option(resource: Resource) -> click.Option:
    help_text = f"JSON with the fields of the {resource.singular}, as `get --format json` prints it; - is stdin."
    return click.Option(["--file"], type=click.File("rb"), help=help_text)


def _one(resource: Resource, file: BinaryIO) -> Message:
    found = [message for message, _ in read_resources(resource, file)]
    if len(found) != 1:
        raise click.UsageError(f"the file has {len(found)} JSON objects and not one; use `import` for many")
    return found[0]


def _from_options(resource: Resource, ids: Sequence[str], values: dict[str, Any]) -> list[_Change]:
    """Returns the same change for each id."""
    template = resource.message()
    mask = [name for name in fill(template, values) if name != ETAG]
    if not ids or not mask:
        raise click.UsageError("give ids and the fields to change, or --file")
    changes: list[_Change] = []
    for each in read_ids(ids):
        message = resource.message()
        message.CopyFrom(template)
        fill(message, {"id": str(each)})
        changes.append((message, mask))
    if values.get(ETAG) and len(changes) > 1:
        raise click.UsageError("--etag is for the update of one")
    return changes


def _from_file(resource: Resource, file: BinaryIO, ids: Sequence[str], values: dict[str, Any]) -> list[_Change]:
    if ids or any(value is not None for value in values.values()):
        raise click.UsageError("with --file, the ids and fields are those of the file")
    changes = [*read_resources(resource, file)]
    for number, (message, mask) in enumerate(changes, 1):
        if not getattr(message, "id") or not mask:  # noqa: B009 - Message has no such attribute for mypy
            raise click.UsageError(f'JSON object {number} of the file needs an "id" and fields to change')
    return changes


def _updated(client: Calls, changes: Sequence[_Change], options: dict[str, Any]) -> Iterator[Message]:
    """Makes the changes, those in a row with the same fields together."""
    for mask, group in groupby(changes, key=lambda change: change[1]):
        yield from client.update([message for message, _ in group], mask, **options)
