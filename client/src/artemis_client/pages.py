"""Pages of lists, and resources that were looked up by their ids."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

MAX_RESTRICTIONS = 50
"""The most restrictions of a filter, such as `id = 1 OR id = 2`."""


class HasId(Protocol):
    """A resource of the contract."""

    @property
    def id(self) -> int:
        """Identifies it."""


Resource = TypeVar("Resource")
Identified = TypeVar("Identified", bound=HasId)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[Resource]):
    """One page of a list.

    `next_page_token`, given to `list` as its `page_token` with the same filter and order, continues after this page; it
    is empty on the last one. `resume_token`, given to `watch`, delivers every change that the list does not show; only
    the first page of a list of events has it.

    `total_size` is the number of resources on all pages, if the list was asked for it; only the first page has it. It
    is exact up to 10,000. Above that it is an estimate, and `total_size_estimated` is True.
    """

    items: Sequence[Resource]
    next_page_token: str
    resume_token: str = ""
    total_size: int | None = None
    total_size_estimated: bool = False


class Found(dict[int, Identified]):
    """The resources that exist, by their ids and in the order of the ids that were asked for."""

    missing: tuple[int, ...]
    """The ids that no resource has, in the same order."""

    def __init__(self, ids: Iterable[int], resources: Iterable[Identified]) -> None:
        by_id = {each.id: each for each in resources}
        distinct = dict.fromkeys(ids)
        super().__init__((each, by_id[each]) for each in distinct if each in by_id)
        self.missing = tuple(each for each in distinct if each not in by_id)


def id_filters(ids: Iterable[int]) -> Iterator[str]:
    """Yields filters that choose the resources with these ids, such as `id = 1 OR id = 2`."""
    rest = iter(ids)
    while some := [*islice(rest, MAX_RESTRICTIONS)]:
        yield " OR ".join(f"id = {each}" for each in some)
