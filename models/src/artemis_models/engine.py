"""Engines: a database URL becomes connections that are set up the same way everywhere.

This module knows connections and their settings, and no tables.
"""

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from artemis_models import postgresql, sqlite
from artemis_models.errors import DatabaseError

CONNECTIONS = 10
"""The default number of connections to PostgreSQL that an engine keeps."""


def create_engine(url: str, *, read_only: bool = False, connections: int = CONNECTIONS) -> Engine:
    """Returns an engine for `url`, such as `sqlite:///artemis.db`. No connection is made yet.

    On SQLite every connection is set up with `SQLITE_PRAGMAS` and WAL, and every transaction begins with
    BEGIN IMMEDIATE, so that it waits for the write lock instead of failing halfway (SQLite, "Isolation").
    On PostgreSQL there are at most `connections`. With `read_only`, connecting changes nothing.

    Raises:
        DatabaseError: the URL is malformed, of an engine that is not supported, or in memory; or the driver
            is not installed.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        return postgresql.make_engine(parsed, read_only=read_only, connections=connections)
    return sqlite.make_engine(parsed, read_only=read_only)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.drivername not in ("postgresql", postgresql.DRIVER):
            parsed.get_dialect()
    except (NoSuchModuleError, ImportError):
        raise DatabaseError(f"there is no driver for {make_url(url).drivername} databases") from None
    except (ArgumentError, ValueError):
        raise DatabaseError("the database URL is malformed; it looks like sqlite:///artemis.db") from None
    return parsed


def check_exists(engine: Engine) -> None:
    """Raises DatabaseError when the SQLite file does not exist; connecting would create it."""
    if engine.dialect.name == "sqlite":
        sqlite.check_exists(engine.url)


def describe(error: BaseException, engine: Engine) -> str:
    """Returns the database's fault in one line, without SQL and without the password."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if engine.dialect.name == "postgresql":
        return postgresql.describe(cause, engine.url)
    return sqlite.describe(cause, engine.url)
