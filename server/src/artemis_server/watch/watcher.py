"""A watcher: one open stream of WatchEvents, and how far it is."""

import enum
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from artemis_server.db.changes.records import Position
from artemis_server.db.columns import Fill
from artemis_server.errors import RequestError
from artemis_server.watch.entries import Entry, Matches


class Stream(Protocol):
    """The stream to a client."""

    def send(self, message: bytes, sent: Callable[[], None]) -> bool:
        """Begins to send a message, and calls `sent` when the client's flow control has let it through.

        Returns False, and does not call `sent`, if the stream has ended.
        """

    def end(self, error: RequestError) -> None:
        """Ends the stream with this error, after all messages."""

    def abort(self, error: RequestError) -> None:
        """Ends the stream with this error at once, which overtakes messages that the client does not read."""

    def check_access(self) -> None:
        """Ends the stream if its caller may no longer watch, perhaps a moment later."""

    @property
    def denied(self) -> bool:
        """True once `check_access` has ended it."""


class Phase(enum.Enum):
    """The phase of a watcher."""

    READING = "a page of the log is on its way from the database"
    PAUSED = "it has a page to send, and then needs the next one"
    JOINING = "it is at the end of the log, and waits to follow the ring from there"
    FOLLOWING = "it follows the ring"


class Ended(enum.Enum):
    """The reason why a watch ended."""

    CLIENT = "client"
    TOO_SLOW = "too_slow"
    EXPIRED = "expired"
    SHUTDOWN = "shutdown"
    ACCESS = "access"
    FAILED = "failed"


@dataclass(eq=False, kw_only=True)
class Watcher:
    """A stream and how far it is. The hub has the lock of everything in it."""

    stream: Stream
    matches: Matches | None = None
    """The filter; None lets everything through."""
    fill_event: Fill | None = None
    """Sets the fields of an event that it is sent; None for all of them."""
    position: Position | None = None
    """The position up to which the log was read for it; None until it has begun to read from the end."""
    phase: Phase = Phase.READING
    own: deque[Entry] = field(default_factory=deque)
    """Entries for it alone, which go before those of the ring."""
    cursor: int = 0
    """The number of its next entry in the ring, while it follows."""
    sent_position: Position | None = None
    """The place in the log after what was sent, or dropped by its filter."""
    sending_since: float | None = None
    """Since when a message is on its way; None while none is."""
    token_time: float = -math.inf
    """The time of the last resume token that it was sent."""
    access_time: float = 0.0
    """The time of the last check of its access."""
    within: bool = False
    """True if it was sent a part of a transaction, and not its end."""
    ended: bool = False
    reason: Ended = Ended.CLIENT
    """The reason for its end, if it ends."""
    told_end: bool = False
    """True if the last resume token that it was sent said that it has caught up."""

    @property
    def reached_end(self) -> bool:
        """True if it has taken all that was in the log when it was last read for it. What follows comes at once."""
        return not self.own and self.phase in (Phase.JOINING, Phase.FOLLOWING)
