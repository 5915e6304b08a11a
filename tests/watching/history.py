"""Records of the commits and of the changes that a watcher received, which check each other by WatchEvents' promises.

Every write of an event carries a mark of its own in the event's description, so that a change in a stream names the
transaction that made it. A delete carries the mark of the event's last write.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from artemis.v1.events_pb2 import Event, EventChange, WatchEventsResponse


class Write(NamedTuple):
    """A write of one event: the mark, and whether it deleted the event that has it."""

    mark: str
    deletes: bool = False


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """Writes that were committed together."""

    writes: tuple[Write, ...]
    begin: float
    end: float
    """The times at which the writer began it, and knew that it was committed."""
    certain: bool = True
    """False if the server was killed before it said so: it may not be committed."""


class Committed:
    """The transactions of all writers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.transactions: list[Transaction] = []

    def add(self, writes: Iterable[Write], begin: float, *, certain: bool = True) -> None:
        """Adds a transaction that has just been committed."""
        made = Transaction(writes=tuple(writes), begin=begin, end=time.monotonic(), certain=certain)
        if made.writes:
            with self._lock:
                self.transactions.append(made)


@dataclass
class Received:
    """The changes that a watcher received over all of its streams, up to the last token of each."""

    token: str = ""
    groups: list[list[EventChange]] = field(default_factory=list)
    """The changes between two tokens."""
    _partial: list[EventChange] = field(default_factory=list)

    def add(self, response: WatchEventsResponse) -> None:
        """Adds a response."""
        self._partial += response.changes
        if response.resume_token:
            self.token = response.resume_token
            if self._partial:
                self.groups.append(self._partial)
            self._partial = []

    def resume(self) -> str:
        """Returns the token to go on from. What came after it will come again."""
        self._partial = []
        return self.token

    @property
    def changes(self) -> list[EventChange]:
        """All changes."""
        return [change for group in self.groups for change in group]


def write_of(change: EventChange) -> Write:
    """Returns the write that made a change."""
    return Write(change.event.description, change.type == EventChange.TYPE_DELETED)


def broken_promises(received: Received, committed: Sequence[Transaction], table: Sequence[Event]) -> list[str]:
    """Returns what is wrong with the history of a watcher that began with an empty table; nothing if all is well."""
    seen = [write_of(change) for change in received.changes]
    counts = Counter(seen)
    known = {write for transaction in committed for write in transaction.writes}
    kept = [each for each in committed if each.certain or any(write in counts for write in each.writes)]
    missing = [write for each in kept for write in each.writes if write not in counts]
    problems = [f"lost: {write}" for write in missing]
    problems += [f"received {count} times: {write}" for write, count in counts.items() if count > 1]
    problems += [f"never committed: {write}" for write in counts if write not in known]
    if problems:
        return problems
    return [*_split(received, kept), *_out_of_order(seen, kept), *_different(received, table)]


def _split(received: Received, committed: Sequence[Transaction]) -> list[str]:
    """Returns the transactions whose changes are not next to each other, or have a token between them."""
    place = {write: number for number, write in enumerate(map(write_of, received.changes))}
    group = {write_of(change): number for number, each in enumerate(received.groups) for change in each}
    return [
        f"split: {each.writes[:3]}"
        for each in committed
        if len({group[write] for write in each.writes}) > 1
        or max(place[write] for write in each.writes) - min(place[write] for write in each.writes) >= len(each.writes)
    ]


def _out_of_order(seen: Sequence[Write], committed: Sequence[Transaction]) -> list[str]:
    """Returns the transactions that were received before one that had been committed when they began."""
    place = {write: number for number, write in enumerate(seen)}
    in_order = sorted(committed, key=lambda each: place[each.writes[0]])
    problems, latest_begin, latest = [], float("-inf"), None
    for each in in_order:
        if each.certain and each.end < latest_begin and latest is not None:
            problems.append(f"{latest.writes[0]} came before {each.writes[0]}, which was committed when it began")
        if each.begin > latest_begin:
            latest_begin, latest = each.begin, each
    return problems


def _different(received: Received, table: Sequence[Event]) -> list[str]:
    """Returns how the table differs from what the changes make of an empty one, and changes that cannot be."""
    state: dict[int, Event] = {}
    problems = []
    for change in received.changes:
        event, known = change.event, change.event.id in state
        if known == (change.type == EventChange.TYPE_CREATED):
            problems.append(f"event {event.id} is {'there already' if known else 'not there'}: {write_of(change)}")
        if change.type == EventChange.TYPE_DELETED:
            state.pop(event.id, None)
        else:
            state[event.id] = event
    expected = {event.id: event for event in table}
    return problems + [
        f"event {each} is not as in the table"
        for each in sorted(state.keys() | expected.keys())
        if state.get(each) != expected.get(each)
    ]


def faults(received: Received, committed: Sequence[Transaction]) -> dict[str, Received]:
    """Returns histories with one fault each: a change is dropped, repeated, reordered, or its transaction split."""
    groups = [list(group) for group in received.groups]
    middle = len(groups) // 2
    writes = set(map(write_of, received.changes))  # a transaction whose writer heard of no end may not be there
    large = next(each for each in committed if len(each.writes) > 1 and each.writes[0] in writes)
    place = next(number for number, group in enumerate(groups) if large.writes[0] in map(write_of, group))
    inside = next(
        index
        for index in range(1, len(groups[place]))
        if {write_of(groups[place][index - 1]), write_of(groups[place][index])} <= set(large.writes)
    )
    first = next(set(each.writes) for each in committed if write_of(received.changes[0]) in each.writes)
    moved = [change for change in received.changes if write_of(change) in first]
    return {
        "drop": Received(groups=[*groups[:middle], groups[middle][1:], *groups[middle + 1 :]]),
        "repeat": Received(groups=[*groups[:middle], groups[middle] + groups[middle][:1], *groups[middle + 1 :]]),
        "reorder": Received(
            groups=[*([each for each in group if write_of(each) not in first] for group in groups), moved]
        ),
        "split": Received(
            groups=[*groups[:place], groups[place][:inside], groups[place][inside:], *groups[place + 1 :]]
        ),
    }
