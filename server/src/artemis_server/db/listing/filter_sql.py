"""Filters as SQL: a tree becomes an expression whose values are bound parameters, never SQL text.

Every expression is true or false and never NULL, so that NOT means what it means in the tree; and text
compares by code point, with regard to case, on every engine (LIKE does not).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from artemis_server.db import etags
from artemis_server.db.statements import Values
from artemis_server.query.tree import ALWAYS, And, Compare, HasEtag, Matches, Node, Not, Operator, Or, Present

Column = ColumnElement[Any]
Columns = Mapping[str, Column]
_SURROGATES = range(0xD800, 0xE000)  # no text has them
_LAST_CODE_POINT = 0x10FFFF
_LIKE = "{}_like"
"""The name of the parameter that is a pattern for the text of the parameter with this name."""
_SPECIAL = re.compile(r"[\\%_]")


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
            begins, end = Compare(field, Operator.GE, text), successor(text)
            return parameterize(And((begins, Compare(field, Operator.LT, end))) if end else begins, values)
        case Matches(field, text, open_start=False):
            return parameterize(Compare(field, Operator.EQ, text), values)
        case Matches(text=text):
            return replace(node, text=_add_pattern(node, values)) if text else ALWAYS
    return node


def _add(value: int | str, values: Values) -> str:
    name = f"value_{len(values)}"
    values[name] = value
    return name


def _add_pattern(node: Matches, values: Values) -> str:
    r"""Adds the text of a node, and beside it its pattern for LIKE: for `name:"50%"` the text 50% and %50\%%.

    SQLite's LIKE has no regard to case.
    """
    name = _add(node.text, values)
    values[_LIKE.format(name)] = to_pattern(node.text, open_end=node.open_end)
    return name


def to_pattern(text: str, *, open_end: bool = True) -> str:
    r"""Returns the pattern of LIKE for texts that contain this one, or end with it: for 50% it is %50\%%."""
    return "%" + _SPECIAL.sub(r"\\\g<0>", text) + "%" * open_end


class Condition(ColumnElement[bool]):
    """The expression that is true for the rows for which a tree holds, which is one of `parameterize`.

    It compiles the whole tree at once, because an expression of SQLAlchemy for each node takes ten times as long.
    It has no type: SQLAlchemy would compare a boolean of SQLite with 1, and SQLite would use no index.
    """

    inherit_cache = False

    def __init__(self, node: Node, columns: Columns) -> None:
        self.node = node
        self.columns = columns


@compiles(Condition)
def _compile(element: Condition, compiler: SQLCompiler, **options: Any) -> str:
    return _Writer(compiler, element.columns, options).sql(element.node)


class _Writer:
    """Writes a tree as SQL: names of columns, operators and bound parameters."""

    def __init__(self, compiler: SQLCompiler, columns: Columns, options: Mapping[str, Any]) -> None:
        self._columns = columns
        self._process: Callable[[ColumnElement[Any]], str] = partial(compiler.process, **options)
        self._sqlite = compiler.dialect.name == "sqlite"

    def sql(self, node: Node) -> str:
        """Returns the SQL of a node: `id > 5 AND -day` gives "(events.id > ? AND NOT (...))"."""
        match node:
            case And(terms):
                return self._joined(" AND ", terms, "1 = 1")
            case Or(terms):
                return self._joined(" OR ", terms, "1 = 0")
            case Not(term):
                return f"NOT ({self.sql(term)})"
            case Compare():
                return self._compare(node)
            case Matches():
                return self._match(node)
            case Present(field):
                return self._present(field)
        raise AssertionError(f"{node} is not parameterized")

    def _compare(self, node: Compare) -> str:
        column = self._columns[node.field]
        parameter = self._process(bindparam(str(node.value), type_=column.type))
        comparison = f"{self._column(node.field)} {node.operator.value} {parameter}"
        if not column.nullable:
            return comparison
        return f"({self._column(node.field)} IS NOT NULL AND {comparison})"  # false, and not NULL

    def _match(self, node: Matches) -> str:
        text = self._column(node.field)
        if not self._sqlite:
            return f"{text} LIKE {self._process(bindparam(_LIKE.format(node.text), type_=Text()))}"
        part = self._process(bindparam(node.text, type_=Text()))
        if node.open_end:
            return f"instr({text}, {part}) > 0"
        return f"substr({text}, length({text}) - length({part}) + 1) = {part}"

    def _joined(self, operator: str, terms: tuple[Node, ...], empty: str) -> str:
        return f"({operator.join(map(self.sql, terms))})" if terms else empty

    def _column(self, field: str) -> str:
        return self._process(self._columns[field])

    def _present(self, field: str) -> str:
        if isinstance(self._columns[field].type, Text):
            return f"{self._column(field)} != ''"
        return f"{self._column(field)} IS NOT NULL" if self._columns[field].nullable else "1 = 1"


def successor(text: str) -> str:
    """Returns the least text, by code point, above all that begin with this one; empty if there is none."""
    head = text.rstrip(chr(_LAST_CODE_POINT))
    if not head:
        return ""
    following = ord(head[-1]) + 1
    return head[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
