"""Settings: flags first, then ARTEMIS_* environment variables, read once into a frozen object."""

import argparse
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

PREFIX = "ARTEMIS_"
LARGEST_PORT = 65535
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
CORES = ("one", "all")
_BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_SWITCHES = ("migrate", "reflection", "insecure")


class SettingsError(Exception):
    """A setting that cannot be used; its text is one line."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. The defaults are those of the flags."""

    command: str
    database_url: str = "sqlite:///artemis.db"
    database_password_file: Path | None = None
    log_level: str = "INFO"
    listen: str = "127.0.0.1:50051"
    threads: int = 64
    cores: str = "one"
    """One of CORES."""
    migrate: bool | None = None
    """None: on SQLite only, where no other server can depend on the schema."""
    sql: bool = False
    insecure: bool = False
    reflection: bool = True
    shutdown_grace: float = 10.0
    """Seconds."""


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Returns the settings. For --help and usage errors it prints and exits, as argparse does.

    Raises:
        SettingsError: the settings are well-formed, and the server refuses them.
    """
    parser = _parser(environment)
    options = vars(parser.parse_args(arguments))
    settings = Settings(**{name: _switched(name, value, parser) for name, value in options.items()})
    if not settings.insecure and not _is_local(settings.listen):
        raise SettingsError(
            f"refusing to listen on {settings.listen}, where anyone who can reach it could change everything: "
            "use a loopback address, or --insecure on a network that you trust"
        )
    return settings


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="artemis-server",
        description="The gRPC service of Artemis.",
        epilog="Every flag can also be set in the environment: --log-level as ARTEMIS_LOG_LEVEL. A flag wins.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('artemis-server')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the API until SIGTERM or SIGINT")
    migrate = commands.add_parser("migrate", help="bring the database to the schema that this program needs")
    check = commands.add_parser("check", help="check the settings, the database and its schema; change nothing")
    for command in (serve, migrate, check):
        flags = _Flags(command, environment)
        flags.add(
            "database-url",
            "the database, such as sqlite:////var/lib/artemis.db or postgresql://user@host/name",
            metavar="URL",
        )
        flags.add("database-password-file", "the file with the password", metavar="FILE", type=Path)
        flags.add("log-level", "what to log", metavar="LEVEL", type=_log_level)
    migrate.add_argument("--sql", action="store_true", help="print the statements instead of executing them")
    for command in (serve, check):
        flags = _Flags(command, environment)
        flags.add("listen", "the address to listen on; port 0 takes a free one", metavar="HOST:PORT", type=_address)
        flags.add("threads", "how many requests are answered at once", metavar="N", type=_positive)
        flags.add("cores", "run on one core at a time, or on all that are allowed", metavar="one|all", type=_cores)
        flags.add("shutdown-grace", "how long a stop waits for requests", metavar="SECONDS", type=_seconds)
        flags.switch("migrate", "bring the database's schema up to date at start")
        flags.switch("reflection", "let grpcurl and others discover the API")
        flags.switch("insecure", "listen on any address, unencrypted and without authentication")
    return parser


class _Parser(argparse.ArgumentParser):
    """Shows no password when a database's URL stands where no argument is expected."""

    def error(self, message: str) -> NoReturn:
        super().error(re.sub("://.*", "://...", message, flags=re.DOTALL))


class _Flags:
    """Adds flags to a parser, with defaults from the environment."""

    def __init__(self, parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
        self._parser = parser
        self._environment = environment

    def add(self, flag: str, text: str, **options: Any) -> None:
        """Adds --flag; its default is ARTEMIS_FLAG, or else the default in Settings."""
        name = flag.replace("-", "_")
        default = self._environment.get(PREFIX + name.upper()) or getattr(Settings, name)
        shown = f"{text} (default: {getattr(Settings, name)})"  # not the environment's value, which may be secret
        self._parser.add_argument(f"--{flag}", default=default, help=shown, **options)

    def switch(self, flag: str, text: str) -> None:
        """Adds --flag and --no-flag likewise; a default from the environment is text until `_switched` converts it."""
        default = self._environment.get(PREFIX + flag.upper()) or getattr(Settings, flag)
        shown = {"True": "on", "False": "off", "None": "on for SQLite, off for others"}.get(str(default), default)
        self._parser.add_argument(
            f"--{flag}",
            default=default,
            help=f"{text} (default: {shown})",
            action=argparse.BooleanOptionalAction,
        )


def _switched(name: str, value: Any, parser: argparse.ArgumentParser) -> Any:
    """Returns the value of a setting. A switch set in the environment is text, such as "yes", and becomes a boolean."""
    if not isinstance(value, str) or name not in _SWITCHES:
        return value
    if value.lower() not in _BOOLEANS:
        parser.error(f"{PREFIX}{name.upper()} must be one of {', '.join(_BOOLEANS)}, not {value!r}")
    return _BOOLEANS[value.lower()]


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(LOG_LEVELS)}")
    return text.upper()


def _cores(text: str) -> str:
    if text not in CORES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(CORES)}")
    return text


def _address(text: str) -> str:
    match = re.fullmatch(r"(?:[^:\[\]]+|\[([0-9A-Fa-f:.]+)\]):([0-9]{1,5})", text)
    if not match or int(match[2]) > LARGEST_PORT or not _is_ipv6(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT or [IPV6]:PORT")
    return text


def _is_ipv6(host: str | None) -> bool:
    """Tells whether the host is an IPv6 address, or None."""
    try:
        return host is None or bool(ipaddress.IPv6Address(host))
    except ValueError:
        return False


def _positive(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e6:  # noqa: PLR2004, longer than any grace, and finite
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _is_local(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
