"""The SQL of paths: the statements that read a page or count rows by the ranges of an index."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artemis_models.lengths import LengthClass
from sqlalchemy import ColumnElement, Table, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from artemis_server.db.listing.filter_sql import Condition
from artemis_server.db.listing.keyset import Keyset
from artemis_server.db.listing.path_statements import CountStatement, PageStatement
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import ALWAYS, Node, fields

if TYPE_CHECKING:
    from artemis_server.db.listing.paths import Path

_FIRST, _TIES, _BEYOND = "from the first", "at the place", "beyond the place"
"""Parts of the rows: all of a first page, and of a later one those with the key of the row before it, and the rest."""
_LAST_KEY = "(SELECT last_key FROM page_end)"
_BEFORE, _AT, _NO_LAST = (f"{{}} > {_LAST_KEY}", f"{{}} = {_LAST_KEY}", f"{_LAST_KEY} IS NULL")
"""Conditions that divide a part that is read backwards at the key of the last row of the page."""


@dataclass(frozen=True)
class Limits:
    """The limits of a statement that are part of it."""

    most: int
    """The highest value of the parameter `max_rows`."""
    tried: int = 0
    """The next rows among which the filter is looked for; 0 if it is looked for in all."""


@dataclass(eq=False)
class RangesPage(PageStatement["Path"]):
    """Reads a page by ranges of an index."""

    limits: Limits

    inherit_cache = False


class RangesCount(CountStatement["Path"]):
    """Counts the rows in ranges of an index."""

    inherit_cache = False


@compiles(RangesPage)
def _select(element: RangesPage, compiler: SQLCompiler, **options: Any) -> str:
    return _Writer(element.path, element.table, compiler, options).page(element)


@compiles(RangesCount)
def _count(element: RangesCount, compiler: SQLCompiler, **options: Any) -> str:
    writer = _Writer(element.path, element.table, compiler, options)
    ranges = " UNION ALL ".join(writer.ranges("1", writer.conditions(element.where), _FIRST))
    counted = writer.limited(f"{ranges} {writer.limit(element.most)}")
    return f"SELECT count(*) FROM ({counted}) AS entries"  # noqa: S608, names of ours


class _Writer:
    """Writes the statements of a path."""

    def __init__(self, taken: "Path", table: Table, compiler: SQLCompiler, options: dict[str, Any]) -> None:
        self._path = taken
        self._access = taken.access
        self._table = table
        self._sqlite = compiler.dialect.name == "sqlite"
        # PostgreSQL plans for a tenth of all rows where a limit is a parameter. So no plan for any values would look as
        # good as one for these, and to make one for many ranges takes longer than to read the page. A number tells it.
        self._planned_once = taken.access.classed and not self._sqlite
        self._compiler = compiler
        self._options = options
        self._covered = False
        """True if the index has all that the filter needs, so that entries may be read twice."""

    def page(self, element: RangesPage) -> str:
        """Returns the statement of a page.

        An index in the order of the list gives the rows of a first page at once. Otherwise the keys of the page are
        found first, in the index alone if it has all that the filter needs, and then their rows.
        """
        path, first = self._path, element.unset is None
        conditions = self.conditions(element.where)
        keyset = Keyset(path.keys, dict(self._table.c))
        selected, order = self._names(element.selected), ", ".join(map(self._process, keyset.order()))
        limit = self.limit(element.limits.most)
        after = [] if element.unset is None else [self._process(keyset.after(element.unset))]
        name, row = self._table.name, f"{self._column('id')} = page.id"
        # The row of each key is looked up: SQLite reads the left side of a CROSS JOIN first.
        looked_up = name if self._sqlite else f"LATERAL (SELECT * FROM {name} WHERE {row} OFFSET 0) AS {name}"  # noqa: S608, ours
        joined = f"AS page CROSS JOIN {looked_up} ON {row}" if self._sqlite else f"AS page CROSS JOIN {looked_up}"
        if element.limits.tried:
            page = self._keys(after, [], f"LIMIT {element.limits.tried}")
            if path.by_id and not self._sqlite:
                (rows,) = self.ranges("*", [], _FIRST if first else _BEYOND)
                page, joined = f"{rows} ORDER BY {order} LIMIT {element.limits.tried}", f"AS {name}"
            where, limit = " AND ".join(conditions), f"LIMIT {self.parameter('max_rows')}"
            # A CROSS JOIN keeps the order of its left side, so that SQLite ends with the page.
            sort = "" if self._sqlite else f" ORDER BY {order}"
            return f"SELECT {selected} FROM ({page}) {joined} WHERE {where}{sort} {limit}"  # noqa: S608, ours
        self._covered = path.access.covers(fields(element.where))
        if path.by_id or (path.ordered and not path.access.classed and first and not self._divides):
            (rows,) = self.ranges(selected, conditions, _FIRST if first else _BEYOND)
            return f"{rows} ORDER BY {order} {limit}"
        page = self.limited(self._keys(after, conditions, limit))
        return f"SELECT {selected} FROM ({page}) {joined} ORDER BY {order}"  # noqa: S608, names of ours

    def limit(self, most: int) -> str:
        """Returns the LIMIT of a statement that `limited` limits further."""
        return f"LIMIT {most}" if self._planned_once else f"LIMIT {self.parameter('max_rows')}"

    def limited(self, rows: str) -> str:
        """Returns the statement of the first `max_rows` of rows that have a `limit`."""
        if not self._planned_once:
            return rows
        return f"SELECT * FROM ({rows}) AS most LIMIT {self.parameter('max_rows')}"  # noqa: S608, ours

    def _keys(self, after: list[str], conditions: list[str], limit: str) -> str:
        """Returns the statement of the keys of a page; `after` is the condition of a row before it, if any."""
        path = self._path
        if not after:
            return self._part(_FIRST, conditions, limit)
        if not path.ordered:
            return self._part(_FIRST, [*conditions, *after], limit)
        if path.by_id:
            return self._part(_BEYOND, conditions, limit)
        # Many rows may have the key of the row before the page; the others are read if they are few.
        ties = self._part(_TIES, [*conditions, *([] if path.ties_by_id else after)], limit)
        rest = self._part(_BEYOND, conditions, limit)
        return f"SELECT * FROM ({ties}) AS ties UNION ALL SELECT * FROM ({rest}) AS rest {limit}"  # noqa: S608, ours

    def _part(self, part: str, conditions: list[str], limit: str) -> str:
        """Returns the statement of the keys of rows of a part, in the order of the list."""
        path = self._path
        if part != _TIES and self._divides:
            return self._divided_part(part, conditions, limit)
        keys = self._names([key.field.name for key in path.keys])
        places = ", ".join(f"{place}{_direction(key)}" for place, key in enumerate(path.keys, 1))
        selects = list(self.ranges(keys, conditions, part))
        if path.ordered and len(selects) > 1 and not self._sqlite:
            # It merges what says its order. If a range has many rows and no limit, it reads the whole table and sorts
            # them, unless its random_page_cost is lower than the default.
            selects = [f"({each} ORDER BY {places} {limit})" for each in selects]
        ranges = " UNION ALL ".join(selects)
        if not path.ordered and not self._sqlite:
            ranges = f"SELECT * FROM ({ranges} OFFSET 0) AS chosen"  # noqa: S608, OFFSET: no index by the order
        return f"{ranges} ORDER BY {places} {limit}"

    @property
    def _divides(self) -> bool:
        """Tells whether a part is divided: if its index is read backwards, and forwards among rows with one key."""
        path = self._path
        backwards = path.descending and not path.by_id and path.ties_by_id and not path.keys[-1].descending
        return self._sqlite and backwards and not path.access.classed and self._covered

    def _divided_part(self, part: str, conditions: list[str], limit: str) -> str:
        """Returns the statement of the keys of rows of a part, in the order of the list.

        A load gives many rows one key. SQLite would sort all of them for a page, because it reads them backwards and
        the list has them in the order of their ids. So the key of the last row of the page is found first. The rows
        before it are on the page, and those that have it are read forwards.
        """
        key, keys = self._column(self._access.key), self._names([each.field.name for each in self._path.keys])
        (entries,) = self.ranges(f"{key} AS last_key", conditions, part)
        end = f"{entries} ORDER BY {key} DESC LIMIT 1 OFFSET {limit.removeprefix('LIMIT ')}"
        selects = [
            f"SELECT * FROM ({rows} ORDER BY {order} {limit})"  # noqa: S608, names of ours
            for condition, order in ((_BEFORE, "1 DESC, 2"), (_AT, "2"), (_NO_LAST, "1 DESC, 2"))
            for rows in self.ranges(keys, conditions, part, condition)
        ]
        return f"WITH page_end AS MATERIALIZED ({end}) {' UNION ALL '.join(selects)} {limit}"

    def conditions(self, where: Node) -> list[str]:
        """Returns the condition that a filter is; none if it chooses all rows."""
        return [] if where == ALWAYS else [self._process(Condition(where, dict(self._table.c)))]

    def ranges(self, selected: str, conditions: Sequence[str], part: str, divided: str = "") -> Iterator[str]:
        """Yields a SELECT for each range: of the rows in it for which the conditions hold.

        `divided` is the condition of a division of the part.
        """
        name, index = self._table.name, self._access.index
        hint = "" if not self._sqlite else f" INDEXED BY {index.name}" if index.name else " NOT INDEXED"
        fixed = [
            f"{self._column(each)} = {self.parameter(f'equal_{at}')}" for at, each in enumerate(self._access.equal)
        ]
        fixed += [index.predicate] if index.predicate else []
        # The range is the narrowest. Neither engine looks for an index for conditions that are written like this.
        loose = "+({})" if self._sqlite else "CASE WHEN {} THEN true ELSE false END"
        checked = [loose.format(each) for each in conditions]
        for number in self._path.numbers:
            classed = [f"{self._process(LengthClass())} = {number}"] if self._access.classed else []
            terms = [*fixed, *classed, *self._ends(number, part, divided), *checked]
            where = f" WHERE {' AND '.join(terms)}" if terms else ""
            yield f"SELECT {selected} FROM {name}{hint}{where}"  # noqa: S608, names of ours

    def _ends(self, number: int, part: str, divided: str) -> Iterator[str]:
        """Yields the conditions of the ends of a range."""
        key, path = self._column(self._access.key), self._path
        loose = "+" if divided == _AT else ""
        if divided:
            yield divided.format(key)
        if part == _TIES:
            yield f"{key} = {self.parameter('place')}"
            loose = "+" if self._sqlite else ""
            if path.ties_by_id:
                sign = "<" if path.keys[-1].descending else ">"
                yield f"{self._column('id')} {sign} {self.parameter(f'after_{len(path.keys) - 1}')}"
        ends = {">": (path.has_low, f"low_{number}"), "<": (path.has_high, f"high_{number}")}
        if divided == _BEFORE:
            del ends[">"]  # of two lower ends, SQLite would seek one
        for sign, (given, parameter) in ends.items():
            if part == _BEYOND and (sign == "<") == path.descending:
                yield f"{loose}{key} {sign} {self.parameter(parameter)}"
            elif given:
                yield f"{loose}{key} {sign}= {self.parameter(parameter)}"

    def _names(self, names: Sequence[str]) -> str:
        return ", ".join(map(self._column, names))

    def parameter(self, name: str) -> str:
        """Returns a bound parameter."""
        return self._process(bindparam(name))

    def _column(self, name: str) -> str:
        return self._process(self._table.c[name])

    def _process(self, element: ColumnElement[Any]) -> str:
        return str(self._compiler.process(element, **self._options))


def _direction(key: SortKey) -> str:
    if not key.field.nullable:
        return " DESC" if key.descending else ""
    return " DESC NULLS LAST" if key.descending else " NULLS FIRST"
