"""The path to the rows of a page by the index of texts, on PostgreSQL (docs/adr/0050)."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from artemis_models import text_index
from sqlalchemy import ClauseElement, Table, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler

from artemis_server.db.listing.bounds import Box
from artemis_server.db.listing.filter_sql import Condition, to_pattern
from artemis_server.db.listing.keyset import Keyset, Position
from artemis_server.db.listing.path_statements import MAX_COUNTED, CountStatement, PageStatement
from artemis_server.db.listing.text_search import Search
from artemis_server.db.statements import Statement, Values
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import ALWAYS, Node

MAX_CHARACTERS = 32
"""The most characters of a text that are asked for; the others add little."""
MIN_STRIPPED = 6
"""The characters of a text from which on its spaces at both ends are not asked for."""
UNKNOWN = 2**63
"""More rows than there are."""


@dataclass(frozen=True)
class TrigramPath:
    """A way to the rows of a page: the events that may contain texts, which are collected and sorted."""

    keys: tuple[SortKey, ...]
    """The sort keys of the list."""
    number: int
    """The number of texts. Paths that differ in nothing but the texts are equal, and share statements."""
    texts: tuple[str, ...] = field(compare=False)

    ordered = False
    """False: a page is full when all rows are sorted."""

    def values(self, _: Box, __: Position | None) -> Values:
        """Returns the values of the parameters that are not the filter's."""
        parts = (text_index.marked(_part(text)) for text in self.texts)
        return {f"part_{number}": to_pattern(part) for number, part in enumerate(parts)}

    def select(
        self, where: Node, table: Table, selected: tuple[str, ...], unset: tuple[bool, ...] | None
    ) -> ClauseElement:
        """Returns the statement that reads a page, as `Path.select` does."""
        return _Select(self, where, table, selected, unset)

    def count(self, table: Table, where: Node = ALWAYS, most: int = MAX_COUNTED) -> ClauseElement:
        """Returns the statement that counts, up to `max_rows`, the events found that a filter chooses."""
        return _Count(self, table, where, most)

    def estimate(self, session: Session, table: Table) -> int:
        """Returns how many rows PostgreSQL expects to find; UNKNOWN, if it would not use the index.

        To ask takes half a millisecond, and the search for a text that many events have takes as long as they are many.
        """
        ((explained,),) = _explain(self, table).rows(session, self.values({}, None))
        return int(explained[0]["Plan"]["Plan Rows"]) if f"'{text_index.INDEX}'" in str(explained) else UNKNOWN

    def __str__(self) -> str:
        return f"{text_index.INDEX}, sorted"


def _part(text: str) -> str:
    """Returns the part of a text that is asked for. The begin of a word, as in " 12345", adds what many events have."""
    stripped = text.strip()
    return (stripped if len(stripped) >= MIN_STRIPPED else text)[:MAX_CHARACTERS]


def trigram_path(keys: tuple[SortKey, ...], searches: tuple[Search, ...]) -> TrigramPath:
    """Returns the path for searches. The index does not know the columns of a text, so each text is looked for once."""
    texts = tuple(dict.fromkeys(search.text for search in searches))
    return TrigramPath(keys, len(texts), texts)


@lru_cache(maxsize=256)
def _explain(path: TrigramPath, table: Table) -> Statement:
    return Statement(_Explain(path, table), planned_anew=True)


class _Select(PageStatement[TrigramPath]):
    inherit_cache = False


class _Count(CountStatement[TrigramPath]):
    inherit_cache = False


@dataclass(eq=False)
class _Explain(ClauseElement):
    path: TrigramPath
    table: Table

    inherit_cache = False


@compiles(_Select)
def _select(element: _Select, compiler: SQLCompiler, **options: Any) -> str:
    columns = dict(element.table.c)
    keyset = Keyset(element.path.keys, columns)
    conditions: list[ClauseElement] = [Condition(element.where, columns)]
    conditions += [] if element.unset is None else [keyset.after(element.unset)]
    selected, order = (
        ", ".join(compiler.process(each, **options) for each in parts)
        for parts in ((columns[name] for name in element.selected), keyset.order())
    )
    where = " AND ".join(compiler.process(each, **options) for each in conditions)
    found, limit = _found(element.path, element.table, compiler, options), _limit(compiler, options)
    return f"SELECT {selected} FROM {found} WHERE {where} ORDER BY {order} LIMIT {limit}"  # noqa: S608, names of ours


@compiles(_Count)
def _count(element: _Count, compiler: SQLCompiler, **options: Any) -> str:
    found, limit = _found(element.path, element.table, compiler, options), _limit(compiler, options)
    condition = Condition(element.where, dict(element.table.c))
    where = "" if element.where == ALWAYS else f" WHERE {compiler.process(condition, **options)}"
    return f"SELECT count(*) FROM (SELECT 1 FROM {found}{where} LIMIT {limit}) AS entries"  # noqa: S608, names of ours


@compiles(_Explain)
def _explained(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {_found(element.path, element.table, compiler, options)}"  # noqa: S608, ours


def _limit(compiler: SQLCompiler, options: dict[str, Any]) -> str:
    return str(compiler.process(bindparam("max_rows"), **options))


def _found(path: TrigramPath, table: Table, compiler: SQLCompiler, options: dict[str, Any]) -> str:
    """Returns the subquery of the candidates. The OFFSET keeps PostgreSQL from using another index for the filter."""
    parts = (compiler.process(bindparam(f"part_{number}", type_=Text()), **options) for number in range(path.number))
    where = " AND ".join(f"{text_index.MARKED} LIKE {part}" for part in parts)
    return f"(SELECT * FROM {table.name} WHERE {where} OFFSET 0) AS {table.name}"  # noqa: S608, ours
