"""Sessions that each thread keeps: a connection costs more than most statements.

Their connections are in autocommit: a statement is a snapshot, and no transaction is left open.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from artemis_models import AUTOCOMMIT
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from artemis_server.db.statements import keep_driver

LONGEST = 300.0  # seconds, also for a call without a deadline: its caller may be gone long since
_INSTRUCTIONS = 20_000  # of SQLite's virtual machine, between two looks at the clock
_LIMIT = "artemis_limit"
"""Where a session keeps the function that sets its deadline, in `Session.info`."""


class ThreadSessions:
    """Lends each thread its session. Threads do not share them; closing is for when no thread uses one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT", **{AUTOCOMMIT: True})
        self._local = threading.local()
        self._connections: list[Connection] = []

    def get(self, timeout: float | None) -> Session:
        """Returns this thread's session; from now on its statements may take `timeout` seconds."""
        session: Session = getattr(self._local, "session", None) or self._open()
        session.info[_LIMIT](LONGEST if timeout is None else min(timeout, LONGEST))
        return session

    def discard(self) -> bool:
        """Closes this thread's connection, which may be broken; returns whether it was."""
        session: Session | None = self._local.__dict__.pop("session", None)
        if session is None:
            return False
        connection = session.connection()
        broken = bool(getattr(connection.connection.dbapi_connection, "broken", False))
        self._connections.remove(connection)
        session.invalidate()
        connection.close()
        return broken

    def close(self) -> None:
        """Closes every connection."""
        for connection in self._connections:
            connection.close()

    def _open(self) -> Session:
        connection = self._engine.connect()
        self._connections.append(connection)
        session = Session(connection)
        session.info[_LIMIT] = _LIMITS[self._engine.dialect.name](keep_driver(session))
        self._local.session = session
        return session


def _limit_sqlite(driver: Any) -> Callable[[float], None]:
    """Interrupts a statement that runs when its time is up."""
    end = [math.inf]
    driver.set_progress_handler(lambda: time.monotonic() > end[0], _INSTRUCTIONS)

    def limit(timeout: float) -> None:
        end[0] = time.monotonic() + timeout

    return limit


def _limit_postgresql(driver: Any) -> Callable[[float], None]:
    """Sets `statement_timeout`, rounded up to one digit so that it seldom has to be set anew."""
    current = [0]

    def limit(timeout: float) -> None:
        milliseconds = _rounded_up(timeout * 1000)
        if milliseconds != current[0]:
            driver.execute(f"SET statement_timeout = {milliseconds}")
            current[0] = milliseconds

    return limit


def _rounded_up(number: float) -> int:
    """Returns the least integer with one digit and zeros that is not below a number: 734 becomes 800."""
    unit: int = 10 ** max(0, math.ceil(math.log10(max(number, 1))) - 1)
    return math.ceil(max(number, 1) / unit) * unit


_LIMITS = {"sqlite": _limit_sqlite, "postgresql": _limit_postgresql}
