"""Paths to the rows of a page: ranges of an index that are read in the order of the list, or collected and sorted.

An index that begins with the class of lengths has a range for each class. Within a class, bounds of the start of an
event bound its end as well, and the reverse, so that a question about both is one small range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from artemis_models import lengths
from sqlalchemy import ClauseElement, Table

from artemis_server.db.listing.bounds import INT64_MAX, INT64_MIN, Bounds, Box
from artemis_server.db.listing.indexes import Access
from artemis_server.db.listing.keyset import Position
from artemis_server.db.listing.path_sql import Limits, RangesCount, RangesPage
from artemis_server.db.listing.path_statements import MAX_COUNTED
from artemis_server.db.statements import Values
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import ALWAYS, Node


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
        return RangesPage(self, where, table, selected, unset, limits)

    def count(self, table: Table, where: Node = ALWAYS, most: int = MAX_COUNTED) -> ClauseElement:
        """Returns the statement that counts, up to `max_rows`, the rows in its ranges that a filter chooses."""
        return RangesCount(self, table, where, most)

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
