"""`history`: the changes of one event."""

import click

from artemis_client.cli.commands.common import calls, command, format_option, style_of
from artemis_client.cli.inputs import read_ids
from artemis_client.cli.lazy import Command
from artemis_client.cli.options import flags
from artemis_client.cli.output.changes import view_of_changes
from artemis_client.cli.output.writers import write_all
from artemis_client.cli.resources import RESOURCES


def history(name: str) -> Command:
    """Builds `history`."""
    resource = RESOURCES[name]

    def run(id: str, format: str | None) -> None:  # noqa: A002 - the option's name
        view = view_of_changes(resource, flags().get("time_zone"))
        style = style_of(view, format)
        (event_id,) = read_ids([id])
        with calls(resource) as client:
            write_all(client.history(event_id), view, style)

    help_text = f"""Show the changes of one {resource.singular}, the newest first, also after it was deleted.

    The server keeps changes for some days."""
    return command(resource, "history", run, [click.Argument(["id"]), format_option()], help_text)
