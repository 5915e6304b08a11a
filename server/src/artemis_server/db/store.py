"""Keeps one kind of message in one table: create, get, list, update and delete.

Statements are built once and select columns, not entities, and messages are filled straight from the
rows: in a page, building the messages costs more than the query.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, ClassVar, Generic, NoReturn, TypeVar, cast

from artemis_models import Base, next_update_time
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Table, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from artemis_server.contract import ETAG
from artemis_server.db import etags, times
from artemis_server.db.columns import Fields, Fill, RowCodec
from artemis_server.db.connection.driver_errors import Constraint, broken_constraint
from artemis_server.db.idempotency import RequestKey, insert_once
from artemis_server.db.ids import next_id
from artemis_server.db.listing.counts import Count
from artemis_server.db.listing.list_query import Query
from artemis_server.db.listing.predicate import Predicate, predicate
from artemis_server.db.statements import ATTRIBUTION, PRINCIPAL_NAME, Row, Statement, Values, principal_name
from artemis_server.errors import Aborted, NotFound, RequestError, attempt_both
from artemis_server.query.filters import filter_parser
from artemis_server.query.normalized import normalized
from artemis_server.query.orders import SortKey, order_parser
from artemis_server.query.tree import ALWAYS, Node

M = TypeVar("M", bound=Message)
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list, and the part of its rows that is read."""

    query: Query
    fill: Fill
    """Sets the fields of a message from a row of the query."""
    count: Count


class Store(ABC, Generic[M]):
    """Keeps messages of type M. Methods take the session first and leave committing to its owner.

    A subclass names the message, the model whose columns are named as the message's fields, and the fields that are
    searched, and says which error a broken constraint is.
    """

    message: type[M]
    model: ClassVar[type[Base]]
    searched_fields: ClassVar[tuple[str, ...]]
    """The text fields in which a filter looks for bare words."""

    def __init__(self) -> None:
        descriptor = cast("Descriptor", self.message.DESCRIPTOR)
        self.descriptor = descriptor
        self.kind = descriptor.name.lower()
        self.codec = RowCodec(self.message)
        self._table = cast("Table", self.model.__table__)
        self._columns = self._table.c
        self._update_time = next_update_time(self._columns, bindparam("now", type_=self._columns.update_time.type))
        self._row = [self._columns[name] for name in self.codec.names]
        self._in_order: Callable[[Values], Row] = itemgetter(*self.codec.names)
        self._insert = Statement(insert(self._table).values({name: bindparam(name) for name in self.codec.names}))
        attributed = insert(self._table).values({name: bindparam(name) for name in self.codec.names})
        self._insert_attributed = Statement(attributed.returning(ATTRIBUTION))
        self._insert_once = insert_once(self._table, self.codec.names)
        by_id = select(*self._row).where(self._columns.id == bindparam("row_id"))
        self._get, self._lock = Statement(by_id), Statement(by_id.with_for_update())
        self._parse_filter = filter_parser(descriptor, self.searched_fields)
        self._parse_order = order_parser(descriptor)
        self._get_part = lru_cache(maxsize=128)(self._build_get_part)
        self.parse = lru_cache(maxsize=128)(self._parse)
        self.listing = lru_cache(maxsize=128)(self._build_listing)
        self._update = lru_cache(maxsize=256)(self._build_update)
        self._delete = {
            conditional: Statement(delete(self.model).where(*self._matches(conditional)).returning(*self._row))
            for conditional in (False, True)
        }

    @abstractmethod
    def refusal(self, constraint: Constraint, message: M) -> RequestError | None:
        """Returns the error for the caller who broke a constraint; None if it cannot be the caller's fault."""

    def predicate(self, filter_text: str) -> Predicate | None:
        """Returns the function that tells whether a filter chooses a row of the codec; None for the empty filter.

        Raises:
            InvalidArgument: the filter is bad.
        """
        tree = self._parse_filter(filter_text)
        places = {name: place for place, name in enumerate(self.codec.names)}
        return None if tree == ALWAYS else predicate(tree, places)

    def normalized(self, filter_text: str) -> str:
        """Returns a filter without its values, as `query.normalized` writes it. Raises InvalidArgument: it is bad."""
        return normalized(self._parse_filter(filter_text))

    def create(self, session: Session, message: M, key: RequestKey | None = None) -> M:
        """Stores the writable fields of the message as a new row and returns it as it was stored.

        With the key of a request, the response is kept as well, and a repeat of the request gets it. That is a single
        statement on PostgreSQL, where each one is a round trip, and three on SQLite, which lacks such statements.

        Raises:
            InvalidArgument: the key's id was that of another request.
        """
        if key is None:
            row = self._new_row(session, message)
            if row["id"] is None:
                row["id"] = self._change(self._insert.insert, session, row, message)
            else:
                values = {**row, PRINCIPAL_NAME: principal_name(session)}
                self._change(self._insert_attributed.execute, session, values, message)
            return self._to_message(row)
        if session.get_bind().dialect.name == "sqlite":
            return key.answer(session, self.message, partial(self.create, message=message))
        row = self._new_row(session, message)
        made = self._to_message(row)
        row |= {**key.values(made), PRINCIPAL_NAME: principal_name(session)}
        while self._change(self._insert_once.first, session, row, message) is None:
            found = key.find(session, self.message)
            if found is not None:  # otherwise it has expired meanwhile, and the insert is tried again
                return found
        return made

    def get(self, session: Session, row_id: int, fields: Fields = None) -> M:
        """Returns the row with this id, or these fields of it. Raises NotFound if there is none."""
        if fields is None:
            return self.codec.to_message(self._found(self._get.first(session, {"row_id": row_id}), row_id))
        statement, fill = self._get_part(fields)
        message = self.message()
        fill(message, self._found(statement.first(session, {"row_id": row_id}), row_id))
        return message

    def lock(self, session: Session, row_id: int) -> M:
        """Returns the row with this id, which nobody else can change until the transaction ends.

        Raises: as `get`.
        """
        return self.codec.to_message(self._found(self._lock.first(session, {"row_id": row_id}), row_id))

    def update(self, session: Session, row_id: int, message: M, paths: Sequence[str], etag: str) -> M:
        """Sets the fields in `paths` to those of the message, and returns the row as it now is.

        One statement decides: it changes the row only if `etag` is empty or the current one. Without
        paths nothing changes, not even the etag.

        Raises:
            NotFound: there is no row with this id.
            Aborted: the etag is not the current one.
        """
        if not paths:
            return self._unchanged(session, row_id, etag)
        values = self.codec.to_columns(message, paths) | _condition(row_id, etag) | {"now": times.now()}
        row = self._change(self._update(tuple(paths), bool(etag)).first, session, values, message)
        return self.codec.to_message(row or self._explain(session, row_id))

    def delete(self, session: Session, row_id: int, etag: str) -> M:
        """Deletes the row and returns it as it last was. Conditions and errors are those of `update`."""
        execute = self._delete[bool(etag)].first
        row = self._change(execute, session, _condition(row_id, etag), self.message(id=row_id))
        return self.codec.to_message(row or self._explain(session, row_id))

    def not_found(self, row_id: int) -> NotFound:
        """Returns the error that says that there is no row with this id."""
        return NotFound(
            f"{self.kind.upper()}_NOT_FOUND",
            f"there is no {self.kind} {row_id}",
            resource_type=self.kind,
            resource_name=str(row_id),
        )

    def aborted(self, row_id: int) -> Aborted:
        """Returns the error that says that the row is not as the caller read it."""
        return Aborted(
            "ETAG_MISMATCH",
            f"{self.kind} {row_id} was changed since it was read; read it again",
            resource_type=self.kind,
            resource_name=str(row_id),
        )

    def _found(self, row: Row | None, row_id: int) -> Row:
        if row is None:
            raise self.not_found(row_id)
        return row

    def _unchanged(self, session: Session, row_id: int, etag: str) -> M:
        """Returns the row as it is. Conditions and errors are those of `update`."""
        stored = self.lock(session, row_id)
        if etag and etags.to_version(etag) != etags.to_version(getattr(stored, ETAG)):
            raise self.aborted(row_id)
        return stored

    def _explain(self, session: Session, row_id: int) -> NoReturn:
        """Raises the reason why a conditional statement found no row."""
        self.lock(session, row_id)
        raise self.aborted(row_id)

    def _new_row(self, session: Session, message: M) -> Values:
        now = times.now()
        values = self.codec.to_columns(message, self.codec.writable)
        return {**self.codec.new, **values, "id": next_id(session, self._table), "create_time": now, "update_time": now}

    def _to_message(self, row: Values) -> M:
        return self.codec.to_message(self._in_order(row))

    def _change(self, execute: Callable[[Session, Values], R], session: Session, values: Values, message: M) -> R:
        """Returns what `execute` returns. Raises the refusal of a constraint that the statement broke."""
        try:
            return execute(session, values)
        except Exception as error:
            refusal = self.refusal(broken_constraint(error), message)
            if refusal is None:
                raise
            raise refusal from None

    def query(self, filter_text: str, order_by: str) -> Query:
        """Returns the list of the rows that a filter chooses, in an order. Without both it has all rows, by id.

        Raises:
            InvalidArgument: the filter or the order cannot be understood, or neither can.
        """
        return self.listing(filter_text, order_by, None).query

    def _parse(self, filter_text: str, order_by: str) -> tuple[Node, tuple[SortKey, ...]]:
        return attempt_both(lambda: self._parse_filter(filter_text), lambda: self._parse_order(order_by))

    def _build_listing(self, filter_text: str, order_by: str, fields: Fields) -> Listing:
        where, keys = self.parse(filter_text, order_by)
        selected = self.codec.columns(fields, {key.field.name for key in keys})
        return Listing(
            query=Query(where, keys, selected, self._table),
            fill=self.codec.fill_of(selected, fields),
            count=Count(where, self._table),
        )

    def _build_get_part(self, fields: tuple[str, ...]) -> tuple[Statement, Fill]:
        columns = self.codec.columns(fields)
        by_id = select(*(self._columns[name] for name in columns)).where(self._columns.id == bindparam("row_id"))
        return Statement(by_id), self.codec.fill_of(columns, fields)

    def _build_update(self, paths: tuple[str, ...], conditional: bool) -> Statement:
        statement = update(self.model).where(*self._matches(conditional)).returning(*self._row)
        changed: dict[str, Any] = {path: bindparam(path) for path in paths}
        changed |= {"version": self._columns.version + 1, "update_time": self._update_time}
        return Statement(statement.values(changed))

    def _matches(self, conditional: bool) -> list[ColumnElement[bool]]:
        by_id = self._columns.id == bindparam("row_id")
        return [by_id, self._columns.version == bindparam("at_version")] if conditional else [by_id]


def _condition(row_id: int, etag: str) -> Values:
    return {"row_id": row_id, "at_version": etags.to_version(etag)} if etag else {"row_id": row_id}
