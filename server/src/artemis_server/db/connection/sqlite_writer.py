"""Group commit: one session that all writers of a process share, so that one fsync serves many of them.

Writers queue their work; a thread runs whatever has queued up in one transaction, and answers all of them after the
commit. If a piece fails, all are run again, each in a savepoint of its own, and so are the next few groups.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import SERVER, Caller
from artemis_server.db.connection.driver_errors import cancelled, stopped, translate
from artemis_server.db.statements import Driver, driver_connection
from artemis_server.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")
MOST_IN_GROUP = 256
WARY = 16
"""How many groups have savepoints from the start after one that failed: failures seldom come alone."""


class _Ticket(Generic[T]):
    """A piece of work, and what became of it once `done` can be acquired.

    A bare lock and not a Future: it costs a tenth, and a ticket is waited for by one thread only.
    """

    __slots__ = ("abandoned", "caller", "done", "error", "result", "work")

    def __init__(self, work: Callable[[Session], T], caller: Caller) -> None:
        self.work = work
        self.caller = caller
        self.result: T
        self.error: BaseException | None = None
        self.abandoned = False
        self.done = threading.Lock()
        self.done.acquire()


class _Failed(Exception):
    """Undoes a group in which something failed."""


class SqliteWriter:
    """Runs pieces of work one after the other and commits them in groups."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wary = 0
        """How many groups are still to have savepoints from the start."""
        self._queue: SimpleQueue[_Ticket[Any] | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def write(self, work: Callable[[Session], T], caller: Caller = SERVER) -> T:
        """Returns what `work` returns, once it is committed.

        Raises:
            DeadlineExceeded: the caller's deadline passed. Work that had begun by then may still be committed.
            Cancelled: the caller went away before the work was done; nothing was changed.
            RequestError: the database failed, or the writer was closed; nothing was changed.
            Exception: what `work` raised; nothing was changed.
        """
        ticket = _Ticket(work, caller)
        with self._closing:
            if self._closed:
                raise stopped()
            self._queue.put(ticket)
        if not ticket.done.acquire(timeout=_wait(caller.time_remaining())):
            ticket.abandoned = True
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed while the request waited to be written")
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def close(self) -> None:
        """Commits what is queued and ends the thread."""
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

    def _next_group(self) -> list[_Ticket[Any]] | None:
        """Waits for a ticket and returns it with all that have queued up behind it; None at the end."""
        group: list[_Ticket[Any]] = []
        ticket = self._queue.get()
        while ticket is not None:
            group.append(ticket)
            if len(group) == MOST_IN_GROUP:
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
        """Runs the group in one transaction; an error of the transaction itself is an error of all."""
        if self._wary:
            self._wary -= 1
        elif self._run_together(group):
            return
        else:
            self._wary = WARY
        self._run_apart(group)

    def _run_together(self, group: list[_Ticket[Any]]) -> bool:
        """Runs and commits the group if nothing in it fails; undoes it otherwise, and tells that it did."""
        with suppress(_Failed), self._transaction() as (connection, session):
            for ticket in _wanted(group):
                try:
                    ticket.result = ticket.work(session)
                except Exception as error:
                    raise _Failed from error
                if not cast("sqlite3.Connection", connection).in_transaction:
                    raise _gone()
            return True
        return False

    def _run_apart(self, group: list[_Ticket[Any]]) -> None:
        """Runs and commits the group, each piece in a savepoint, so that what fails leaves the others alone."""
        with self._transaction() as (connection, session):
            for ticket in _wanted(group):
                connection.execute("SAVEPOINT ticket")
                try:
                    ticket.result = ticket.work(session)
                except Exception as error:
                    ticket.error = translate(error)
                    self._end(connection, "ROLLBACK TO", error)
                self._end(connection, "RELEASE", _gone())

    @contextmanager
    def _transaction(self) -> Iterator[tuple[Driver, Session]]:
        # Not Session.begin_nested for savepoints, which costs more than an insert to keep track of entities that
        # storage functions do not have.
        with Session(self._engine) as session, session.begin():
            yield driver_connection(session), session

    @staticmethod
    def _end(connection: Driver, how: str, reason: Exception) -> None:
        """Ends a savepoint; raises `reason` when there is none, because the whole transaction has been undone."""
        try:
            connection.execute(f"{how} ticket")
        except Exception:
            raise reason from None


def _wanted(group: list[_Ticket[Any]]) -> Iterator[_Ticket[Any]]:
    """Yields the tickets that somebody still waits for."""
    for ticket in group:
        if ticket.abandoned or not ticket.caller.is_active():
            ticket.error = cancelled()
        else:
            yield ticket


def _gone() -> Unavailable:
    return Unavailable("DATABASE_UNAVAILABLE", "the transaction ended early; nothing was changed, try again")


def _wait(timeout: float | None) -> float:
    """Returns the timeout as a lock takes it; gRPC tells of no deadline as one in some centuries."""
    if timeout is None or timeout > threading.TIMEOUT_MAX:
        return -1
    return max(timeout, 0)
