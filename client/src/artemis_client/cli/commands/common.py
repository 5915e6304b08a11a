"""Parts that several commands share: their options, their connection, and how their results look."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from artemis_client.cli.examples import EXAMPLES
from artemis_client.cli.lazy import Command
from artemis_client.cli.options import common_options, flags
from artemis_client.cli.output.columns import columns_of
from artemis_client.cli.output.writers import FORMATS, Style, View, chosen, default_format
from artemis_client.cli.resources import Calls, Resource, descriptor_of
from artemis_client.cli.settings import DEFAULT_TIMEOUT, connect, resolve


def command(
    resource: Resource,
    name: str,
    callback: Callable[..., None],
    params: Sequence[click.Parameter],
    help: str,  # noqa: A002
) -> Command:
    """Returns a command on a kind of resource, with the options that all have."""
    return Command(
        name,
        callback=callback,
        params=[*params, *common_options(hidden=True)],
        help=help,
        examples=EXAMPLES[resource.name, name],
    )


@contextmanager
def calls(resource: Resource, timeout: float = DEFAULT_TIMEOUT) -> Iterator[Calls]:
    """Connects to the server. `timeout` is the deadline of a call, in seconds, unless the user gives one.

    After a signal the connection is not closed: gRPC would wait for ever for a call that the exception of the signal
    has cut off in its middle.
    """
    client = connect(resolve(flags()), timeout)
    try:
        yield Calls(resource, client)
    except Exception:
        client.close()
        raise
    client.close()


def ids_argument() -> click.Argument:
    """Returns the argument for one or more ids, which may be "-" for stdin."""
    return click.Argument(["ids"], nargs=-1, required=True, metavar="ID...")


def format_option() -> click.Option:
    """Returns the option for the format of the output."""
    help_text = "The format of the output: by default a table on a terminal, and jsonl elsewhere."
    return click.Option(["--format"], type=click.Choice(FORMATS), help=help_text)


def columns_option(resource: Resource) -> click.Option:
    """Returns the option for the fields in the output."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{each.name}" for each in resource.fields if each.name.startswith(last)]

    help_text = "The fields to print, such as id,name. JSON and CSV have all by default."
    return click.Option(["--columns"], metavar="FIELD,...", help=help_text, shell_complete=complete)


def view_of(resource: Resource) -> View:
    """Returns how the resources are shown."""
    required = [field.name for field in resource.required]
    optional = [field.name for field in resource.writable if field.name not in required]
    columns = columns_of(descriptor_of(resource.message))
    return View(key=resource.name, columns=columns, required=required, optional=optional)


def style_of(view: View, format: str | None, columns: str | None = None) -> Style:  # noqa: A002 - the option's name
    """Returns the style that the options ask for."""
    names = [name.strip() for name in columns.split(",")] if columns else None
    if names:
        chosen(view, names)
    return Style(format=format or default_format(), columns=names, zone=flags().get("time_zone"))


def request_options(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a request that were given."""
    return {name: value for name, value in options.items() if value}
