"""Plans: which path a list takes to its rows (docs/adr/0048).

An index in the order of the list is walked when the filter needs no other. When other indexes have few of the rows, the
rows are collected by the one that has the fewest, and sorted. Counting the entries of an index up to a limit tells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Table

from artemis_server.db.listing.bounds import box_of
from artemis_server.db.listing.indexes import Access, access, indexes_of
from artemis_server.db.listing.paths import Path, path
from artemis_server.db.listing.text_paths import TextPath
from artemis_server.db.listing.trigram_paths import TrigramPath
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import Node, fields

LOW_COST, MAX_COST = 1_000, 40_000
"""The cost of collecting rows for a page below which no other way is looked for, and the highest that is accepted.

The unit is an entry of an index that is read: 0.1 and 5 ms in all.
"""
ROW_COST = 8
"""The cost of a row that is read, in entries of an index."""
TRIGRAM_COST = 2 * ROW_COST
"""The cost of a row that PostgreSQL's index of texts finds: PostgreSQL checks its marked text, and then the filter."""


AnyPath: TypeAlias = Path | TextPath | TrigramPath
_TEXTS = "texts"
"""Stands among the columns of a filter for the searches that the index of texts can answer."""


@dataclass(frozen=True)
class Option:
    """A path that a plan may take."""

    path: AnyPath
    cost: int
    """The cost of an entry: of reading the row as well, unless the index has all that the list needs to choose."""

    @property
    def sole(self) -> bool:
        """True if the path is better than any that has all rows."""
        return isinstance(self.path, TrigramPath) and self.cost <= MAX_COST

    @property
    def bounded(self) -> bool:
        """True if the path has not all rows."""
        return not isinstance(self.path, Path) or bool(
            self.path.access.equal or self.path.has_low or self.path.has_high
        )


Count: TypeAlias = Callable[[Option, int], int]
"""Returns the number of entries that a path has, or any number above the limit if it has more."""


@dataclass(frozen=True)
class Plan:
    """The paths of a list to choose from; none if the engine is left to itself."""

    walk: Option | None
    """A path in the order of the list."""
    collecting: tuple[Option, ...]
    """Paths by indexes for which the filter has bounds that the walk does not use."""

    @property
    def sole(self) -> AnyPath | None:
        """The path if there is one."""
        options = [*([self.walk] if self.walk else []), *self.collecting]
        return options[0].path if len(options) == 1 else None

    def cheapest(self, count: Count, max_cost: int) -> AnyPath | None:
        """Returns the path that reads least; None if each costs more. No more is counted than the best has so far."""
        best, cost = None, max_cost
        for option in (*([self.walk] if self.walk and self.walk.bounded else []), *self.collecting):
            limit = cost // option.cost
            if limit and (found := count(option, limit)) <= limit and (best is None or found * option.cost < cost):
                best, cost = option.path, found * option.cost
        return best

    @property
    def tried(self) -> Path | None:
        """The walk, if a look at its next rows may save more: not if its index has all that the filter needs."""
        walk = self.walk.path if self.walk and self.collecting and self.walk.cost > 1 else None
        return walk if isinstance(walk, Path) else None

    @property
    def dearest(self) -> AnyPath | None:
        """The path to take if each costs more: many entries of an index without their rows, or the walk."""
        covering = (each.path for each in self.collecting if each.cost == 1 or isinstance(each.path, TrigramPath))
        others = (each.path for each in (self.walk, *self.collecting) if each)
        return next(covering, next(others, None))


def plan(where: Node, keys: tuple[SortKey, ...], table: Table, by_text: Option | None = None) -> Plan:
    """Returns the plan of a list, or without keys, that of a count.

    `by_text` is the path by the index of texts, if this database has one that can answer the filter.
    """
    box = box_of(where)
    needed = {key.field.name for key in keys} | fields(where)
    uses = [use for index in indexes_of(table) if (use := access(index, box))]

    def option(use: Access, *, ordered: bool) -> Option:
        return Option(path(use, keys, box, ordered=ordered), 1 if use.covers(needed) else ROW_COST)

    walks = [(use.used(box), option(use, ordered=True)) for use in uses if _walkable(use, keys)]
    found = [(use.used(box), option(use, ordered=False)) for use in uses]
    if by_text:
        if by_text.sole and not any(each.bounded for _, each in found):
            return Plan(None, (by_text,))
        (walks if by_text.path.ordered else found).append((frozenset({_TEXTS}), by_text))
    served, walk = min(walks, key=lambda each: (-len(each[0]), each[1].cost), default=(frozenset[str](), None))
    others = sorted(((used, each) for used, each in found if not used <= served), key=lambda each: -len(each[0]))
    return Plan(walk, tuple(each for _, each in others))


def by_trigrams(path: TrigramPath, estimate: int) -> Option | None:
    """Returns the option of collecting so many rows; None if they are too many.

    If they are more than a few, it costs so much that a look at the next rows in the order of the list comes first.
    They are not counted: to count what the index of texts finds costs as much as to find it.
    """
    if estimate <= MAX_COST // TRIGRAM_COST:
        return Option(path, TRIGRAM_COST)
    return Option(path, MAX_COST + 1) if estimate <= MAX_COST else None


def _walkable(use: Access, keys: tuple[SortKey, ...]) -> bool:
    """Tells whether the index has the rows in the order of the first key that has several values."""
    varying = [key.field for key in keys if key.field.name not in use.equal]
    return bool(varying) and varying[0].name == use.key and not varying[0].nullable
