"""Paths to the rows of a page: ranges of an index that are read in the order of the list, or collected and sorted.

An index that begins with the class of lengths has a range for each class. Within a class, bounds of the start of an
event bound its end as well, and the reverse, so that a question about both is one small range.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from artemis_models import lengths
from sqlalchemy import ClauseElement, ColumnElement, Table, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from artemis_server.db.listing.bounds import INT64_MAX, INT64_MIN, Bounds, Box
from artemis_server.db.listing.filter_sql import Condition
from artemis_server.db.listing.indexes import Access
from artemis_server.db.listing.keyset import Keyset, Position
from artemis_server.db.statements import Values
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import ALWAYS, Node, fields

_FIRST, _TIES, _BEYOND = "from the first", "at the place", "beyond the place"
"""Parts of the rows: all of a first page, and of a later one those with the key of the row before it, and the rest."""
_LAST_KEY = "(SELECT last_key FROM page_end)"
_BEFORE, _AT, _NO_LAST = (f"{{}} > {_LAST_KEY}", f"{{}} = {_LAST_KEY}", f"{_LAST_KEY} IS NULL")
"""Conditions that divide a part that is read backwards at the key of the last row of the page."""
MAX_COUNTED = 2**16
"""More entries than any caller counts."""


@dataclass(frozen=True)
class Limits:
    """The limits of a statement that are part of it."""

    most: int
    """The highest value of the parameter `max_rows`."""
    tried: int = 0
    """The next rows among which the filter is looked for; 0 if it is looked for in all."""


@dataclass(frozen=True)
class Path:
    """A way to the rows of a page."""

    access: Access
    keys: tuple[SortKey, ...]
    """The sort keys of the list."""
    ordered: bool
    """True if each range has the rows in the order of the list, so that reading ends with the page."""
    has_low: bool
    """True if the range of the column `access.key` has a lower end on the first page."""
    has_high: bool

    @property
    def descending(self) -> bool:
        """True if the ranges are read backwards."""
        return self.ordered and next(key.descending for key in self.keys if key.field.name == self.access.key)

    @property
    def by_id(self) -> bool:
        """True if the id alone orders the rows of a range."""
        return self.ordered and self.access.key == "id"

    @property
    def ties_by_id(self) -> bool:
        """True if the id alone orders the rows of a range that have the same key."""
        return self.ordered and self.keys[-2:][0].field.name == self.access.key

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of its ranges."""
        return lengths.CLASSES if self.access.classed else (0,)

    def values(self, box: Box, after: Position | None) -> Values:
        """Returns the values of the parameters that are not the filter's."""
        values: Values = {f"equal_{place}": box[name].low for place, name in enumerate(self.access.equal)}
        ends = {number: self._range(box, number) for number in self.numbers}
        if after is not None and self.ordered:
            place = after[[key.field.name for key in self.keys].index(self.access.key)]
            values["place"] = place
            ends = {number: self._beyond(bounds, place) for number, bounds in ends.items()}
        for number, bounds in ends.items():
            values |= {f"low_{number}": bounds.low, f"high_{number}": bounds.high}
        return values

    def select(
        self,
        where: Node,
        table: Table,
        selected: tuple[str, ...],
        unset: tuple[bool, ...] | None,
        limits: Limits,
    ) -> ClauseElement:
        """Returns the statement that reads a page. The filter is one of `parameterize`.

        `unset` tells which values of the position before the page are None; it is None on the first page.
        """
        return _Select(self, where, table, selected, unset, limits)

    def count(self, table: Table, where: Node = ALWAYS) -> ClauseElement:
        """Returns the statement that counts, up to `max_rows`, the rows in its ranges that a filter chooses."""
        return _Count(self, table, where)

    def __str__(self) -> str:
        return f"{self.access.index.name or 'primary key'}, {'in order' if self.ordered else 'sorted'}"

    def _beyond(self, bounds: Bounds, place: Any) -> Bounds:
        """Returns the bounds of the rows beyond a place, of which the one towards it is excluded."""
        if self.descending:
            return Bounds(bounds.low, place if bounds.high is None else min(place, _moved(bounds.high, 1)))
        return Bounds(place if bounds.low is None else max(place, _moved(bounds.low, -1)), bounds.high)

    def _range(self, box: Box, number: int) -> Bounds:
        """Returns the bounds of the key in a range."""
        bounds = box.get(self.access.key, Bounds())
        if not self.access.classed:
            return bounds
        shortest, longest = lengths.extremes(number)
        if self.access.key == "start_time":
            ends = box.get("end_time", Bounds())
            derived = Bounds(_moved(ends.low, -longest), _moved(ends.high, -shortest))
        else:
            starts = box.get("start_time", Bounds())
            derived = Bounds(_moved(starts.low, shortest), _moved(starts.high, longest))
        return bounds.within(derived)


def path(access: Access, keys: tuple[SortKey, ...], box: Box, *, ordered: bool) -> Path:
    """Returns the path that uses an index for the rows within a box."""
    names = ("start_time", "end_time") if access.classed else (access.key,)
    found = [box.get(name, Bounds()) for name in names]
    has_low = any(bounds.low is not None for bounds in found)
    return Path(access, keys, ordered, has_low, any(bounds.high is not None for bounds in found))


def _moved(value: Any, length: int) -> Any:
    """Returns a time that is some microseconds later; a text, which bounds nothing but itself, as it is."""
    return min(max(value + length, INT64_MIN), INT64_MAX) if isinstance(value, int) else value


@dataclass(eq=False)
class _Select(ClauseElement):
    path: Path
    where: Node
    table: Table
    selected: tuple[str, ...]
    unset: tuple[bool, ...] | None
    limits: Limits

    inherit_cache = False


@dataclass(eq=False)
class _Count(ClauseElement):
    path: Path
    table: Table
    where: Node

    inherit_cache = False


@compiles(_Select)
def _select(element: _Select, compiler: SQLCompiler, **options: Any) -> str:
    return _Writer(element.path, element.table, compiler, options).page(element)


@compiles(_Count)
def _count(element: _Count, compiler: SQLCompiler, **options: Any) -> str:
    writer = _Writer(element.path, element.table, compiler, options)
    ranges = " UNION ALL ".join(writer.ranges("1", writer.conditions(element.where), _FIRST))
    counted = writer.limited(f"{ranges} {writer.limit(MAX_COUNTED)}")
    return f"SELECT count(*) FROM ({counted}) AS entries"  # noqa: S608, names of ours


class _Writer:
    """Writes the statements of a path."""

    def __init__(self, taken: Path, table: Table, compiler: SQLCompiler, options: dict[str, Any]) -> None:
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

    def page(self, element: _Select) -> str:
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
        if path.ordered and len(selects) > 1 and not self._sqlite:  # it merges what says its order
            selects = [f"({each} ORDER BY {places})" for each in selects]
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
            classed = [f"({lengths.LENGTH_CLASS}) = {number}"] if self._access.classed else []
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
