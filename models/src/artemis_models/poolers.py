"""Poolers between us and PostgreSQL, such as PgBouncer: whether a connection has one, and what it can do.

In transaction mode, a pooler runs each transaction on whatever session of PostgreSQL is free. So a connection leaves
nothing behind that outlives its transaction: no setting, no temporary table, no lock of a session.
"""

import enum
import uuid
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry

from artemis_models.errors import AUTOCOMMIT, DatabaseError

_POOLER = "artemis_pooler"
"""The attribute of a driver's connection that has its `Pooler`."""
_ATTEMPTS = 3
_STATE = "SELECT pg_backend_pid(), current_setting('client_min_messages') IN ('error', 'fatal', 'panic')"
_HIDDEN = (
    "client_min_messages of the database user hides warnings, which tell of writes that no standby has: execute "
    "ALTER ROLE ... SET client_min_messages = warning"
)
_NO_SESSION = (
    "the pooler is in transaction mode, and this program needs a session: name PostgreSQL itself in "
    "ARTEMIS_DATABASE_URL, or a pooler with pool_mode = session"
)


class Pooler(enum.Enum):
    """The pooler of a connection, as far as it shows."""

    NONE = "the connection leads to PostgreSQL itself"
    TRANSACTION = "in transaction mode, and it keeps prepared statements for its clients"
    UNKNOWN = "in session mode, or in transaction mode without prepared statements"


def set_up(connection: Any, _: ConnectionPoolEntry) -> None:
    """Prepares a new connection of the driver: warnings arrive, and statements are prepared only where that works.

    Raises:
        DatabaseError: the pooler would not keep the setting that lets warnings arrive.
    """
    autocommit, connection.autocommit = connection.autocommit, True
    process, hidden = connection.execute(_STATE).fetchone()
    pooler = Pooler.NONE if process == connection.info.backend_pid else _find_pooler(connection)
    if hidden and pooler is not Pooler.NONE:
        raise DatabaseError(_HIDDEN)
    if hidden:
        connection.execute("SET client_min_messages = warning")
    if pooler is Pooler.UNKNOWN:
        connection.prepare_threshold = None
    setattr(connection, _POOLER, pooler)
    connection.autocommit = autocommit


def _find_pooler(connection: Any) -> Pooler:
    """Finds out whether the pooler keeps prepared statements: then it gives them names of its own on PostgreSQL.

    One that does not would mix up the statements of its clients, which all have the same names.
    """
    name = f"artemis_{uuid.uuid4().hex}"
    connection.execute("BEGIN")
    connection.pgconn.prepare(name.encode(), b"SELECT 1")
    (renamed,) = connection.execute(
        "SELECT count(*) = 0 FROM pg_prepared_statements WHERE name = %s", (name,), prepare=False
    ).fetchone()
    if not renamed:
        connection.execute(f"DEALLOCATE {name}")
    connection.execute("ROLLBACK")
    return Pooler.TRANSACTION if renamed else Pooler.UNKNOWN


def pooler_of(connection: Connection) -> Pooler:
    """Returns the pooler of a connection; SQLite has none."""
    return getattr(connection.connection.dbapi_connection, _POOLER, Pooler.NONE)


def check_session(engine: Engine) -> None:
    """Raises DatabaseError if a connection has no session of its own, for temporary tables and locks.

    A pooler whose mode does not show is asked on two connections at once whether they share a session.
    """
    autocommit = engine.execution_options(**{AUTOCOMMIT: True})
    with autocommit.connect() as connection:
        pooler = pooler_of(connection)
        if pooler is Pooler.NONE:
            return
        for _ in range(_ATTEMPTS):
            first = _process(connection)
            connection.rollback()
            with autocommit.connect() as other:
                if pooler is Pooler.TRANSACTION or _process(other) == first:
                    raise DatabaseError(_NO_SESSION)


def _process(connection: Connection) -> object:
    return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
