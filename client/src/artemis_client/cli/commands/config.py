"""`artemis config`: profiles."""

import sys
from typing import Any

import click

from artemis_client.cli import profiles
from artemis_client.cli.lazy import Command, Lazy, LazyGroup
from artemis_client.cli.options import connection_options

_HERE = "artemis_client.cli.commands.config"
_FILES = ("token_file", "ca", "cert", "key")


def config() -> LazyGroup:
    """Builds the group."""
    return LazyGroup(
        "config",
        help="""Keep the settings of servers as profiles, in a file that only you can read.

Use a profile by `artemis --profile NAME`, or by ARTEMIS_PROFILE. Options and other variables of the environment
override what it says.""",
        commands={
            "set-profile": Lazy("Make a profile, or change settings of one.", _HERE, "set_profile"),
            "list": Lazy("List the profiles.", _HERE, "list_"),
            "delete-profile": Lazy("Remove a profile.", _HERE, "delete_profile"),
        },
        examples=("artemis config set-profile local --target 127.0.0.1:50051", "artemis --profile local events list"),
    )


def set_profile() -> Command:
    """Builds `set-profile`."""

    def run(name: str, token_stdin: bool, **settings: Any) -> None:
        given = {key: value for key, value in settings.items() if value}
        if token_stdin:
            given["token"] = _token()
        if not given:
            raise click.UsageError("give settings, such as --target")
        profiles.save(name, given)
        click.echo(f"saved the profile {name} in {profiles.path()}", err=True)

    options = connection_options()
    for option in options:
        if option.name in _FILES:
            option.type = click.Path(dir_okay=False, resolve_path=True)
    stdin = click.Option(["--token-stdin"], is_flag=True, help="Read the token from stdin, and keep it in the profile.")
    return Command(
        "set-profile",
        callback=run,
        params=[click.Argument(["name"]), *options, stdin],
        help="""Make a profile, or change settings of one. Paths are kept as absolute ones.

Keep a token in a file of its own (--token-file), or in the profile (--token-stdin); never on a command line, which
other users of the machine can see.""",
        examples=(
            "artemis config set-profile local --target 127.0.0.1:50051",
            "artemis config set-profile production --target artemis.example.com:443 --ca ca.pem --token-file token",
            "artemis config set-profile production --token-stdin < token",
        ),
    )


def list_() -> Command:
    """Builds `list`."""

    def run() -> None:
        from artemis_client.cli.output.tables import Heading, write_table  # noqa: PLC0415 - rich takes a while

        rows = [[name, *_shown(profile)] for name, profile in profiles.read().items()]
        if rows:
            names = ("name", "target", "token", *_FILES[1:], *profiles.SWITCHES)
            headings = [Heading(name.upper(), is_whole=True, is_optional=index > 1) for index, name in enumerate(names)]
            write_table(headings, rows, None)
        else:
            click.echo(f"no profiles in {profiles.path()}", err=True)

    return Command(
        "list",
        callback=run,
        params=[],
        help="List the profiles. Tokens are not shown.",
        examples=("artemis config list",),
    )


def delete_profile() -> Command:
    """Builds `delete-profile`."""

    def run(name: str) -> None:
        if name not in profiles.read():
            raise click.UsageError(f"there is no profile {name!r}")
        profiles.delete(name)

    return Command(
        "delete-profile",
        callback=run,
        params=[click.Argument(["name"])],
        help="Remove a profile.",
        examples=("artemis config delete-profile local",),
    )


def _token() -> str:
    """Returns the token, which a person types unseen."""
    if sys.stdin.isatty():
        return str(click.prompt("Token", hide_input=True, err=True)).strip()
    text = sys.stdin.readline().strip()
    if not text:
        raise click.UsageError("stdin has no token")
    return text


def _shown(profile: profiles.Profile) -> list[str]:
    token = "(kept)" if "token" in profile else str(profile.get("token_file", ""))
    switches = ["yes" if profile.get(name) else "" for name in profiles.SWITCHES]
    return [str(profile.get("target", "")), token, *(str(profile.get(name, "")) for name in _FILES[1:]), *switches]
