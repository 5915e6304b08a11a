"""The options that every command takes: where the server is, who calls it, and how results look."""

import os
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click


@dataclass
class Flags:
    """The options of one run, whether they came before the command or after it; the later one counts."""

    given: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """Returns the value of an option, None if it was not given."""
        return self.given.get(name)


def flags() -> Flags:
    """Returns the options of this run."""
    return click.get_current_context().ensure_object(Flags)


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    kept = context.ensure_object(Flags)
    if value is not None and value is not False:
        kept.given[str(option.name)] = value


def use_color() -> bool | None:
    """Tells whether output has colours: None for only on a terminal, False for never (https://no-color.org)."""
    off = flags().get("no_color") or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return False if off else None


def zone_of(name: str) -> tzinfo:
    """Returns the time zone of an IANA name. Raises click.BadParameter if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"{name!r} is not a time zone; give a name such as Europe/Berlin or UTC") from None


def _complete_profiles(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from artemis_client.cli import profiles  # noqa: PLC0415 - only the shell needs it

    return [name for name in profiles.read() if name.startswith(incomplete)]


FILE = click.Path(dir_okay=False)


def connection_options() -> list[click.Option]:
    """Returns the options that say which server is called, by whom and how."""
    return [
        click.Option(["--target"], metavar="HOST:PORT", help="The server, such as artemis.example.com:443."),
        click.Option(["--token-file"], type=FILE, help="The file that holds the caller's token."),
        click.Option(["--tls"], is_flag=True, help="Connect with TLS, and trust the public authorities."),
        click.Option(["--ca"], type=FILE, help="Connect with TLS, and trust the authorities in this file (PEM)."),
        click.Option(["--cert"], type=FILE, help="The caller's own certificate (PEM), for mutual TLS."),
        click.Option(["--key"], type=FILE, help="The key of that certificate (PEM)."),
        click.Option(["--insecure"], is_flag=True, help="Connect without TLS, also to send a token."),
    ]


def _common_options() -> list[click.Option]:
    return [
        click.Option(
            ["--profile"], metavar="NAME", shell_complete=_complete_profiles, help="The profile to take settings from."
        ),
        *connection_options(),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(0, min_open=True),
            metavar="SECONDS",
            help="The deadline of each call: by default 10 seconds, and 60 for `import`.",
        ),
        click.Option(
            ["--time-zone"],
            type=zone_of,
            is_eager=True,  # before the times that it reads
            metavar="ZONE",
            help="The zone in which times are read and shown, such as Europe/Berlin: by default your own.",
        ),
        click.Option(["--no-color"], is_flag=True, help="Print without colours, as NO_COLOR=1 does."),
    ]


def common_options(*, hidden: bool) -> list[click.Parameter]:
    """Returns the options of `artemis` itself, which a command takes as well without showing them in its help."""
    made = _common_options()
    for option in made:
        option.hidden = hidden
        option.expose_value = False
        option.callback = _keep
    return [*made]


CONNECTION = common_options(hidden=False)
