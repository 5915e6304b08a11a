"""Filters as SQL: a tree becomes an expression whose values are bound parameters, never SQL text.

Every expression is true or false and never NULL, so that NOT means what it means in the tree; and text
compares by code point, with regard to case, on every engine (LIKE does not).
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Integer, Text, and_, bindparam, false, func, not_, or_, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from artemis_server.db import etags
from artemis_server.db.statements import Values
from artemis_server.query.tree import ALWAYS, And, Compare, HasEtag, Matches, Node, Not, Operator, Or, Present

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


def parameterize(node: Node, values: Values) -> Node:  # noqa: PLR0911, one for each kind of node
    """Adds the values in a tree to `values`, and returns the tree with the names of parameters in their places.

        id > 5 AND name = "py*"     And((Compare("id", Operator.GT, "value_0"),
                                         And((Compare("name", Operator.GE, "value_1"),
                                              Compare("name", Operator.LT, "value_2")))))
                                    with {"value_0": 5, "value_1": "py", "value_2": "pz"}

    Filters that differ in nothing but values give equal trees. A prefix becomes a range, for which an index is used.
    """
    match node:
        case And(terms) | Or(terms):
            return type(node)(tuple(parameterize(term, values) for term in terms))
        case Not(term):
            return Not(parameterize(term, values))
        case Compare(value=value):
            return replace(node, value=_add(value, values))
        case HasEtag(etag):
            return parameterize(Compare("version", Operator.EQ, etags.to_version(etag)), values)
        case Matches(field, text, open_start=False, open_end=True):
            begins, end = Compare(field, Operator.GE, text), _successor(text)
            return parameterize(And((begins, Compare(field, Operator.LT, end))) if end else begins, values)
        case Matches(field, text, open_start=False):
            return parameterize(Compare(field, Operator.EQ, text), values)
        case Matches(text=text):
            return replace(node, text=_add(text, values)) if text else ALWAYS
    return node


def _add(value: int | str, values: Values) -> str:
    name = f"value_{len(values)}"
    values[name] = value
    return name


def condition(node: Node, columns: Columns) -> ColumnElement[bool]:  # noqa: PLR0911, one for each kind of node
    """Returns the expression that is true for the rows for which the tree, one of `parameterize`, holds."""
    match node:
        case And(terms):
            return and_(true(), *(condition(term, columns) for term in terms))
        case Or(terms):
            return or_(false(), *(condition(term, columns) for term in terms))
        case Not(term):
            return not_(condition(term, columns))
        case Compare(field, how, name):
            column = columns[field]
            comparison = _OPERATORS[how](column, bindparam(str(name), type_=column.type))
            return and_(column.is_not(None), comparison) if column.nullable else comparison  # false, and not NULL
        case Matches(field, name):
            text, part = columns[field], bindparam(name, type_=Text())
            if node.open_end:
                return position(text, part) > 0
            return func.substr(text, func.length(text) - func.length(part) + 1) == part
        case Present(field):
            return _present(columns[field])
    raise AssertionError(f"{node} is not parameterized")


def _present(column: Column) -> ColumnElement[bool]:
    if isinstance(column.type, Text):
        return column != ""
    return column.is_not(None) if column.nullable else true()


def _successor(text: str) -> str:
    """Returns the least text, by code point, above all that begin with this one; empty if there is none."""
    head = text.rstrip(chr(_LAST_CODE_POINT))
    if not head:
        return ""
    following = ord(head[-1]) + 1
    return head[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
