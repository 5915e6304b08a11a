"""Plans: which path a list takes to its rows (docs/adr/0048).

An index in the order of the list is walked when the filter needs no other. When other indexes have few of the rows, the
rows are collected by the one that has the fewest, and sorted. Counting the entries of an index up to a limit tells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Table

from artemis_server.db.listing.bounds import box_of
from artemis_server.db.listing.indexes import Access, access, indexes_of
from artemis_server.db.listing.paths import Path, path
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import Node, fields

MAX_COST = 80_000
"""The most that collecting rows for a page may cost, in entries of an index that are read; about 10 ms."""
ROW_COST = 8
"""The cost of a row that is read, in entries of an index."""


@dataclass(frozen=True)
class Option:
    """A path that a plan may take."""

    path: Path
    cost: int
    """The cost of an entry: of reading the row as well, unless the index has all that the list needs to choose."""

    @property
    def max_entries(self) -> int:
        """The most entries that are worth reading."""
        return MAX_COST // self.cost


@dataclass(frozen=True)
class Plan:
    """The paths to choose from; none if the engine is left to itself."""

    walk: Option | None
    """A path in the order of the list."""
    collecting: tuple[Option, ...]
    """Paths by indexes for which the filter has bounds that the walk does not use."""

    def choose(self, count: Callable[[Option], int]) -> Path | None:
        """Returns the path to take. `count` tells how many entries a path has, or any number above `max_entries`."""
        if self.collecting:
            options = [*([self.walk] if self.walk else []), *self.collecting]
            counted = ((count(each), each) for each in options)
            costs = [(found * each.cost, each) for found, each in counted if found <= each.max_entries]
            if costs:
                return min(costs, key=itemgetter(0))[1].path
        return self.walk.path if self.walk else None


def plan(where: Node, keys: tuple[SortKey, ...], table: Table) -> Plan:
    """Returns the plan of a list."""
    box = box_of(where)
    needed = {key.field.name for key in keys} | fields(where)
    uses = [found for index in indexes_of(table) if (found := access(index, box))]

    def option(use: Access, *, ordered: bool) -> Option:
        return Option(path(use, keys, box, ordered=ordered), 1 if use.covers(needed) else ROW_COST)

    walks = [option(use, ordered=True) for use in uses if _walkable(use, keys)]
    walk = min(walks, key=lambda each: (-len(each.path.access.used(box)), each.cost), default=None)
    served = walk.path.access.used(box) if walk else frozenset[str]()
    return Plan(walk, tuple(option(use, ordered=False) for use in uses if not use.used(box) <= served))


def _walkable(use: Access, keys: tuple[SortKey, ...]) -> bool:
    """Tells whether the index has the rows in the order of the first key that has several values."""
    varying = [key.field for key in keys if key.field.name not in use.equal]
    return varying[0].name == use.key and not varying[0].nullable
