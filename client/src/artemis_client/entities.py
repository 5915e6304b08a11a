"""The resources of the contract in Python's terms. `make proto` generates this module from the .proto files.

Times are datetimes with a time zone, in UTC when the server sent them. An entity that the server returned has its
times; in one of your own, a time that you leave out is None, whatever its annotation says.
"""

from dataclasses import dataclass
from datetime import datetime

from artemis.v1 import events_pb2, users_pb2

from artemis_client.fields import UNSET_TIME, check_integer, check_text, check_time, set_time, time_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Event is something that happens from one time to another."""

    id: int = 0
    """Identifies the event. A positive number assigned by the server; never reused, not even after the event is
    deleted. On PostgreSQL ids have gaps and are in the order of creation only within one server, and a smaller id may
    become visible later: polling for `id > last` can miss events."""
    name: str = ""
    """The name of the event: 1 to 200 characters, not all of them blank."""
    description: str = ""
    """A description in plain text: at most 8192 characters."""
    category: str = ""
    """The kind of event, in the caller's own vocabulary: at most 100 characters."""
    location: str = ""
    """The place of the event, such as "Kyoto, Japan": at most 300 characters."""
    publisher: str = ""
    """The publisher, who announced the event: at most 100 characters."""
    start_time: datetime = UNSET_TIME
    """The time at which the event begins, in the years 0001 to 9999. It is kept to the microsecond; finer digits are
    cut off."""
    end_time: datetime = UNSET_TIME
    """The time at which the event ends: not before `start_time`, in the years 0001 to 9999. It is kept to the
    microsecond; finer digits are cut off."""
    owner_id: int | None = None
    """The owner: the id of an existing user, or unset when the event has no owner. A user who owns events cannot be
    deleted."""
    source: str = ""
    """The feed that the event was loaded from; empty when the event was created through this API."""
    external_id: str = ""
    """Identifies the event within its `source`; empty when the event was created through this API."""
    create_time: datetime = UNSET_TIME
    """The time at which the event was created."""
    update_time: datetime = UNSET_TIME
    """The time of the last change of the event."""
    etag: str = ""
    """An opaque value that changes with every change of the event (AIP-154). In an UpdateEvent request it is a
    condition: send the etag that was read, and the update is made only if nobody changed the event since. Leave it
    empty to update unconditionally."""

    def __post_init__(self) -> None:
        check_integer("Event.id", self.id)
        check_text("Event.name", self.name)
        check_text("Event.description", self.description)
        check_text("Event.category", self.category)
        check_text("Event.location", self.location)
        check_text("Event.publisher", self.publisher)
        if self.start_time is not None:
            check_time("Event.start_time", self.start_time)
        if self.end_time is not None:
            check_time("Event.end_time", self.end_time)
        if self.owner_id is not None:
            check_integer("Event.owner_id", self.owner_id)
        check_text("Event.source", self.source)
        check_text("Event.external_id", self.external_id)
        if self.create_time is not None:
            check_time("Event.create_time", self.create_time)
        if self.update_time is not None:
            check_time("Event.update_time", self.update_time)
        check_text("Event.etag", self.etag)

    def to_message(self) -> events_pb2.Event:
        """Returns the message of the stubs."""
        message = events_pb2.Event(
            id=self.id,
            name=self.name,
            description=self.description,
            category=self.category,
            location=self.location,
            publisher=self.publisher,
            owner_id=self.owner_id,
            source=self.source,
            external_id=self.external_id,
            etag=self.etag,
        )
        if self.start_time is not None:
            set_time(message.start_time, self.start_time)
        if self.end_time is not None:
            set_time(message.end_time, self.end_time)
        if self.create_time is not None:
            set_time(message.create_time, self.create_time)
        if self.update_time is not None:
            set_time(message.update_time, self.update_time)
        return message

    @classmethod
    def from_message(cls, message: events_pb2.Event) -> "Event":
        """Returns the entity of a message, which needs no check."""
        entity, put = object.__new__(cls), object.__setattr__
        put(entity, "id", message.id)
        put(entity, "name", message.name)
        put(entity, "description", message.description)
        put(entity, "category", message.category)
        put(entity, "location", message.location)
        put(entity, "publisher", message.publisher)
        put(entity, "start_time", time_of(message.start_time) if message.HasField("start_time") else None)
        put(entity, "end_time", time_of(message.end_time) if message.HasField("end_time") else None)
        put(entity, "owner_id", message.owner_id if message.HasField("owner_id") else None)
        put(entity, "source", message.source)
        put(entity, "external_id", message.external_id)
        put(entity, "create_time", time_of(message.create_time) if message.HasField("create_time") else None)
        put(entity, "update_time", time_of(message.update_time) if message.HasField("update_time") else None)
        put(entity, "etag", message.etag)
        return entity


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """User is a person or a team that can own events."""

    id: int = 0
    """Identifies the user. A positive number assigned by the server; never reused, not even after the user is deleted.
    On PostgreSQL ids have gaps and are in the order of creation only within one server, and a smaller id may become
    visible later: polling for `id > last` can miss users."""
    email: str = ""
    """The e-mail address: at most 254 characters, kept as it was written, and unique among users without regard to
    case."""
    first_name: str = ""
    """The given name: at most 100 characters."""
    last_name: str = ""
    """The family name: at most 100 characters."""
    source: str = ""
    """The feed that the user was loaded from; empty when the user was created through this API."""
    external_id: str = ""
    """Identifies the user within its `source`; empty when the user was created through this API."""
    create_time: datetime = UNSET_TIME
    """The time at which the user was created."""
    update_time: datetime = UNSET_TIME
    """The time of the last change of the user."""
    etag: str = ""
    """An opaque value that changes with every change of the user (AIP-154). In an UpdateUser request it is a condition:
    with the etag of an earlier read, the update is made only if nobody changed the user since. Leave it empty to update
    unconditionally."""

    def __post_init__(self) -> None:
        check_integer("User.id", self.id)
        check_text("User.email", self.email)
        check_text("User.first_name", self.first_name)
        check_text("User.last_name", self.last_name)
        check_text("User.source", self.source)
        check_text("User.external_id", self.external_id)
        if self.create_time is not None:
            check_time("User.create_time", self.create_time)
        if self.update_time is not None:
            check_time("User.update_time", self.update_time)
        check_text("User.etag", self.etag)

    def to_message(self) -> users_pb2.User:
        """Returns the message of the stubs."""
        message = users_pb2.User(
            id=self.id,
            email=self.email,
            first_name=self.first_name,
            last_name=self.last_name,
            source=self.source,
            external_id=self.external_id,
            etag=self.etag,
        )
        if self.create_time is not None:
            set_time(message.create_time, self.create_time)
        if self.update_time is not None:
            set_time(message.update_time, self.update_time)
        return message

    @classmethod
    def from_message(cls, message: users_pb2.User) -> "User":
        """Returns the entity of a message, which needs no check."""
        entity, put = object.__new__(cls), object.__setattr__
        put(entity, "id", message.id)
        put(entity, "email", message.email)
        put(entity, "first_name", message.first_name)
        put(entity, "last_name", message.last_name)
        put(entity, "source", message.source)
        put(entity, "external_id", message.external_id)
        put(entity, "create_time", time_of(message.create_time) if message.HasField("create_time") else None)
        put(entity, "update_time", time_of(message.update_time) if message.HasField("update_time") else None)
        put(entity, "etag", message.etag)
        return entity
