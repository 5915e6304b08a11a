"""`watch`: follows the changes of events until it is ended, and can go on later where it was."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import click
from artemis.v1 import events_pb2

from artemis_client.cli.commands.common import calls, command, format_option, style_of
from artemis_client.cli.lazy import Command
from artemis_client.cli.options import flags
from artemis_client.cli.output.changes import line_of, view_of_changes
from artemis_client.cli.output.writers import Style, View, csv_writer, to_json
from artemis_client.cli.resources import RESOURCES, Changes

_TERMINATED = 143  # as shells report a program that SIGTERM ended
_Print = Callable[[events_pb2.WatchEventsResponse], None]


def watch(name: str) -> Command:
    """Builds `watch`."""
    resource = RESOURCES[name]

    def run(
        filter: str,  # noqa: A002 - the option's name
        resume_from: str | None,
        save_position: str | None,
        limit: int | None,
        format: str | None,  # noqa: A002 - likewise
    ) -> None:
        view = view_of_changes(resource, flags().get("time_zone"))
        style = style_of(view, format)
        token = _token(resume_from, save_position)
        signal.signal(signal.SIGTERM, _end)  # the position is saved then, too
        with calls(resource) as client:
            changes = client.watch(token, filter=filter)
            if sys.stderr.isatty():
                click.echo("Watching; Ctrl-C ends it.", err=True)
            _follow(changes, limit, _printer(view, style), Position(save_position, changes))

    params = [
        click.Option(["--filter"], default="", show_default=False, metavar="FILTER", help="As in `list`."),
        click.Option(["--resume-from"], type=click.Path(dir_okay=False), help="Go on from the position in this file."),
        click.Option(["--save-position"], type=click.Path(dir_okay=False), help="Keep the position in this file."),
        click.Option(
            ["--limit"], type=click.IntRange(1), metavar="NUMBER", help="Stop after so many; by default never."
        ),
        format_option(),
    ]
    help_text = f"""Follow the changes of {name} as they are made, from now on, until Ctrl-C.

    With one file for both --resume-from and --save-position, the command goes on where it was when it ran last, and
    misses nothing. A change may come twice if the program was killed. The first time there is no file yet, and it
    begins now.

    The format jsonl has a change on each line; json has the responses of WatchEvents, as grpcurl prints them."""
    return command(resource, "watch", run, params, help_text)


class Position:
    """The file that keeps how far a watch is. Without a file nothing is kept."""

    def __init__(self, file: str | None, changes: Changes) -> None:
        self._file = file
        self._changes = changes
        self._followed = ""
        self.keep(changes.resume_token)

    def keep(self, token: str) -> None:
        """Saves the token: what came before it was printed."""
        self._followed = self._changes.resume_token
        if self._file and token:
            path = Path(self._file)
            with NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as made:
                made.write(f"{token}\n")
            os.replace(made.name, path)

    def end(self) -> None:
        """Saves where the watch has come to since, while no change passed the filter."""
        if self._changes.resume_token != self._followed:
            self.keep(self._changes.resume_token)


def _follow(changes: Changes, limit: int | None, show: _Print, position: Position) -> None:
    """Prints the changes, so many of them."""
    left = limit
    try:
        for response in changes:
            if left is not None and len(response.changes) > left:
                del response.changes[left:]
                response.resume_token = ""  # which would leave out the others
            show(response)
            sys.stdout.flush()
            position.keep(response.resume_token)
            left = None if left is None else left - len(response.changes)
            if left == 0:
                return
    finally:
        position.end()


def _printer(view: View, style: Style) -> _Print:
    """Returns the function that prints a response in the format of the style."""
    if style.format == "json":
        return lambda response: click.echo(to_json(response, view, style, indent=2))
    show: Callable[[events_pb2.EventChange], object]
    if style.format == "csv":
        show = csv_writer(view.columns)
    elif style.format == "table":
        show = lambda change: click.echo(line_of(change, style.zone))  # noqa: E731 - one of several
    else:
        show = lambda change: click.echo(to_json(change, view, style))  # noqa: E731 - likewise

    def show_all(response: events_pb2.WatchEventsResponse) -> None:
        for change in response.changes:
            show(change)

    return show_all


def _token(resume_from: str | None, save_position: str | None) -> str | None:
    """Returns the token in the file, None to begin now."""
    if resume_from is None:
        return None
    try:
        return Path(resume_from).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if resume_from == save_position:
            return None
        raise


def _end(*_: object) -> None:
    raise SystemExit(_TERMINATED)
