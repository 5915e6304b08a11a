"""Cancellation: a statement ends when its caller's deadline passes, its caller goes away, or the server stops.

`Caller` tells how long somebody waits for a statement. A `StatementGuard` for each connection knows who waits, and ends
the statement in the way that the engine offers. This module knows connections of drivers, and neither sessions nor
transactions.
"""

import enum
import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

from artemis_models import is_unreplicated

from artemis_server.access.principal import Principal

MAX_TIMEOUT = 300.0  # seconds, also for a caller without a deadline
_CANCEL_TIMEOUT = 0.5  # seconds
_CANCEL_INTERVAL = 0.1  # seconds between two requests to cancel statements of the same caller
_MAX_CANCELS = 5
"""Requests to cancel, after which the connection is ended: a pooler takes them for a statement that waits in it."""
_CANCELLERS = ThreadPoolExecutor(16, thread_name_prefix="cancel")  # it starts threads when they are needed
MAX_UNPROBED = 1.0  # seconds that a connection may be idle and still be used without a SELECT 1


class Caller(Protocol):
    """Somebody who waits for an answer. The context of an RPC is one."""

    def time_remaining(self) -> float | None:
        """Returns how many seconds the caller still waits, at most; None if it has not said."""

    def is_active(self) -> bool:
        """Tells whether the caller is still there."""


def principal_of(caller: Caller) -> Principal | None:
    """Returns who a caller is; None for the server itself, and without access control."""
    return getattr(caller, "principal", None)  # the type of gRPC's contexts has no such attribute


class InternalCaller:
    """The server itself as a caller, which waits for `seconds`, or without limit."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        """Returns how long it waits, whenever it is asked."""
        return self._seconds

    def is_active(self) -> bool:
        """Tells that it is there."""
        return True


INTERNAL: Caller = InternalCaller()


def statement_timeout(caller: Caller) -> float:
    """Returns how many seconds a statement may take for a caller: MAX_TIMEOUT at most."""
    remaining = caller.time_remaining()
    return MAX_TIMEOUT if remaining is None else min(remaining, MAX_TIMEOUT)


class Ending(enum.Enum):
    """The reason why a statement was ended."""

    LATE = "the caller's deadline passed"
    ABANDONED = "the caller went away"
    SHUTDOWN = "the server stops"
    LEFT = "its node is not the one to write to any more"
    WAL_HELD = "its snapshot kept SQLite's write-ahead log from being cut back"


class StatementEnded(Exception):
    """The server ended a statement for a reason; it failed with this error of the driver or of SQLAlchemy."""

    def __init__(self, error: Exception, reason: Ending) -> None:
        super().__init__(str(getattr(error, "orig", None) or error))
        self.reason = reason


class StatementGuard:
    """Knows who waits for the statements of one connection, and ends them as SQLite does; PostgreSQL has its own guard.

    The thread that has the connection calls `begin`, `release`, `explain` and `probe`; any thread calls the rest.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._caller: Caller | None = None
        self._began = 0.0
        self._deadline = math.inf
        """The end of the caller's time, as `time.monotonic` has it."""
        self._reason: Ending | None = None
        """The reason why the caller's statement was ended."""
        self._lock = threading.Lock()
        """Held by a thread that ends the statement of another one, so that it does not end the next statement."""
        self.outdated = False
        """Tells whether the connection leads to a database that is no longer the one to use."""
        self.writing = False
        """Tells whether the caller writes on PostgreSQL. Its COMMIT may wait for standbys that never come."""

    @property
    def busy(self) -> bool:
        """Tells whether a caller waits for the connection."""
        return self._caller is not None

    @property
    def broken(self) -> bool:
        """Tells whether the connection broke by itself, and not by `disconnect`."""
        return False

    @property
    def cut(self) -> bool:
        """Tells whether the connection was ended together with the statement, which requests did not end."""
        return False

    @property
    def unreplicated(self) -> bool:
        """Tells once whether the connection committed what the standbys did not confirm (`is_unreplicated`)."""
        return False

    def begin(self, caller: Caller, seconds: float) -> None:
        """Guards the statements that follow: they are executed for this caller, who waits so many seconds."""
        self._began = time.monotonic()
        self._deadline = self._began + seconds
        self._reason = None
        self._caller = caller  # last, because it tells the other threads that the rest is set

    def explain(self, error: Exception) -> None:
        """Raises StatementEnded if the server ended the statement, which failed with this error.

        Otherwise somebody else cancelled it, such as the database's operator. The error is the same.
        """
        reason = self._reason or self._due(time.monotonic())
        if reason is not None:
            raise StatementEnded(error, reason) from error

    def release(self) -> None:
        """Stops guarding: the statements that follow are executed whatever becomes of the caller."""
        with self._lock:
            self._caller = None

    def probe(self) -> None:
        """Raises the driver's error if the connection broke while it was idle."""

    def distrust(self) -> None:
        """Makes the next `probe` ask the server, because the connection may lead nowhere."""

    def end_if_due(self, now: float) -> None:
        """Ends the statement if its caller's time is up, or its caller has gone."""
        self._end_for(lambda: self._due(now))

    def interrupt(self, reason: Ending, before: float = math.inf) -> None:
        """Ends the statement that a caller waits for, if the caller came before this time (`time.monotonic`)."""
        self._end_for(lambda: reason if self.waits_since(before) else None)

    def disconnect(self) -> None:
        """Ends the connection if a caller waits for it and the driver can."""

    def waits_since(self, moment: float) -> bool:
        """Tells whether a caller has waited since this moment (`time.monotonic`), or longer."""
        return self._caller is not None and self._began < moment

    def _due(self, now: float) -> Ending | None:
        caller = self._caller
        if caller is None:
            return None
        if now >= self._deadline:
            return Ending.LATE
        return None if caller.is_active() else Ending.ABANDONED

    def _end_for(self, find_reason: Callable[[], Ending | None]) -> None:
        """Ends the statement if there is a reason."""
        if find_reason() is None:
            return
        with self._lock:
            reason = find_reason()
            if reason is not None:
                self._reason = self._reason or reason
                with suppress(Exception):  # the thread that has the connection sees that it fails
                    self._cancel()

    def _cancel(self) -> None:
        """Ends the statement. SQLite sees that before its next step; a file is never silent."""
        self._driver.interrupt()


class _PostgresqlGuard(StatementGuard):
    """PostgreSQL cancels a statement on request.

    `statement_timeout` is not used: to set it costs a round trip, and behind a pooler it would hold for other clients.
    """

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._disconnected = False
        self._next_cancel = 0.0
        self._cancels = 0
        self._cut = False
        self._idle = select.poll()
        self._idle.register(driver.fileno(), select.POLLIN)
        self._last_used = time.monotonic()

    @property
    def broken(self) -> bool:
        return bool(self._driver.broken) and not self._disconnected

    @property
    def cut(self) -> bool:
        return self._cut

    @property
    def unreplicated(self) -> bool:
        return is_unreplicated(self._driver)

    def begin(self, caller: Caller, seconds: float) -> None:
        super().begin(caller, seconds)
        is_unreplicated(self._driver)  # of a call that failed for another reason
        self._next_cancel = 0.0
        self._cancels = 0

    def release(self) -> None:
        super().release()
        self._last_used = time.monotonic()

    def probe(self) -> None:
        """Looks whether PostgreSQL closed the socket, and sends SELECT 1 if it did, or may have gone without a word.

        A socket does not tell that a router forgot the connection, or that the server's address moved.
        """
        if self._idle.poll(0) or time.monotonic() - self._last_used > MAX_UNPROBED:
            self._driver.execute("SELECT 1")

    def distrust(self) -> None:
        self._last_used = -math.inf

    def disconnect(self) -> None:
        """Shuts the socket, which wakes the thread that waits for it."""
        with self._lock, suppress(Exception):
            if self._caller is not None:
                self._shut()

    def _end_for(self, find_reason: Callable[[], Ending | None]) -> None:
        """Ends the statement in another thread, because a request to cancel takes a while.

        If that comes just before a statement, it has no effect on it, so it is repeated, but not at every look.
        """
        now = time.monotonic()
        if now >= self._next_cancel and find_reason() is not None:
            self._next_cancel = now + _CANCEL_INTERVAL
            _CANCELLERS.submit(super()._end_for, find_reason)

    def _cancel(self) -> None:
        """Asks the server to cancel the statement. One that does not take the request does not answer either."""
        self._cancels += 1
        if self._cancels <= _MAX_CANCELS:
            with suppress(Exception):
                self._driver.cancel_safe(timeout=_CANCEL_TIMEOUT)
                return
        self._cut = True
        self._shut()

    def _shut(self) -> None:
        self._disconnected = True
        with socket.socket(fileno=os.dup(self._driver.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)


GUARDS: dict[str, Callable[[Any], StatementGuard]] = {"sqlite": StatementGuard, "postgresql": _PostgresqlGuard}
"""By the dialect's name, the class whose instances guard a driver's connections."""
