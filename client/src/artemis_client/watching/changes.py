"""Changes of events, as a watch and the history of an event give them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from artemis.v1 import events_pb2

from artemis_client.entities import Event
from artemis_client.fields import time_of


class ChangeType(StrEnum):
    """The type of a change: what was done to the event.

    In a watch with a filter, an event that begins to match is "created", and one that no longer matches is "deleted".
    """

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


_TYPES = {
    events_pb2.EventChange.TYPE_CREATED: ChangeType.CREATED,
    events_pb2.EventChange.TYPE_DELETED: ChangeType.DELETED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class EventChange:
    """One committed change of one event.

    `event` is the event after the change, or its last state if it was deleted. `change_time` is by the clock of the
    server's database. `principal` is the name of the caller who made the change, or "feed:" and the name of the feed if
    the loader made it. It is empty if the server does not know who made the change.
    """

    type: ChangeType
    event: Event
    change_time: datetime
    principal: str
    previous_event: Event | None = None
    """The event before an update, in a history. None in a watch."""
    resume_token: str | None = None
    """In a watch, the token that continues after this change. None if more changes of the same transaction follow:
    changes up to the next token belong together."""


def change_of(message: events_pb2.EventChange, resume_token: str | None = None) -> EventChange:
    """Returns the change that a message has. A type that this version does not know leaves the event updated."""
    return EventChange(
        type=_TYPES.get(message.type, ChangeType.UPDATED),
        event=Event.from_message(message.event),
        change_time=time_of(message.change_time),
        principal=message.principal,
        previous_event=Event.from_message(message.previous_event) if message.HasField("previous_event") else None,
        resume_token=resume_token,
    )
