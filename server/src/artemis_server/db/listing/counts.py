"""Totals: the number of rows that a filter chooses, exact up to a bound, and above it an estimate (AIP-158).

The estimate needs no statistics and is made alike on every engine: it draws ids at random and looks them up.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from random import randrange
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import Session

from artemis_server.db.listing.filter_sql import Condition
from artemis_server.db.listing.list_query import Planned
from artemis_server.db.listing.plans import MAX_COST, AnyPath
from artemis_server.db.statements import Statement, Values
from artemis_server.query.tree import ALWAYS, Node

MAX_EXACT = 10_000
"""The most rows that are counted."""
SAMPLE_SIZE = 4_000
"""The number of ids that an estimate looks up."""
MAX_TOTAL = 2**31 - 1
"""The largest total: the contract has it as an int32, as AIP-158 does."""


@dataclass(frozen=True, kw_only=True)
class Total:
    """The number of rows that a filter chooses."""

    rows: int
    estimated: bool


class Count:
    """Counts the rows of a table that a filter chooses."""

    def __init__(self, where: Node, table: Table) -> None:
        self._planned = Planned(where, (), table)
        self._table = table

    def total(self, session: Session) -> Total:
        """Returns the number of rows, by one statement or by three. A snapshot makes them see the same rows."""
        planned, dialect = self._planned, session.get_bind().dialect.name
        plan = planned.plan(session)
        path = plan.sole or plan.cheapest(partial(planned.count, session), MAX_COST) or plan.dearest
        statements = (_statements if planned.kept else _statements.__wrapped__)(
            planned.where, self._table, dialect, path
        )
        bounds = {} if path is None else path.values(planned.box, None)
        found = _number(statements.bounded, session, {**planned.values, **bounds, "max_rows": MAX_EXACT + 1})
        if found <= MAX_EXACT:
            return Total(rows=found, estimated=False)
        lowest, highest = statements.extent.first(session, {}) or (0, 0)
        span = highest - lowest + 1
        sample = _SAMPLES[dialect].to_parameter(sample_ids(lowest, span))
        matching = _number(statements.sampled, session, {**planned.values, "sample": sample})
        estimate = max(matching * span // SAMPLE_SIZE, MAX_EXACT + 1)
        return Total(rows=min(estimate, MAX_TOTAL), estimated=True)


def sample_ids(lowest: int, span: int) -> list[int]:
    """Returns SAMPLE_SIZE random ids of the `span` ids from the lowest on: one of each of as many equal parts.

    A part each makes the error smaller where events of a kind have ids that are close to each other.
    """
    return [lowest + (part * span + randrange(span)) // SAMPLE_SIZE for part in range(SAMPLE_SIZE)]  # noqa: S311


@dataclass(frozen=True)
class _Statements:
    bounded: Statement
    extent: Statement
    sampled: Statement


@dataclass(frozen=True)
class _Sample:
    """Ids as the rows of a table, of a parameter that an engine can take."""

    table: Callable[[], TableValuedAlias]
    to_parameter: Callable[[list[int]], Any]


def _json_each() -> TableValuedAlias:
    return func.json_each(bindparam("sample", type_=Text)).table_valued("value")


def _unnest() -> TableValuedAlias:
    return func.unnest(cast(bindparam("sample"), ARRAY(BigInteger))).table_valued("value").render_derived()


_SAMPLES = {"sqlite": _Sample(_json_each, json.dumps), "postgresql": _Sample(_unnest, lambda ids: ids)}


@lru_cache(maxsize=256)
def _statements(where: Node, table: Table, dialect: str, path: AnyPath | None) -> _Statements:
    """Returns the statements that count. Each value is a parameter, so filters that differ in values share them.

    The last one looks up the row of each id in a subquery. With EXISTS or a join, PostgreSQL that has no statistics
    yet, as after a load, would read the whole table instead.
    """
    conditions: list[ColumnElement[bool]] = [] if where == ALWAYS else [Condition(where, dict(table.c))]
    rows = select(literal_column("1")).select_from(table).where(*conditions).limit(bindparam("max_rows")).subquery()
    bounded = select(func.count()).select_from(rows) if path is None else path.count(table, where)
    # SQLite looks up the least id or the greatest one, and for both in one query reads all rows.
    lowest, highest = (select(end(table.c.id)).scalar_subquery() for end in (func.min, func.max))
    sample = _SAMPLES[dialect].table()
    looked_up: Select[Any] = (
        select(literal_column("1")).select_from(table).where(table.c.id == sample.c.value, *conditions)
    )
    matching = looked_up.correlate(sample).scalar_subquery()
    return _Statements(
        bounded=Statement(bounded),
        extent=Statement(select(lowest, highest)),
        sampled=Statement(select(func.count(matching)).select_from(sample)),
    )


def _number(statement: Statement, session: Session, values: Values) -> int:
    (number,) = statement.first(session, values) or (0,)
    return int(number)
