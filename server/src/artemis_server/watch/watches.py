"""Watches: the parts of WatchEvents put together for one process."""

import math
import time
from collections.abc import Callable
from typing import cast

import grpc
from artemis.v1.events_pb2 import Event, WatchEventsRequest
from google.protobuf.descriptor import Descriptor

from artemis_server import masks
from artemis_server.db.changes.records import Position, fill_event_of
from artemis_server.db.columns import Fill
from artemis_server.db.connection.database import Database
from artemis_server.errors import attempt_both
from artemis_server.rpc.incoming import IncomingCall
from artemis_server.watch.entries import Matches
from artemis_server.watch.hub import Hub, Limits
from artemis_server.watch.log import Log
from artemis_server.watch.readers import PATIENT, THREADS, Readers
from artemis_server.watch.signals import signals_of
from artemis_server.watch.streams import CallStream
from artemis_server.watch.tail import Tail
from artemis_server.watch.watcher import Ended, Watcher

CONNECTIONS = 1 + THREADS
"""Connections to the database that the watches of a process have at most: the tail's and the readers'."""
SIZE_INTERVAL = 30.0
"""Seconds between two looks at the size of the log."""
DEFAULT_MAX = 256
"""The number of watches that a process serves, unless the settings say another one."""


class Watches:
    """The watches of one process. Make it, `start` it, and `stop` it once."""

    def __init__(
        self,
        database: Database,
        changes: Log,
        predicate: Callable[[str], Matches | None],
        *,
        max_watchers: int = DEFAULT_MAX,
        limits: Limits | None = None,
        on_end: Callable[[Ended], None] = lambda _: None,
        recheck: Callable[[IncomingCall], None] = lambda _: None,
    ) -> None:
        """Watches the changes of a log, which `predicate` makes a filter's text choose from; None for no filter."""
        self._database = database
        self._changes = changes
        self._size = 0
        self._size_time = -math.inf
        self._predicate = predicate
        self._max_watchers = max_watchers
        self._recheck = recheck
        self._readers = Readers(database, changes)
        self._signals = signals_of(database)
        self._hub = Hub(changes.token, self._readers.put, self._signals.wake, limits=limits, on_end=on_end)
        self._tail = Tail(database, changes, self._hub, self._signals)
        database.on_commit = self._signals.committed

    @property
    def count(self) -> int:
        """The number of open watches."""
        return len(self._hub)

    @property
    def lag(self) -> float:
        """Seconds since the tail was at the end of the log; 0 while nobody watches."""
        return self._tail.lag

    @property
    def log_size(self) -> int:
        """About how many changes the log has, as `measure` last saw it."""
        return self._size

    def measure(self) -> None:
        """Looks at the size of the log, if the last time is SIZE_INTERVAL ago. Raises RequestError if that fails."""
        now = time.monotonic()
        if now - self._size_time >= SIZE_INTERVAL:
            self._size = self._database.poll(self._changes.size, PATIENT)
            self._size_time = now

    def start(self) -> None:
        """Starts the threads."""
        self._hub.start()
        self._readers.start(self._hub)
        self._tail.start()

    def stop(self, seconds: float) -> None:
        """Ends every watch with UNAVAILABLE once it has all that is committed by now, within so many seconds."""
        self._tail.stop(seconds / 2)
        self._hub.close(seconds / 2)
        self._readers.stop()

    def check(self, request: WatchEventsRequest) -> None:
        """Raises InvalidArgument if the filter, the token or the mask is bad, with a violation for each."""
        self._parse(request)

    def open(self, request: WatchEventsRequest, context: grpc.ServicerContext, call: IncomingCall) -> None:
        """Answers a call with the stream that it asks for. The stream goes on after this has returned.

        Raises:
            ResourceExhausted: there are too many watches.
            Unavailable: the server stops.
        """
        matches, position, fill_event = self._parse(request)
        watcher = Watcher(
            stream=CallStream(call, self._recheck),
            matches=matches,
            fill_event=fill_event,
            position=position,
            sent_position=position,
        )
        self._hub.add(watcher, self._max_watchers)
        if not context.add_callback(lambda: self._hub.remove(watcher)):
            self._hub.remove(watcher)  # it has ended already

    def _parse(self, request: WatchEventsRequest) -> tuple[Matches | None, Position | None, Fill | None]:
        (matches, position), fields = attempt_both(
            lambda: attempt_both(
                lambda: self._predicate(request.filter),
                lambda: self._changes.position(request.resume_token) if request.resume_token else None,
            ),
            lambda: masks.read_fields(request, cast("Descriptor", Event.DESCRIPTOR)),
        )
        return matches, position, None if fields is None else fill_event_of(fields)
