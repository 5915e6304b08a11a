"""Batches of rows: a few statements, however many rows there are. The transaction makes a batch all or none."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar

from google.protobuf.message import Message
from sqlalchemy import bindparam, delete, select, text, update
from sqlalchemy.orm import Session

from artemis_server.contract import ETAG, MAX_RESPONSE_BYTES
from artemis_server.db import etags, times
from artemis_server.db.columns import Fields
from artemis_server.db.connection.driver_errors import broken_constraint
from artemis_server.db.ids import allocate
from artemis_server.db.statements import MAX_FETCH, Statement, Values
from artemis_server.db.store import Store
from artemis_server.errors import InvalidArgument, Violation

M = TypeVar("M", bound=Message)
FRAME_BYTES = 4
"""The bytes of the tag and the length of a message of up to 64 KiB in a response."""
_SAVEPOINT, _ROLLBACK = Statement(text("SAVEPOINT batch")), Statement(text("ROLLBACK TO batch"))
"""No savepoint is released: it ends with its transaction. ROLLBACK TO goes back to the last one of the name."""


@dataclass(frozen=True)
class Change(Generic[M]):
    """A change of one row: the row after the change, still with its etag from before, and the fields that change."""

    merged: M
    paths: Sequence[str]


class BatchStore(Store[M]):
    """A store that also takes many messages at once. An error names the request that it is about: "requests[3].id"."""

    unique_field: ClassVar[str | None] = None
    """A field of text whose value no two rows share."""

    def __init__(self) -> None:
        super().__init__()
        self._update_many = lru_cache(maxsize=256)(self._build_update_many)
        self._delete_many = Statement(delete(self._table).where(*self._matches(conditional=True)))
        if self.unique_field:
            vacated = {self.unique_field: bindparam("vacated"), "version": self._columns.version + 1}
            self._vacate = Statement(update(self._table).where(*self._matches(conditional=False)).values(vacated))

    def find_many(self, session: Session, ids: Iterable[int], field: str, fields: Fields = None) -> dict[int, M]:
        """Returns the rows that there are, or these fields of them, by id.

        Raises:
            InvalidArgument: they are too large for one response; `field` is to blame.
        """
        found: dict[int, M] = {}
        space = MAX_RESPONSE_BYTES
        names = self.codec.columns(fields, {"id"})
        fill, id_place = self.codec.fill_of(names, fields), names.index("id")
        chosen = select(*(self._columns[name] for name in names)).where(self._columns.id.in_(set(ids)))
        for row in session.execute(chosen).yield_per(MAX_FETCH):
            message = found[row[id_place]] = self.message()
            fill(message, tuple(row))
            space -= message.ByteSize()
            if space < 0:
                raise _too_large(field)
        return found

    def lock_many(self, session: Session, ids: Iterable[int]) -> dict[int, M]:
        """Returns those of the rows that exist, by id; nobody else can change them until the transaction ends."""
        statement = select(*self._row).where(self._columns.id.in_(set(ids)))
        in_order = statement.order_by(self._columns.id).with_for_update()  # in one order, or two could deadlock
        rows = session.execute(in_order).yield_per(MAX_FETCH)
        return {_id(message): message for message in (self.codec.to_message(tuple(row)) for row in rows)}

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

    def create_many(self, session: Session, messages: Sequence[M]) -> list[M]:
        """Stores the messages as new rows and returns them as they were stored, in the same order.

        Raises:
            RequestError: the refusal of the first message that breaks a constraint.
        """
        now = times.now()
        common = {**self.codec.new, "create_time": now, "update_time": now}
        rows = [common | self.codec.to_columns(message, self.codec.writable) for message in messages]
        for row, row_id in zip(rows, allocate(session, self._table, len(rows)), strict=True):
            row["id"] = row_id
        self._apply(session, messages, lambda part: self._insert.insert_many(session, rows[part]))
        return [self._to_message(row) for row in rows]

    def update_many(self, session: Session, changes: Sequence[Change[M]]) -> list[M]:
        """Makes the changes and returns the rows as they now are, in the same order.

        Raises:
            Aborted: one of them was changed since it was read.
            RequestError: the refusal of the first change after which the rows as they will be break a constraint.
        """
        now = times.now()
        messages = [change.merged for change in changes]
        rows = [
            self.codec.to_columns(change.merged, change.paths) | _as_read(change.merged) | {"now": now}
            for change in changes
        ]

        def execute(part: slice) -> None:
            alike: dict[tuple[str, ...], list[Values]] = defaultdict(list)
            for change, row in zip(changes[part], rows[part], strict=True):
                alike[tuple(change.paths)].append(row)
            for paths, some in alike.items():
                if paths:
                    self._change_many(session, self._update_many(paths), some)

        self._apply(session, messages, execute, lambda: self._vacate_many(session, rows))
        ids = [_id(message) for message in messages]
        found = self.find_many(session, ids, "requests")
        return [found[row_id] for row_id in ids]

    def delete_many(self, session: Session, messages: Sequence[M]) -> None:
        """Deletes the rows. An empty message stands for none.

        Raises:
            Aborted: one of them was changed since it was read.
            RequestError: the refusal of the first row that a constraint keeps.
        """

        def execute(part: slice) -> None:
            rows = [_as_read(message) for message in messages[part] if _id(message)]
            if rows:
                self._change_many(session, self._delete_many, rows)

        self._apply(session, messages, execute)

    def _apply(
        self,
        session: Session,
        messages: Sequence[M],
        execute: Callable[[slice], None],
        prepare: Callable[[], None] | None = None,
        part: range | None = None,
    ) -> None:
        """Executes statements for all messages, or for those of a part.

        A statement for many rows that breaks a constraint does not tell which row is to blame. So it is undone, and
        executed for the first half of the messages and then for the rest, until it fails for a single one. `prepare` is
        called before that.
        """
        part = range(len(messages)) if part is None else part
        if len(part) > 1:
            _SAVEPOINT.execute(session, {})
        try:
            execute(slice(part.start, part.stop))
        except Exception as error:
            refusal = self.refusal(broken_constraint(error), messages[part.start])
            if refusal is None:
                raise
            if len(part) == 1:
                request = f"requests[{part.start}]."
                raise (refusal.under(request) if refusal.field else refusal.at(f"{request}id")) from None
            _ROLLBACK.execute(session, {})
            if prepare:
                prepare()
            middle = len(part) // 2
            self._apply(session, messages, execute, part=part[:middle])
            self._apply(session, messages, execute, part=part[middle:])

    def _vacate_many(self, session: Session, rows: Sequence[Values]) -> None:
        """Makes the unique values free that the rows are about to change, so that two rows can exchange theirs."""
        changed = [row for row in rows if self.unique_field in row]
        for row in changed:
            row |= {"vacated": f"row {row['row_id']}", "at_version": row["at_version"] + 1}
        if changed:
            self._vacate.many(session, changed)

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

    It is called before the response copies them: a message of 32 KiB a thousand times is 32 MiB. It looks no further
    than the limit, because protobuf writes a message to learn its size.
    """
    space = MAX_RESPONSE_BYTES
    for message in messages:
        space -= message.ByteSize() + FRAME_BYTES
        if space < 0:
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
