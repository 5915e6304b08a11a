"""Filters as SQL: a tree becomes an expression whose values are bound parameters, never SQL text.

Every expression is true or false and never NULL, so that NOT means what it means in the tree; and text
compares by code point, with regard to case, on every engine (LIKE does not).
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Integer, Text, and_, false, func, literal, not_, or_, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from artemis_server.db import etags
from artemis_server.query.tree import And, Compare, HasEtag, Matches, Node, Not, Operator, Or, Present

Column = ColumnElement[Any]
Columns = Mapping[str, Column]
_SURROGATES = range(0xD800, 0xE000)  # no text has them
_LAST_CODE_POINT = 0x10FFFF
_OPERATORS: dict[Operator, Callable[[Column, Any], ColumnElement[bool]]] = {
    Operator.EQ: operator.eq,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}


class position(GenericFunction[int]):  # noqa: N801, a function is named as in SQL
    """position(text, part): where, from 1, the text first has the part; 0 if it has not."""

    type = Integer()
    inherit_cache = True
    name = "instr"


@compiles(position, "postgresql")
def _position(element: position, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos{compiler.process(element.clauses.self_group(), **options)}"


def condition(node: Node, columns: Columns) -> ColumnElement[bool]:  # noqa: PLR0911, one for each kind of node
    """Returns the expression that is true for the rows for which the tree holds."""
    match node:
        case And(terms):
            return and_(true(), *(condition(term, columns) for term in terms))
        case Or(terms):
            return or_(false(), *(condition(term, columns) for term in terms))
        case Not(term):
            return not_(condition(term, columns))
        case Compare(field, how, value):
            return _not_null(columns[field], _OPERATORS[how](columns[field], value))
        case Matches(field):
            return _matches(columns[field], node)
        case Present(field):
            return _present(columns[field])
        case HasEtag(etag):
            return columns["version"] == etags.to_version(etag)


def _not_null(column: Column, comparison: ColumnElement[bool]) -> ColumnElement[bool]:
    """Returns a comparison that is false, and not NULL, for an unset column."""
    return and_(column.is_not(None), comparison) if column.nullable else comparison


def _present(column: Column) -> ColumnElement[bool]:
    if isinstance(column.type, Text):
        return column != ""
    return column.is_not(None) if column.nullable else true()


def _matches(column: Column, pattern: Matches) -> ColumnElement[bool]:
    text = pattern.text
    if not pattern.open_start:
        return _begins(column, text) if pattern.open_end else column == text
    if not text:
        return true()
    if pattern.open_end:
        return position(column, literal(text)) > 0
    return func.substr(column, func.length(column) - (len(text) - 1)) == text


def _begins(column: Column, text: str) -> ColumnElement[bool]:
    """Returns a range and not a search, for which an index can be used."""
    end = _successor(text)
    return and_(column >= text, column < end) if end else column >= text


def _successor(text: str) -> str:
    """Returns the least text, by code point, above all that begin with this one; empty if there is none."""
    head = text.rstrip(chr(_LAST_CODE_POINT))
    if not head:
        return ""
    following = ord(head[-1]) + 1
    return head[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
