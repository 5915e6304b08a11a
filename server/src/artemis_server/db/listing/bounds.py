"""Bounds that a filter sets: the values between which a column of each chosen row lies.

They are what an index can be asked for. A bound may be wider than the filter, never narrower, and the filter is
checked for each row as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from artemis_server.db import etags
from artemis_server.db.listing.filter_sql import successor
from artemis_server.query.tree import And, Compare, HasEtag, Matches, Node, Operator

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest value that a column may have, both included; None is none."""

    low: Any = None
    high: Any = None

    @property
    def equal(self) -> bool:
        """True if there is one value."""
        return self.low is not None and self.low == self.high

    def within(self, other: "Bounds") -> "Bounds":
        """Returns the bounds that hold if both hold."""
        lows = [each for each in (self.low, other.low) if each is not None]
        highs = [each for each in (self.high, other.high) if each is not None]
        return Bounds(max(lows, default=None), min(highs, default=None))


Box: TypeAlias = Mapping[str, Bounds]
"""Bounds by the name of their column."""


def box_of(where: Node) -> Box:
    """Returns the bounds of the columns that a filter bounds.

    start_time > 5 AND name = "py*" AND NOT id = 3      {"start_time": 6 to none, "name": "py" to "pz"}
    """
    found: dict[str, Bounds] = {}
    for column, bounds in _bounds(where):
        found[column] = bounds.within(found.get(column, Bounds()))
    return found


def _bounds(node: Node) -> Iterator[tuple[str, Bounds]]:
    match node:
        case And(terms):
            for term in terms:
                yield from _bounds(term)
        case Compare(field, operator, value):
            yield field, _compared(operator, value)
        case HasEtag(etag):
            yield from _bounds(Compare("version", Operator.EQ, etags.to_version(etag)))
        case Matches(field, text, open_start=False, open_end=False):
            yield field, Bounds(text, text)
        case Matches(field, text, open_start=False):
            yield field, Bounds(text, successor(text) or None)


def _compared(operator: Operator, value: int | str) -> Bounds:
    match operator:
        case Operator.EQ:
            return Bounds(value, value)
        case Operator.GT if isinstance(value, int):
            return Bounds(min(value + 1, INT64_MAX))
        case Operator.LT if isinstance(value, int):
            return Bounds(None, max(value - 1, INT64_MIN))
        case Operator.GT | Operator.GE:
            return Bounds(value)
    return Bounds(None, value)
