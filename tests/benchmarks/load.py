"""A load generator that sends each gRPC call with a body of its own, at little cost.

It is a minimal HTTP/2 client (RFC 9113) for one method on loopback. h2load sends one body over and over, so it cannot
ask for random ids or for pages that were not asked before. The client of grpcio can, but costs more processor time per
call than a no-op server. Measured in turns with GetEvent on a no-op, as microseconds of client and server: this module
35 and 334, h2load 33 and 357, grpcio's client with 64 threads 459 and 431. Of a response this module reads the frame
headers and `grpc-status`, nothing else.

A rate is what the server reaches while a fixed number of calls is in flight. It says nothing about the latency at a
lower rate. If the generator were the bottleneck, rates would be too low, and the processor time per call right.
"""

import os
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import NamedTuple

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
CONNECTIONS = 4
WARM_UP = 0.25
"""Seconds of load before each measurement."""
MIN_ANSWERS, MAX_STRETCHES = 10, 30
"""A measurement goes on, at most 30 times as long, until 10 calls were answered: batches are slow on a busy machine."""

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE, HEADER_TABLE_SIZE = 4, 1
DEFAULT_WINDOW = 65_535
MAX_WINDOW = 2**31 - 1
MAX_FRAME = 16_384
FRAME = Struct(">BHBBI")  # length (high byte, low bytes), type, flags, stream
SETTING = Struct(">HI")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OK = b"\x0bgrpc-status\x010"  # as HPACK writes it without a table: lengths, name, value


class Credentials(NamedTuple):
    """The certificate and the token for a server with TLS and access control."""

    context: ssl.SSLContext
    authorization: str
    """The value of the header."""


class Target(NamedTuple):
    """A server under load."""

    port: int
    pid: int
    credentials: Credentials | None = None

    def processor_seconds(self) -> float:
        """Returns the processor time that the process has used, user and system, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Rate(NamedTuple):
    """Calls per second, and seconds of the server's processor time per call."""

    calls: float
    processor: float


class LoadError(Exception):
    """A call did not end with status OK."""


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """Returns an HTTP/2 frame."""
    return FRAME.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def opening(window: int = MAX_WINDOW) -> bytes:
    """Returns the first bytes of a connection: its own windows are as large as can be, or those of streams `window`.

    With 0, the window of the connection stays as it is, too.
    """
    settings = SETTING.pack(HEADER_TABLE_SIZE, 0) + SETTING.pack(INITIAL_WINDOW_SIZE, window)
    widen = frame(WINDOW_UPDATE, 0, 0, (MAX_WINDOW - DEFAULT_WINDOW).to_bytes(4, "big"))
    return PREFACE + frame(SETTINGS, 0, 0, settings) + (widen if window else b"")


def connect(port: int, timeout: float = 30) -> socket.socket:
    """Connects to this machine, and sends small packets at once. The timeout is in seconds."""
    connected = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


class Frames:
    """Splits what a connection receives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def split(self, received: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yields each frame that is whole by now: its type, flags, stream and payload."""
        received, begin = self._rest + received, 0
        while len(received) - begin >= FRAME.size:
            high, low, kind, flags, stream = FRAME.unpack_from(received, begin)
            end = begin + FRAME.size + (high << 16 | low)
            if end > len(received):
                break
            yield kind, flags, stream, received[begin + FRAME.size : end]
            begin = end
        self._rest = received[begin:]


def headers(port: int, path: str, credentials: Credentials | None = None) -> tuple[bytes, bytes]:
    """Returns the header block (HPACK, RFC 7541) of the first call of a connection and of all later calls.

    The first block enters its headers into the dynamic table, whose newest entry has index 62. Later blocks name the
    headers by index.
    """
    fields = {
        ":path": path,
        ":authority": f"127.0.0.1:{port}",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    if credentials is not None:
        fields["authorization"] = credentials.authorization
    entered = (b"\x40" + _string(name) + _string(value) for name, value in fields.items())
    post = b"\x83\x86" if credentials is None else b"\x83\x87"  # :method POST, :scheme http or https: static table
    return post + b"".join(entered), post + bytes(0x80 | 62 + age for age in reversed(range(len(fields))))


def _string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()  # shorter than 127 bytes, and not compressed


class Connection:
    """A connection and the calls in flight on it."""

    def __init__(self, port: int, path: str, credentials: Credentials | None = None) -> None:
        self.socket = connect(port)
        if credentials is not None:
            self.socket = credentials.context.wrap_socket(self.socket, server_hostname="localhost")
        self._first, self._later = headers(port, path, credentials)
        self._out = bytearray(opening())
        self._frames = Frames()
        self._received = 0  # bytes of data that no WINDOW_UPDATE has given back
        self._next_stream = 1
        self._initial_window = self._window = DEFAULT_WINDOW  # of the server
        self._windows: dict[int, int] = {}
        self._unsent: deque[tuple[int, memoryview]] = deque()

    def call(self, body: bytes) -> None:
        """Begins a call; `flush` sends it."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._windows[stream] = self._initial_window
        self._out += frame(HEADERS, END_HEADERS, stream, self._first if stream == 1 else self._later)
        self._unsent.append((stream, memoryview(b"\0" + len(body).to_bytes(4, "big") + body)))

    def flush(self) -> None:
        """Sends what the server's flow control admits."""
        while self._unsent:
            stream, rest = self._unsent[0]
            size = min(len(rest), MAX_FRAME, self._window, self._windows[stream])
            if size <= 0:
                break
            self._out += frame(DATA, END_STREAM if size == len(rest) else 0, stream, rest[:size])
            self._window -= size
            self._windows[stream] -= size
            if size == len(rest):
                self._unsent.popleft()
            else:
                self._unsent[0] = stream, rest[size:]
        self.socket.sendall(self._out)
        self._out.clear()

    def receive(self) -> int:
        """Reads what is there and returns how many calls it ends; raises LoadError unless all end with OK."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise LoadError("the server closed the connection")
        while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():  # of which `select` knows nothing
            data += self.socket.recv(1 << 18)
        return sum(self._handle(*each) for each in self._frames.split(data))

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> int:
        """Handles a frame and returns how many calls it ends."""
        if kind == DATA:
            self._give_back(len(payload))
        elif kind == HEADERS and flags & END_STREAM:
            if OK not in payload:
                raise LoadError(f"a call failed: {payload!r}")
            del self._windows[stream]
            return 1
        elif kind in (RST_STREAM, GOAWAY):
            raise LoadError(f"the server sent a frame of type {kind}: {payload!r}")
        elif kind == WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big"))
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind == SETTINGS and not flags & ACK:
            self._apply(payload)
        return 0

    def _widen(self, stream: int, more: int) -> None:
        if stream == 0:
            self._window += more
        elif stream in self._windows:  # and not of a call that ended
            self._windows[stream] += more

    def _give_back(self, size: int) -> None:
        self._received += size
        if self._received >= 1 << 20:
            self._out += frame(WINDOW_UPDATE, 0, 0, self._received.to_bytes(4, "big"))
            self._received = 0

    def _apply(self, settings: bytes) -> None:
        window = dict(SETTING.iter_unpack(settings)).get(INITIAL_WINDOW_SIZE, self._initial_window)
        for stream in self._windows:
            self._windows[stream] += window - self._initial_window
        self._initial_window = window
        self._out += frame(SETTINGS, ACK, 0)


class Load:
    """Calls on several connections, each answered call followed by the next."""

    def __init__(self, connections: list[Connection], bodies: Iterator[bytes], concurrent: int) -> None:
        self._bodies = bodies
        self._in_flight = 0
        self._selector = selectors.DefaultSelector()
        for number, connection in enumerate(connections):
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
            self._call(connection, len(range(number, concurrent, len(connections))))

    def run(self, seconds: float) -> int:
        """Goes on for some seconds, or until the bodies end, and returns how many calls were answered."""
        end, answered = time.perf_counter() + seconds, 0
        while self._in_flight and (left := end - time.perf_counter()) > 0:
            for key, _ in self._selector.select(left):
                ended = key.data.receive()
                answered += ended
                self._in_flight -= ended
                self._call(key.data, ended)
        return answered

    def finish(self) -> None:
        """Waits for the calls in flight and closes the connections; raises LoadError when an answer takes a minute."""
        self._bodies = iter(())
        self.run(60)
        if self._in_flight:
            raise LoadError(f"{self._in_flight} calls were not answered")
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()

    def _call(self, connection: Connection, count: int) -> None:
        for body in islice(self._bodies, count):
            connection.call(body)
            self._in_flight += 1
        connection.flush()


def measure(target: Target, path: str, bodies: Iterator[bytes], seconds: float, concurrent: int) -> Rate:
    """Keeps that many calls in flight for the warm-up, and then for some seconds or until the bodies end.

    Raises LoadError unless every call ends with status OK.
    """
    connections = [Connection(target.port, path, target.credentials) for _ in range(min(CONNECTIONS, concurrent))]
    load = Load(connections, bodies, concurrent)
    load.run(WARM_UP)
    begin, processor = time.perf_counter(), target.processor_seconds()
    answered = 0
    for _ in range(MAX_STRETCHES):
        answered += load.run(seconds)
        if answered >= MIN_ANSWERS:
            break
    passed, used = time.perf_counter() - begin, target.processor_seconds() - processor
    load.finish()
    if not answered:
        raise LoadError(f"{path} answered no call in {passed:.0f} s")
    return Rate(answered / passed, used / answered)
