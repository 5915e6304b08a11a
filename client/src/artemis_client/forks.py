"""Forks: gRPC hangs after some of them, so that the client raises an error first."""

import os

_ENABLED = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in ("1", "yes", "true")
"""True if gRPC stops and starts its threads around forks. It reads the variable once, when it is imported."""


class _Process:
    """The use of gRPC by this process and by those that it was forked from."""

    connected = False
    """True if a channel was made."""
    broken = False
    """True if this process was forked after that: a call on any channel, also a new one, may hang."""


def connecting() -> None:
    """Notes that a channel is made.

    Raises:
        RuntimeError: gRPC would hang.
    """
    if _Process.broken:
        raise RuntimeError(
            "gRPC was used before this process was forked, and would hang: start processes by spawn, "
            "make the first client after the fork, or set GRPC_ENABLE_FORK_SUPPORT=1 before grpc is imported"
        )
    _Process.connected = True


def _after_fork() -> None:
    _Process.broken = _Process.connected and not _ENABLED


os.register_at_fork(after_in_child=_after_fork)


class Home:
    """The process in which a client was made: it cannot be used in another one."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def is_here(self) -> bool:
        """Tells whether this is that process."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raises RuntimeError if this is another process."""
        if not self.is_here():
            raise RuntimeError("this client was made before a fork; make one in each process")
