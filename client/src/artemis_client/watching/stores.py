"""Stores of events for mirrors: the methods that every store has, and the store in memory."""

import threading
from collections.abc import Awaitable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from typing import Protocol

from artemis.v1 import events_pb2

from artemis_client.entities import Event


class EventStore(Protocol):
    """A store in which a mirror keeps its events and its position. The mirror calls it on its own thread alone.

    An exception that a method raises ends the mirror.
    """

    def position(self) -> str | None:
        """Returns the position that `apply` saved last, None if there is none: the mirror then lists all events."""

    def ids(self) -> Iterable[int]:
        """Returns the ids of all events that it has."""

    def apply(self, changed: Sequence[Event], deleted: Sequence[int], position: str | None) -> None:
        """Keeps the events that changed or are new, removes the ones that are gone, and saves the position.

        All of that is one transaction: a reader sees all or nothing of it, and so does a mirror after a crash. It is
        no error if the store already has a changed event in its new state, or does not have a deleted event.
        """


class AsyncEventStore(Protocol):
    """A store of an `AsyncEventMirror`: an `EventStore` whose methods may be coroutine functions.

    Ordinary methods run in the event loop and block it, so they must be quick.
    """

    def position(self) -> str | Awaitable[str | None] | None:
        """Returns the position that `apply` saved last, None if there is none."""

    def ids(self) -> Iterable[int] | Awaitable[Iterable[int]]:
        """Returns the ids of all events that it has."""

    def apply(self, changed: Sequence[Event], deleted: Sequence[int], position: str | None) -> Awaitable[None] | None:
        """Keeps the events that changed or are new, removes the ones that are gone, and saves the position."""


class EventMapping(Mapping[int, Event]):
    """Events by their ids."""

    def __init__(self, events: Mapping[int, bytes]) -> None:
        # Bytes take less than half the memory of the events.
        self._events = events

    def __getitem__(self, event_id: int) -> Event:
        return Event.from_message(events_pb2.Event.FromString(self._events[event_id]))

    def __iter__(self) -> Iterator[int]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._events


class MemoryStore(EventMapping):
    """Keeps events in memory, for as long as the program runs. Threads may read it at any time.

    `store[7]`, `store.get(7)`, `7 in store` and `len(store)` read the current state. Loops read a snapshot.
    """

    def __init__(self) -> None:
        self._events: dict[int, bytes] = {}
        self._position: str | None = None
        self._lock = threading.Lock()

    def snapshot(self) -> EventMapping:
        """Returns the current events. A transaction is in them as a whole or not at all."""
        with self._lock:
            return EventMapping(self._events.copy())

    def __iter__(self) -> Iterator[int]:
        return iter(self.snapshot())

    def items(self) -> ItemsView[int, Event]:
        """Returns the ids and events of a snapshot."""
        return self.snapshot().items()

    def values(self) -> ValuesView[Event]:
        """Returns the events of a snapshot."""
        return self.snapshot().values()

    def position(self) -> str | None:
        """Returns the position of the last update."""
        return self._position

    def ids(self) -> Iterable[int]:
        """Returns the ids of all events."""
        return self.snapshot()

    def apply(self, changed: Sequence[Event], deleted: Sequence[int], position: str | None) -> None:
        """Changes the events."""
        kept = {event.id: event.to_message().SerializeToString() for event in changed}
        with self._lock:
            self._events.update(kept)
            for event_id in deleted:
                self._events.pop(event_id, None)
            self._position = position
