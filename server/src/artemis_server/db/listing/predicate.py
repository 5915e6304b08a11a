"""Filters as functions of rows, for rows that are not in a table. They choose what the SQL of `filter_sql` chooses."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from artemis_server.db import etags
from artemis_server.db.statements import Row
from artemis_server.query.tree import And, Compare, HasEtag, Matches, Node, Not, Operator, Or, Present

Predicate = Callable[[Row], bool]
_COMPARISONS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: operator.eq,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}


def predicate(node: Node, columns: Mapping[str, int]) -> Predicate:  # noqa: PLR0911, one for each kind of node
    """Returns the function that tells whether a tree holds for a row, whose columns are at these places.

        id > 5 AND name = "py*"     lambda row: row[0] > 5 and row[1].startswith("py")

    Python compares text by code point, as the engines do.
    """
    match node:
        case And(terms):
            every = [predicate(term, columns) for term in terms]
            return lambda row: all(term(row) for term in every)
        case Or(terms):
            some = [predicate(term, columns) for term in terms]
            return lambda row: any(term(row) for term in some)
        case Not(term):
            negated = predicate(term, columns)
            return lambda row: not negated(row)
        case Compare(field, sign, value):
            return _compare(columns[field], _COMPARISONS[sign], value)
        case HasEtag(etag):
            return _compare(columns["version"], operator.eq, etags.to_version(etag))
        case Present(field):
            place = columns[field]
            return lambda row: row[place] is not None and row[place] != ""
        case Matches():
            return _match(columns[node.field], node)


def _compare(place: int, holds: Callable[[Any, Any], bool], value: int | str) -> Predicate:
    return lambda row: row[place] is not None and holds(row[place], value)


def _match(place: int, node: Matches) -> Predicate:
    text = node.text
    if node.open_start and node.open_end:
        return lambda row: text in row[place]
    if node.open_start:
        return lambda row: row[place].endswith(text)
    if node.open_end:
        return lambda row: row[place].startswith(text)
    return lambda row: row[place] == text
