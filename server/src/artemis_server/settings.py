"""Settings: flags first, then ARTEMIS_* environment variables, read once into a frozen object."""

import argparse
import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from artemis_models.flags import PREFIX, Flags, Parser, duration, number, positive, seconds

from artemis_server.logs import FORMATS

LARGEST_PORT = 65535
MAX_DEADLINE = 300.0
"""Seconds that a statement may take in any case."""
MAX_WORKERS = 1024
CORES = ("one", "all")
METRICS_LISTEN = "127.0.0.1:9464"
"""Where metrics are served by default: the port is that of OpenTelemetry's exporters for Prometheus."""
OFF = "off"
"""The address of metrics that are not served."""
_SWITCHES = {
    "migrate": ("bring the database's schema up to date at start", "on for SQLite, off for others"),
    "reflection": ("let grpcurl and others discover the API", "on"),
    "insecure": ("listen on any address, unencrypted and without authentication", "off"),
}
"""The help text of each switch, and the default that the help shows."""
_SIZE = number(1024, 2**30 - 1)  # bytes; gRPC takes twice as much at most
_LIMITS: dict[str, tuple[str, str, Callable[[str], float]]] = {
    "max-concurrent-rpcs": ("how many requests a worker answers or lets wait at once", "N", number(8)),
    "max-client-rate": ("how many requests a client may send a worker in a second; 0: any number", "N", number(0)),
    "max-deadline": ("how long a request may take, whatever its client allows", "SECONDS", duration(0.1, MAX_DEADLINE)),
    "max-request-size": ("how large a request may be", "BYTES", _SIZE),
    "max-metadata-size": ("how large the metadata of a request may be", "BYTES", _SIZE),
    "max-streams": ("how many requests a connection may have open at once", "N", positive),
    "keepalive-time": ("after how long a silent connection is pinged", "SECONDS", duration(1)),
    "keepalive-timeout": ("how long a ping waits for its answer before its connection ends", "SECONDS", duration(1)),
    "max-connection-age": ("after how long a client must connect anew; 0: never", "SECONDS", seconds),
    "max-connection-age-grace": ("how long requests have to end on a connection of that age", "SECONDS", seconds),
}
"""The help text, the unit and the type of each limit of requests and connections."""


class SettingsError(Exception):
    """A setting that cannot be used; its text is one line."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. The defaults are those of the flags."""

    command: str
    database_url: str = "sqlite:///artemis.db"
    database_password_file: Path | None = None
    log_level: str = "INFO"
    log_format: str = "console"
    """One of logs.FORMATS."""
    log_sample: float = 1.0
    """The share of the successful calls that the request log has."""
    log_slow: float = 1.0
    """Seconds; 0 is no time."""
    metrics_listen: str | None = None
    """OFF, or an address. None means METRICS_LISTEN, and no metrics if another program has it."""
    listen: str = "127.0.0.1:50051"
    workers: int | None = None
    """None means one on SQLite, and one per core on PostgreSQL."""
    threads: int = 64
    """Of all workers together."""
    cores: str = "one"
    """One of CORES."""
    migrate: bool | None = None
    """None means yes on SQLite, where no other server can depend on the schema, and no on PostgreSQL."""
    sql: bool = False
    insecure: bool = False
    reflection: bool = True
    max_concurrent_rpcs: int = 256
    max_client_rate: int = 0
    """Calls per second; 0 is any number."""
    max_deadline: float = MAX_DEADLINE
    """Seconds."""
    max_request_size: int = 4 * 2**20
    """Bytes."""
    max_metadata_size: int = 8 * 2**10
    """Bytes."""
    max_streams: int = 100
    keepalive_time: float = 60.0
    """Seconds."""
    keepalive_timeout: float = 20.0
    """Seconds."""
    max_connection_age: float = 0.0
    """Seconds; 0 is any age."""
    max_connection_age_grace: float = 30.0
    """Seconds."""
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
    parser = Parser(
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
        Flags(command, environment, Settings).add_common()
    migrate.add_argument("--sql", action="store_true", help="print the statements instead of executing them")
    for command in (serve, check):
        flags = Flags(command, environment, Settings)
        flags.add("listen", "the address to listen on; port 0 takes a free one", metavar="HOST:PORT", type=_address)
        flags.add(
            "workers",
            "how many processes serve",
            shown="1 for SQLite, one per core for others",
            metavar="N",
            type=number(1, MAX_WORKERS),
        )
        flags.add("threads", "how many threads write on PostgreSQL, in all workers", metavar="N", type=positive)
        flags.add("cores", "run on one core at a time, or on all that are allowed", metavar="one|all", type=_cores)
        flags.add("log-format", "how to write the log", metavar="console|json", type=_log_format)
        flags.add("log-sample", "which share of the successful requests to log", metavar="SHARE", type=_share)
        flags.add("log-slow", "log requests that take so long as warnings; 0: none", metavar="SECONDS", type=seconds)
        flags.add(
            "metrics-listen",
            "the address of the metrics for Prometheus, or off; port 0 takes a free one",
            shown=METRICS_LISTEN,
            metavar="HOST:PORT|off",
            type=_metrics_address,
        )
        flags.add("shutdown-grace", "how long a stop waits for requests", metavar="SECONDS", type=seconds)
        for name, (text, metavar, kind) in _LIMITS.items():
            flags.add(name, text, metavar=metavar, type=kind)
        for name, (text, shown) in _SWITCHES.items():  # a default from the environment is text until `_switched`
            flags.add(name, text, shown=shown, action=argparse.BooleanOptionalAction)
    return parser


def _switched(name: str, value: Any, parser: argparse.ArgumentParser) -> Any:
    """Returns the value of a setting. A switch set in the environment is text, such as "yes", and becomes a boolean."""
    if not isinstance(value, str) or name not in _SWITCHES:
        return value
    booleans = ConfigParser.BOOLEAN_STATES
    if value.lower() not in booleans:
        parser.error(f"{PREFIX}{name.upper()} must be one of {', '.join(booleans)}, not {value!r}")
    return booleans[value.lower()]


def _cores(text: str) -> str:
    if text not in CORES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(CORES)}")
    return text


def _log_format(text: str) -> str:
    if text not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(FORMATS)}")
    return text


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def _metrics_address(text: str) -> str:
    return OFF if text in (OFF, "") else _address(text)


def _address(text: str) -> str:
    match = re.fullmatch(r"(?:[^:\[\]]+|\[([0-9A-Fa-f:.]+)\]):([0-9]{1,5})", text)
    try:
        valid = match and int(match[2]) <= LARGEST_PORT and ipaddress.IPv6Address(match[1] or "::")
    except ValueError:
        valid = None
    if not valid:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT or [IPV6]:PORT")
    return text


def _is_local(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
