"""SQLite's writer: group commit, so that one wait for the disk serves many writers.

Writers queue their work. One thread runs the work that has queued up in one transaction, and answers all of it after
the commit. SQLite has one writer at a time, so nobody waits for longer than with a connection of its own.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

from artemis_models import AUTOCOMMIT
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import Caller
from artemis_server.db.connection.driver_errors import caller_gone, shutting_down, translate
from artemis_server.db.statements import driver_connection
from artemis_server.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")
MAX_GROUP = 256  # pieces of work


class _Ticket(Generic[T]):
    """A piece of work in the queue. It has a result or an error once `done` can be acquired.

    `done` is a bare lock and not a Future: it costs a tenth, and only one thread waits for a ticket.
    """

    __slots__ = ("abandoned", "caller", "done", "dry_run", "error", "result", "work")

    def __init__(self, work: Callable[[Session], T], caller: Caller, *, dry_run: bool) -> None:
        self.work = work
        self.caller = caller
        self.dry_run = dry_run
        self.result: T
        self.error: BaseException | None = None
        self.abandoned = False
        self.done = threading.Lock()
        self.done.acquire()


class SqliteWriter:
    """Runs pieces of work one after the other and commits them in groups, each while it has `turn`.

    The pieces of a group share a transaction. If one of them fails, the transaction is rolled back and all pieces are
    run once more, each in a savepoint, so that the failing one leaves its neighbours alone.
    """

    def __init__(self, engine: Engine, turn: AbstractContextManager[object]) -> None:
        self._engine = engine
        self._turn = turn
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
        ticket = _Ticket(work, caller, dry_run=dry_run)
        with self._closing:
            if self._closed:
                raise shutting_down()
            self._queue.put(ticket)
        remaining = caller.time_remaining()
        # gRPC tells of no deadline as one in some centuries, which is too long for a lock.
        timeout = -1 if remaining is None or remaining > threading.TIMEOUT_MAX else max(remaining, 0)
        if not ticket.done.acquire(timeout=timeout):
            ticket.abandoned = True
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed while the request waited to be written")
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def close(self) -> None:
        """Accepts no more work, commits what is queued, and closes the connection."""
        with self._closing:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            try:
                self._commit(group)
            except BaseException as error:
                failure = translate(error) if isinstance(error, Exception) else error
                for ticket in group:
                    ticket.error = failure
            for ticket in group:
                ticket.done.release()
        self._disconnect()

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
        """Commits the group, on a new connection if the last one failed."""
        if self._connection is None:
            self._connection = _WriteConnection(self._engine)
        try:
            with self._turn:
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

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.execution_options(**{AUTOCOMMIT: True}).connect()
        self._session = Session(self._connection)
        self._driver = cast("sqlite3.Connection", driver_connection(self._session))
        self.failed = False
        """True once the database failed, and not only the work: the connection must not be used again."""

    def commit(self, group: list[_Ticket[Any]]) -> None:
        """Runs and commits the group. It raises an error of the transaction, which every ticket in the group gets."""
        try:
            self._driver.execute("BEGIN IMMEDIATE")
            if not self._run_together(group):
                self._driver.execute("ROLLBACK")
                if len(group) == 1:
                    return
                self._driver.execute("BEGIN IMMEDIATE")
                for ticket in _awaited(group):
                    self._run_in_savepoint(ticket)
            self._driver.execute("COMMIT")
        except BaseException:
            self.failed = True
            raise

    def close(self) -> None:
        """Closes the connection, which rolls back whatever is not committed."""
        self._connection.invalidate()
        self._connection.close()

    def _run_together(self, group: list[_Ticket[Any]]) -> bool:
        """Runs the group until a ticket fails, and tells whether none did. Dry runs fail or succeed by themselves."""
        for ticket in _awaited(group):
            if ticket.dry_run:
                self._run_in_savepoint(ticket)
            elif not self._run(ticket):
                return False
        return True

    def _run_in_savepoint(self, ticket: _Ticket[Any]) -> None:
        self._driver.execute("SAVEPOINT ticket")
        if not self._run(ticket) or ticket.dry_run:
            self._driver.execute("ROLLBACK TO ticket")
        self._driver.execute("RELEASE ticket")

    def _run(self, ticket: _Ticket[Any]) -> bool:
        """Runs the work and tells whether it succeeded. Raises if the transaction has ended with it."""
        ticket.error = None
        try:
            ticket.result = ticket.work(self._session)
        except Exception as error:
            ticket.error = translate(error)
            self.failed |= ticket.error is not error
        if not self._driver.in_transaction:
            raise ticket.error or Unavailable(
                "DATABASE_UNAVAILABLE", "the transaction ended early; nothing was changed, try again"
            )
        return ticket.error is None


def _awaited(group: list[_Ticket[Any]]) -> Iterator[_Ticket[Any]]:
    """Yields the tickets that a caller still waits for."""
    for ticket in group:
        if ticket.abandoned or not ticket.caller.is_active():
            ticket.error = caller_gone()
        else:
            yield ticket
