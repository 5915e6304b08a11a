"""Updates of a mirror's store: of a list of all events, and of the changes that follow. They know no transport."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from artemis.v1 import events_pb2
from artemis.v1.events_pb2 import EventChange

from artemis_client.entities import Event
from artemis_client.watching.progress import Batch


@dataclass(frozen=True, slots=True)
class Update:
    """A transaction of a store, which keeps events, removes others, and saves the position."""

    changed: Sequence[Event]
    deleted: Sequence[int]
    position: str | None
    """The place from which a mirror that is started later goes on. None while a list is under way, to list again."""


class Listing:
    """A list of all events that replaces what a store has. Its pages may show the events at different moments.

    Every change after the first page follows from the token of that page, also the ones that a later page shows
    already. Those come to the same: a change has the whole event, so that the last one decides.
    """

    def __init__(self, known: Iterable[int]) -> None:
        """Takes the ids of the events that the store has."""
        self._vanished = set(known)

    def page(self, events: Iterable[events_pb2.Event]) -> Update:
        """Returns the update of one page."""
        changed = [*map(Event.from_message, events)]
        self._vanished.difference_update(event.id for event in changed)
        return Update(changed, (), None)

    def end(self, position: str) -> Update:
        """Returns the update after the last page: events that no page had are gone."""
        return Update((), [*self._vanished], position)


def update_of(batch: Batch, position: str) -> Update:
    """Returns the update of a batch. An event that it changed several times becomes what it was made last."""
    last = {change.event.id: change for change in batch.changes}
    deleted = [number for number, change in last.items() if change.type == EventChange.TYPE_DELETED]
    changed = [Event.from_message(change.event) for change in last.values() if change.type != EventChange.TYPE_DELETED]
    return Update(changed, deleted, position)


def position_of(resume_token: str, filter: str) -> str:  # noqa: A002 - the contract's name for it
    """Returns the position that a store saves: the token, and the filter that chose its events.

    position_of("abc", "category = 'x'")  ->  "abc category = 'x'"
    """
    return f"{resume_token} {filter}"


def token_of(position: str | None, filter: str) -> str | None:  # noqa: A002 - likewise
    """Returns the token of a saved position. None if there is none, or if another filter chose the events."""
    token, _, chosen_by = (position or "").partition(" ")
    return token if token and chosen_by == filter else None
