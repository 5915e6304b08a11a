"""The request log: a line for each call, on the logger `artemis_server.requests`.

A thread writes the lines, so no call waits for the disk or for the reader of the log. A crash loses the lines of
FLUSH_INTERVAL seconds, and a stop loses none.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from artemis_server.logs import Formatter
from artemis_server.rpc.incoming import IncomingCall

NAME = "artemis_server.requests"
FLUSH_INTERVAL = 0.1
"""Seconds that a line waits to be written."""
MAX_LINES = 10_000
"""Lines that wait while the log is not read. More are left out."""
MAX_FAILURES = 5
"""Lines a second about failed calls with the same method and code. More are left out, and the next line counts them."""
MAX_STOP = 1.0
"""Seconds that a stop waits until the last lines are written."""
_UNLOGGED = "/grpc.health.v1."
"""The service without lines, because probes ask it every few seconds."""
_OK = grpc.StatusCode.OK
_LEVELS = {
    **dict.fromkeys((grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS), logging.ERROR),
    **dict.fromkeys(
        (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED),
        logging.WARNING,
    ),
}
"""The levels of failures that are the server's own. All other calls have INFO, and slow ones WARNING."""


class RequestLog:
    """Writes a line for each call that `sample`, `slow` and the level admit.

    `sample` is the share of the successful calls, from 0 to 1; calls that take `slow` seconds, if that is not 0, and
    those that fail have a line in any case. `write` returns how many lines were lost. `omitted` gets the number of
    lines that are left out or lost.
    """

    def __init__(
        self,
        formatter: Formatter,
        write: Callable[[str], int],
        *,
        level: int,
        sample: float,
        slow: float,
        omitted: Callable[[int], None],
    ) -> None:
        self._formatter = formatter
        self._write = write
        self._level = level
        self._sample = sample if level <= logging.INFO else 0.0
        self._slow = slow or float("inf")
        self._omitted = omitted
        self._failures: dict[tuple[str, grpc.StatusCode], list[float]] = {}
        """For each method and code: the begin of its second, the failures in it, and the lines left out so far."""
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)

    def start(self) -> None:
        """Starts the thread that writes."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left, and ends the thread; it gives up after MAX_STOP seconds when the log is not read."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(MAX_STOP)

    def begun(self, call: IncomingCall) -> None:
        """Does nothing: the line is about the end of a call."""

    def ended(self, call: IncomingCall) -> None:
        """Adds a line about a call, or leaves it out."""
        if call.method.startswith(_UNLOGGED):
            return
        seconds = time.monotonic() - call.began
        slow = seconds >= self._slow
        omitted = 0
        if call.code is _OK:
            level = logging.WARNING if slow else logging.INFO
            if not slow and self._sample < 1 and random.random() >= self._sample:  # noqa: S311, no secret
                return
        else:
            level = _LEVELS.get(call.code or grpc.StatusCode.UNKNOWN, logging.WARNING if slow else logging.INFO)
            if level < self._level:
                return
            found = self._admit(call)
            if found is None:
                return
            omitted = found
        if level >= self._level:
            self._add(level, self._fields(call, seconds, omitted))

    def _admit(self, call: IncomingCall) -> int | None:
        """Returns the number of lines left out since the last one of this kind; None if this one is left out, too."""
        assert call.code is not None  # noqa: S101, for the type checker
        now = time.monotonic()
        with self._lock:
            kind = self._failures.setdefault((call.method, call.code), [now, 0, 0])
            if now - kind[0] >= 1:
                kind[:2] = now, 0
            kind[1] += 1
            if kind[1] > MAX_FAILURES:
                kind[2] += 1
                omitted = None
            else:
                omitted, kind[2] = int(kind[2]), 0
        if omitted is None:
            self._omitted(1)
        return omitted

    def _fields(self, call: IncomingCall, seconds: float, omitted: int) -> dict[str, Any]:
        principal = call.principal
        fields: dict[str, Any] = {
            "method": call.method[1:],
            "code": call.code.name if call.code else "UNKNOWN",
            "duration_ms": round(1000 * seconds, 3),
            "request_id": call.request_id,
            "request_bytes": call.request_bytes,
            "response_bytes": call.answer_size,
        }
        if principal is not None:
            fields["principal"] = principal.name
        if call.trace_id:
            fields["trace_id"] = call.trace_id
        if call.code is not _OK:
            fields["peer"] = call.peer  # not of each call: gRPC lets another thread run meanwhile, which costs 20 us
            if call.reason:
                fields["reason"] = call.reason
        if omitted:
            fields["omitted"] = omitted
        return fields

    def _add(self, level: int, fields: dict[str, Any]) -> None:
        line = self._formatter.line(time.time(), logging.getLevelName(level), NAME, "call", fields)
        with self._lock:
            full = len(self._lines) >= MAX_LINES
            if not full:
                self._lines.append(line)
                if len(self._lines) == 1:
                    self._wake.set()
        if full:
            self._omitted(1)

    def _run(self) -> None:
        while self._wake.wait() and not self._stopping.wait(FLUSH_INTERVAL):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Writes the lines that wait. Any thread may call it."""
        self._wake.clear()
        with self._lock:
            lines, self._lines = self._lines, []
        if lines:
            lost = self._write("\n".join([*lines, ""]))
            if lost:
                self._omitted(lost)
