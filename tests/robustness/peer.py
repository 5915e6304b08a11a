"""An HTTP/2 connection (RFC 9113) that may break every rule: it sends the frames that it is told to, in any order.

`tests.benchmarks.load` is the well-behaved client. This one leaves flow control, stream states and headers to the
attack. It reads what the server answers in a thread of its own, unless the attack is not to read.
"""

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from tests.benchmarks.load import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME,
    MAX_WINDOW,
    PING,
    RST_STREAM,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    Frames,
    connect,
    frame,
    opening,
)

PRIORITY, CONTINUATION = 2, 9
STATUS = re.compile(rb"\x0bgrpc-status.(\d+)", re.DOTALL)
"""The status in a block of headers without compression: name, length of the value, value."""
GET = "/artemis.v1.EventService/GetEvent"
CREATE = "/artemis.v1.EventService/CreateEvent"
DELETE = "/artemis.v1.EventService/DeleteEvent"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
TIMEOUT = 10.0
"""Seconds after which an attack gives up a blocked send."""


def block(path: str, *more: tuple[str, str], port: int = 0) -> bytes:
    """Returns a block of headers as HPACK literals that enter no table: `:method POST`, `:scheme http`, the rest."""
    fields = [
        (":path", path),
        (":authority", f"127.0.0.1:{port}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    ]
    return b"\x83\x86" + b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def text(value: str) -> bytes:
    """Returns a string of HPACK without Huffman coding: its length as an integer of 7 bits and more, its bytes."""
    raw = value.encode()
    return integer(len(raw), 7) + raw


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """Returns an integer of HPACK (RFC 7541, 5.1) below the bits that `first` has set: 1337, 5 -> 1f 9a 0a."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    value -= limit
    rest = bytearray()
    while value >= 0x80:
        rest.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([first | limit, *rest, value])


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """Returns a gRPC message: whether it is compressed, its length in 4 bytes, its bytes."""
    return bytes([compressed]) + len(body).to_bytes(4, "big") + body


class Peer:
    """A connection. `outcomes` has the code and the seconds of each call that ended: `0`, `8`, `RST 7`."""

    def __init__(
        self,
        port: int,
        *,
        window: int = MAX_WINDOW,
        reads: bool = True,
        acknowledges: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        self.port = port
        self._acknowledges = acknowledges
        self.outcomes: list[tuple[str, float]] = []
        self.frames: Counter[int] = Counter()
        self.closed = threading.Event()
        self.acknowledged = threading.Event()
        """Set once the server's SETTINGS are acknowledged."""
        self.socket = connect(port, timeout)
        self.next_stream = 1
        self.begun: dict[int, float] = {}
        self.initial_window = DEFAULT_WINDOW
        self.widened: Counter[int] = Counter()
        """Bytes by which the server has widened the window of each stream, and of the connection as stream 0."""
        self._changed = threading.Condition()
        self._lock = threading.Lock()
        self.send(opening(window))
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Sends bytes; returns False when the server has closed the connection or does not take them."""
        try:
            with self._lock:
                self.socket.sendall(data)
        except OSError:
            self.closed.set()
            return False
        return True

    def head(self, path: str, *more: tuple[str, str], end: bool = False) -> tuple[int, bytes]:
        """Returns a new stream and the frame that opens it."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.begun[stream] = time.monotonic()
        flags = END_HEADERS | (END_STREAM if end else 0)
        return stream, frame(HEADERS, flags, stream, block(path, *more, port=self.port))

    def call(self, path: str, body: bytes, *more: tuple[str, str]) -> int:
        """Sends a whole call, ignoring the server's flow control, and returns its stream."""
        stream, head = self.head(path, *more)
        self.send(head + b"".join(data(stream, message(body))))
        return stream

    def wait(self, count: int, seconds: float) -> bool:
        """Waits until so many calls have ended, or the connection; returns whether so many have."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.outcomes) >= count or self.closed.is_set(), seconds)
            return len(self.outcomes) >= count

    def codes(self) -> Counter[str]:
        """Returns how many calls ended with each code."""
        return Counter(code for code, _ in list(self.outcomes))

    def _read(self) -> None:
        frames, unacknowledged = Frames(), 0
        while True:
            try:
                received = self.socket.recv(1 << 18)
            except TimeoutError:
                continue
            except OSError:
                received = b""
            if not received:
                self.closed.set()
                with self._changed:
                    self._changed.notify_all()
                return
            for each in frames.split(received):
                self._handle(*each)
            unacknowledged += len(received)
            if unacknowledged > 1 << 20:
                self.send(frame(WINDOW_UPDATE, 0, 0, unacknowledged.to_bytes(4, "big")))
                unacknowledged = 0

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.frames[kind] += 1
        if kind == HEADERS and flags & END_STREAM:
            found = STATUS.search(payload)
            self._end(stream, found[1].decode() if found else "no status")
        elif kind == RST_STREAM:
            self._end(stream, f"RST {int.from_bytes(payload, 'big')}")
        elif kind == WINDOW_UPDATE:
            self.widened[stream] += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            self.initial_window = dict(SETTING.iter_unpack(payload)).get(INITIAL_WINDOW_SIZE, self.initial_window)
            if self._acknowledges:
                self.send(frame(SETTINGS, ACK, 0))
                self.acknowledged.set()
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))

    def _end(self, stream: int, code: str) -> None:
        begun = self.begun.pop(stream, None)
        if begun is not None:  # and not a second end of the same stream
            with self._changed:
                self.outcomes.append((code, time.monotonic() - begun))
                self._changed.notify_all()


def data(stream: int, payload: bytes, *, end: bool = True) -> Iterable[bytes]:
    """Yields the frames of a payload; the last one ends the stream."""
    for begin in range(0, len(payload) or 1, MAX_FRAME):
        piece = payload[begin : begin + MAX_FRAME]
        last = end and begin + MAX_FRAME >= len(payload)
        yield frame(DATA, END_STREAM if last else 0, stream, piece)
