"""The log of the server: lines on stderr. The same failure has at most one line a second.

A line is text or JSON. Its fields beside the message are those of `extra={"fields": {...}}`:

    log.info("token used", extra={"fields": {"principal": "billing", "role": "reader"}})
    2026-11-26T05:00:00.123+00:00 INFO artemis_server.access: token used principal=billing role=reader
"""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

FORMATS = ("console", "json")
INTERVAL = 1.0
"""Seconds between two lines about the same failure."""
UNTHROTTLED = ("artemis_server.supervisor", "artemis_server.access.files")
"""Loggers whose lines are never dropped: callers cannot cause them, and each is about another worker or file."""
_PLAIN = re.compile(r"[!#-<>-~]+")  # printable ASCII but space, " and =
_OWN = frozenset({"time", "level", "logger", "message", "worker"})
"""The members of a JSON object that no field may replace."""
_escape = encode_basestring_ascii
_encode = json.JSONEncoder(default=str, separators=(",", ":")).encode


def set_up(level: str, format: str = "console") -> None:  # noqa: A002, the name of the setting
    """Makes every logger write to stderr from this level on, such as "INFO", in one of FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Throttle())
    handler.setFormatter(Formatter(format))
    logging.basicConfig(level=level, handlers=[handler])


def formatter() -> "Formatter | None":
    """Returns the formatter of the lines; None before `set_up`."""
    found = (handler.formatter for handler in logging.getLogger().handlers)
    return next((each for each in found if isinstance(each, Formatter)), None)


def set_worker(number: int) -> None:
    """Makes every line tell that this process is the worker of this number."""
    found = formatter()
    if found is not None:
        found.worker = number


def write(lines: str) -> None:
    """Writes lines that are complete already. If stderr takes no more, the lines are lost without an error."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.lock is not None:
            with handler.lock, suppress(OSError, ValueError):
                handler.stream.write(lines)
                handler.stream.flush()


class Formatter(logging.Formatter):
    """Makes the text of a record in one of FORMATS, with times in UTC."""

    def __init__(self, format: str) -> None:  # noqa: A002, the name of the setting
        super().__init__()
        self._json = format == "json"
        self.worker: int | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, and in a console the lines of a stack trace after it."""
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        if self._json and trace:
            fields = {**fields, "exception": trace}
        line = self.line(record.created, record.levelname, record.name, record.getMessage(), fields)
        return f"{line}\n{trace}" if trace and not self._json else line

    def line(self, created: float, level: str, name: str, message: str, fields: Mapping[str, Any]) -> str:
        """Returns one line about a time in seconds since 1970. It escapes all text in JSON, and fields in a console."""
        if self._json:
            parts = [f",{_escape(key)}:{_json(value)}" for key, value in fields.items() if key not in _OWN]
            return f'{{"time":"{utc(created)}",{_head(level, name, message, self.worker)}{"".join(parts)}}}'
        worker = "" if self.worker is None else f"worker {self.worker}: "
        parts = [f" {key}={_shown(value)}" for key, value in fields.items()]
        return f"{utc(created)} {level} {worker}{name}: {message}{''.join(parts)}"


@lru_cache(maxsize=16)
def _head(level: str, name: str, message: str, worker: int | None) -> str:
    """Returns the first members of a JSON object, which many lines have in common."""
    own = {"level": level, "logger": name, "message": message} | ({} if worker is None else {"worker": worker})
    return _encode(own)[1:-1]


def _json(value: object) -> str:
    """Returns a value as JSON. A line has ten of them, and the encoder of the library takes twice as long for all."""
    if isinstance(value, str):
        return _escape(value)
    return repr(value) if value.__class__ is int else _encode(value)


def utc(created: float) -> str:
    """Returns a time with its offset: 2026-11-26T05:00:00.123+00:00."""
    seconds, part = divmod(int(created * 1000), 1000)
    return f"{_second(seconds)}.{part:03d}+00:00"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _shown(value: object) -> str:
    """Returns a value in one piece, in quotes unless it is plain: 7, name, "two words"."""
    if value.__class__ is int:
        return repr(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


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
        if record.levelno < logging.WARNING or record.name in UNTHROTTLED:
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
