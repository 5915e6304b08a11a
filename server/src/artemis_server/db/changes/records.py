"""Changes, the transactions that made them, and positions in the log."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from artemis.v1.events_pb2 import Event, EventChange

from artemis_server.db import times
from artemis_server.db.columns import Fields, Fill, RowCodec
from artemis_server.db.statements import Row, Values
from artemis_server.errors import OutOfRange

CODEC = RowCodec(Event)
COLUMNS = "id, event_id, type, time, principal, transaction_id, state, previous"
"""The columns of the log that make a `Change`, in its order."""
_in_order: Callable[[Values], Row] = itemgetter(*CODEC.names)
_UNSET = {"id": 0, "version": 1} | CODEC.to_columns(
    Event(), [name for name in CODEC.names if name not in {"id", "version"}]
)
"""The values of columns that an event did not have yet when it was logged."""


@dataclass(frozen=True)
class Change:
    """One change of one event."""

    id: int
    """The id in the log."""
    event_id: int
    type: int
    """A value of EventChange.Type."""
    time: int
    """Microseconds since the Unix epoch."""
    principal: str
    """The name of the caller of an RPC, "feed:" and the name of a feed, or empty."""
    transaction_id: int
    raw_state: str
    raw_previous: str | None

    @cached_property
    def state(self) -> Row:
        """The event after the change, or before a delete, as a row that `CODEC` understands."""
        return _to_row(self.raw_state)

    @cached_property
    def previous(self) -> Row | None:
        """The event before an update; None for a create and a delete."""
        return None if self.raw_previous is None else _to_row(self.raw_previous)


def fill_event_of(fields: Fields) -> Fill:
    """Returns the function that sets these fields of an event from a row that `CODEC` understands."""
    return CODEC.fill_of(CODEC.names, fields)


def fill(message: EventChange, change: Change, fill_event: Fill = CODEC.fill) -> None:
    """Sets every field of an empty message but `previous_event`."""
    message.type = change.type  # type: ignore[assignment]
    message.event.SetInParent()  # also if no field of it is set
    fill_event(message.event, change.state)
    message.change_time.seconds, rest = divmod(change.time, times.MICROS)
    message.change_time.nanos = rest * 1000
    message.principal = change.principal


def _to_row(text: str) -> Row:
    values: Values = json.loads(text)
    try:
        return _in_order(values)
    except KeyError:  # it was logged before a column was added
        return _in_order(_UNSET | values)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A row of the log by which a position is recognized: a log that lacks it was pruned, or is another one."""

    transaction_id: int
    id: int
    time: int


@dataclass(frozen=True, kw_only=True)
class Position:
    """A position in the log. Make it by `current_position`, or take it from a `Page`."""

    mark: Mark | None
    """The last row that was passed; on PostgreSQL, of those before the batch. None if the log was empty."""
    last_id: int = 0
    """The greatest id of the last transaction that was passed; on PostgreSQL, in the batch."""
    part_transaction: int = 0
    part_id: int = 0
    """The last row that was passed of a transaction that was not passed as a whole; 0 if there is none."""
    lower: int = 0
    upper: int = 0
    """On PostgreSQL, the batch that is being passed: the transactions from `lower` to below `upper`."""
    end_id: int = 0
    """The greatest id in the batch."""
    seen_below: int = 0
    running: tuple[int, ...] = ()
    """The snapshot that the reading began from: it showed transactions below `seen_below` that are not in `running`."""

    @property
    def whole(self) -> bool:
        """True unless the position is within a transaction: only then a token may have it."""
        return not self.part_id


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """The changes of one transaction, or a part of them."""

    changes: list[Change]
    position: Position
    """The position after them. It is `whole` if the transaction ends here."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of the log, in its order."""

    transactions: list[Transaction]
    position: Position
    """The position after them. It moves on even if there are none."""
    at_end: bool
    """True if the log had no more when it was read."""


def to_changes(rows: list[Row]) -> list[Change]:
    """Returns rows that were selected by COLUMNS."""
    return [Change(*row) for row in rows]


def expired() -> OutOfRange:
    """Returns the error of a position whose changes are no longer kept."""
    return OutOfRange(
        "RESUME_TOKEN_EXPIRED",
        "the changes after it are no longer kept, or the database was restored to a state before it; list again",
        field="resume_token",
    )
