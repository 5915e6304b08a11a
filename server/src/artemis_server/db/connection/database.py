"""The database: made once at start-up and shared by all servicers, to whom it lends sessions."""

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from artemis_models import DatabaseError, check_connection, describe
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import SERVER, Caller, Server
from artemis_server.db.connection.driver_errors import translate
from artemis_server.db.connection.postgresql_writer import PostgresqlWriter
from artemis_server.db.connection.sessions import ThreadSessions
from artemis_server.db.connection.sqlite_writer import SqliteWriter
from artemis_server.errors import RequestError

T = TypeVar("T")


_CHECKER = Server(1.0)
"""A database that answers at all says within a second that it has no answer."""


class Writer(Protocol):
    """Runs work in a transaction."""

    def write(self, work: Callable[[Session], T], caller: Caller = SERVER) -> T:
        """Returns what `work` returns, once it is committed."""

    def close(self) -> None:
        """Accepts no more work, and returns when what was accepted in other threads than the callers' is committed."""


class _Rehearsed(Exception):
    """Undoes the work that raises it, and carries its result."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


class Database:
    """Lends sessions: for reading, one that each thread keeps; for writing, as the engine needs it.

    SQLite has one writer at a time, so all share a session and their work is committed in groups;
    PostgreSQL has many, and each thread writes on its own session. It owns the engine, and disposes of it
    when it is closed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = ThreadSessions(engine)
        self._writer: Writer = (
            SqliteWriter(engine) if engine.dialect.name == "sqlite" else PostgresqlWriter(self._sessions)
        )

    def read(self, work: Callable[[Session], T], caller: Caller = SERVER) -> T:
        """Returns what `work` returns. Each statement in it is one snapshot.

        Raises:
            DeadlineExceeded: a statement took longer than the caller waits, or the caller went away.
            RequestError: the database failed.
        """
        try:
            return self._sessions.run(work, caller)
        except RequestError:
            raise
        except Exception as error:
            raise translate(error) from error

    def check(self) -> None:
        """Raises DatabaseError, in one line, unless the database answers and its schema is the right one."""
        try:
            self._sessions.run(self._check, _CHECKER)
        except DatabaseError:
            raise
        except Exception as error:
            raise DatabaseError(describe(error, self._engine)) from error

    def _check(self, session: Session) -> None:
        connection = session.connection()
        connection.exec_driver_sql("SELECT 1")
        self._sessions.heard()  # whatever else is wrong
        check_connection(connection)

    def sever(self) -> None:
        """Gives up a database that is silent: what waits fails, and calls are refused until `check` gets an answer."""
        self._sessions.sever()

    def write(self, work: Callable[[Session], T], caller: Caller = SERVER) -> T:
        """Returns what `work` returns, once all it did is committed and on disk. It may be called more than once.

        Raises:
            DeadlineExceeded: the caller's deadline passed. Work that had begun by then may still be committed.
            Cancelled: the caller went away before the work was done; nothing was changed.
            RequestError: the database failed, or was closed.
            Exception: what `work` raised; nothing was changed.
        """
        return self._writer.write(work, caller)

    def rehearse(self, work: Callable[[Session], T], caller: Caller = SERVER) -> T:
        """Returns what `work` returns, and undoes all it did.

        Raises: as `write`.
        """

        def undone(session: Session) -> T:
            raise _Rehearsed(work(session))

        try:
            return self.write(undone, caller)
        except _Rehearsed as rehearsed:
            return cast("T", rehearsed.result)

    def close(self) -> None:
        """Commits what was accepted and closes every connection. No thread may be reading."""
        self._writer.close()
        self._sessions.close()
        self._engine.dispose()
