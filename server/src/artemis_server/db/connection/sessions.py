"""Sessions: each thread keeps one, because a connection costs more than most statements.

Their connections are in autocommit: a statement is a snapshot, and no transaction is left open.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from artemis_models import AUTOCOMMIT
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import (
    GUARDS,
    Caller,
    Ending,
    InternalCaller,
    StatementEnded,
    StatementGuard,
    principal_of,
    statement_timeout,
)
from artemis_server.db.connection.driver_errors import (
    Constraint,
    broken_constraint,
    is_cancellation,
    late,
    not_replicated,
    shutting_down,
)
from artemis_server.db.connection.turn import Turn
from artemis_server.db.ids import SPARE_IDS, SpareIds
from artemis_server.db.statements import PRINCIPAL, driver_connection
from artemis_server.errors import RequestError, Unavailable

T = TypeVar("T")
WATCH_INTERVAL = 0.05  # seconds between two looks at the statements that run
MAX_HOLD = 0.5  # seconds that a read may hold SQLite's write-ahead log while a writer waits to cut it back
LEAVE_INTERVAL = 1.0
"""Seconds between two times that all connections are left, because new ones cost more than most calls."""
SLOW_WRITE = 0.5
"""Seconds after which a write on PostgreSQL casts doubt on its node: a COMMIT may wait for standbys that never come."""
_PAUSE = 0.02  # seconds
_GUARD = "artemis_guard"
"""The key in `Session.info` of the guard of a session's connection."""


class ThreadSessions:
    """Opens a session for each thread that asks for one, and keeps it for the thread's next calls."""

    def __init__(self, engine: Engine, turn: Turn) -> None:
        """Makes no session yet. Reads let go of SQLite's write-ahead log when a sharer of the turn wants it."""
        self._turn = turn
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT", **{AUTOCOMMIT: True})
        self._local = threading.local()
        self._spare_ids = SpareIds()
        self._open: dict[StatementGuard, Connection] = {}
        self._generation = 0
        self._left = -math.inf
        self.doubt = threading.Event()
        """Set when a write is slow, at most once in LEAVE_INTERVAL."""
        self._doubted = -math.inf
        self._unresponsive = False
        self._interrupted = False
        self._closing = threading.Event()
        self._idle = False
        self._wake = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="callers", daemon=True)
        self._watcher.start()

    def run(self, work: Callable[[Session], T], caller: Caller) -> T:
        """Returns the result of `work`, which runs again on a new connection if the kept one broke while it was idle.

        After an error that is not a RequestError the connection is thrown away.
        """
        return self.retry(lambda: self.lend(self.get(caller), work))

    def retry(self, attempt: Callable[[], T]) -> T:
        """Returns what `attempt` returns. See `run`."""
        for repeated in (False, True):
            try:
                return attempt()
            except RequestError:
                raise
            except Exception:
                if not self.discard() or repeated:
                    raise
        raise AssertionError("the second attempt returns or raises")

    def lend(self, session: Session, work: Callable[[Session], T]) -> T:
        """Returns what `work` returns; nobody waits for the session's next statements then.

        Raises:
            StatementEnded: a statement was ended for one of the reasons in `Ending`.
            Unavailable: something was committed that the standbys did not confirm. All connections are left.
            Exception: what `work` raised.
        """
        guard: StatementGuard = session.info[_GUARD]
        try:
            result = work(session)
            if guard.unreplicated:
                guard.outdated = True
                self.leave()
                raise not_replicated()
            return result
        except RequestError:
            raise
        except Exception as error:
            if self._interrupted:
                raise StatementEnded(error, Ending.SHUTDOWN) from error
            if guard.cut or is_cancellation(error):
                guard.explain(error)
            elif broken_constraint(error) is Constraint.PRIMARY_KEY:
                self._spare_ids.clear()  # they may be taken as well, also when the sequence is right again
            raise
        finally:
            guard.release()

    def get(self, caller: Caller, *, probe: bool = False, writing: bool = False) -> Session:
        """Returns this thread's session; from now on, its statements are executed for this caller.

        Those of a caller who is `writing` are ended when all connections are left (`leave`).

        With `probe`, the driver's error is raised if the connection broke while it was idle (`StatementGuard.probe`).

        Raises:
            Unavailable: the database is silent, or the server stops.
            DeadlineExceeded: the caller's time is up already.
        """
        if self._interrupted:
            raise shutting_down()
        if self._unresponsive and not isinstance(caller, InternalCaller):
            raise Unavailable("DATABASE_UNAVAILABLE", "the database does not answer; try again")
        seconds = statement_timeout(caller)
        if seconds <= 0:
            raise late()
        session: Session | None = getattr(self._local, "session", None)
        if session is not None and session.info[_GUARD].outdated:
            self.discard()
            session = None
        if session is None:
            session = self._connect()
            seconds = statement_timeout(caller)  # which is less, as connecting takes a while
        guard: StatementGuard = session.info[_GUARD]
        guard.writing = writing
        guard.begin(caller, seconds)
        session.info[PRINCIPAL] = principal_of(caller)
        if self._idle:
            self._wake.set()
        if probe:
            guard.probe()
        return session

    def discard(self) -> bool:
        """Closes this thread's connection, which may be broken; returns whether it was, and not by `disconnect`."""
        session: Session | None = self._local.__dict__.pop("session", None)
        if session is None:
            return False
        guard: StatementGuard = session.info[_GUARD]
        guard.release()
        broken = guard.broken
        self._distrust()
        connection = self._open.pop(guard, None)
        if connection is not None:
            connection.invalidate()
            connection.close()
        return broken

    def leave(self) -> None:
        """Makes every thread open a new connection for its next call: the node is not the one to use any more."""
        now = time.monotonic()
        if now - self._left >= LEAVE_INTERVAL:
            self._left = now
            self.renew()

    def disconnect(self) -> None:
        """Ends every connection that a thread waits for, and refuses callers until `mark_responsive` is called.

        A file is never silent: SQLite's connections stay.
        """
        if self._engine.dialect.name != "sqlite":
            self._unresponsive = True
            self._disconnect()
            self._distrust()

    def mark_responsive(self) -> None:
        """Tells that the database answers."""
        self._unresponsive = False

    def renew(self) -> None:
        """Makes every thread open a new connection for its next call: those that are open lead to another database."""
        self._generation += 1
        for guard in list(self._open):
            guard.outdated = True
        self._engine.dispose()  # of the connections that no thread has

    def count(self) -> tuple[int, int]:
        """Returns how many connections are open, and how many of them somebody waits for."""
        guards = list(self._open)
        return len(guards), sum(guard.busy for guard in guards)

    def interrupt(self) -> None:
        """Ends the statements of every caller, which fail with SHUTTING_DOWN, and refuses further callers."""
        self._interrupted = True

    def close(self, timeout: float) -> None:
        """Closes every connection. A statement that still runs is ended, or given up after so many seconds."""
        self.interrupt()
        end = time.monotonic() + timeout
        while any(guard.busy for guard in list(self._open)) and time.monotonic() < end:
            time.sleep(_PAUSE)
            self._disconnect()
        self._closing.set()
        self._wake.set()
        self._watcher.join(max(0.0, end - time.monotonic()))
        for guard, connection in list(self._open.items()):
            if not guard.busy:
                self._open.pop(guard, None)
                if guard.outdated:
                    connection.invalidate()  # its pool is closed already, and would keep it open
                connection.close()

    def _distrust(self) -> None:
        """Prepares for another server: its sequences may be behind, and no open connection may lead to it."""
        self._spare_ids.clear()
        for guard in list(self._open):
            guard.distrust()

    def _disconnect(self) -> None:
        for guard in list(self._open):
            guard.disconnect()

    def _connect(self) -> Session:
        generation = self._generation
        connection = self._engine.connect()
        session = Session(connection)
        guard = GUARDS[self._engine.dialect.name](driver_connection(session))
        session.info[_GUARD] = guard
        session.info[SPARE_IDS] = self._spare_ids
        self._open[guard] = connection
        guard.outdated = generation != self._generation  # `renew` may not have seen it
        self._local.session = session
        return session

    def _watch(self) -> None:
        """Looks at the statements every WATCH_INTERVAL seconds while one runs, and sleeps until one does."""
        while not self._closing.wait(WATCH_INTERVAL):
            now = time.monotonic()
            for guard in list(self._open):
                guard.end_if_due(now)
                if self._interrupted:
                    guard.interrupt(Ending.SHUTDOWN)
                elif now < self._turn.wal_needed_until:
                    guard.interrupt(Ending.WAL_HELD, before=now - MAX_HOLD)
                elif guard.writing:
                    self._watch_write(guard, now)
            self._idle = True
            if not any(guard.busy for guard in list(self._open)):
                self._wake.wait()
            self._idle = False
            self._wake.clear()

    def _watch_write(self, guard: StatementGuard, now: float) -> None:
        """Ends a write whose node was left, and casts doubt on the node of one that is slow."""
        if guard.outdated:
            guard.interrupt(Ending.LEFT)
        elif guard.waits_since(now - SLOW_WRITE) and now - self._doubted >= LEAVE_INTERVAL:
            self._doubted = now
            self.doubt.set()
