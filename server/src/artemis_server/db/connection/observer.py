"""The observer of a database sees how long its work takes."""

from artemis_server.db.connection.cancellation import Caller


class Observer:
    """Sees nothing. Threads that work call its methods, which must not wait or raise."""

    def done(self, operation: str, caller: Caller, began: float) -> None:
        """Sees the end of a "read" or "write", also of one that failed.

        `began` is when it was asked for, as `time.monotonic` has it. A write ends with its commit.
        """

    def routed(self, result: str) -> None:
        """Sees where a read of a caller went, if there are replicas: one of the results in `Replicas`."""

    def committed(self, size: int) -> None:
        """Sees a transaction in which SQLite's writer ran so many writes."""
