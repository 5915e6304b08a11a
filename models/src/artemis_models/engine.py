"""Engines: a database URL becomes connections that are set up the same way everywhere.

This module knows connections and their settings, and no tables.
"""

import os
import re
from pathlib import Path

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from artemis_models import hosts, postgresql, sqlite
from artemis_models.errors import DatabaseError

_MALFORMED = "the database URL is malformed; it looks like sqlite:///artemis.db or postgresql://user@host/name"
_UNESCAPED = (
    "the database URL has an unescaped @ or / in the user or the password: write %40 for @ and %2F for /, "
    "or put the password into a file and name it in ARTEMIS_DATABASE_PASSWORD_FILE"
)
CONNECTIONS = 10
"""The default number of connections to PostgreSQL that an engine keeps."""


def create_engine(
    url: str,
    *,
    password_file: Path | None = None,
    read_only: bool = False,
    must_exist: bool = False,
    connections: int = CONNECTIONS,
) -> Engine:
    """Returns an engine for `url`, such as `sqlite:///artemis.db`. No connection is made yet.

    On SQLite every connection is set up with `SQLITE_PRAGMAS` and WAL, and every transaction begins with
    BEGIN IMMEDIATE, so that it waits for the write lock instead of failing halfway (SQLite, "Isolation").
    On PostgreSQL there are at most `connections`, and the password is the first line of `password_file`, if given.
    With `read_only`, connecting changes nothing. With `must_exist`, it makes no SQLite file: otherwise the first
    connection does.

    Raises:
        DatabaseError: the URL is malformed, of an engine that is not supported, or in memory; or the driver
            is not installed; or the password file cannot be read.
    """
    parsed = _parse(url)
    if password_file is not None:
        if parsed.get_backend_name() != "postgresql":
            raise DatabaseError("a SQLite file has no password: unset ARTEMIS_DATABASE_PASSWORD_FILE")
        parsed = parsed.set(password=_read_password(password_file))
    if parsed.get_backend_name() == "postgresql":
        if "\0" in f"{parsed.username}{parsed.password}{parsed.host}{parsed.database}":  # libpq would read no further
            raise DatabaseError("the database URL or the password has U+0000, which PostgreSQL does not take")
        return postgresql.make_engine(parsed, read_only=read_only, connections=connections)
    return sqlite.make_engine(parsed, read_only=read_only, must_exist=must_exist)


def _parse(url: str) -> URL:
    if url.startswith("postgres://"):  # as libpq has it, too
        url = url.replace("postgres", "postgresql", 1)
    try:
        parsed = hosts.parse_several(url) or make_url(url)
        if parsed.drivername not in ("postgresql", postgresql.DRIVER):
            parsed.get_dialect()
    except (NoSuchModuleError, ImportError):
        raise DatabaseError(f"there is no driver for {make_url(url).drivername} databases") from None
    except (ArgumentError, ValueError):
        malformed = postgresql.MALFORMED_HOSTS if "," in url and url.startswith("postgresql") else _MALFORMED
        raise DatabaseError(_UNESCAPED if url.count("@") > 1 else malformed) from None
    address, _, options = url.partition("?")
    several = address.count("@") > 1 or ("@" in options and not re.match(r"\w+=", options))
    ambiguous = "@" in (parsed.database or "") or (parsed.password is not None and several)
    if parsed.get_backend_name() == "postgresql" and ambiguous:
        raise DatabaseError(_UNESCAPED)  # its host and its database may be parts of the password: show neither
    return parsed


def _read_password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8-sig").partition("\n")[0].removesuffix("\r")
    except OSError as error:
        raise DatabaseError(f"cannot read the password file {path}: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise DatabaseError(f"the password file {path} is not UTF-8") from None
    if not password:
        raise DatabaseError(f"the password file {path} is empty")
    return password


def describe(error: BaseException, engine: Engine) -> str:
    """Returns the database's fault in one line, without SQL and without the password."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if engine.dialect.name == "postgresql":
        return postgresql.describe(cause, engine.url)
    return sqlite.describe(cause, engine.url)
