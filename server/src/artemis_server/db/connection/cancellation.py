"""Cancellation: a statement ends when its caller's deadline passes, its caller goes away, or the database is silent.

`Caller` tells how long somebody waits for a statement. A `StatementGuard` for each connection keeps to that, in the
way that the engine offers. This module knows connections of drivers, and neither sessions nor transactions.
"""

import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

MAX_TIMEOUT = 300.0  # seconds, also for a caller without a deadline
_INSTRUCTIONS = 20_000  # of SQLite's virtual machine, between two looks at the clock and the caller
_CANCEL_TIMEOUT = 2.0  # seconds
MAX_UNPROBED = 1.0  # seconds that a connection may be idle and still be used without a SELECT 1
_CLOCK_DRIFT = 0.05  # seconds that PostgreSQL's clock may gain on ours in MAX_TIMEOUT


class Caller(Protocol):
    """Somebody who waits for an answer. The context of an RPC is one."""

    def time_remaining(self) -> float | None:
        """Returns how many seconds the caller still waits, at most; None if it has not said."""

    def is_active(self) -> bool:
        """Tells whether the caller is still there."""


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


class StatementEnded(Exception):
    """The guard ended a statement, which failed with this error of the driver or of SQLAlchemy."""

    def __init__(self, error: Exception, *, late: bool) -> None:
        super().__init__(str(getattr(error, "orig", None) or error))
        self.late = late
        """True if the deadline had passed; false if the caller had gone."""


class StatementGuard:
    """Ends the statements of one connection in time.

    The thread that has the connection calls `begin`, `end`, `explain` and `probe`; any thread calls the rest.
    """

    def __init__(self) -> None:
        self._caller: Caller | None = None
        self._end = math.inf
        """When the caller's time is up, as `time.monotonic` has it."""

    @property
    def busy(self) -> bool:
        """Tells whether a caller waits for the connection."""
        return self._caller is not None

    @property
    def broken(self) -> bool:
        """Tells whether the connection broke by itself, and not by `disconnect`."""
        return False

    def begin(self, caller: Caller) -> None:
        """Guards the statements that follow: they are executed for this caller."""
        self._caller = caller
        self._end = time.monotonic() + statement_timeout(caller)

    def explain(self, error: Exception) -> None:
        """Raises StatementEnded if a statement was cancelled because its caller's time is up, or its caller has gone.

        Otherwise somebody else cancelled it, such as the database's operator. The error is the same.
        """
        if time.monotonic() > self._end - _CLOCK_DRIFT:
            raise StatementEnded(error, late=True) from error
        if self._caller is not None and not self._caller.is_active():
            raise StatementEnded(error, late=False) from error

    def end(self) -> None:
        """Stops guarding: the statements that follow are executed whatever becomes of the caller."""
        self._caller = None

    def probe(self) -> None:
        """Raises the driver's error if the connection broke while it was idle."""

    def distrust(self) -> None:
        """Makes the next `probe` ask the server, because the connection may lead nowhere."""

    def cancel_if_abandoned(self) -> None:
        """Cancels the statement if its caller has gone."""

    def disconnect(self) -> None:
        """Ends the connection if a caller waits for it."""


class _SqliteGuard(StatementGuard):
    """SQLite asks a progress handler now and then whether to go on.

    A file is never silent, and nobody else closes it: there is nothing to probe or disconnect.
    """

    def __init__(self, driver: Any) -> None:
        super().__init__()
        driver.set_progress_handler(self._is_over, _INSTRUCTIONS)

    def end(self) -> None:
        self._caller = None
        self._end = math.inf

    def _is_over(self) -> bool:
        caller = self._caller
        return time.monotonic() > self._end or (caller is not None and not caller.is_active())


class _PostgresqlGuard(StatementGuard):
    """PostgreSQL's `statement_timeout` is the deadline, and another thread looks after the caller."""

    def __init__(self, driver: Any) -> None:
        super().__init__()
        self._driver = driver
        self._disconnected = False
        self._timeout = 0  # milliseconds
        self._lock = threading.Lock()
        """Held by a thread that ends the statement of another one, so that it does not end the next statement."""
        self._idle = select.poll()
        self._idle.register(driver.fileno(), select.POLLIN)
        self._last_used = time.monotonic()

    @property
    def broken(self) -> bool:
        return bool(self._driver.broken) and not self._disconnected

    def begin(self, caller: Caller) -> None:
        seconds = statement_timeout(caller)
        self._caller = caller
        self._end = time.monotonic() + seconds
        milliseconds = rounded_up(seconds * 1000)
        if milliseconds != self._timeout:
            self._driver.execute(f"SET statement_timeout = {milliseconds}")
            self._timeout = milliseconds

    def end(self) -> None:
        with self._lock:
            self._caller = None
        self._last_used = time.monotonic()

    def probe(self) -> None:
        """Looks whether PostgreSQL closed the socket, and sends SELECT 1 if it did, or may have gone without a word.

        A socket does not tell that a router forgot the connection, or that the server's address moved.
        """
        if self._idle.poll(0) or time.monotonic() - self._last_used > MAX_UNPROBED:
            self._driver.execute("SELECT 1")

    def distrust(self) -> None:
        self._last_used = -math.inf

    def cancel_if_abandoned(self) -> None:
        with self._lock, suppress(Exception):  # the thread that has the connection sees that it fails
            if self._caller is not None and not self._caller.is_active():
                self._driver.cancel_safe(timeout=_CANCEL_TIMEOUT)

    def disconnect(self) -> None:
        """Shuts the socket, which wakes the thread that waits for it."""
        with self._lock, suppress(Exception):
            if self._caller is not None:
                self._disconnected = True
                with socket.socket(fileno=os.dup(self._driver.fileno())) as connection:
                    connection.shutdown(socket.SHUT_RDWR)


def rounded_up(number: float) -> int:
    """Returns the least integer with one digit and zeros that is not below a number: 734 becomes 800.

    A connection's timeout is set again only when it changes; rounded timeouts seldom do.
    """
    unit: int = 10 ** max(0, math.ceil(math.log10(max(number, 1))) - 1)
    return math.ceil(max(number, 1) / unit) * unit


GUARDS: dict[str, Callable[[Any], StatementGuard]] = {"sqlite": _SqliteGuard, "postgresql": _PostgresqlGuard}
"""By the dialect's name, the class whose instances guard a driver's connections."""
