"""Settings: flags first, then ARTEMIS_* environment variables, read once into a frozen object."""

import argparse
import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from artemis_models.flags import (
    PREFIX,
    Flags,
    Parser,
    address,
    address_or_off,
    duration,
    misspelt,
    number,
    positive,
    seconds,
)

from artemis_server.logs import FORMATS

MAX_DEADLINE = 300.0
"""Seconds that a statement may take in any case."""
MAX_WORKERS = 1024
CORES = ("one", "all")
ROLES = ("reader", "writer", "admin")
NAME = r"[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,99}"
"""The name of a token's owner, which can stand in a line of a log and in a TOML file as it is."""
METRICS_LISTEN = "127.0.0.1:9464"
"""The default address of the metrics: the port is that of OpenTelemetry's exporters for Prometheus."""
_SWITCHES = {
    "migrate": ("bring the database's schema up to date at start", "on for SQLite, off for others"),
    "reflection": ("let grpcurl and others discover the API", "on"),
    "insecure": ("listen on any address, unencrypted and without authentication", "off"),
}
"""The help text of each switch, and the default that the help shows."""
_NO_VARIABLES = ("command", "sql", "file", "overwrite", "token")
"""The settings that are arguments only."""
_SIZE = number(1024, 2**30 - 1)  # bytes; gRPC takes twice as much at most
_LIMITS: dict[str, tuple[str, str, Callable[[str], float]]] = {
    "max-concurrent-rpcs": ("how many requests a worker answers or lets wait at once", "N", number(8)),
    "max-client-rate": ("how many requests a client may send a worker in a second; 0: any number", "N", number(0)),
    "max-deadline": ("how long a request may take, whatever its client allows", "SECONDS", duration(0.1, MAX_DEADLINE)),
    "max-request-size": ("how large a request may be", "BYTES", _SIZE),
    "max-metadata-size": ("how large the metadata of a request may be", "BYTES", _SIZE),
    "max-streams": ("how many requests a connection may have open at once", "N", positive),
    "max-watchers": ("how many watches of changes a worker serves at once", "N", number(0)),
    "keepalive-time": ("after how long a silent connection is pinged", "SECONDS", duration(1)),
    "keepalive-timeout": ("how long a ping waits for its answer before its connection ends", "SECONDS", duration(1)),
    "max-connection-age": ("after how long a client must connect anew; 0: never", "SECONDS", seconds),
    "max-connection-age-grace": ("how long requests have to end on a connection of that age", "SECONDS", seconds),
}
"""The help text, the unit and the type of each limit of requests and connections."""


_FILES = {
    "tls-cert": "the server's certificate and its chain, in PEM form; with it, calls are encrypted",
    "tls-key": "the private key of --tls-cert, in PEM form and not encrypted",
    "tls-client-ca": "the authorities, in PEM form, one of which must have signed the certificate of each client",
    "auth-tokens-file": "the tokens of --auth tokens, which `artemis-server token new` writes",
    "auth-identities-file": "the roles of client certificates, for --auth mtls",
}
"""The help text of each setting of access control that is a file."""
METHODS = {
    "tokens": ("auth_tokens_file",),
    "jwt": ("auth_jwks_url", "auth_issuer", "auth_audience"),
    "mtls": ("auth_identities_file", "tls_client_ca"),
}
"""The ways to authenticate, and the settings that each needs."""
_SHARED = {"tls_client_ca"}
"""Settings that have a use without the way to authenticate that needs them."""


class SettingsError(Exception):
    """A setting that cannot be used, or a file that it names; its text is one line."""


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """The token that `artemis-server token new` makes."""

    name: str
    role: str
    expires: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. The defaults are those of the flags."""

    command: str
    database_url: str = "sqlite:///artemis.db"
    database_password_file: Path | None = None
    replica_url: tuple[str, ...] = ()
    log_level: str = "INFO"
    log_format: str = "console"
    """One of logs.FORMATS."""
    log_sample: float = 1.0
    """The share of the successful calls that the request log has."""
    log_slow: float = 1.0
    """Seconds from which on a call is slow; 0: none is."""
    metrics_listen: str | None = None
    """OFF, or an address. None means METRICS_LISTEN, and no metrics if another program has it."""
    listen: str = "127.0.0.1:50051"
    workers: int | None = None
    """None means one on SQLite, and one per core on PostgreSQL."""
    threads: int = 16
    """Of all workers together."""
    cores: str = "one"
    """One of CORES."""
    migrate: bool | None = None
    """None means yes on SQLite, where no other server can depend on the schema, and no on PostgreSQL."""
    sql: bool = False
    file: Path = Path()
    """The backup to make."""
    overwrite: bool = False
    insecure: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    auth: tuple[str, ...] = ()
    """The ways to authenticate. Without any, everybody may do everything."""
    auth_tokens_file: Path | None = None
    auth_jwks_url: str | None = None
    """A URL, or the path of a file."""
    auth_issuer: str | None = None
    auth_audience: str | None = None
    auth_role_claim: str = "role"
    auth_identities_file: Path | None = None
    token: NewToken | None = None
    """The token to make; None but for the command `token`."""
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
    max_watchers: int = 256
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
    change_retention: float = 7 * 86400.0
    """Seconds."""


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Returns the settings. For --help and usage errors it prints and exits, as argparse does.

    Raises:
        SettingsError: the settings are well-formed, and the server refuses them.
    """
    parser = _parser(environment)
    options = vars(parser.parse_args(arguments))
    if options["command"] == "token":
        options["token"] = NewToken(**{name: options.pop(name) for name in ("name", "role", "expires")})
    settings = Settings(**{name: _switched(name, value, parser) for name, value in options.items()})
    if fault := misspelt(environment, Settings, but=_NO_VARIABLES):
        raise SettingsError(fault)
    if settings.token is None:
        _check_access(settings)
    elif settings.auth_tokens_file is None:
        raise SettingsError("token new needs --auth-tokens-file")
    return settings


def _check_access(settings: Settings) -> None:
    """Raises SettingsError for settings of access control that contradict each other, or leave the server open."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("--tls-cert and --tls-key need each other")
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise SettingsError("--tls-client-ca needs --tls-cert")
    for method, needed in METHODS.items():
        for name in needed:
            flag, missing = "--" + name.replace("_", "-"), getattr(settings, name) is None
            if method in settings.auth and missing:
                raise SettingsError(f"--auth {method} needs {flag}")
            if method not in settings.auth and not missing and name not in _SHARED:
                raise SettingsError(f"{flag} has no effect without --auth {method}")
    if settings.insecure or _is_local(settings.listen) or (settings.tls_cert and settings.auth):
        return
    missing_parts = " and ".join(
        part for part, there in (("--tls-cert", settings.tls_cert), ("--auth", settings.auth)) if not there
    )
    raise SettingsError(
        f"refusing to listen on {settings.listen} without {missing_parts}, because others can reach it: "
        "set what is missing, or use a loopback address, or --insecure on a network that you trust"
    )


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
    _add_token(commands, environment)
    backup = commands.add_parser("backup", help="copy a SQLite database while it is served")
    commands.add_parser("health", help="tell by the exit code whether a server is SERVING")  # commands.health parses it
    for command in (serve, migrate, check, backup):
        Flags(command, environment, Settings).add_common()
    backup.add_argument("file", metavar="FILE", type=Path, help="the copy to make")
    backup.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    migrate.add_argument("--sql", action="store_true", help="print the statements instead of executing them")
    for command in (serve, check):
        flags = Flags(command, environment, Settings)
        _add_processes(flags)
        _add_replicas(flags)
        _add_telemetry(flags)
        _add_access(flags)
        for name, (text, metavar, kind) in _LIMITS.items():
            flags.add(name, text, metavar=metavar, type=kind)
        for name, (text, shown) in _SWITCHES.items():  # a default from the environment is text until `_switched`
            flags.add(name, text, shown=shown, action=argparse.BooleanOptionalAction)
    return parser


def _add_processes(flags: Flags) -> None:
    flags.add("listen", "the address to listen on; port 0 takes a free one", metavar="HOST:PORT", type=address)
    flags.add(
        "workers",
        "how many processes serve",
        shown="1 for SQLite, one per core for others",
        metavar="N",
        type=number(1, MAX_WORKERS),
    )
    flags.add("threads", "how many threads write on PostgreSQL, in all workers", metavar="N", type=positive)
    flags.add("cores", "run on one core at a time, or on all that are allowed", metavar="one|all", type=_cores)
    flags.add("shutdown-grace", "how long a stop waits for requests", metavar="SECONDS", type=seconds)
    flags.add("change-retention", "how long changes of events are kept", metavar="SECONDS", type=duration(1))


def _add_replicas(flags: Flags) -> None:
    flags.add(
        "replica-url",
        "standbys that answer reads (PostgreSQL), one URL for each node, separated by commas",
        shown="none",
        metavar="URL,...",
        type=_replica_urls,
    )


def _add_telemetry(flags: Flags) -> None:
    flags.add("log-format", "how to write the log", metavar="console|json", type=_log_format)
    flags.add("log-sample", "which share of the successful requests to log", metavar="SHARE", type=_share)
    flags.add("log-slow", "log requests that take so long as warnings; 0: none", metavar="SECONDS", type=seconds)
    flags.add(
        "metrics-listen",
        "the address of the metrics for Prometheus, or off; port 0 takes a free one",
        shown=METRICS_LISTEN,
        metavar="HOST:PORT|off",
        type=address_or_off,
    )


def _add_access(flags: Flags) -> None:
    for name, text in _FILES.items():
        flags.add(name, text, metavar="FILE", type=Path)
    flags.add("auth", f"how callers authenticate: {', '.join(METHODS)}", shown="none", metavar="NAME,...", type=_auth)
    flags.add("auth-jwks-url", "the keys of --auth jwt: a URL or a file", metavar="URL", type=_keys_url)
    flags.add("auth-issuer", "the issuer that a JWT must name", metavar="TEXT")
    flags.add("auth-audience", "the audience that a JWT must name", metavar="TEXT")
    flags.add("auth-role-claim", "the claim of a JWT that names its roles", metavar="NAME")


def _add_token(commands: Any, environment: Mapping[str, str]) -> None:
    token = commands.add_parser("token", help="make a token for --auth tokens")
    new = token.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "new", help="print a new token, and add its hash to the tokens file"
    )
    new.add_argument("--name", required=True, type=_name, help="who is to use it; may be in the file already")
    new.add_argument("--role", required=True, choices=ROLES, help="what it may be used for")
    new.add_argument("--expires", metavar="DURATION", type=_lifetime, help="such as 90d or 12h (default: never)")
    Flags(new, environment, Settings).add("auth-tokens-file", "the file", metavar="FILE", type=Path)


def _auth(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in METHODS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(METHODS)}")
    return names


def _replica_urls(text: str) -> tuple[str, ...]:
    """Returns the URLs in a list. A comma that no URL follows is a part of a URL, which may have one in its password.

    postgresql://db2/a,postgresql://db3/a  ->  ("postgresql://db2/a", "postgresql://db3/a")
    """
    return tuple(re.split(r",(?=\s*\w+(?:\+\w+)?://)\s*", text.strip()))


def _keys_url(text: str) -> str:
    """Returns the text if it is a path, or a URL whose answer nobody on the network can have changed."""
    url = urlsplit(text)
    local = url.scheme == "http" and _is_local(f"{url.hostname}:0")
    if "://" in text and url.scheme not in ("file", "https") and not local:
        raise argparse.ArgumentTypeError("it must be https://, http:// of this machine, file:// or a path")
    if "@" in url.netloc:  # messages have the URL
        raise argparse.ArgumentTypeError("it must have no user and no password: the keys are public")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 100 letters, digits and characters of ._@:/+-")
    return text


def _lifetime(text: str) -> timedelta:
    match = re.fullmatch("([1-9][0-9]{0,4})([hd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days or hours, such as 90d or 12h")
    return timedelta(**{"h": {"hours": int(match[1])}, "d": {"days": int(match[1])}}[match[2]])


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


def _is_local(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
