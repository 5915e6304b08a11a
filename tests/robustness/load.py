"""Many callers of Get, in a process of its own: `python -m tests.robustness.load PORT CALLERS SECONDS`.

It prints the seconds of the calls that ended, by their code, as JSON. Each caller waits for an answer before it calls
again, and after a refusal for the time that RetryInfo gives and up to half of it more. All are one thread that sends
frames as `tests.benchmarks.load` does. It uses a quarter of a core at most, not the server's. So the times are those
of the server: 640 threads that share an interpreter would wait for each other.
"""

import heapq
import json
import os
import random
import selectors
import sys
import time
from collections import defaultdict

from tests.benchmarks.load import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    LOAD_CORE,
    PING,
    RST_STREAM,
    SETTINGS,
    Frames,
    connect,
    frame,
    headers,
    opening,
)
from tests.robustness.peer import GET, STATUS, message

CONNECTIONS = 16
RETRY_DELAY = 1.0
"""Seconds, as RetryInfo has them."""
RAMP = 1.0
"""Seconds within which the callers begin."""
GET_ONE = message(b"\x08\x01")

Ended = tuple[str, float]
"""The code of a call, and its seconds."""


class Connection:
    """A connection whose calls differ in the number of the stream only."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self._first, self._later = headers(port, GET)
        self._out = bytearray(opening())
        self._frames = Frames()
        self._next_stream = 1
        self._begun: dict[int, float] = {}

    def call(self) -> None:
        """Begins a call; `flush` sends it."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._out += frame(HEADERS, END_HEADERS, stream, self._first if stream == 1 else self._later)
        self._out += frame(DATA, END_STREAM, stream, GET_ONE)
        self._begun[stream] = time.perf_counter()

    def flush(self) -> None:
        """Sends the calls."""
        if self._out:
            self.socket.sendall(self._out)
            self._out.clear()

    def receive(self) -> list[Ended]:
        """Reads what is there, and returns the calls that have ended."""
        received = self.socket.recv(1 << 18)
        now = time.perf_counter()
        if not received:
            raise ConnectionError("the server closed the connection")
        ended = []
        for kind, flags, stream, payload in self._frames.split(received):
            code = self._code(kind, flags, payload)
            if code and stream in self._begun:
                ended.append((code, now - self._begun.pop(stream)))
        return ended

    def _code(self, kind: int, flags: int, payload: bytes) -> str:
        """Returns the code of the call that a frame ends, such as "8" or "RST 7"; an empty text if it ends none."""
        if kind == HEADERS and flags & END_STREAM:
            found = STATUS.search(payload)
            return found[1].decode() if found else "no status"
        if kind == RST_STREAM:
            return f"RST {int.from_bytes(payload, 'big')}"
        if kind in (SETTINGS, PING) and not flags & ACK:
            self._out += frame(kind, ACK, 0, payload if kind == PING else b"")
        return ""


def call(port: int, callers: int, seconds: float) -> dict[str, list[float]]:
    """Calls for so long, and returns the seconds of the calls that ended, by their code."""
    ended: dict[str, list[float]] = defaultdict(list)
    connections = [Connection(port) for _ in range(CONNECTIONS)]
    begin = time.perf_counter()
    waiting = [(begin + number * RAMP / callers, number) for number in range(callers)]
    with selectors.DefaultSelector() as selector:
        for index, connection in enumerate(connections):
            selector.register(connection.socket, selectors.EVENT_READ, index)
        while (now := time.perf_counter()) < begin + seconds:
            while waiting and waiting[0][0] <= now:
                connections[heapq.heappop(waiting)[1] % CONNECTIONS].call()
            for connection in connections:
                connection.flush()
            for key, _ in selector.select(max(0.0, min(0.05, waiting[0][0] - now) if waiting else 0.05)):
                for code, passed in connections[key.data].receive():
                    ended[code].append(passed)
                    pause = 0.0 if code == "0" else RETRY_DELAY * random.uniform(1, 1.5)  # noqa: S311, no secret
                    heapq.heappush(waiting, (now + pause, key.data))
    for connection in connections:
        connection.socket.close()
    return dict(ended)


if __name__ == "__main__":
    os.sched_setaffinity(0, {LOAD_CORE})
    print(json.dumps(call(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
