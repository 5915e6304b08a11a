"""Lists: the rows that a filter chooses, in an order, a page at a time."""

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Select, Table, bindparam
from sqlalchemy.orm import Session

from artemis_server.db.listing.bounds import box_of
from artemis_server.db.listing.filter_sql import Condition, parameterize
from artemis_server.db.listing.keyset import Keyset, Position
from artemis_server.db.listing.path_sql import Limits
from artemis_server.db.listing.paths import Path
from artemis_server.db.listing.plans import LOW_COST, MAX_COST, ROW_COST, AnyPath, Option, Plan, by_trigrams, plan
from artemis_server.db.listing.text_paths import TextPath
from artemis_server.db.listing.text_search import is_available, match, searches
from artemis_server.db.listing.trigram_paths import trigram_path
from artemis_server.db.statements import Row, Statement, Values
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import ALWAYS, Node, searches_text

MAX_KEPT_VALUES = 50
"""The most values in a filter whose statement is kept. Few filters are longer; the longest have 100 values."""
_STAGES = ((LOW_COST, 500), (MAX_COST, 2_000), (None, 10_000))
"""The cost at which rows are collected, and the next rows in the order of the list that are looked at before more is
spent.

A look that finds a part of the page tells how many rows the page may take. Then no path that costs more is counted, and
the next look is at twice as many, but no more than the last. It is a look at some because the rows that a filter
chooses may all be at the other end: what changed lately has the last ids.
"""


class Planned:
    """The plans of a list, of which one is taken when it is read."""

    def __init__(self, where: Node, keys: tuple[SortKey, ...], table: Table) -> None:
        self.values: Values = {}
        """The values of the filter's parameters."""
        self.where = parameterize(where, self.values)
        """The filter with the names of parameters instead of values."""
        self.kept = len(self.values) <= MAX_KEPT_VALUES
        """True if the statements of the list are kept, and are planned."""
        self.box = box_of(where)
        self._list = where, keys, table
        self._plan = plan(where, keys, table) if self.kept else Plan(None, ())
        self._searches = searches(where) if self.kept and table.name == "events" else ()

    def plan(self, session: Session) -> Plan:
        """Returns the plan for a database."""
        by_text = self._by_text(session) if self._searches else None
        return plan(*self._list, by_text) if by_text else self._plan

    def _by_text(self, session: Session) -> Option | None:
        """Returns the path by the index of texts, if the database has one, and it is known to be no detour."""
        keys, table = self._list[1:]
        if session.get_bind().dialect.name == "sqlite":
            return Option(TextPath(keys, match(self._searches)), ROW_COST) if is_available(session) else None
        path = trigram_path(keys, self._searches)
        return by_trigrams(path, path.estimate(session, table))

    def count(self, session: Session, option: Option, limit: int) -> int:
        """Returns the number of entries of an index that a path has, at most one more than the limit."""
        values = {**option.path.values(self.box, None), "max_rows": limit + 1}
        found = _count(option.path, self._list[2], 1 << (limit + 1).bit_length()).first(session, values)
        return int(found[0]) if found else 0


class Query:
    """A list of the rows of one table. `selected` names the columns of a row."""

    def __init__(self, where: Node, keys: tuple[SortKey, ...], selected: tuple[str, ...], table: Table) -> None:
        self._planned = Planned(where, keys, table)
        self._shape = self._planned.where, keys, selected, table
        self._indexes = [selected.index(key.field.name) for key in keys]

    def scan(
        self, session: Session, *, after: Position | None, limit: int, on_path: Callable[[str], object] = len
    ) -> Generator[Sequence[Row]]:
        """Returns an iterator of the rows after a position, at most `limit`, a chunk at a time.

        The rows are one snapshot. Close the iterator to stop early. `on_path` is told the index that the rows are read
        by, in words for an operator.
        """
        plan = self._planned.plan(session)
        path, page = plan.sole, None
        if path is None:
            path, page = self._decide(session, plan, after, limit)
        if page is not None:
            on_path(str(path))
            yield page
            return
        on_path("no index" if path is None else str(path))
        yield from self._rows(session, path, after, limit)

    def _decide(
        self, session: Session, plan: Plan, after: Position | None, limit: int
    ) -> tuple[AnyPath | None, Sequence[Row] | None]:
        """Returns the path to take, and the rows of the page if a look in the order of the list has found all."""
        count = partial(self._planned.count, session)
        expected: int | None = None
        for max_cost, more in _STAGES:
            if max_cost is not None:
                path = plan.cheapest(count, max_cost if expected is None else min(max_cost, expected * ROW_COST))
                if path is not None:
                    return path, None
            if plan.tried is not None:
                # A power of two, because each number of rows is a statement of its own.
                enough = 0 if expected is None else 1 << (2 * expected).bit_length()
                tried = max(more, min(enough, _STAGES[-1][1]))
                rows = [row for chunk in self._rows(session, plan.tried, after, limit, tried) for row in chunk]
                if len(rows) == limit:
                    return plan.tried, rows
                # The rows in the order of the list that a page takes if it goes on like that.
                expected = tried * limit // len(rows) if rows else None
        return plan.dearest, None

    def _rows(
        self, session: Session, path: AnyPath | None, after: Position | None, limit: int, tried: int = 0
    ) -> Generator[Sequence[Row]]:
        """Returns the rows of the page by a path, or those among the next `tried` rows."""
        unset = None if after is None else tuple(value is None for value in after)
        statement = (_statement if self._planned.kept else _statement.__wrapped__)(
            *self._shape, unset, path, Limits(1 << limit.bit_length(), tried)
        )
        values = {f"after_{index}": value for index, value in enumerate(after or ())}
        if path is not None:
            values |= path.values(self._planned.box, after)
        values["max_rows"] = limit
        return statement.chunks(session, {**self._planned.values, **values})

    def position(self, row: Row) -> Position:
        """Returns the position of a row in the list."""
        return [row[index] for index in self._indexes]


@lru_cache(maxsize=256)
def _count(path: AnyPath, table: Table, most: int) -> Statement:
    return Statement(path.count(table, most=most), planned_anew=not isinstance(path, Path))


@lru_cache(maxsize=256)
def _statement(
    where: Node,
    keys: tuple[SortKey, ...],
    selected: tuple[str, ...],
    table: Table,
    unset: tuple[bool, ...] | None,
    path: AnyPath | None,
    limits: Limits,
) -> Statement:
    """Returns the statement for the rows after a position, of whose values these are None.

    Each value is a parameter, so filters that differ in nothing but values share a statement: compiling it costs as
    much as reading a page. Without a path, the engine finds its own.
    """
    if isinstance(path, Path):
        return Statement(path.select(where, table, selected, unset, limits))
    if path is not None:
        return Statement(path.select(where, table, selected, unset), planned_anew=True)
    columns = dict(table.c)
    keyset = Keyset(keys, columns)
    statement: Select[Any] = Select(*(columns[name] for name in selected))
    if where != ALWAYS:
        statement = statement.where(Condition(where, columns))
    if unset is not None:
        statement = statement.where(keyset.after(unset))
    clause = statement.order_by(*keyset.order()).limit(bindparam("max_rows"))
    return Statement(clause, planned_anew=searches_text(where))
