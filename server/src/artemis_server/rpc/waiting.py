"""Calls that wait for their clients: to send the rest of a request, or to read an answer."""

import threading
import time
from collections.abc import Callable

from artemis_server.rpc.incoming import IncomingCall

SWEEP_INTERVAL = 0.1  # seconds between two looks for calls that have waited for too long


class Waiting:
    """Calls that wait for their clients, the oldest first.

    A call that has waited for `max_seconds` is ended, by `end`. While the sizes together exceed `max_size`, the oldest
    call is ended once it has waited for `min_seconds`.
    """

    def __init__(
        self, max_size: int, end: Callable[[IncomingCall], None], *, min_seconds: float = 0, max_seconds: float
    ) -> None:
        self._max_size = max_size
        self._end = end
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._calls: dict[IncomingCall, tuple[float, int]] = {}
        self._size = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: IncomingCall, size: int) -> None:
        """Adds a call, and ends the oldest ones if there are too many."""
        with self._changed:
            self._calls[call] = time.monotonic(), size
            self._size += size
        self._make_room()

    def discard(self, call: IncomingCall) -> float:
        """Removes a call if it is there, and returns the seconds that it has waited; 0 if it is not there."""
        with self._changed:
            since, size = self._calls.pop(call, (0.0, 0))
            if not size:
                return 0.0
            self._size -= size
            self._changed.notify_all()
        return time.monotonic() - since

    def wait_for_room(self) -> None:
        """Waits while the sizes together exceed `max_size`; `min_seconds` at most, since the oldest are ended then."""
        while not self._make_room():
            with self._changed:
                self._changed.wait(SWEEP_INTERVAL)

    def end_late(self) -> None:
        """Ends the calls that have waited for too long."""
        self._make_room()
        while self._end_oldest(self._max_seconds):
            pass

    def end_all(self) -> None:
        """Ends every call."""
        while self._end_oldest(0):
            pass

    def _make_room(self) -> bool:
        while self._size > self._max_size:
            if not self._end_oldest(self._min_seconds):
                return False
        return True

    def _end_oldest(self, seconds: float) -> bool:
        """Ends the oldest call if it has waited for so many seconds. Returns False if there is none."""
        with self._changed:
            call, (since, size) = next(iter(self._calls.items()), (None, (0.0, 0)))
            if call is None or since + seconds > time.monotonic():
                return False
            del self._calls[call]
            self._size -= size
            self._changed.notify_all()
        self._end(call)
        return True
