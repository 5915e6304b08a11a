"""Lists: the rows that a filter chooses, in an order, a page at a time."""

from collections.abc import Generator, Sequence
from typing import Any

from sqlalchemy import Select, bindparam
from sqlalchemy.orm import Session

from artemis_server.db.listing.filter_sql import Columns, condition
from artemis_server.db.listing.keyset import Keyset, Position
from artemis_server.db.statements import Row, Statement
from artemis_server.query.orders import Key
from artemis_server.query.tree import ALWAYS, Node


class Query:
    """A list of the rows of one table. Its statements are compiled once, whatever page is asked for.

    `selected` names the columns of a row; `columns` has every column by name.
    """

    def __init__(self, where: Node, keys: Sequence[Key], selected: Sequence[str], columns: Columns) -> None:
        self._where = where
        self._selected = [columns[name] for name in selected]
        self._columns = columns
        self._keyset = Keyset(keys, columns)
        self._indexes = [selected.index(key.field.name) for key in keys]
        self._statements: dict[tuple[bool, ...] | None, Statement] = {}

    def scan(self, session: Session, *, after: Position | None, limit: int) -> Generator[Sequence[Row]]:
        """Returns an iterator of the rows after a position, at most `limit`, a chunk at a time.

        The rows are one snapshot. Close the iterator to stop early.
        """
        nulls = None if after is None else tuple(value is None for value in after)
        statement = self._statements.get(nulls)
        if statement is None:
            statement = self._statements[nulls] = Statement(self._select(after))
        values = {} if after is None else self._keyset.values(after)
        return statement.chunks(session, {**values, "max_rows": limit})

    def position(self, row: Row) -> Position:
        """Returns the position of a row in the list."""
        return [row[index] for index in self._indexes]

    def _select(self, after: Position | None) -> "Select[Any]":
        """Returns the statement for the rows after a position; the values of the position are parameters."""
        statement: Select[Any] = Select(*self._selected)
        if self._where != ALWAYS:
            statement = statement.where(condition(self._where, self._columns))
        if after is not None:
            statement = statement.where(self._keyset.after(after))
        return statement.order_by(*self._keyset.order()).limit(bindparam("max_rows"))
