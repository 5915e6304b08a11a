"""Transactions for an engine with many writers: each thread writes on its own session."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import SERVER, Caller, longest
from artemis_server.db.connection.driver_errors import cancelled, is_transient, stopped, translate
from artemis_server.db.connection.sessions import ThreadSessions
from artemis_server.db.statements import driver_connection
from artemis_server.errors import DeadlineExceeded, RequestError

T = TypeVar("T")
ATTEMPTS = 5
PAUSE = 0.01  # seconds, before the second attempt; each further one waits up to twice as long
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Each statement sees what was committed before it: also what was, while it waited for a lock."""


class PostgresqlWriter:
    """Runs each piece of work in a transaction of its own, and again when it collided with another."""

    def __init__(self, sessions: ThreadSessions) -> None:
        self._sessions = sessions
        self._closed = False

    def write(self, work: Callable[[Session], T], caller: Caller = SERVER) -> T:
        """Returns what `work` returns, once it is committed.

        Raises:
            DeadlineExceeded: the caller's deadline passed; nothing was changed.
            Cancelled: the caller went away; nothing was changed.
            RequestError: the database failed, or the writer was closed.
            Exception: what `work` raised; nothing was changed.
        """
        end = time.monotonic() + longest(caller)
        for attempt in range(ATTEMPTS):
            if self._closed:
                raise stopped()
            if time.monotonic() >= end:
                raise DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed before the request was written")
            if not caller.is_active():
                raise cancelled()
            try:
                return self._attempt(work, caller)
            except RequestError:
                raise
            except Exception as error:
                if attempt == ATTEMPTS - 1 or not is_transient(error):
                    raise translate(error) from error
            time.sleep(min(PAUSE * 2**attempt * random.random(), max(end - time.monotonic(), 0)))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Accepts no more work."""
        self._closed = True

    def _attempt(self, work: Callable[[Session], T], caller: Caller) -> T:
        session = self._begin(caller)
        try:
            return self._commit(work, session)
        finally:
            self._sessions.release(session)

    def _commit(self, work: Callable[[Session], T], session: Session) -> T:
        try:
            result = work(session)
        except BaseException:
            self._roll_back(session)
            raise
        try:
            driver_connection(session).execute("COMMIT")
        except BaseException:
            self._sessions.discard()
            raise
        return result

    def _begin(self, caller: Caller) -> Session:
        """Begins a transaction, on a new connection if the kept one broke since it was last used."""

        def begin() -> Session:
            session = self._sessions.get(caller)
            driver_connection(session).execute(BEGIN)
            return session

        return self._sessions.retry(begin)

    def _roll_back(self, session: Session) -> None:
        try:
            driver_connection(session).execute("ROLLBACK")
        except Exception:
            self._sessions.discard()
