"""The probe: it finds out whether the database can be read and written, for the health of the server.

Looking whether writes are allowed costs nothing. That a disk is full or broken shows only when something is written, so
the probe writes once a call has failed, and goes on until its own write succeeds.
"""

import os
import uuid
from collections.abc import Callable
from typing import TypeVar

from artemis_models import DatabaseError, IdempotencyKey, ReadOnlyError, check_connection, check_writable, describe
from sqlalchemy import Engine, delete, insert
from sqlalchemy.orm import Session

from artemis_server.db import replication
from artemis_server.db.connection.cancellation import Caller, InternalCaller
from artemis_server.db.connection.driver_errors import DatabaseDamaged, is_busy, is_cancellation
from artemis_server.db.connection.sessions import ThreadSessions
from artemis_server.db.connection.sqlite_file import SqliteFile
from artemis_server.db.statements import driver_connection
from artemis_server.errors import DeadlineExceeded, RequestError

T = TypeVar("T")
Write = Callable[[Callable[[Session], None], Caller], None]
_PATIENT = InternalCaller(1.0)
"""The caller of the probe, which waits for a second: a database that works answers within it."""
_WRITTEN_BYTES = 256 * 1024
"""The size of a row that the probe writes: the last bytes of a full disk must not pass for space."""
_FAILURES = ("DATABASE_UNAVAILABLE", "NOT_REPLICATED", "STORAGE_FULL")
"""Reasons for which a call fails when the database cannot be written, among others."""


class Probe:
    """Checks one database. One thread calls `check`, again and again; any thread calls `note`."""

    def __init__(self, engine: Engine, sessions: ThreadSessions, write: Write) -> None:
        self._engine = engine
        self._sessions = sessions
        self._write = write
        self._file = SqliteFile(str(engine.url.database)) if engine.dialect.name == "sqlite" else None
        self._identity = self._file.identity() if self._file else None
        self._suspect = False
        self._damaged = False
        self._failure = ""
        self._row_id = uuid.uuid4().bytes
        """The id of the only row that this probe writes, so that those of checks that were cut off do not add up."""

    def note(self, error: RequestError) -> None:
        """Makes the next check write if a call failed with this error because of the database."""
        self._damaged |= isinstance(error, DatabaseDamaged)
        self._suspect |= error.reason in _FAILURES

    def check(self) -> None:
        """Raises DatabaseError, in one line, unless the database answers, has the right schema and can be written."""
        try:
            if self._file is not None:
                self._look_at(self._file)
            self._check_node()
            if self._damaged:
                self._sessions.run(self._check_pages, _PATIENT)
                self._damaged = False
            if self._suspect:
                self._try_writing()
        except DatabaseError:
            raise
        except RequestError as error:
            raise DatabaseError(error.message) from error
        except Exception as error:
            raise DatabaseError(describe(error, self._engine)) from error

    def _look_at(self, file: SqliteFile) -> None:
        """Replaces all connections if the file is not the one that they have open, and the probe's own one always."""
        self._sessions.discard()
        identity = file.identity()
        if identity != self._identity:
            self._identity = identity
            self._sessions.renew()
        if identity is None:
            raise DatabaseError(f"the file {file.path} is missing")

    def _check_node(self) -> None:
        """Checks the connection, and a new one if the node cannot be written; if that one can, all go there."""
        try:
            self._sessions.run(self._check_connection, _PATIENT)
        except ReadOnlyError:
            self._sessions.run(self._check_connection, _PATIENT)
            self._sessions.leave()

    def _check_connection(self, session: Session) -> None:
        connection = session.connection()
        connection.exec_driver_sql("SELECT 1")
        self._sessions.mark_responsive()  # whatever else is wrong
        check_connection(connection)
        check_writable(connection)
        if self._file is not None:
            _begin_writing(session)
        elif connection.exec_driver_sql("SHOW synchronous_standby_names").scalar():
            replication.confirm(session)

    def _check_pages(self, session: Session) -> None:
        """Raises DatabaseError unless all pages of a SQLite file are well."""
        if self._file is None:
            return
        try:
            found = session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar()
        except Exception as error:
            if not is_cancellation(error):
                raise
            found = "it is too large to be checked while it is served"
        if found != "ok":
            raise DatabaseError(f"the file {self._file.path} is damaged: {found}")

    def _try_writing(self) -> None:
        """Commits a row and removes it. While somebody else holds the lock for long, it can tell nothing new."""
        try:
            self._write(lambda session: _replace(session, self._row_id), _PATIENT)
            self._write(lambda session: _delete(session, self._row_id), _PATIENT)
        except RequestError as error:
            if not isinstance(error, DeadlineExceeded) and error.reason != "DATABASE_BUSY":
                self._failure = f"cannot write to the database: {error.message}"
            if self._failure:
                raise DatabaseError(self._failure) from error
        else:
            self._suspect, self._failure = False, ""


def _begin_writing(session: Session) -> None:
    """Takes SQLite's write lock and lets go of it, which fails on a file that may only be read; changes nothing."""
    driver = driver_connection(session)
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        driver.execute("BEGIN IMMEDIATE").close()
    except Exception as error:
        if not is_busy(error):  # somebody writes, so the file can be written
            raise
    else:
        driver.execute("ROLLBACK").close()


def _replace(session: Session, row_id: bytes) -> None:
    """Writes a row that looks like an expired response, which the pruner removes if the probe cannot."""
    _delete(session, row_id)
    row = {"request_id": row_id, "fingerprint": b"", "response": os.urandom(_WRITTEN_BYTES), "create_time": 0}
    session.execute(insert(IdempotencyKey).values(row))


def _delete(session: Session, row_id: bytes) -> None:
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.request_id == row_id))
