"""SQLite: the set-up of every connection, and the check that a URL names a database that can be shared."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

from artemis_models.errors import AUTOCOMMIT, DatabaseError

SQLITE_MINIMUM = (3, 37)
SQLITE_PRAGMAS = {
    "busy_timeout": 5000,  # milliseconds; first, so that the others can wait for a lock
    "synchronous": "full",  # with WAL: an acknowledged write survives power loss
    "foreign_keys": "on",
    "journal_size_limit": 64 * 2**20,  # bytes; without it the log stays as large as a long reader ever made it
}
WAL_ATTEMPTS = 10


def make_engine(url: URL, *, read_only: bool, must_exist: bool) -> Engine:
    """Returns an engine for a file, which the first connection makes unless it must exist.

    With `read_only`, connecting changes nothing and neither does any statement.
    """
    _check(url)
    if read_only:
        engine = sqlalchemy.create_engine(url, poolclass=NullPool, creator=lambda: _open_read_only(str(url.database)))
    else:
        opener = _Opener(str(url.database), may_create=not must_exist)
        engine = sqlalchemy.create_engine(url, poolclass=QueuePool, pool_size=0, creator=opener)
        event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _check(url: URL) -> None:
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise DatabaseError(f"{url.drivername} is not supported; use sqlite:///FILE")
    if sqlite3.sqlite_version_info < SQLITE_MINIMUM:
        raise DatabaseError(f"SQLite 3.37 or later is needed; this Python has {sqlite3.sqlite_version}")
    if url.host or url.port or url.username or url.query or "\0" in (url.database or ""):
        raise DatabaseError("a SQLite URL has a path and nothing else; it looks like sqlite:///artemis.db")
    if url.database in (None, "", ":memory:"):
        raise DatabaseError("an in-memory database cannot be shared; name a file: sqlite:///artemis.db")


def check_exists(url: URL, *, program: str = "artemis-server") -> None:
    """Raises DatabaseError when the file does not exist; connecting would create it. The text names `program`."""
    path = Path(url.database or "")
    if not path.exists():
        raise DatabaseError(f"there is no database {path}: `{program} migrate` makes it")


def describe(cause: BaseException, url: URL) -> str:
    """Returns the file's fault in one line."""
    path = Path(url.database or "")
    if not path.parent.is_dir():
        return f"cannot open {path}: the folder {path.parent} does not exist"
    return f"cannot use {path}: {cause}"


class _Opener:
    """Opens a file, which the first connection may create, if any.

    The others may not: a file that was deleted meanwhile is missing, and not empty.
    """

    def __init__(self, path: str, *, may_create: bool) -> None:
        self._path = path
        self._mode = "rwc" if may_create else "rw"

    def __call__(self) -> sqlite3.Connection:
        connection = sqlite3.connect(_uri(self._path, f"mode={self._mode}"), uri=True, check_same_thread=False)
        self._mode = "rw"
        return connection


def _uri(path: str, options: str) -> str:
    return f"file://{quote(os.fsencode(Path(path).absolute()))}?{options}"


def _open_read_only(path: str) -> sqlite3.Connection:
    """Opens a file so that nothing changes it, and so that no file appears beside it.

    The log that a crash left stays as it is; other modes merge it on closing. Without a log nobody has the file open,
    and `immutable` keeps SQLite from making an empty log and its index, which would stay (SQLite, "URI Filenames").
    """
    options = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    return sqlite3.connect(_uri(path, options), uri=True, isolation_level=None)


def _set_up(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, and sqlite3 begins none by itself
    for pragma, value in SQLITE_PRAGMAS.items():
        connection.execute(f"PRAGMA {pragma} = {value}").close()
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Changes the journal mode to WAL. SQLite does not wait for the lock that it needs, but fails at once."""
    for _ in range(WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = wal").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            connection.execute("BEGIN IMMEDIATE").close()  # waits until the lock is free
            connection.execute("ROLLBACK").close()
        else:
            return
    raise sqlite3.OperationalError("database is locked")


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(AUTOCOMMIT):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
