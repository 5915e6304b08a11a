"""PostgreSQL's writer: each thread writes on its own session.

PostgreSQL has many writers and groups their commits itself. One connection for all of them would make each writer wait
for the round trips of the others.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import Caller, statement_timeout
from artemis_server.db.connection.driver_errors import (
    Constraint,
    broken_constraint,
    caller_gone,
    is_read_only,
    is_transient,
    read_only,
    shutting_down,
    translate,
)
from artemis_server.db.connection.observer import Observer
from artemis_server.db.connection.sessions import ThreadSessions
from artemis_server.db.statements import PRINCIPAL_SETTING, driver_connection, principal_name
from artemis_server.errors import DeadlineExceeded, RequestError, ServerError

T = TypeVar("T")
MAX_ATTEMPTS = 5
PAUSE = 0.01  # seconds, before the second attempt; each further one waits up to twice as long
READ_ONLY_PAUSE = 0.25
"""Seconds for which writes are refused at once after a new connection turned out to be read-only."""
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Each statement sees all that was committed before it ran, also while it waited for a lock."""


class PostgresqlWriter:
    """Runs each piece of work in a transaction of its own, and again when it collided with another.

    A single statement is a transaction by itself, so it is spared the round trips of BEGIN and COMMIT.
    """

    def __init__(
        self,
        sessions: ThreadSessions,
        observer: Observer,
        on_commit: Callable[[], None] = lambda: None,
        note_write: Callable[[Session, Caller], None] | None = None,
    ) -> None:
        """`on_commit` is called after each commit, before the caller has its answer.

        `note_write` is called after each commit, and after an answer that others' commits made an error.
        """
        self._on_commit = on_commit
        self._note_write = note_write
        self._sessions = sessions
        self._observer = observer
        self._closed = False
        self._read_only_until = 0.0

    def write(
        self, work: Callable[[Session], T], caller: Caller, *, dry_run: bool = False, single_statement: bool = False
    ) -> T:
        """Returns what `work` returns, as `Writer` has it; runs it again while it collides with other transactions."""
        began = time.monotonic()
        try:
            result = self._repeat(work, caller, dry_run=dry_run, single_statement=single_statement)
            self._on_commit()
            return result
        finally:
            self._observer.done("write", caller, began)

    def waiting(self) -> int:
        """Returns 0: each thread writes at once."""
        return 0

    def _repeat(self, work: Callable[[Session], T], caller: Caller, *, dry_run: bool, single_statement: bool) -> T:
        """Runs the work, and again while it collides with other transactions.

        It runs once more on a new connection if the kept one leads to a node that is read-only by now.
        """
        transact = partial(self._transact, work, caller, "ROLLBACK" if dry_run else "COMMIT")
        attempt = partial(self._execute, work, caller) if single_statement and not dry_run else transact
        end = time.monotonic() + statement_timeout(caller)
        for number in range(MAX_ATTEMPTS):
            self._admit(caller, end)
            try:
                return self._find_node(attempt)
            except RequestError:
                raise
            except Exception as error:
                if number == MAX_ATTEMPTS - 1 or not is_transient(error):
                    raise translate(error) from error
            time.sleep(min(PAUSE * 2**number * random.random(), max(end - time.monotonic(), 0)))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    def _admit(self, caller: Caller, end: float) -> None:
        """Raises the reason why the work cannot begin, if there is one."""
        now = time.monotonic()
        if self._closed:
            raise shutting_down()
        if now >= end:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed before the request was written")
        if now < self._read_only_until:
            raise read_only()
        if not caller.is_active():
            raise caller_gone()

    def close(self, timeout: float) -> None:
        """Accepts no more work."""
        del timeout
        self._closed = True

    def interrupt(self) -> None:
        """Accepts no more work; the sessions end what runs."""
        self._closed = True

    def _find_node(self, attempt: Callable[[], T]) -> T:
        """Returns what `attempt` returns: on a new connection, if the kept one leads to a node that is read-only now.

        Then all other connections are left as well. A read-only node has changed nothing.
        """
        try:
            return attempt()
        except Exception as error:
            if not is_read_only(error):
                raise
        self._sessions.discard()
        try:
            result = attempt()
        except Exception as error:
            if is_read_only(error):
                self._sessions.discard()
                self._read_only_until = time.monotonic() + READ_ONLY_PAUSE
            raise
        self._sessions.leave()
        return result

    def _transact(self, work: Callable[[Session], T], caller: Caller, end: str) -> T:
        """Runs the work in a transaction that begins on a new connection if the kept one broke while it was idle."""

        def begin() -> Session:
            session = self._sessions.get(caller, writing=True)
            # Not to be prepared: PostgreSQL prepares no two statements at once.
            driver_connection(session).execute(BEGIN + _attribution(session), prepare=False)
            return session

        def finish(session: Session) -> T:
            try:
                result = work(session)
            except BaseException:
                with suppress(Exception):
                    self._end(session, "ROLLBACK")
                raise
            self._end(session, end)
            return result

        return self._sessions.lend(self._sessions.retry(begin), self._noted(finish, caller))

    def _noted(self, work: Callable[[Session], T], caller: Caller) -> Callable[[Session], T]:
        """Returns the work, at whose end `note_write` is called.

        An error such as ABORTED tells of what others committed. The caller reads it again, and must find it then.
        """
        note = self._note_write
        if note is None:
            return work

        def run(session: Session) -> T:
            try:
                result = work(session)
            except RequestError as error:
                if not isinstance(error, ServerError):
                    note(session, caller)
                raise
            note(session, caller)
            return result

        return run

    def _end(self, session: Session, how: str) -> None:
        try:
            driver_connection(session).execute(how)
        except BaseException:
            self._sessions.discard()
            raise

    def _execute(self, work: Callable[[Session], T], caller: Caller) -> T:
        """Runs the work in autocommit.

        Nobody can tell whether a statement was executed whose connection broke meanwhile, so it is not repeated.
        That is why the connection is probed before.
        """
        session = self._sessions.retry(lambda: self._sessions.get(caller, probe=True, writing=True))
        try:
            return self._sessions.lend(session, self._noted(work, caller))
        except RequestError:
            raise
        except Exception as error:
            if not is_transient(error) and broken_constraint(error) is Constraint.OTHER:
                self._sessions.discard()  # the connection may be unusable
            raise


def _attribution(session: Session) -> str:
    """Returns what follows BEGIN so that the triggers that log changes know whose they are, in the same round trip.

    The name "O'Hara" becomes "; SELECT set_config('artemis.principal', E'O''Hara', true)". It ends with the
    transaction, and so works behind PgBouncer.
    """
    name = principal_name(session).replace("\\", "\\\\").replace("'", "''")
    return name and f"; SELECT set_config('{PRINCIPAL_SETTING}', E'{name}', true)"
