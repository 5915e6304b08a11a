"""Keyset pagination: a page begins after the sort keys of the row that ended the one before.

Unlike an offset, it costs the same at any depth and does not move when rows come and go. An unset
field sorts before every value, on every engine.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, and_, bindparam, false, or_, true, tuple_
from sqlalchemy.sql.elements import BindParameter

from artemis_server.db.listing.filter_sql import Column, Columns
from artemis_server.query.orders import SortKey

Position: TypeAlias = Sequence[int | str | None]
"""The values of a row's sort keys."""


class Keyset:
    """The order of a list, and where in it a page begins."""

    def __init__(self, keys: Sequence[SortKey], columns: Columns) -> None:
        self._keys = [(columns[key.field.name], key.descending) for key in keys]
        self._nullable = any(key.field.nullable for key in keys)
        self._uniform = len({key.descending for key in keys}) == 1

    def order(self) -> list[ColumnElement[Any]]:
        """Returns the terms of ORDER BY."""
        return [_directed(column, descending) for column, descending in self._keys]

    def after(self, unset: Sequence[bool]) -> ColumnElement[bool]:
        """Returns the condition that a row comes after a position, of whose values these are None.

        The values themselves are parameters.
        """
        bounds: list[BindParameter[Any] | None] = [
            None if is_unset else bindparam(f"after_{index}") for index, is_unset in enumerate(unset)
        ]
        if self._uniform and not self._nullable:
            columns = tuple_(*(column for column, _ in self._keys))
            return columns < tuple_(*bounds) if self._keys[0][1] else columns > tuple_(*bounds)
        beyond: ColumnElement[bool] = false()
        for (column, descending), bound in reversed(list(zip(self._keys, bounds, strict=True))):
            same = column.is_(None) if bound is None else column == bound
            beyond = or_(_after(column, descending, bound), and_(same, beyond))
        column, descending = self._keys[0]
        # It follows from the rest, and lets an index begin at the right place.
        return and_(_from(column, descending, bounds[0]), beyond)


def _directed(column: Column, descending: bool) -> ColumnElement[Any]:
    directed = column.desc() if descending else column.asc()
    if not column.nullable:
        return directed
    return directed.nulls_last() if descending else directed.nulls_first()


def _after(column: Column, descending: bool, bound: "BindParameter[Any] | None") -> ColumnElement[bool]:
    """Returns the condition that a row comes after the bound in this column."""
    if bound is None:
        return false() if descending else column.is_not(None)
    return _with_unset(column, column < bound) if descending else column > bound


def _from(column: Column, descending: bool, bound: "BindParameter[Any] | None") -> ColumnElement[bool]:
    """Returns the condition that a row comes after the bound in this column, or is equal to it."""
    if bound is None:
        return column.is_(None) if descending else true()
    return _with_unset(column, column <= bound) if descending else column >= bound


def _with_unset(column: Column, below: ColumnElement[bool]) -> ColumnElement[bool]:
    return or_(below, column.is_(None)) if column.nullable else below
