"""The log of the server: lines on stderr, of which the same failure is at most one a second."""

import logging
import sys
import threading
import time
from collections.abc import Callable

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
INTERVAL = 1.0
"""Seconds between two lines about the same failure."""
UNTHROTTLED = "artemis_server.supervisor"
"""The logger whose lines are never dropped: callers cannot cause them, and each may be about another worker."""


class Formatter(logging.Formatter):
    """Adds the fields of `extra={"fields": {...}}` to a line: "audit principal=billing code=OK"."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the text of a record."""
        fields: dict[str, object] = getattr(record, "fields", {})
        return " ".join([super().format(record), *(f"{key}={value}" for key, value in fields.items())])


def set_up(level: str) -> None:
    """Makes every logger write to stderr from this level on, such as "INFO"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Throttle())
    handler.setFormatter(Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


class Throttle(logging.Filter):
    """Drops warnings and errors that are like one of the last INTERVAL seconds; the next one tells how many there were.

    Two are alike if one line of code logged both, about exceptions of one type:

        the database failed: unable to open database file
        the database failed: disk I/O error (and 5210 like it since the last line)

    Callers can make a server log as fast as they call it, and a full disk would be the next failure.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[tuple[object, ...], tuple[float, int]] = {}
        """When a line of this kind was logged last, and how many have been dropped since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells whether to log the record, and adds to its text how many like it were dropped."""
        if record.levelno < logging.WARNING or record.name == UNTHROTTLED:
            return True
        kind = (record.pathname, record.lineno, record.exc_info and record.exc_info[0])
        with self._lock:
            now = self._clock()
            last, dropped = self._logged.get(kind, (now - INTERVAL, 0))
            if now - last < INTERVAL:
                self._logged[kind] = last, dropped + 1
                return False
            self._logged[kind] = now, 0
        if dropped:
            record.msg, record.args = f"{record.getMessage()} (and {dropped} like it since the last line)", ()
        return True
