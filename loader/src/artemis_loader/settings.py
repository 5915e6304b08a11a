"""Settings: flags first, then ARTEMIS_* environment variables, read once into a frozen object."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

PREFIX = "ARTEMIS_"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_MAX_NUMBER = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one command. The defaults are those of the flags."""

    command: str
    database_url: str = "sqlite:///artemis.db"
    database_password_file: Path | None = None
    log_level: str = "INFO"
    config: Path = Path("feeds.toml")
    feed: tuple[str, ...] = ()
    """The names of the feeds to load or show; empty for all."""
    rejects: str = "rejects/{feed}.jsonl"
    dry_run: bool = False
    force: bool = False
    json: bool = False
    limit: int = 20
    """Loads that `status` shows."""
    shutdown_grace: float = 30.0
    """Seconds."""


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Returns the settings; prints the help or a usage error and exits if the arguments ask for it."""
    options = vars(_parser(environment).parse_args(arguments))
    options["feed"] = tuple(options.get("feed") or ())
    return Settings(**options)


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="artemis-loader",
        description="Loads external feeds into the tables of Artemis.",
        epilog="Flags with a default can be set in the environment too: --log-level as ARTEMIS_LOG_LEVEL. A flag wins.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('artemis-loader')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    load = commands.add_parser("load", help="load the feeds once")
    run = commands.add_parser("run", help="load each feed on its schedule, until SIGTERM or SIGINT")
    check = commands.add_parser("check", help="check the configuration, and then the database; change nothing")
    status = commands.add_parser("status", help="show the last loads")
    for command in (load, run, check, status):
        _add_common(_Flags(command, environment))
    for command in (load, run, check):
        _add_config(_Flags(command, environment))
    for command in (load, run):
        _add_loading(_Flags(command, environment))
    _add_once(load)
    _Flags(run, environment).add("shutdown-grace", "how long a stop waits for loads", metavar="SECONDS", type=_seconds)
    _add_status(status)
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


def _add_common(flags: _Flags) -> None:
    flags.add("database-url", "the database, such as sqlite:////var/lib/artemis.db", metavar="URL")
    flags.add("database-password-file", "the file with the password", metavar="FILE", type=Path)
    flags.add("log-level", "what to log", metavar="LEVEL", type=_log_level)


def _add_config(flags: _Flags) -> None:
    flags.add("config", "the file that declares the feeds", metavar="FILE", type=Path)


def _add_loading(flags: _Flags) -> None:
    flags.add(
        "rejects",
        "where to write records that are not stored; {feed} stands for the feed's name, and without it all feeds "
        "share one file",
        metavar="FILE",
    )


def _add_feed(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--feed", action="append", metavar="NAME", help=f"{text}; may be repeated (default: all)")


def _add_once(parser: argparse.ArgumentParser) -> None:
    _add_feed(parser, "the feed to load")
    parser.add_argument("--dry-run", action="store_true", help="say what a load would do, and change nothing")
    parser.add_argument(
        "--force", action="store_true", help="load a feed that is empty, has shrunk, or has not changed"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_feed(parser, "the feed to show")
    parser.add_argument("--limit", default=Settings.limit, type=_count, metavar="N", help="how many (default: 20)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(LOG_LEVELS)}")
    return text.upper()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MAX_NUMBER):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < _MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
