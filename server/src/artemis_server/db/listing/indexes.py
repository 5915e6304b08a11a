"""Indexes of a table, as a planner sees them: columns in their order."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from artemis_models.lengths import LengthClass
from sqlalchemy import Column, Table

from artemis_server.db.listing.bounds import Bounds, Box

LENGTH = "length class"
"""Stands among the columns of an index for the class of lengths (`artemis_models.lengths`)."""
SPAN = ("start_time", "end_time")


@dataclass(frozen=True)
class TableIndex:
    """An index. The primary key has no name."""

    name: str
    columns: tuple[str, ...]
    """The names of its columns. After the id come those that are there to be read without the row."""
    predicate: str = ""
    """The SQL condition of the rows that it has, which is about its first column; empty if it has all."""


@dataclass(frozen=True)
class Access:
    """A use of an index: the range that starts with equal values, and goes on with a range of the next column."""

    index: TableIndex
    equal: tuple[str, ...]
    """The first columns, of which the filter names the values."""
    classed: bool
    """True if the class of lengths follows. Each class is a range of its own."""
    key: str
    """The column after them."""

    def used(self, box: Box) -> frozenset[str]:
        """Returns the columns whose bounds make the range smaller."""
        ranged = SPAN if self.classed else (self.key,)
        return frozenset(self.equal) | {name for name in ranged if name in box}

    def covers(self, columns: Collection[str]) -> bool:
        """Tells whether the index has these columns, so that no row is read for them."""
        return set(columns) <= {*self.index.columns, "id"}


@cache
def indexes_of(table: Table) -> tuple[TableIndex, ...]:
    """Returns the indexes of a table on columns and the class of lengths, and its primary key first."""
    found = [TableIndex("", ("id",))]
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        columns = [_column(each) for each in index.expressions]
        if all(columns):
            where = index.dialect_options["sqlite"]["where"]
            found.append(TableIndex(str(index.name), tuple(filter(None, columns)), "" if where is None else str(where)))
    return tuple(found)


def _column(expression: object) -> str | None:
    if isinstance(expression, Column):
        return str(expression.name)
    return LENGTH if isinstance(expression, LengthClass) else None


def access(index: TableIndex, box: Box) -> Access | None:
    """Returns how the index is used for rows within the box; None if it lacks some of them."""
    columns = index.columns
    count = 0
    while count < len(columns) - 1 and box.get(columns[count], Bounds()).equal and columns[count] != "id":
        count += 1
    if index.predicate and (not count or box[columns[0]].low in ("", None)):
        return None
    classed = columns[count] == LENGTH
    return Access(index, columns[:count], classed, columns[count + classed])
