"""The root of the command line, and its exit codes.

Each command is imported when it is called, so that `artemis --help` needs neither gRPC nor protobuf.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import click

from artemis_client.cli.lazy import Lazy, LazyGroup
from artemis_client.cli.options import CONNECTION, Flags

EXIT_CODES = """Exit codes: 0 success; 1 a call or a file failed; 2 wrong usage; 130 ended by Ctrl-C; 141 nobody reads
the output any more."""
FAILED = 1
CLOSED_PIPE = 141  # as shells report a program that SIGPIPE ended


def _print_version(context: click.Context, _: click.Parameter, is_given: bool) -> None:
    if is_given:
        click.echo(f"artemis {version('artemis-client')}")
        context.exit()


root = LazyGroup(
    "artemis",
    help=f"""Events and users of an Artemis server.

The options below may also follow a command. Settings come from these options, then from the environment
(ARTEMIS_TARGET, ARTEMIS_TOKEN, ARTEMIS_TOKEN_FILE, ARTEMIS_CA, ARTEMIS_CERT, ARTEMIS_KEY,
ARTEMIS_TLS), then from the profile that
--profile or ARTEMIS_PROFILE names. The default is 127.0.0.1:50051 without TLS.

{EXIT_CODES}""",
    examples=(
        "artemis events list --filter 'start_time > \"2030-01-01\"' --limit 10",
        "artemis users create --email grace@example.com",
        "artemis events get --help",
    ),
    params=[
        *CONNECTION,
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version, and exit.",
        ),
    ],
    commands={
        "events": Lazy("Get, list, change, import and watch events.", "artemis_client.cli.commands.entity", "events"),
        "users": Lazy("Get, list, change and import users.", "artemis_client.cli.commands.entity", "users"),
        "config": Lazy("Keep targets and tokens as profiles.", "artemis_client.cli.commands.config", "config"),
        "completion": Lazy(
            "Print the script that completes commands in a shell.",
            "artemis_client.cli.commands.completion",
            "completion",
        ),
    },
)


def run(arguments: Sequence[str]) -> int:
    """Runs a command line and returns the exit code. Errors are shown on stderr, without a traceback."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        return CLOSED_PIPE if isinstance(error, BrokenPipeError) else FAILED
    return code


def _run(arguments: Sequence[str]) -> int:
    if instruction := os.environ.get("_ARTEMIS_COMPLETE"):
        from click.shell_completion import shell_complete  # noqa: PLC0415 - only the shell needs it

        return shell_complete(root, {}, "artemis", "_ARTEMIS_COMPLETE", instruction)
    try:
        with root.make_context("artemis", list(arguments)) as context:
            return _invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort as aborted:
        raise KeyboardInterrupt from aborted
    except click.ClickException as error:
        error.show()
        return error.exit_code


def _invoke(context: click.Context) -> int:
    try:
        root.invoke(context)
    except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        from artemis_client.cli.failures import show  # noqa: PLC0415 - it imports gRPC

        return show(error, context.ensure_object(Flags))
    return 0
