"""The log of the server: lines on stderr. The same failure has at most one line a second.

A line is text or JSON. Its fields beside the message are those of `extra={"fields": {...}}`:

    log.info("token used", extra={"fields": {"principal": "billing", "role": "reader"}})
    2026-11-26T05:00:00.123+00:00 INFO artemis_server.access: token used principal=billing role=reader
"""

import json
import logging
import os
import re
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec

FORMATS = ("console", "json")
INTERVAL = 1.0
"""Seconds between two lines about the same failure."""
MAX_KINDS = 1000
"""Failures that are remembered. Beyond them, those before the last INTERVAL are forgotten, with their counts."""
UNTHROTTLED = ("artemis_server.supervisor", "artemis_server.access.files")
"""Loggers whose lines are never dropped: callers cannot cause them, and each is about another worker or file."""
AUDIT = "artemis_server.audit"
"""The logger of the audit log, whose lines no level leaves out: a write without a line would be a gap in it."""
MAX_WAITING = 4 * 2**20
"""Bytes of lines that wait while nobody reads the log."""
MAX_LAST = 1.0
"""Seconds that a process which ends waits for a reader of its last lines."""
_PLAIN = re.compile(r"[!#-<>-~]+")  # printable ASCII but space, " and =
_ENCODER = msgspec.json.Encoder(enc_hook=str)


def set_up(level: str, format: str = "console") -> None:  # noqa: A002, the name of the setting
    """Makes every logger write to stderr from this level on, such as "INFO", in one of FORMATS."""
    lines = Formatter(format)
    handler = logging.StreamHandler(_output(lines))
    handler.addFilter(Throttle())
    handler.setFormatter(lines)
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger(AUDIT).setLevel(logging.INFO)


def formatter() -> "Formatter | None":
    """Returns the formatter of the lines; None before `set_up`."""
    found = (handler.formatter for handler in logging.getLogger().handlers)
    return next((each for each in found if isinstance(each, Formatter)), None)


def set_worker(number: int) -> None:
    """Makes every line tell that this process, which was just forked, is the worker of this number."""
    found = formatter()
    if found is not None:
        found.worker = number
    for output in _outputs():
        output.forget()


def write(lines: str) -> int:
    """Writes lines that are complete already, and returns how many lines of the log were lost since the last call."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.lock is not None:
            with handler.lock:
                handler.stream.write(lines)
    return sum(output.take_lost() for output in _outputs())


def finish() -> None:
    """Writes what waits, for MAX_LAST seconds at most: the process ends."""
    for output in _outputs():
        output.flush(MAX_LAST)


def _output(lines: "Formatter") -> Any:
    """Returns the stream of the log."""

    def tell(lost: int) -> str:
        text = f"{lost} lines of this log were lost, because nobody read it or the disk was full"
        return lines.line(time.time(), "ERROR", __name__, text, {}) + "\n"

    try:
        return Output(sys.stderr.fileno(), tell)
    except (AttributeError, OSError, ValueError):  # there is none, or a test has replaced it
        return sys.stderr


def _outputs() -> "Iterator[Output]":
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.stream, Output):
            yield handler.stream


class Output:
    """A stream that never waits: not for the reader of a pipe, and not for room on a disk.

    Threads that log may be gRPC's thread of events, or the writer of SQLite, and one that waits for the reader of the
    log stops the server. A line is written before the call returns, if the reader takes it. Otherwise it waits, up to
    MAX_WAITING, and is written before the next one. Lines beyond that are lost, and so are those that do not fit on a
    disk. The lock of the handler guards it.
    """

    def __init__(self, descriptor: int, tell: Callable[[int], str]) -> None:
        """`tell` makes the line that says how many lines were lost."""
        self._descriptor = descriptor
        self._tell = tell
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._waiting: deque[bytes] = deque()
        """Each is small enough to be written as a whole: so are lines of several processes in one pipe."""
        self._size = 0
        self._lost = self._untold = 0
        """Lines that were lost: since `take_lost`, and since the log said so."""

    def write(self, text: str) -> None:
        """Writes lines, or keeps them."""
        self.flush()
        untold = 0 if self._waiting else self._untold
        raw = ((self._tell(untold) if untold else "") + text).encode(errors="backslashreplace")
        if self._size + len(raw) > MAX_WAITING:
            self._lose(raw)
            return
        self._waiting.extend(_pieces(raw))
        self._size += len(raw)
        self._untold -= untold
        self.flush()

    def flush(self, seconds: float = 0) -> None:
        """Writes what waits, as far as the reader takes it within so many seconds."""
        end = time.monotonic() + seconds
        while self._waiting and self._poll.poll(1000 * max(0.0, end - time.monotonic())):
            piece = self._waiting.popleft()
            self._size -= len(piece)
            try:
                written = os.write(self._descriptor, piece)
            except OSError:  # the disk is full, or nobody will ever read it
                self._lose(piece)
                continue
            if written < len(piece):
                self._waiting.appendleft(piece[written:])
                self._size += len(piece) - written

    def take_lost(self) -> int:
        """Returns how many lines were lost since the last call."""
        lost, self._lost = self._lost, 0
        return lost

    def forget(self) -> None:
        """Drops what waits: the process that this one was forked from writes it."""
        self._waiting.clear()
        self._size = self._lost = self._untold = 0

    def _lose(self, raw: bytes) -> None:
        lines = raw.count(b"\n")
        self._lost += lines
        self._untold += lines


def _pieces(raw: bytes) -> Iterator[bytes]:
    """Yields parts of lines, of PIPE_BUF bytes at most, which a pipe that is ready takes as a whole (POSIX)."""
    begin = 0
    while begin < len(raw):
        end = begin + select.PIPE_BUF
        if end < len(raw):
            end = raw.rfind(b"\n", begin, end) + 1 or end
        yield raw[begin:end]
        begin = end


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
            own: dict[str, object] = {"time": utc(created), "level": level, "logger": name, "message": message}
            if self.worker is not None:
                own["worker"] = self.worker
            return _json({**own, **fields, **own})  # no field replaces a member of its own
        worker = "" if self.worker is None else f"worker {self.worker}: "
        parts = [f" {key}={_shown(value)}" for key, value in fields.items()]
        return f"{utc(created)} {level} {worker}{name}: {message}{''.join(parts)}"


def _json(members: Mapping[str, Any]) -> str:
    """Returns an object as JSON, in ASCII, so that no text can do anything to a terminal.

    msgspec takes 1 us for a line of the request log, and the standard library 12 us.
    """
    with suppress(UnicodeEncodeError):  # of a text that is half of a character
        raw = _ENCODER.encode(members)
        if raw.isascii():
            return raw.decode()
    return json.dumps(members, default=str, separators=(",", ":"))


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

    Two are alike if one line of code logged both, about exceptions of one type, and with the same text in
    `extra={"alike": ...}`, if there is one:

        the database failed: unable to open database file
        the database failed: disk I/O error (and 5210 like it since the last line)

    Callers can make a server log as fast as they call it, and a full disk would be the next failure.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[tuple[object, ...], tuple[float, int]] = {}
        """For each kind, the time of the last line that was logged, and the number of those dropped since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells whether to log the record, and adds to its text how many like it were dropped."""
        if record.levelno < logging.WARNING or record.name in UNTHROTTLED:
            return True
        alike = getattr(record, "alike", None)
        kind = (record.pathname, record.lineno, record.exc_info and record.exc_info[0], alike)
        with self._lock:
            now = self._clock()
            if len(self._logged) >= MAX_KINDS:
                self._logged = {kind: last for kind, last in self._logged.items() if now - last[0] < INTERVAL}
            last, dropped = self._logged.get(kind, (now - INTERVAL, 0))
            if now - last < INTERVAL:
                self._logged[kind] = last, dropped + 1
                return False
            self._logged[kind] = now, 0
        if dropped:
            record.msg, record.args = f"{record.getMessage()} (and {dropped} like it since the last line)", ()
        return True
