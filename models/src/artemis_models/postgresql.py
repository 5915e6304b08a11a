"""PostgreSQL: the set-up of every connection, and the message for one that cannot be made."""

from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from artemis_models.errors import DatabaseError

DRIVER = "postgresql+psycopg"
MIN_VERSION = 140_000  # as libpq numbers versions
CONNECT_TIMEOUT = 3  # seconds
KEEPALIVES = {
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
}
"""Ends connections to a machine that no longer answers after some ten seconds (libpq, "Parameter Key Words")."""


def make_engine(url: URL, *, read_only: bool, connections: int) -> Engine:
    """Returns an engine with a pool of at most this many connections.

    Raises:
        DatabaseError: the driver is not installed.
    """
    options: dict[str, Any] = {"poolclass": NullPool} if read_only else {"pool_size": connections, "max_overflow": 0}
    defaults = {"connect_timeout": str(CONNECT_TIMEOUT), "application_name": "artemis", **KEEPALIVES}
    try:
        engine = sqlalchemy.create_engine(
            url.set(drivername=DRIVER, query={**defaults, **url.query}),
            **options,
        )
    except (ImportError, NoSuchModuleError):
        raise DatabaseError(
            "the driver for PostgreSQL is not installed: pip install 'artemis-models[postgresql]'"
        ) from None
    event.listen(engine, "connect", _check)
    return engine


def describe(cause: BaseException, url: URL) -> str:
    """Returns the database's fault in one line, without the password."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = lines[0] if lines else type(cause).__name__
    if url.password:
        text = text.replace(str(url.password), "***")
    return f"cannot use {url.set(query={}).render_as_string(hide_password=True)}: {text}"


def _check(connection: Any, _: ConnectionPoolEntry) -> None:
    """Raises DatabaseError for a server that cannot store the same data as SQLite: too old, or not UTF-8."""
    if connection.info.server_version < MIN_VERSION:
        found = connection.info.server_version // 10_000
        raise DatabaseError(f"PostgreSQL 14 or later is needed; the server has {found}")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise DatabaseError(f"the database must have the encoding UTF8; it has {encoding}")
