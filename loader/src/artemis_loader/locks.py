"""One load of a feed at a time: locks that the system gives back when their holder ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote
from zlib import crc32

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from artemis_loader.errors import LoaderError

ADVISORY_CLASS = 0x41525445
"""Keeps our advisory locks apart from those of others on the same PostgreSQL database."""
ADVISORY_WAIT = "2s"
"""Longer than PostgreSQL takes to notice that a load is gone (`merge.dialects.GONE_WITHIN`)."""
_LOCK_NOT_AVAILABLE = "55P03"
ATTEMPTS, PAUSE = 4, 0.05
"""Attempts to take a lock, and the seconds between: `is_held` may hold it for a moment."""


class LoadRunning(LoaderError):
    """Another load of the same feed holds its lock."""


@contextmanager
def only_load(connection: Connection, feed: str) -> Iterator[None]:
    """Holds the lock of a feed.

    Raises:
        LoadRunning: somebody else holds it.
    """
    hold = _hold_file if connection.dialect.name == "sqlite" else _hold_advisory
    with hold(connection, feed):
        yield


def is_held(connection: Connection, feed: str) -> bool:
    """Tells whether a load of the feed is running, in this process or another."""
    if connection.dialect.name == "sqlite":
        return _is_file_held(lock_path(connection, feed))
    statement = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
        " AND classid = :class AND objid = :object"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return bool(connection.scalar(statement, {"class": ADVISORY_CLASS, "object": crc32(feed.encode())}))


def lock_path(connection: Connection, feed: str) -> Path:
    """Returns the file whose lock stands for a load of the feed into a SQLite database; its end removes the file."""
    database = Path(str(connection.engine.url.database)).resolve()
    return database.with_name(f"{database.name}-load-{quote(feed, safe=' ')}")


@contextmanager
def _hold_file(connection: Connection, feed: str) -> Iterator[None]:
    path = lock_path(connection, feed)
    handle = _take(path, feed)
    try:
        yield
    finally:
        with suppress(OSError):  # the load is done, and the next one takes over a file that stays
            if _is_at(path, handle):
                path.unlink()
        os.close(handle)


def _take(path: Path, feed: str) -> int:
    """Returns the handle of the file at the path, which it has locked.

    The file may be removed, and another made in its place, between opening and locking it: its lock keeps nobody out.
    """
    for _ in range(ATTEMPTS):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if _try(handle, fcntl.LOCK_EX) and _is_at(path, handle):
            return handle
        os.close(handle)
        time.sleep(PAUSE)
    raise _running(feed)


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _try(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_held(path: Path) -> bool:
    for _ in range(ATTEMPTS):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            held = not _try(handle, fcntl.LOCK_SH)
            if _is_at(path, handle):
                return held
        finally:
            os.close(handle)
    return True  # loads follow one another


@contextmanager
def _hold_advisory(connection: Connection, feed: str) -> Iterator[None]:
    """Takes a lock of the session, which is to be the load's own: its end gives the lock back.

    The session of a load that was killed ends a moment later, which is waited for.
    """
    key = int.from_bytes(crc32(feed.encode()).to_bytes(4, "big"), "big", signed=True)
    values = {"class": ADVISORY_CLASS, "object": key}
    try:
        with connection.begin():
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{ADVISORY_WAIT}'")
            connection.execute(text("SELECT pg_advisory_lock(:class, :object)"), values)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise _running(feed) from None
    try:
        yield
    finally:
        # The server notices the end of a connection a moment later only, and the next load may not wait for that.
        with suppress(SQLAlchemyError), connection.begin():
            connection.execute(text("SELECT pg_advisory_unlock(:class, :object)"), values)


def _running(feed: str) -> LoadRunning:
    return LoadRunning(f"feed {feed}: another load of it is running")
