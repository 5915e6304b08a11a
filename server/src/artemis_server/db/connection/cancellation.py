"""What ends a statement early: its caller's deadline, its caller's going away, and a database that is silent."""

import math
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

LONGEST = 300.0  # seconds, also for a caller without a deadline
_INSTRUCTIONS = 20_000  # of SQLite's virtual machine, between two looks at the clock and the caller
_CANCEL_TIMEOUT = 2.0  # seconds


class Caller(Protocol):
    """Somebody who waits for an answer. The context of an RPC is one."""

    def time_remaining(self) -> float | None:
        """Returns how many seconds the caller still waits, at most; None if it has not said."""

    def is_active(self) -> bool:
        """Tells whether the caller is still there."""


class Server:
    """The server itself, which waits for so many seconds, or as long as it takes."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        """Returns how long it waits, whenever it is asked."""
        return self._seconds

    def is_active(self) -> bool:
        """Tells that it is there."""
        return True


SERVER: Caller = Server()


def longest(caller: Caller) -> float:
    """Returns how many seconds a statement may take for a caller."""
    remaining = caller.time_remaining()
    return LONGEST if remaining is None else min(remaining, LONGEST)


class Limits:
    """The limits of what is executed on one connection. Its thread calls `begin` and `end`, other threads the rest."""

    def __init__(self) -> None:
        self._caller: Caller | None = None

    @property
    def busy(self) -> bool:
        """Tells whether somebody waits for the connection."""
        return self._caller is not None

    @property
    def broken(self) -> bool:
        """Tells whether the connection broke by itself, and not by `sever`."""
        return False

    def begin(self, caller: Caller) -> None:
        """From now on, statements are executed for this caller."""
        self._caller = caller

    def end(self) -> None:
        """Nobody waits any more; statements that follow are executed whatever became of the caller."""
        self._caller = None

    def check(self) -> None:
        """Ends the statement if its caller has gone."""

    def sever(self) -> None:
        """Ends the connection if somebody waits for it."""


class _Sqlite(Limits):
    """SQLite asks now and then whether to go on. A file is never silent, so that nothing is severed."""

    def __init__(self, driver: Any) -> None:
        super().__init__()
        self._end = math.inf
        driver.set_progress_handler(self._is_over, _INSTRUCTIONS)

    def begin(self, caller: Caller) -> None:
        self._caller = caller
        self._end = time.monotonic() + longest(caller)

    def end(self) -> None:
        self._caller = None
        self._end = math.inf

    def _is_over(self) -> bool:
        caller = self._caller
        return time.monotonic() > self._end or (caller is not None and not caller.is_active())


class _Postgresql(Limits):
    """`statement_timeout` is the deadline, and another thread looks after the caller."""

    def __init__(self, driver: Any) -> None:
        super().__init__()
        self._driver = driver
        self._severed = False
        self._timeout = 0  # milliseconds
        self._lock = threading.Lock()
        """Held while the statement is ended from without, so that it is not the next one that ends."""

    @property
    def broken(self) -> bool:
        return bool(self._driver.broken) and not self._severed

    def begin(self, caller: Caller) -> None:
        self._caller = caller
        milliseconds = rounded_up(longest(caller) * 1000)
        if milliseconds != self._timeout:
            self._driver.execute(f"SET statement_timeout = {milliseconds}")
            self._timeout = milliseconds

    def end(self) -> None:
        with self._lock:
            self._caller = None

    def check(self) -> None:
        with self._lock, suppress(Exception):  # a connection that fails is seen by the thread that has it
            if self._caller is not None and not self._caller.is_active():
                self._driver.cancel_safe(timeout=_CANCEL_TIMEOUT)

    def sever(self) -> None:
        """Shuts the socket, which wakes the thread that waits for it."""
        with self._lock, suppress(Exception):
            if self._caller is not None:
                self._severed = True
                with socket.socket(fileno=os.dup(self._driver.fileno())) as connection:
                    connection.shutdown(socket.SHUT_RDWR)


def rounded_up(number: float) -> int:
    """Returns the least integer with one digit and zeros that is not below a number: 734 becomes 800.

    So that a timeout seldom has to be set anew.
    """
    unit: int = 10 ** max(0, math.ceil(math.log10(max(number, 1))) - 1)
    return math.ceil(max(number, 1) / unit) * unit


LIMITS: dict[str, Callable[[Any], Limits]] = {"sqlite": _Sqlite, "postgresql": _Postgresql}
