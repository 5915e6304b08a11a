"""`delete`: asks first when a person is there."""

import os
import select
import sys
from typing import Any, TextIO

import click

from artemis_client.cli.commands.common import (
    calls,
    command,
    format_option,
    ids_argument,
    request_options,
    style_of,
    view_of,
)
from artemis_client.cli.fields import options_of, scalar_fields
from artemis_client.cli.inputs import STDIN, read_ids
from artemis_client.cli.lazy import Command
from artemis_client.cli.output.writers import write_all, write_one
from artemis_client.cli.resources import RESOURCES, Resource

_ONE_ONLY = ("etag", "request_id")
"""Options that hold for one resource."""


def delete(name: str) -> Command:
    """Builds `delete`."""
    resource = RESOURCES[name]
    view = view_of(resource)

    def run(ids: tuple[str, ...], yes: bool, format: str | None, **values: Any) -> None:  # noqa: A002
        style = style_of(view, format)
        options = request_options(values)
        parsed = read_ids(ids)
        for option in _ONE_ONLY:
            if option in options and len(parsed) > 1:
                raise click.UsageError(f"--{option.replace('_', '-')} is for one {resource.singular}")
        if not yes and "validate_only" not in options and parsed:
            _confirm(resource, parsed)
        with calls(resource) as client:
            deleted = client.delete(parsed, **options)
            if len(ids) == 1 and STDIN not in ids:
                write_one(next(deleted), view, style)
            else:
                write_all(deleted, view, style)

    params = [
        ids_argument(),
        click.Option(["--yes", "-y"], is_flag=True, help="Do not ask."),
        *options_of(scalar_fields(resource.delete_request)),
        format_option(),
    ]
    help_text = f"""Delete {name} for good, and print them as they last were.

    On a terminal the command asks first, unless --yes is given. The id - stands for those on stdin: one on a line, or
    lines of JSON with an "id". Up to 1000 are deleted in one call, all of them or none, where the
    server has batches."""
    return command(resource, "delete", run, params, help_text)


def _confirm(resource: Resource, ids: list[int]) -> None:
    """Asks on the terminal, if a person sees stderr there. Ends the program if the answer is no."""
    if not sys.stderr.isatty():
        return
    which = f"{resource.singular} {ids[0]}" if len(ids) == 1 else f"{len(ids)} {resource.name}"
    click.echo(f"Delete {which} for good? [y/N] ", nl=False, err=True)
    if _answer().strip().lower() not in ("y", "yes"):
        click.echo("nothing was deleted", err=True)
        raise click.exceptions.Exit(1)


def _answer() -> str:
    """Returns a line from the terminal, also when stdin is a pipe."""
    if sys.stdin.isatty():
        return _line(sys.stdin)
    try:
        with open(os.ctermid(), encoding="utf-8") as terminal:
            return _line(terminal)
    except OSError:
        raise click.UsageError("there is no terminal to ask on; give --yes") from None


def _line(terminal: TextIO) -> str:
    """Returns a line from the terminal, or raises KeyboardInterrupt within 0.1 s of Ctrl-C.

    Python handles signals, and then reads: a Ctrl-C between the two would have no effect until the next key.
    """
    while not select.select([terminal], [], [], 0.1)[0]:
        pass
    return terminal.readline()
