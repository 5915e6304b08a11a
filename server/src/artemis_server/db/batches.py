"""Batches of rows: a few statements, however many rows there are. The transaction makes a batch all or none."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Select, bindparam, delete, select, update
from sqlalchemy.orm import Session

from artemis_server.contract import ETAG, MAX_RESPONSE_BYTES
from artemis_server.db import etags, times
from artemis_server.db.ids import allocate
from artemis_server.db.statements import MAX_FETCH, Statement, Values
from artemis_server.db.store import Store
from artemis_server.errors import InvalidArgument, Violation

M = TypeVar("M", bound=Message)
FRAME_BYTES = 4
"""The bytes of the tag and the length of a message of up to 64 KiB in a response."""
FieldPath = Callable[[int], str]
"""Returns the field path of the message with this index, such as "requests[3].event"."""


@dataclass(frozen=True)
class Change(Generic[M]):
    """A change of one row: the row after the change, still with its etag from before, and the fields that change."""

    merged: M
    paths: Sequence[str]


class BatchStore(Store[M]):
    """A store that also takes many messages at once. An error names the one that it is about."""

    def __init__(self) -> None:
        super().__init__()
        self._update_many = lru_cache(maxsize=256)(self._build_update_many)
        self._delete_many = Statement(delete(self._table).where(*self._matches(conditional=True)))

    @abstractmethod
    def check_references(self, session: Session, messages: Sequence[M], path: FieldPath) -> None:
        """Raises FailedPrecondition if one of the messages refers to a row that does not exist."""

    def find_many(self, session: Session, ids: Iterable[int], field: str) -> dict[int, M]:
        """Returns the rows that there are, by id.

        Raises:
            InvalidArgument: they are too large for one response; `field` is to blame.
        """
        found: dict[int, M] = {}
        space = MAX_RESPONSE_BYTES
        for message in self._read(session, select(*self._row).where(self._columns.id.in_(set(ids)))):
            found[_id(message)] = message
            space -= message.ByteSize()
            if space < 0:
                raise _too_large(field)
        return found

    def lock_many(self, session: Session, ids: Iterable[int]) -> dict[int, M]:
        """Returns those of the rows that exist, by id; nobody else can change them until the transaction ends."""
        statement = select(*self._row).where(self._columns.id.in_(set(ids)))
        in_order = statement.order_by(self._columns.id).with_for_update()  # in one order, or two could deadlock
        return {_id(message): message for message in self._read(session, in_order)}

    def _read(self, session: Session, statement: "Select[Any]") -> Iterator[M]:
        for row in session.execute(statement).yield_per(MAX_FETCH):
            yield self.codec.to_message(tuple(row))

    def expect(self, found: Mapping[int, M], row_id: int, etag: str, path: str) -> M:
        """Returns the row with this id.

        Raises:
            NotFound: it is not among those found.
            Aborted: the etag is neither empty nor the current one.
        """
        message = found.get(row_id)
        if message is None:
            raise self.not_found(row_id).at(f"{path}id")
        if etag and etags.to_version(etag) != _version(message):
            raise self.aborted(row_id).at(f"{path}{ETAG}")
        return message

    def create_many(self, session: Session, messages: Sequence[M], path: FieldPath) -> list[M]:
        """Stores the messages as new rows and returns them as they were stored, in the same order."""
        self.check_references(session, messages, path)
        now = times.now()
        common = {**self.codec.new, "create_time": now, "update_time": now}
        rows = [common | self.codec.to_columns(message, self.codec.writable) for message in messages]
        for row, row_id in zip(rows, allocate(session, self._table, len(rows)), strict=True):
            row["id"] = row_id
        self._insert.insert_many(session, rows)
        return [self._to_message(row) for row in rows]

    def update_many(self, session: Session, changes: Sequence[Change[M]], path: FieldPath) -> list[M]:
        """Makes the changes and returns the rows as they now are, in the same order."""
        self.check_references(session, [change.merged for change in changes], path)
        now = times.now()
        alike: dict[tuple[str, ...], list[Values]] = defaultdict(list)
        for change in changes:
            changed = self.codec.to_columns(change.merged, change.paths)
            alike[tuple(change.paths)].append(changed | _as_read(change.merged) | {"now": now})
        for paths, rows in alike.items():
            if paths:
                self._change_many(session, self._update_many(paths), rows)
        ids = [_id(change.merged) for change in changes]
        found = self.find_many(session, ids, "requests")
        return [found[row_id] for row_id in ids]

    def delete_many(self, session: Session, messages: Sequence[M]) -> None:
        """Deletes the rows. Raises Aborted if one of them was changed since it was read."""
        if messages:
            self._change_many(session, self._delete_many, [_as_read(message) for message in messages])

    def _change_many(self, session: Session, statement: Statement, rows: Sequence[Values]) -> None:
        """Executes the statement for each row. Raises Aborted if one of them was changed since it was read."""
        if statement.many(session, rows) != len(rows):
            raise self.aborted(rows[0]["row_id"])

    def _build_update_many(self, paths: tuple[str, ...]) -> Statement:
        changed: dict[str, Any] = {name: bindparam(name) for name in paths}
        changed |= {"version": self._columns.version + 1, "update_time": self._update_time}
        return Statement(update(self._table).where(*self._matches(conditional=True)).values(changed))


def check_size(messages: Iterable[Message], field: str) -> None:
    """Raises InvalidArgument if a response with these messages would be too large; `field` is to blame.

    It is called before the response copies them: a message of 32 KiB a thousand times is 32 MiB.
    """
    if sum(message.ByteSize() + FRAME_BYTES for message in messages) > MAX_RESPONSE_BYTES:
        raise _too_large(field)


def _too_large(field: str) -> InvalidArgument:
    limit = f"{MAX_RESPONSE_BYTES // 2**20} MiB"
    return InvalidArgument(
        Violation(
            field=field,
            description=f"the response would be larger than {limit}; ask for fewer at a time",
            rule=f"{field}.response_size",
            values={"limit": limit},
        ),
        reason="RESPONSE_TOO_LARGE",
    )


def _as_read(message: Message) -> Values:
    """Returns the parameters that match a row only while it is as it was read."""
    return {"row_id": _id(message), "at_version": _version(message)}


def _id(message: Message) -> int:
    row_id: int = getattr(message, "id")  # noqa: B009, every message that is stored has one
    return row_id


def _version(message: Message) -> int:
    return etags.to_version(getattr(message, ETAG))
