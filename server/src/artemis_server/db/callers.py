"""Who waits for what the database is asked."""

from typing import Protocol


class Caller(Protocol):
    """Somebody who waits for an answer. The context of an RPC is one."""

    def time_remaining(self) -> float | None:
        """Returns how many seconds the caller still waits, at most; None if it has not said."""

    def is_active(self) -> bool:
        """Tells whether the caller is still there."""


class Server:
    """The server itself, which waits for so many seconds, or as long as it takes."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        """Returns how long it waits, whenever it is asked."""
        return self._seconds

    def is_active(self) -> bool:
        """Tells that it is there."""
        return True


SERVER: Caller = Server()
