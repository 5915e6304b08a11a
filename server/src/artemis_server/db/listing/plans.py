"""Plans: which path a list takes to its rows (docs/adr/0048).

An index in the order of the list is walked when the filter needs no other. When other indexes have few of the rows, the
rows are collected by the one that has the fewest, and sorted. Counting the entries of an index up to a limit tells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from sqlalchemy import Table

from artemis_server.db.listing.bounds import box_of
from artemis_server.db.listing.indexes import Access, access, indexes_of
from artemis_server.db.listing.paths import Path, path
from artemis_server.db.listing.text_paths import TextPath
from artemis_server.db.listing.text_search import Search, match
from artemis_server.query.orders import SortKey
from artemis_server.query.tree import Node, fields

MAX_COST = 80_000
"""The most that collecting rows for a page may cost, in entries of an index that are read; about 10 ms."""
ROW_COST = 8
"""The cost of a row that is read, in entries of an index."""


MAX_TRIED = 10_000
"""The ids that are looked at before many rows are collected."""
AnyPath: TypeAlias = Path | TextPath
_TEXTS = "texts"
"""Stands among the columns of a filter for the searches that the index of texts can answer."""


@dataclass(frozen=True)
class Option:
    """A path that a plan may take."""

    path: AnyPath
    cost: int
    """The cost of an entry: of reading the row as well, unless the index has all that the list needs to choose."""

    @property
    def max_entries(self) -> int:
        """The most entries that are worth reading."""
        return MAX_COST // self.cost


class Choice(NamedTuple):
    """The path that a list takes."""

    path: AnyPath | None
    """None if the engine is left to itself."""
    instead: AnyPath | None = None
    """The path to take if the first MAX_TRIED ids of `path`, which goes by the id, have too few rows for the page.

    Ids grow with time, and so do the values of other columns: the rows that a filter chooses may all be at the end.
    """


@dataclass(frozen=True)
class Plan:
    """The paths to choose from; none if the engine is left to itself."""

    walk: Option | None
    """A path in the order of the list."""
    collecting: tuple[Option, ...]
    """Paths by indexes for which the filter has bounds that the walk does not use."""

    def choose(self, count: Callable[[Option], int]) -> Choice:
        """Returns the path to take. `count` tells how many entries a path has, or any number above `max_entries`."""
        if not self.collecting:
            return Choice(self.walk.path if self.walk else None)
        if self.walk is None and len(self.collecting) == 1:
            return Choice(self.collecting[0].path)
        options = [*([self.walk] if self.walk else []), *self.collecting]
        counted = ((count(each), each) for each in options)
        costs = [(found * each.cost, each) for found, each in counted if found <= each.max_entries]
        if costs:
            return Choice(min(costs, key=itemgetter(0))[1].path)
        if self.walk is None:  # many rows are still fewer than all
            return Choice(self.collecting[0].path)
        covering = (each.path for each in self.collecting if each.cost == 1)
        by_id = isinstance(self.walk.path, Path) and self.walk.path.by_id and not self.walk.path.access.equal
        return Choice(self.walk.path, next(covering, None) if by_id else None)


def plan(where: Node, keys: tuple[SortKey, ...], table: Table, searches: tuple[Search, ...] = ()) -> Plan:
    """Returns the plan of a list, or without keys, that of a count.

    `searches` are those that the index of texts can answer on this database.
    """
    box = box_of(where)
    needed = {key.field.name for key in keys} | fields(where)
    uses = [use for index in indexes_of(table) if (use := access(index, box))]

    def option(use: Access, *, ordered: bool) -> Option:
        return Option(path(use, keys, box, ordered=ordered), 1 if use.covers(needed) else ROW_COST)

    walks = [(use.used(box), option(use, ordered=True)) for use in uses if _walkable(use, keys)]
    found = [(use.used(box), option(use, ordered=False)) for use in uses]
    if searches:
        by_text = TextPath(keys, match(searches))
        (walks if by_text.ordered else found).append((frozenset({_TEXTS}), Option(by_text, ROW_COST)))
    served, walk = min(walks, key=lambda each: (-len(each[0]), each[1].cost), default=(frozenset[str](), None))
    others = sorted(((used, each) for used, each in found if not used <= served), key=lambda each: -len(each[0]))
    return Plan(walk, tuple(each for _, each in others))


def _walkable(use: Access, keys: tuple[SortKey, ...]) -> bool:
    """Tells whether the index has the rows in the order of the first key that has several values."""
    varying = [key.field for key in keys if key.field.name not in use.equal]
    return bool(varying) and varying[0].name == use.key and not varying[0].nullable
