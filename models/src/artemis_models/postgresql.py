"""PostgreSQL: the set-up of every connection, and the message for one that cannot be made."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from artemis_models import poolers
from artemis_models.errors import DatabaseError
from artemis_models.hosts import CONNECT_TIMEOUT, Hosts, hosts_of, with_ports

DRIVER = "postgresql+psycopg"
MIN_VERSION = 140_000  # as libpq numbers versions
KEEPALIVES = {
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
}
"""Ends connections to a machine that no longer answers after some ten seconds (libpq, "Parameter Key Words")."""
MALFORMED_HOSTS = "the database URL has not one port for each host, or a malformed host or port"
_UNREPLICATED = "artemis_unreplicated"
"""The attribute of a driver's connection that tells whether a commit was not confirmed by the standbys."""


def make_engine(url: URL, *, read_only: bool, connections: int) -> Engine:
    """Returns an engine with a pool of at most this many connections.

    Raises:
        DatabaseError: the driver is not installed, or the URL has not one port for each host.
    """
    options: dict[str, Any] = {"poolclass": NullPool} if read_only else {"pool_size": connections, "max_overflow": 0}
    defaults = {"connect_timeout": str(CONNECT_TIMEOUT), "application_name": "artemis", **KEEPALIVES}
    try:
        engine = sqlalchemy.create_engine(
            url.set(drivername=DRIVER, query={**defaults, **with_ports(url).query}),
            **options,
        )
        hosts = Hosts(hosts_of(engine))
    except (ImportError, NoSuchModuleError):
        raise DatabaseError(
            "the driver for PostgreSQL is not installed: pip install 'artemis-models[postgresql]'"
        ) from None
    except (ArgumentError, ValueError):
        raise DatabaseError(MALFORMED_HOSTS) from None
    hosts.listen(engine)
    event.listen(engine, "connect", _check)
    event.listen(engine, "connect", partial(_watch_commits, hosts))
    event.listen(engine, "connect", poolers.set_up)
    # Every commit through SQLAlchemy comes here: those of the loader and of migrations.
    engine.dialect.do_commit = partial(_commit, engine, engine.dialect.do_commit)  # type: ignore[method-assign]
    return engine


def describe(cause: BaseException, url: URL) -> str:
    """Returns the database's fault in one line, without the password."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = lines[0] if lines else type(cause).__name__
    if url.password:
        text = text.replace(str(url.password), "***")
    return f"cannot use {_shown(url)}: {text}"


def _shown(url: URL) -> str:
    """Returns the URL without the password and the options, but with the hosts, if they are among those."""
    shown = url.set(query={}).render_as_string(hide_password=True)
    hosts, ports = url.query.get("host"), url.query.get("port")
    if not isinstance(hosts, str):
        return shown
    names = [quote(name, safe=":") for name in hosts.split(",")]
    numbers = ports.split(",") if isinstance(ports, str) else []
    listed = ",".join([f"{name}:{port}" for name, port in zip(names, numbers, strict=False)] or names)
    before, at, after = shown.rpartition("@") if "@" in shown else shown.partition("//")
    return f"{before}{at}{listed}{after}"


def is_unreplicated(connection: Any) -> bool:
    """Tells whether a driver's connection has committed what the standbys did not confirm; it tells that once.

    PostgreSQL commits on the node alone when the statement or the COMMIT is cancelled while it waits for
    synchronous standbys, and says so in a WARNING only (PostgreSQL, "Synchronous Replication").
    """
    found = getattr(connection, _UNREPLICATED)
    if found:
        setattr(connection, _UNREPLICATED, False)
    return bool(found)


def _watch_commits(hosts: Hosts, connection: Any, _: ConnectionPoolEntry) -> None:
    """Makes `is_unreplicated` work: notes the WARNING, which `client_min_messages` must not hide (`poolers.set_up`).

    The node may be an old primary whose standbys follow another one by now, so the other hosts are tried first.
    """

    def note(notice: Any) -> None:
        if notice.source_function == "SyncRepWaitForLSN":  # its text depends on lc_messages
            setattr(connection, _UNREPLICATED, True)
            hosts.leave((connection.info.host, str(connection.info.port)))

    setattr(connection, _UNREPLICATED, False)
    connection.add_notice_handler(note)


def _commit(engine: Engine, commit: Callable[[Any], None], connection: Any) -> None:
    """Commits. Raises the driver's OperationalError if the standbys did not confirm it."""
    commit(connection)
    if is_unreplicated(connection.dbapi_connection):
        raise engine.dialect.loaded_dbapi.OperationalError(
            "the change is stored on this node only, because the wait for its standbys was cancelled"
        )


def _check(connection: Any, _: ConnectionPoolEntry) -> None:
    """Raises DatabaseError for a server that cannot store the same data as SQLite: too old, or not UTF-8."""
    if connection.info.server_version < MIN_VERSION:
        found = connection.info.server_version // 10_000
        raise DatabaseError(f"PostgreSQL 14 or later is needed; the server has {found}")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise DatabaseError(f"the database must have the encoding UTF8; it has {encoding}")
