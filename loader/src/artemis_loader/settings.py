"""Settings: flags first, then ARTEMIS_* environment variables, read once into a frozen object."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from artemis_models.flags import Flags, Parser, address_or_off, duration, misspelt, positive, seconds

METRICS_LISTEN = "127.0.0.1:9465"
MAX_RETENTION = 100 * 365 * 86400.0
"""Seconds."""

_NO_VARIABLES = ("command", "feed", "dry_run", "force", "json", "limit", "preview", "no_database")
"""The settings that are arguments only."""


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
    preview: int = 0
    """Records of each feed that `load` shows, mapped, instead of loading them; 0 to load."""
    no_database: bool = False
    """True if `check` checks the configuration only."""
    force: bool = False
    json: bool = False
    limit: int = 20
    """Loads that `status` shows."""
    metrics_listen: str | None = None
    """OFF, or an address. None means METRICS_LISTEN, and no metrics if another program has it."""
    load_retention: float = 90 * 86400.0
    """Seconds."""
    shutdown_grace: float = 30.0
    """Seconds."""


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Returns the settings; prints the help or a usage error and exits if the arguments ask for it."""
    parser = _parser(environment)
    options = vars(parser.parse_args(arguments))
    if fault := misspelt(environment, Settings, but=_NO_VARIABLES):
        parser.error(fault)
    options["feed"] = tuple(options.get("feed") or ())
    return Settings(**options)


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="artemis-loader",
        description="Loads external feeds into the tables of Artemis.",
        epilog="Flags with a default can be set in the environment too: --log-level as ARTEMIS_LOG_LEVEL. A flag wins.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('artemis-loader')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    load = commands.add_parser("load", help="load the feeds once")
    run = commands.add_parser("run", help="load each feed on its schedule, until SIGTERM or SIGINT")
    check = commands.add_parser("check", help="check the configuration, and then the database; change nothing")
    migrate = commands.add_parser("migrate", help="make or upgrade the schema of the database, as artemis-server does")
    status = commands.add_parser("status", help="show the last loads")
    health = commands.add_parser("health", help="tell by the exit code whether the loader and its feeds are healthy")
    flags = {command: Flags(command, environment, Settings) for command in (load, run, check, migrate, status, health)}
    for each in flags.values():
        each.add_common()
    for command in (load, run, check, health):
        flags[command].add("config", "the file that declares the feeds", metavar="FILE", type=Path)
    for command in (load, run):
        rejects = "where to write records that are not stored; {feed} stands for the feed's name, and without it all"
        flags[command].add("rejects", f"{rejects} feeds share one file", metavar="FILE")
        kept = "how long to keep the history of loads, but for each feed's last load and last success"
        flags[command].add("load-retention", kept, metavar="SECONDS", type=duration(60, MAX_RETENTION))
    metrics = "the address of the metrics for Prometheus, or off; port 0 takes a free one"
    flags[run].add("metrics-listen", metrics, shown=METRICS_LISTEN, metavar="HOST:PORT|off", type=address_or_off)
    flags[run].add("shutdown-grace", "how long a stop waits for loads", metavar="SECONDS", type=seconds)
    for command, text in ((load, "the feed to load"), (status, "the feed to show")):
        command.add_argument("--feed", action="append", metavar="NAME", help=f"{text}; may be repeated (default: all)")
    load.add_argument("--dry-run", action="store_true", help="say what a load would do, and change nothing")
    preview = "show so many records as they are mapped, beside what they come from; needs no database"
    load.add_argument("--preview", default=0, type=positive, metavar="N", help=preview)
    check.add_argument("--no-database", action="store_true", help="check the configuration only")
    load.add_argument("--force", action="store_true", help="load a feed that is empty, has shrunk, or has not changed")
    load.add_argument("--json", action="store_true", help="print the summary as JSON")
    status.add_argument("--limit", default=Settings.limit, type=positive, metavar="N", help="how many (default: 20)")
    status.add_argument("--json", action="store_true", help="print JSON")
    return parser
