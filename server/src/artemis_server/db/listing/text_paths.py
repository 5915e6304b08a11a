"""The path to the rows of a page by the index of texts, on SQLite (docs/adr/0050)."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ClauseElement, Table, bindparam, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from artemis_server.db.listing.bounds import INT64_MIN, Box
from artemis_server.db.listing.filter_sql import Condition
from artemis_server.db.listing.keyset import Keyset, Position
from artemis_server.db.listing.path_statements import MAX_COUNTED, CountStatement, PageStatement
from artemis_server.db.listing.text_search import SQLITE_CANDIDATES
from artemis_server.db.statements import Values
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import ALWAYS, Node

_ALL = -1
"""The LIMIT of SQLite that is none."""
_CANDIDATES = text(SQLITE_CANDIDATES)


@dataclass(frozen=True)
class TextPath:
    """A way to the rows of a page: the events that may contain texts, in the order of their ids."""

    keys: tuple[SortKey, ...]
    """The sort keys of the list."""
    match: str = field(compare=False)
    """The query of FTS5."""

    @property
    def ordered(self) -> bool:
        """True if the list is in the order of the ids, so that reading ends with the page."""
        return bool(self.keys) and self.keys[0].field.name == "id" and not self.keys[0].descending

    def values(self, _: Box, after: Position | None) -> Values:
        """Returns the values of the parameters that are not the filter's."""
        place = after[0] if after is not None and self.ordered else INT64_MIN
        return {"match": self.match, "after": place, "max_candidates": _ALL}

    def select(
        self, where: Node, table: Table, selected: tuple[str, ...], unset: tuple[bool, ...] | None
    ) -> ClauseElement:
        """Returns the statement that reads a page, as `Path.select` does."""
        return _TextSelect(self, where, table, selected, unset)

    def count(self, table: Table, where: Node = ALWAYS, most: int = MAX_COUNTED) -> ClauseElement:
        """Returns the statement that counts, up to `max_rows`, the events found that a filter chooses."""
        return _TextCount(self, table, where, most)

    def __str__(self) -> str:
        return f"event_texts, {'in order' if self.ordered else 'sorted'}"


class _TextSelect(PageStatement[TextPath]):
    inherit_cache = False


class _TextCount(CountStatement[TextPath]):
    inherit_cache = False


@compiles(_TextSelect)
def _select(element: _TextSelect, compiler: SQLCompiler, **options: Any) -> str:
    columns, name = dict(element.table.c), element.table.name
    keyset = Keyset(element.path.keys, columns)
    conditions: list[ClauseElement] = [Condition(element.where, columns)]
    if element.unset is not None and not element.path.ordered:
        conditions.append(keyset.after(element.unset))
    where = " AND ".join(f"+({compiler.process(each, **options)})" for each in conditions)
    order = "" if element.path.ordered else f" ORDER BY {', '.join(compiler.process(each) for each in keyset.order())}"
    selected = ", ".join(compiler.process(columns[each], **options) for each in element.selected)
    # A CROSS JOIN keeps the order of its left side.
    return (
        f"SELECT {selected} FROM ({compiler.process(_CANDIDATES, **options)}) AS found"  # noqa: S608, names of ours
        f" CROSS JOIN {name} ON {name}.id = found.id WHERE {where}{order}"
        f" LIMIT {compiler.process(bindparam('max_rows'), **options)}"
    )


@compiles(_TextCount)
def _count(element: _TextCount, compiler: SQLCompiler, **options: Any) -> str:
    limit, name = compiler.process(bindparam("max_rows"), **options), element.table.name
    found = f"SELECT 1 FROM ({compiler.process(_CANDIDATES, **options)}) AS found"  # noqa: S608, names of ours
    if element.where != ALWAYS:
        condition = compiler.process(Condition(element.where, dict(element.table.c)), **options)
        found += f" CROSS JOIN {name} ON {name}.id = found.id WHERE +({condition})"
    return f"SELECT count(*) FROM ({found} LIMIT {limit})"  # noqa: S608, names of ours
