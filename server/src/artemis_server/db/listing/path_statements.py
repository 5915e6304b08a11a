"""The statements by a path to the rows of a page. Each kind of path compiles them in its own way."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import ClauseElement, Table

from artemis_server.query.tree import Node

P = TypeVar("P")
MAX_COUNTED = 2**16
"""More rows than any caller counts."""


@dataclass(eq=False)
class PageStatement(ClauseElement, Generic[P]):
    """Reads a page."""

    path: P
    where: Node
    """The filter, one of `parameterize`."""
    table: Table
    selected: tuple[str, ...]
    """The names of the columns of a row."""
    unset: tuple[bool, ...] | None
    """Tells which values of the position before the page are None; None on the first page."""

    inherit_cache = False


@dataclass(eq=False)
class CountStatement(ClauseElement, Generic[P]):
    """Counts, up to the parameter `max_rows`, the rows of a path that a filter chooses."""

    path: P
    table: Table
    where: Node
    most: int
    """The highest value of `max_rows`."""

    inherit_cache = False
