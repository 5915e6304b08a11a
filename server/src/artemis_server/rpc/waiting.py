"""Calls that wait for their clients: to send the rest of a request, or to read an answer."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from operator import itemgetter

from artemis_server.rpc.incoming import IncomingCall

SWEEP_INTERVAL = 0.1  # seconds between two looks for calls that have waited for too long
STEP = 2  # requests that are begun to be received in that time
MAX_CALM = 5  # intervals without a large request; each further one has STEP requests more
MAX_HELD = 2**16  # bytes of a request that gRPC holds before it is received


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

    def __iter__(self) -> Iterator[IncomingCall]:
        """Iterates over the calls that are there now, the oldest first."""
        return iter(list(self._calls))

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


class Arrivals:
    """Begins to receive requests, a few at a time.

    gRPC takes in the whole of a request that it receives, up to 4 MiB, and 64 KiB of another one. To copy 4 MiB keeps
    its thread of events and the interpreter's lock for 16 ms, in which no other call goes on. So two requests are begun
    in a SWEEP_INTERVAL, and the other calls are queued. A request of up to 64 KiB makes room for another one when it
    has arrived. After half a second without a larger one, each interval has two more than the last one, because the
    queue then waits for clients that send nothing, and not for large requests.

    A connection of which no request is being received does not wait, so connections do not wait for each other.
    """

    def __init__(self, incomplete: Waiting, queued: Waiting) -> None:
        """`incomplete` gets the calls whose requests are received, and `queued` those that wait for it."""
        self._incomplete = incomplete
        self._queued = queued
        self._queue: dict[IncomingCall, tuple[bytes, Callable[[], None]]] = {}
        """The connections of the queued calls, and the functions that begin to receive their requests."""
        self._begun: set[IncomingCall] = set()
        """The calls that were begun since the last sweep, up to `_max_begun`, but for those that made room."""
        self._max_begun = STEP
        self._calm = 0
        """The sweeps since a request of more than MAX_HELD has arrived, or a call was queued first."""
        self._lock = threading.Lock()

    def add(self, call: IncomingCall, receive: Callable[[], None]) -> None:
        """Calls `receive`, which begins to receive the request of a call, now or later on another thread."""
        if not self._queue and len(self._begun) < self._max_begun:
            self._begun.add(call)
            self._incomplete.add(call, 1)
            receive()
        else:
            connection = call.connection
            self._queued.add(call, 1)
            self._queue[call] = connection, receive  # from now on another thread may take it
            self._begin(connection)
        if call.ended:  # before it was added
            self.discard(call)

    def discard(self, call: IncomingCall) -> None:
        """Forgets a call whose request has arrived, or which has ended."""
        self._incomplete.discard(call)
        large = call.request_bytes > MAX_HELD
        if large:
            self._calm = 0
        else:
            self._begun.discard(call)
        if self._queue:
            with self._lock:
                if self._queue.pop(call, None) is not None:
                    self._queued.discard(call)
            if not large:
                self._begin(call.connection)

    def end_all(self) -> None:
        """Ends every call."""
        self._queued.end_all()
        self._incomplete.end_all()

    def sweep(self) -> None:
        """Ends the calls that are late, and begins to receive further requests. To be called every SWEEP_INTERVAL."""
        self._incomplete.end_late()
        self._queued.end_late()
        self._begun.clear()
        self._calm = self._calm + 1 if self._queue else 0
        self._max_begun = STEP * max(1, self._calm - MAX_CALM)
        if self._queue:
            self._begin()

    def _begin(self, connection: bytes = b"") -> None:
        """Begins to receive as many of the queued requests as may be begun."""
        while (receive := self._next(connection)) is not None:
            receive()

    def _next(self, connection: bytes) -> Callable[[], None] | None:
        """Takes a call out of the queue and returns what begins to receive its request, or None.

        While there is room, it is the oldest of the connections of which the fewest requests are received.
        Otherwise it is the oldest of this connection, if none of its requests is received.
        """
        with self._lock:
            received = Counter(each.connection for each in self._incomplete)
            room = len(self._begun) < self._max_begun
            queue = [
                (received[each], call) for call, (each, _) in list(self._queue.items()) if room or each == connection
            ]
            count, call = min(queue, key=itemgetter(0), default=(0, None))
            if call is None or (count and not room):
                return None
            if room:
                self._begun.add(call)
            self._incomplete.add(call, 1)
            self._queued.discard(call)
            return self._queue.pop(call)[1]
