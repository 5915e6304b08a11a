"""`get` and `list`."""

from itertools import islice
from typing import Any

import click

from artemis_client.cli.commands.common import (
    calls,
    columns_option,
    command,
    format_option,
    ids_argument,
    style_of,
    view_of,
)
from artemis_client.cli.inputs import STDIN, read_ids
from artemis_client.cli.lazy import Command
from artemis_client.cli.output.writers import write_all, write_one
from artemis_client.cli.resources import MAX_BATCH, RESOURCES


def get(name: str) -> Command:
    """Builds `get`."""
    resource = RESOURCES[name]
    view = view_of(resource)

    def run(ids: tuple[str, ...], format: str | None, columns: str | None) -> None:  # noqa: A002 - the option's name
        style = style_of(view, format, columns)
        parsed = read_ids(ids)
        with calls(resource) as client:
            found = client.get(parsed, read_mask=style.columns)
            if len(ids) == 1 and STDIN not in ids:
                write_one(next(found), view, style)
            else:
                write_all(found, view, style)

    help_text = f"""Show {name} by their ids.

    An id that is - stands for those on stdin: one on a line, or lines of JSON with an "id", as `list` prints them."""
    return command(resource, "get", run, [ids_argument(), columns_option(resource), format_option()], help_text)


def list_(name: str) -> Command:
    """Builds `list`."""
    resource = RESOURCES[name]
    view = view_of(resource)

    def run(limit: int | None, format: str | None, columns: str | None, **request: Any) -> None:  # noqa: A002 - likewise
        style = style_of(view, format, columns)
        with calls(resource) as client:
            size = min(limit or MAX_BATCH, MAX_BATCH)
            found = client.list(**request, page_size=size, read_mask=style.columns)
            write_all(islice(found, limit), view, style)

    filter_help = f"Choose the {name}, such as 'create_time > \"2030-01-01\"'. docs/filters.md has the language."
    params = [
        click.Option(["--filter"], default="", show_default=False, metavar="FILTER", help=filter_help),
        click.Option(
            ["--order-by"],
            default="",
            show_default=False,
            metavar="FIELDS",
            help="The fields to sort by, such as 'update_time desc'; by default the id.",
        ),
        click.Option(
            ["--limit"], type=click.IntRange(1), metavar="NUMBER", help="Stop after so many; by default never."
        ),
        columns_option(resource),
        format_option(),
    ]
    help_text = f"""List the {name} that match a filter, page by page as they are printed.

    On a terminal the table has the columns that fit. Elsewhere each line is JSON, which `get`, `update`, `delete` and
    `import` read from a pipe."""
    return command(resource, "list", run, params, help_text)
