"""The database: one object that is made at start-up, shared by all servicers, and lends them sessions."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import INTERNAL, Caller
from artemis_server.db.connection.driver_errors import translate
from artemis_server.db.connection.observer import Observer
from artemis_server.db.connection.postgresql_writer import PostgresqlWriter
from artemis_server.db.connection.probe import Probe
from artemis_server.db.connection.sessions import ThreadSessions
from artemis_server.db.connection.sqlite_file import SqliteFile
from artemis_server.db.connection.sqlite_writer import SqliteWriter
from artemis_server.db.connection.turn import Turn
from artemis_server.errors import RequestError, ServerError

T = TypeVar("T")
CLOSE_TIMEOUT = 5.0
"""Seconds within which `Database.close` ends, unless it is told otherwise."""


class Writer(Protocol):
    """Runs work and commits it, as the engine does best. `SqliteWriter` and `PostgresqlWriter` are the two."""

    def write(
        self, work: Callable[[Session], T], caller: Caller, *, dry_run: bool = False, single_statement: bool = False
    ) -> T:
        """Returns what `work` returns, once it is committed, or for a dry run rolled back. Raises: as `Database.write`.

        With `single_statement`, the work executes at most one statement that changes something.
        """

    def waiting(self) -> int:
        """Returns how many pieces of work wait in a queue."""

    def interrupt(self) -> None:
        """Accepts no more work, and fails what runs and what is queued with SHUTTING_DOWN."""

    def close(self, timeout: float) -> None:
        """Accepts no more work, and returns when the accepted work of other threads than the callers' is committed.

        After half of the timeout in seconds, it fails that work, and at its end gives up.
        """


class Replicas(Protocol):
    """Standbys that answer reads. `db/replicas` implements it."""

    def run(
        self, work: Callable[[Session], T], caller: Caller, on_primary: Callable[[Callable[[Session], T], Caller], T]
    ) -> T:
        """Returns what `work` returns, on a standby that has what the caller has seen, or else by `on_primary`."""

    def note_write(self, session: Session, caller: Caller) -> None:
        """Tells the caller the position of all that was committed until now. Call it after the commit."""

    def note_primary(self, session: Session) -> object:
        """Takes note of the position of the primary, which the session leads to."""

    def interrupt(self) -> None:
        """Ends the statements of every caller, and refuses further callers."""

    def close(self, timeout: float) -> None:
        """Closes every connection, within so many seconds."""


Submit: TypeAlias = Callable[[Callable[[], Any], Caller, Callable[[Any], None], Callable[[BaseException], None]], None]
"""The type of `SqliteWriter.submit`."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The usage of a database at a moment."""

    open_connections: int
    busy_connections: int
    """Those that somebody waits for."""
    waiting_writes: int
    """Writes that wait for the thread that writes; 0 on PostgreSQL."""
    file: SqliteFile | None
    """None on PostgreSQL."""


class Database:
    """Lends sessions: for reading, one that each thread keeps; for writing, as the engine needs it.

    SQLite has one writer at a time, so all share a session and their work is committed in groups;
    PostgreSQL has many, and each thread writes on its own session. It owns the engine, and disposes of it
    when it is closed.

    Processes that share a SQLite file may share a `turn` as well (`SharedTurn`). `observer` sees its work.
    With `replicas`, which PostgreSQL alone has, reads may go there; it closes them.
    """

    def __init__(
        self,
        engine: Engine,
        turn: Turn | None = None,
        observer: Observer | None = None,
        replicas: Replicas | None = None,
    ) -> None:
        self._engine = engine
        self._observer = observer = observer or Observer()
        turn = turn or Turn()
        self._sessions = ThreadSessions(engine, turn)
        self._replicas = replicas
        self.doubt = self._sessions.doubt
        """Set when a write waits for so long that `check` should look now."""
        self.on_commit: Callable[[], None] = lambda: None
        """Called after each commit of a write, on a thread that works: it must not wait or raise."""
        self._writer: Writer = (
            SqliteWriter(engine, turn, observer, self._tell_commit)
            if engine.dialect.name == "sqlite"
            else PostgresqlWriter(
                self._sessions, observer, self._tell_commit, replicas.note_write if replicas else None
            )
        )
        self._probe = Probe(engine, self._sessions, self._writer.write)

    def _tell_commit(self) -> None:
        self.on_commit()

    @property
    def dialect(self) -> str:
        """The engine: "sqlite" or "postgresql"."""
        return self._engine.dialect.name

    def submitter(self) -> Submit | None:
        """Returns what runs work on the one thread that writes (`SqliteWriter.submit`); None if many threads write."""
        writer = self._writer
        if not isinstance(writer, SqliteWriter):
            return None

        def submit(
            work: Callable[[], T],
            caller: Caller,
            on_result: Callable[[T], None],
            on_error: Callable[[BaseException], None],
        ) -> None:
            def fail(error: BaseException) -> None:
                if isinstance(error, ServerError):
                    self._probe.note(error)
                on_error(error)

            writer.submit(work, caller, on_result, fail)

        return submit

    def read(self, work: Callable[[Session], T], caller: Caller = INTERNAL) -> T:
        """Returns what `work` returns. Each statement in it is one snapshot.

        Raises:
            DeadlineExceeded: a statement took longer than the caller waits.
            Cancelled: the caller went away.
            RequestError: the database failed.
        """
        began = time.monotonic()
        try:
            if self._replicas is not None:
                return self._replicas.run(work, caller, self._sessions.run)
            return self._sessions.run(work, caller)
        except Exception as error:
            translated = error if isinstance(error, RequestError) else translate(error)
            if isinstance(translated, ServerError):
                self._probe.note(translated)
            if translated is error:
                raise
            raise translated from error
        finally:
            self._observer.done("read", caller, began)

    def poll(self, work: Callable[[Session], T], caller: Caller) -> T:
        """Returns what `work` returns, as `read` does, for work that is done all the time: no observer sees it."""
        try:
            return self._sessions.run(work, caller)
        except RequestError:
            raise
        except Exception as error:
            raise translate(error) from error

    def check(self) -> None:
        """Raises DatabaseError, in one line, unless the database answers, has the right schema and can be written.

        One thread calls it, again and again.
        """
        self._probe.check()
        if self._replicas is not None:
            self.read(self._replicas.note_primary)

    def disconnect(self) -> None:
        """Tells that the database is silent. Statements that wait fail; calls are refused until it answers."""
        self._sessions.disconnect()

    def write(self, work: Callable[[Session], T], caller: Caller = INTERNAL) -> T:
        """Returns what `work` returns, once all it did is committed and on disk. It may be called more than once.

        Raises:
            DeadlineExceeded: the caller's deadline passed. Work that had begun by then may still be committed.
            Cancelled: the caller went away before the work was done; nothing was changed.
            RequestError: the database failed, or was closed.
            Exception: what `work` raised; nothing was changed.
        """
        return self._write(work, caller)

    def write_statement(self, work: Callable[[Session], T], caller: Caller = INTERNAL) -> T:
        """Returns what `work` returns, as `write` does, for less where a transaction costs round trips.

        The work executes at most one statement that changes something, and that one decides everything: other
        statements may see what others commit meanwhile.

        Raises: as `write`.
        """
        return self._write(work, caller, single_statement=True)

    def dry_run(self, work: Callable[[Session], T], caller: Caller = INTERNAL) -> T:
        """Returns what `work` returns, and rolls back all it did.

        Raises: as `write`.
        """
        return self._write(work, caller, dry_run=True)

    def _write(
        self, work: Callable[[Session], T], caller: Caller, *, dry_run: bool = False, single_statement: bool = False
    ) -> T:
        try:
            return self._writer.write(work, caller, dry_run=dry_run, single_statement=single_statement)
        except ServerError as error:
            self._probe.note(error)
            raise

    def usage(self) -> Usage:
        """Returns how much of it is in use."""
        opened, busy = self._sessions.count()
        path = str(self._engine.url.database) if self._engine.dialect.name == "sqlite" else None
        return Usage(
            open_connections=opened,
            busy_connections=busy,
            waiting_writes=self._writer.waiting(),
            file=None if path is None else SqliteFile(path),
        )

    def interrupt(self) -> None:
        """Ends the statements of every caller, which fail with UNAVAILABLE SHUTTING_DOWN, and refuses further calls.

        It returns at once; statements end within a moment. Calling it again does nothing more.
        """
        self._sessions.interrupt()
        self._writer.interrupt()
        if self._replicas is not None:
            self._replicas.interrupt()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Commits what was accepted and closes every connection. No thread may be reading.

        It ends within so many seconds, or as soon after as the system closes a connection: what is not committed after
        half of them fails with SHUTTING_DOWN, and what does not end then is left to the end of the process.
        """
        end = time.monotonic() + timeout
        self._writer.close(timeout)
        self._sessions.close(max(0.0, end - time.monotonic()))
        if self._replicas is not None:
            self._replicas.close(max(0.0, end - time.monotonic()))
        self._engine.dispose()
