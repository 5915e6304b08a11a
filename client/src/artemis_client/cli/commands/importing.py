"""`import`: creates a resource for each line of JSON, and shows how far it is."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from artemis_client.cli.commands.common import calls, command
from artemis_client.cli.failures import describe
from artemis_client.cli.inputs import InvalidInput
from artemis_client.cli.lazy import Command
from artemis_client.cli.lines import Batch, BatchFailed, Line, import_lines
from artemis_client.cli.options import flags, use_color
from artemis_client.cli.output.escape import for_terminal
from artemis_client.cli.resources import RESOURCES, Resource

TIMEOUT = 60.0
"""Seconds: an import outlasts a restart of the server, and a failover of its database."""


class Stopped(Exception):
    """The import ended at the first line that was rejected."""


def import_(name: str) -> Command:
    """Builds `import`."""
    resource = RESOURCES[name]

    def run(file: BinaryIO, on_error: str, rejects: str | None, again: bool) -> None:
        if rejects and on_error == "stop":
            raise click.UsageError("--rejects needs --on-error continue")
        if rejects and Path(rejects).exists() and os.path.samestat(os.stat(rejects), os.fstat(file.fileno())):
            raise click.UsageError("--rejects is the file that is imported; name another one")
        with ExitStack() as opened:
            shown = opened.enter_context(Shown(resource, file, rejects, stop=on_error == "stop"))
            client = opened.enter_context(calls(resource, TIMEOUT))
            _run(file, resource, client, shown, str(uuid4()) if again else "")

    params = [
        click.Argument(["file"], type=click.File("rb")),
        click.Option(
            ["--on-error"],
            type=click.Choice(["stop", "continue"]),
            default="stop",
            show_default=True,
            help="Stop at the first line that is rejected, or continue with the others.",
        ),
        click.Option(["--rejects"], type=click.Path(dir_okay=False), help="Write the lines that are rejected here."),
        click.Option(["--again"], is_flag=True, help="Create also what the same import has created already."),
    ]
    help_text = f"""Create {name} from a file with one JSON object on each line, as `list` prints them; - is stdin.

    The fields that the server sets, such as the id, are ignored. Up to 1000 are created in one call where the server
    has batches, and then all of them or none.

    To repeat an import within 24 hours is safe: what the same lines of the file have created is not created again. So
    after an error, mend the line and run the same command again. With --on-error continue, import the mended file of
    --rejects instead."""
    return command(resource, "import", run, params, help_text)


class Shown:
    """Shows the progress of an import on a terminal, and the rejected lines everywhere."""

    def __init__(self, resource: Resource, file: BinaryIO, rejects: str | None, *, stop: bool) -> None:
        self._singular = resource.singular
        self._rejects_path = rejects
        self._rejects: BinaryIO | None = None
        self._stop = stop
        self.created = self.known = self.rejected_lines = self.last_line = 0
        console = Console(stderr=True, no_color=use_color() is False)
        self._bar = Progress(
            TextColumn("{task.fields[created]:,} created"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not sys.stderr.isatty() or console.is_dumb_terminal,
        )
        self._task = self._bar.add_task("import", total=_size(file), created=0)

    def __enter__(self) -> "Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._rejects:
            self._rejects.close()

    def rejected(self, line: Line, reason: str) -> None:
        """Shows the error of a line, and keeps the line. Raises Stopped if the user wants that."""
        self.rejected_lines += 1
        self.complain(f"line {line.number}: {reason}")
        if self._stop:
            raise Stopped
        if self._rejects_path:
            self._rejects = self._rejects or open(self._rejects_path, "wb")  # noqa: SIM115 - closed at the end
            self._rejects.write(line.text.rstrip(b"\r\n") + b"\n")

    def imported(self, batch: Batch, created: int, known: int) -> None:
        """Moves the bar."""
        self.created += created
        self.known += known
        self.last_line = batch.last
        self._bar.update(self._task, advance=batch.size, created=self.created)

    def complain(self, text: str) -> None:
        """Prints an error above the bar."""
        line = f"artemis: {for_terminal(text)}"
        if self._bar.disable:
            click.echo(line, err=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def summary(self) -> str:
        """Returns what was done."""
        rejected = f"; {self.rejected_lines:,} rejected" if self.rejected_lines else ""
        known = f"; {self.known:,} created before" if self.known else ""
        return f"created {_count(self.created, self._singular)} from {_count(self.last_line, 'line')}{known}{rejected}"

    def advice(self) -> str:
        """Returns what to do after an import that ended early."""
        return f"{self.summary()}. Run the same command again to go on: nothing is created twice."


def _run(file: BinaryIO, resource: Resource, client: Any, shown: Shown, salt: str) -> None:
    """Runs the import. Exits with 1 if it did not create everything."""
    try:
        import_lines(file, resource, client, shown, salt)
    except (Stopped, InvalidInput, BatchFailed, KeyboardInterrupt) as error:
        shown.__exit__()
        if isinstance(error, InvalidInput):
            shown.complain(str(error))
        if isinstance(error, BatchFailed):
            click.echo(describe(error.error, flags(), f"lines {error.batch.first} to {error.batch.last}: "), err=True)
        click.echo(shown.advice(), err=True)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise click.exceptions.Exit(1) from None
    shown.__exit__()
    click.echo(shown.summary())
    if shown.rejected_lines:
        raise click.exceptions.Exit(1)


def _count(number: int, singular: str) -> str:
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def _size(file: BinaryIO) -> int | None:
    """Returns the bytes of a file, None for a pipe."""
    return os.fstat(file.fileno()).st_size or None
