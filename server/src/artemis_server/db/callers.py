"""Who waits for what the database is asked."""

from typing import Protocol


class Caller(Protocol):
    """Somebody who waits for an answer. The context of an RPC is one."""

    def time_remaining(self) -> float | None:
        """Returns how many seconds the caller still waits, at most; None if it has not said."""

    def is_active(self) -> bool:
        """Tells whether the caller is still there."""


class _Server:
    def time_remaining(self) -> None:
        return None

    def is_active(self) -> bool:
        return True


SERVER: Caller = _Server()
"""The server itself, which waits for as long as it takes."""
