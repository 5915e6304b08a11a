"""SQLite's writer: group commit, so that one wait for the disk serves many writers.

Writers queue their work. One thread runs the work that has queued up in one transaction, and answers all of it after
the commit. SQLite has one writer at a time, so nobody waits for longer than with a connection of its own.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

from artemis_models import AUTOCOMMIT
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import Caller, principal_of
from artemis_server.db.connection.driver_errors import (
    busy,
    caller_gone,
    is_busy,
    is_cancellation,
    shutting_down,
    translate,
)
from artemis_server.db.connection.observer import Observer
from artemis_server.db.connection.sqlite_file import SqliteFile
from artemis_server.db.connection.turn import Turn
from artemis_server.db.statements import PRINCIPAL, driver_connection, principal_name
from artemis_server.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")
MAX_GROUP = 256  # pieces of work
MAX_WAL = 128 * 2**20  # bytes
"""The size of the write-ahead log (WAL), at which the writer cuts it back and ends reads on it (docs/adr/0023)."""
_COMMITS_PER_LOOK = 16  # at the size of the WAL: in each look another thread may take the interpreter's lock
_MAX_CUT = 1.5  # seconds that writes wait for that
_PAUSE = 0.01  # seconds
_INSTRUCTIONS = 20_000  # of SQLite's virtual machine, between two looks at whether the server stops
_ATTRIBUTE = "UPDATE change_context SET transaction_id = transaction_id + 1, principal = ?"
"""Tells the triggers that log changes (`artemis_models.change_log`) that a transaction begins, and whose it is."""
_PRAGMAS = {
    "temp_store": "memory",  # of what a statement with triggers would take back
    # At a commit that has split a page of the file, SQLite looks at every page of its cache: an event that is created
    # alone costs 0.1 ms more with 32 MiB than with 4. Batches of events cost a sixth more with 4 than with 16.
    "cache_size": -16_384,  # KiB
    "cache_spill": 8_192,  # pages: a batch changes a page of each index for each event, and would write them twice
    "wal_autocheckpoint": 8_192,  # pages, 32 MiB: those that many commits change are copied into the file once
}
_LOCK_WAIT = 100  # milliseconds that SQLite waits for a lock before the writer sees whether anybody still waits for it

log = logging.getLogger(__name__)


class _Ticket(Generic[T]):
    """A piece of work in the queue. It has a result or an error when `finish` is called."""

    __slots__ = ("abandoned", "began", "caller", "error", "finish", "result", "work")

    def __init__(self, work: Callable[[], T], caller: Caller, finish: "Callable[[_Ticket[T]], None]") -> None:
        self.began = time.monotonic()
        self.work = work
        self.caller = caller
        self.finish = finish
        self.result: T
        self.error: BaseException | None = None
        self.abandoned = False


class SqliteWriter:
    """Runs pieces of work one after the other and commits them in groups, each while it has `turn`.

    The pieces of a group share a transaction. If one of them fails, the transaction is rolled back and all pieces are
    run once more, each in a savepoint, so that the failing one leaves its neighbours alone.
    """

    def __init__(
        self,
        engine: Engine,
        turn: Turn,
        observer: Observer,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Connects to nothing yet. `on_commit` is called after each commit, before the callers have their answers."""
        self._on_commit = on_commit
        self._observer = observer
        self._engine = engine
        self._turn = turn
        self._interrupted = threading.Event()
        self._connection: _WriteConnection | None = None
        self._queue: SimpleQueue[_Ticket[Any] | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def write(
        self, work: Callable[[Session], T], caller: Caller, *, dry_run: bool = False, single_statement: bool = False
    ) -> T:
        """Returns what `work` returns, as `Writer` has it. A single statement shares a transaction as well."""
        del single_statement
        if threading.current_thread() is self._thread:  # within a piece of work that was given to `submit`
            return self._execute(work, dry_run=dry_run)
        done = threading.Lock()  # costs a tenth of a Future
        done.acquire()
        ticket = _Ticket(lambda: self._execute(work, dry_run=dry_run), caller, lambda _: done.release())
        self._put(ticket)
        remaining = caller.time_remaining()
        # gRPC tells of no deadline as one in some centuries, which is too long for a lock.
        timeout = -1 if remaining is None or remaining > threading.TIMEOUT_MAX else max(remaining, 0)
        if not done.acquire(timeout=timeout):
            ticket.abandoned = True
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed while the request waited to be written")
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def submit(
        self,
        work: Callable[[], T],
        caller: Caller,
        on_result: Callable[[T], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Runs `work` on the writer's thread, and once what it wrote is committed calls one of the others there.

        `work` may be run more than once. It writes by `write`, which does not wait within it. No other thread waits for
        the result, or has to be woken.

        Raises:
            Unavailable: the writer is closed.
        """

        def finish(ticket: _Ticket[T]) -> None:
            if ticket.error is None:
                on_result(ticket.result)
            else:
                on_error(ticket.error)

        self._put(_Ticket(work, caller, finish))

    def close(self, timeout: float) -> None:
        """Accepts no more work, commits what is queued, and closes the connection.

        After half of the timeout in seconds, it fails what is left with SHUTTING_DOWN, and at its end gives up.
        """
        with self._closing:
            self._closed = True
            self._queue.put(None)
        self._thread.join(timeout / 2)
        if self._thread.is_alive():
            self.interrupt()
            self._thread.join(timeout / 2)
        if self._thread.is_alive():
            log.error("a write does not end: its connection is left open")

    def interrupt(self) -> None:
        """Accepts no more work, and fails what runs and what is queued with SHUTTING_DOWN."""
        with self._closing:
            self._closed = True
        self._interrupted.set()

    def waiting(self) -> int:
        """Returns how many pieces of work wait in the queue."""
        return self._queue.qsize()

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            try:
                self._commit(group)
                self._on_commit()
            except BaseException as error:
                failure = translate(error) if isinstance(error, Exception) else error
                for ticket in group:
                    ticket.error = failure
            self._observer.committed(len(group))
            for ticket in group:
                self._observer.done("write", ticket.caller, ticket.began)
                try:
                    ticket.finish(ticket)
                except Exception:
                    log.exception("an answer failed")
            group.clear()  # or the calls of its tickets would live until the next group
            if self._connection is not None:
                self._connection.cut_wal()
        self._disconnect()

    def _put(self, ticket: _Ticket[Any]) -> None:
        with self._closing:
            if self._closed:
                raise shutting_down()
            self._queue.put(ticket)

    def _execute(self, work: Callable[[Session], T], *, dry_run: bool) -> T:
        assert self._connection is not None  # noqa: S101, for the type checker
        return self._connection.execute(work, dry_run=dry_run)

    def _next_group(self) -> list[_Ticket[Any]] | None:
        """Waits for a ticket and returns it with all that have queued up behind it; None at the end."""
        group: list[_Ticket[Any]] = []
        ticket = self._queue.get()
        while ticket is not None:
            group.append(ticket)
            if len(group) == MAX_GROUP:
                return group
            try:
                ticket = self._queue.get_nowait()
            except Empty:
                return group
        if group:
            self._queue.put(None)
            return group
        return None

    def _commit(self, group: list[_Ticket[Any]]) -> None:
        """Commits the group, on a new connection if the last one failed or leads to a file that is gone."""
        if self._connection is not None and not self._connection.is_current():
            self._disconnect()
        if self._connection is None:
            self._connection = _WriteConnection(self._engine, self._interrupted, self._turn)
        try:
            self._connection.commit(group)
        finally:
            if self._connection.failed:
                self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _WriteConnection:
    """The writer's connection and session.

    It says BEGIN, SAVEPOINT and COMMIT itself: `Session.begin` and `begin_nested` of SQLAlchemy cost more than an
    insert does.
    """

    def __init__(self, engine: Engine, interrupted: threading.Event, turn: Turn) -> None:
        """Connects. Once `interrupted` is set, nothing more is committed."""
        self._turn = turn
        self._interrupted = interrupted
        self._connection = engine.execution_options(**{AUTOCOMMIT: True}).connect()
        self._session = Session(self._connection)
        self._driver = cast("sqlite3.Connection", driver_connection(self._session))
        (patience,) = self._driver.execute("PRAGMA busy_timeout").fetchone()
        self._driver.execute(f"PRAGMA busy_timeout = {min(patience, _LOCK_WAIT)}").close()
        self._patience = patience / 1000  # seconds
        for pragma, value in _PRAGMAS.items():
            self._driver.execute(f"PRAGMA {pragma} = {value}").close()
        self._driver.set_progress_handler(interrupted.is_set, _INSTRUCTIONS)
        self._file = SqliteFile(str(engine.url.database))
        self._identity = self._file.identity()
        self._max_wal = MAX_WAL
        self._commits = 0
        self.failed = False
        """True once the database failed, and not only the work: the connection must not be used again."""
        self._changed = False
        """True once the ticket that runs may have changed something that its failure must undo."""
        self._attributed = False
        """True while the triggers that log changes know of a ticket's transaction."""

    def commit(self, group: list[_Ticket[Any]]) -> None:
        """Runs and commits the group. It raises an error of the transaction, which every ticket in the group gets."""
        self._attributed = False
        try:
            self._begin(group)
            if not self._run_together(group):
                self._driver.execute("ROLLBACK")
                self._turn.release()
                if len(group) == 1:
                    return
                self._begin(group)
                for ticket in _awaited(group):
                    self._run_in_savepoint(ticket)
            if self._attributed:
                self._driver.execute(_ATTRIBUTE, ("",))
            self._driver.execute("COMMIT")
            if not self.is_current():
                raise _gone(self._file)
        except BaseException:
            self.failed = True
            raise
        finally:
            self._turn.release()

    def cut_wal(self) -> None:
        """Moves a WAL that is too large into the file, and cuts it to nothing.

        Other writers wait meanwhile, and reads that hold the WAL for long are ended in all processes that share the
        turn. If a reader does not let go, the WAL may grow by as much again until the next try.
        """
        self._commits += 1
        if self._commits % _COMMITS_PER_LOOK:
            return
        size = self._file.wal_size()
        if size <= MAX_WAL:
            self._max_wal = MAX_WAL
        elif size > self._max_wal:
            end = time.monotonic() + _MAX_CUT
            self._turn.wal_needed_until = end
            while not (cut := self._checkpoint()) and time.monotonic() < end:
                if self._interrupted.wait(_PAUSE):
                    break
            self._turn.wal_needed_until = 0.0
            if not cut and not self._interrupted.is_set():
                self._max_wal = size + MAX_WAL
                log.warning("a reader keeps SQLite's write-ahead log from being cut back: it has %d MiB", size // 2**20)

    def _checkpoint(self) -> bool:
        """Waits a moment for readers to let go of the WAL, and tells whether it was cut."""
        with suppress(sqlite3.Error):  # writes fail for the same reason, and tell it
            (busy, _, _) = self._driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        return False

    def _begin(self, group: list[_Ticket[Any]]) -> None:
        """Begins a transaction; waits for another process's, while somebody waits for a ticket of the group.

        The process has its turn then. Between two tries it releases the turn, so that all processes wait for as long.
        """
        end = time.monotonic() + self._patience

        def waits() -> bool:
            return not self._interrupted.is_set() and time.monotonic() < end and any(_awaited(group))

        while not self._interrupted.is_set():
            if not self._turn.take(waits):
                raise shutting_down() if self._interrupted.is_set() else busy()
            try:
                self._driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                self._turn.release()
                if not is_busy(error) or time.monotonic() >= end or not any(_awaited(group)):
                    raise
            else:
                return
        raise shutting_down()

    def is_current(self) -> bool:
        """Tells whether the file at the path is still the one that the connection has open."""
        return self._file.identity() == self._identity

    def close(self) -> None:
        """Closes the connection, which rolls back whatever is not committed."""
        self._connection.invalidate()
        self._connection.close()

    def execute(self, work: Callable[[Session], T], *, dry_run: bool) -> T:
        """Returns what `work` returns, as a part of the ticket that runs; for a dry run, what it changed is undone."""
        try:
            if not dry_run:
                self._changed = True
                self._attribute()
                return work(self._session)
            self._driver.execute("SAVEPOINT dry_run")
            try:
                return work(self._session)
            finally:
                if self._driver.in_transaction:
                    self._driver.execute("ROLLBACK TO dry_run")
                    self._driver.execute("RELEASE dry_run")
        except Exception as error:
            ended = self._interrupted.is_set() and is_cancellation(error)
            translated = shutting_down() if ended else translate(error)
            self.failed |= translated is not error
            raise translated from error

    def _attribute(self) -> None:
        """Begins a transaction in the log of changes: pieces of a group that follow each other are told apart."""
        self._driver.execute(_ATTRIBUTE, (principal_name(self._session),))
        self._attributed = True

    def _run_together(self, group: list[_Ticket[Any]]) -> bool:
        """Runs the group until a ticket fails that has to be undone, and tells whether none did."""
        return all(self._run(ticket) for ticket in _awaited(group))

    def _run_in_savepoint(self, ticket: _Ticket[Any]) -> None:
        self._driver.execute("SAVEPOINT ticket")
        if not self._run(ticket):
            self._driver.execute("ROLLBACK TO ticket")
        self._driver.execute("RELEASE ticket")

    def _run(self, ticket: _Ticket[Any]) -> bool:
        """Runs the work; false if it failed and has to be undone. Raises if the transaction has ended with it."""
        self._changed = False
        self._session.info[PRINCIPAL] = principal_of(ticket.caller)
        ticket.error = None
        try:
            ticket.result = ticket.work()
        except Exception as error:
            ticket.error = error
        if not self._driver.in_transaction:
            raise ticket.error or Unavailable(
                "DATABASE_UNAVAILABLE", "the transaction ended early; nothing was changed, try again"
            )
        return ticket.error is None or not self._changed


def _gone(file: SqliteFile) -> Unavailable:
    log.error("the file %s was deleted or replaced", file.path)
    return Unavailable("DATABASE_UNAVAILABLE", "the database was deleted or replaced; try again")


def _awaited(group: list[_Ticket[Any]]) -> Iterator[_Ticket[Any]]:
    """Yields the tickets that a caller still waits for."""
    for ticket in group:
        if ticket.abandoned or not ticket.caller.is_active():
            ticket.error = caller_gone()
        else:
            yield ticket
