"""Entries: parts of the log as bytes of responses, which are made once for all watchers.

Serialized messages that follow each other are one message with the repeated fields of all of them, and with the last
value of the others (Protocol Buffers, "Encoding"). So the bytes of a response are put together from those of its
changes and its token.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from artemis.v1.events_pb2 import EventChange, WatchEventsResponse

from artemis_server.db.changes.records import CODEC, Change, Page, Position, fill
from artemis_server.db.columns import Fill
from artemis_server.db.statements import Row

MAX_ENTRY = 256 * 2**10
"""The bytes above which a transaction continues in another response. The last change may go beyond by its own size."""
Matches = Callable[[Row], bool]
"""A filter: tells whether it chooses an event."""
CAUGHT_UP = WatchEventsResponse(caught_up=True).SerializeToString()
"""The bytes of a response that says that the stream has caught up."""
_CREATED, _UPDATED, _DELETED = EventChange.TYPE_CREATED, EventChange.TYPE_UPDATED, EventChange.TYPE_DELETED


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """A transaction, or a part of a large one."""

    changes: tuple[Change, ...]
    frames: tuple[bytes, ...]
    """For each change, the bytes of a response that has it alone."""
    position: Position
    """The place in the log after it."""
    complete: bool
    """True if the transaction ends with it."""
    size: int
    """Bytes."""

    def choose(self, matches: Matches | None, fill_event: Fill | None = None) -> Iterable[bytes]:
        """Returns the frames of the changes that a watcher with this filter receives.

        `fill_event` sets the fields of an event that the watcher wants; None stands for all of them.
        """
        if matches is None and fill_event is None:
            return self.frames
        return self._chosen(matches, fill_event)

    def _chosen(self, matches: Matches | None, fill_event: Fill | None) -> Iterator[bytes]:
        for change, frame in zip(self.changes, self.frames, strict=True):
            kind = change.type if matches is None else _kind(change, matches)
            if kind is not None:
                shown = change if kind == change.type else replace(change, type=kind)
                yield frame if shown is change and fill_event is None else _frame(shown, fill_event or CODEC.fill)


def entries(page: Page) -> list[Entry]:
    """Returns the entries of a page."""
    made: list[Entry] = []
    for transaction in page.transactions:
        changes: list[Change] = []
        frames: list[bytes] = []
        size = 0
        for index, change in enumerate(transaction.changes, start=1):
            changes.append(change)
            frames.append(_frame(change))
            size += len(frames[-1])
            last = index == len(transaction.changes)
            if last or size >= MAX_ENTRY:
                made.append(
                    Entry(
                        changes=tuple(changes),
                        frames=tuple(frames),
                        position=transaction.position,
                        complete=transaction.position.whole and last,
                        size=size,
                    )
                )
                changes, frames, size = [], [], 0
    return made


def token_frame(token: str) -> bytes:
    """Returns the bytes of a response that has a resume token alone."""
    return WatchEventsResponse(resume_token=token).SerializeToString()


def _kind(change: Change, matches: Matches) -> int | None:
    """Returns the kind of a change for a watcher with a filter; None if the watcher does not receive it."""
    after = matches(change.state)
    if change.type != _UPDATED or change.previous is None:
        return change.type if after else None
    before = matches(change.previous)
    if before and after:
        return _UPDATED
    if after:
        return _CREATED
    return _DELETED if before else None


def _frame(change: Change, fill_event: Fill = CODEC.fill) -> bytes:
    response = WatchEventsResponse()
    fill(response.changes.add(), change, fill_event)
    return response.SerializeToString()
