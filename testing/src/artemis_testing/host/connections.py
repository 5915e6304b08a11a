"""Connections to this process, which it can cut. gRPC gives a server no way to end one connection.

What a client sees is the end of the TCP connection, as when a server or a proxy dies.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

MAX_CLOSE = 2.0
"""Seconds that gRPC has to close connections that were cut."""


def cut(server_port: int, client_port: int | None = None) -> None:
    """Cuts the connection of the client with this port, or those of all clients."""
    for connection in _connections(server_port):
        with suppress(OSError):  # it has ended meanwhile
            if client_port in (None, connection.getpeername()[1]):
                connection.shutdown(socket.SHUT_RDWR)


def cut_all(server_port: int) -> None:
    """Cuts the connections of all clients, and returns when gRPC has closed them, and so ended their calls."""
    cut(server_port)
    end = time.monotonic() + MAX_CLOSE
    while any(True for _ in _connections(server_port)) and time.monotonic() < end:
        time.sleep(0.001)
        cut(server_port)


def _connections(server_port: int) -> Iterator[socket.socket]:
    """Yields a copy of the socket of each connection to this port."""
    for name in os.listdir("/dev/fd"):
        with suppress(OSError), _copy(int(name)) as each:
            # gRPC may use a socket of IPv6 for an address of IPv4.
            if each.family in (socket.AF_INET, socket.AF_INET6) and each.getsockname()[1] == server_port:
                each.getpeername()  # the socket that listens has no peer, and raises
                yield each


def _copy(descriptor: int) -> socket.socket:
    """Returns a copy of a socket. Raises OSError if the descriptor is not that of one."""
    copied = os.dup(descriptor)
    try:
        return socket.socket(fileno=copied)
    except OSError:
        os.close(copied)
        raise
