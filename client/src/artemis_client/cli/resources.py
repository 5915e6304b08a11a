"""Events and users as messages of the contract: the one module of the command that knows the client library's types."""

import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from artemis.v1 import events_pb2, users_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:  # it imports gRPC, which the help of a command does not need
    from artemis_client import ArtemisClient, EventChange, Watch

MAX_BATCH = 1000
"""Resources that one call takes."""
MAX_ADDRESSES = 25
"""E-mail addresses of a filter: of 254 characters each, they fit into the 8192 that it may have."""
_OUTPUT_ONLY = field_behavior_pb2.FieldBehavior.Value("OUTPUT_ONLY")
_IDENTIFIER = field_behavior_pb2.FieldBehavior.Value("IDENTIFIER")
_REQUIRED = field_behavior_pb2.FieldBehavior.Value("REQUIRED")
ETAG = "etag"
"""The field that is a condition of a write (AIP-154), and no content."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind of resource: its name, its message, and the requests whose fields are options."""

    name: str
    """The plural, which is also the name of the field in responses, such as "events"."""
    message: type[Message]
    create_request: type[Message]
    update_request: type[Message]
    delete_request: type[Message]

    @property
    def singular(self) -> str:
        """The name of one, such as "event"."""
        return self.name.removesuffix("s")

    @property
    def fields(self) -> Sequence[FieldDescriptor]:
        """All fields, in the order of the .proto file."""
        return descriptor_of(self.message).fields

    @property
    def writable(self) -> list[FieldDescriptor]:
        """The fields that a caller sets, without the id and the etag."""
        read_only = {_OUTPUT_ONLY, _IDENTIFIER}
        return [each for each in self.fields if not read_only & behaviors(each) and each.name != ETAG]

    @property
    def required(self) -> list[FieldDescriptor]:
        """The fields that each of them has, with the id."""
        return [each for each in self.fields if {_REQUIRED, _IDENTIFIER} & behaviors(each)]


def descriptor_of(message: type[Message]) -> Descriptor:
    """Returns the descriptor of a type of messages."""
    return cast("Descriptor", message.DESCRIPTOR)  # the types of protobuf allow for two implementations of it


def behaviors(field: FieldDescriptor) -> set[int]:
    """Returns the field's `google.api.field_behavior` (AIP-203)."""
    return {*field.GetOptions().Extensions[field_behavior_pb2.field_behavior]}


RESOURCES = {
    "events": Resource(
        name="events",
        message=events_pb2.Event,
        create_request=events_pb2.CreateEventRequest,
        update_request=events_pb2.UpdateEventRequest,
        delete_request=events_pb2.DeleteEventRequest,
    ),
    "users": Resource(
        name="users",
        message=users_pb2.User,
        create_request=users_pb2.CreateUserRequest,
        update_request=users_pb2.UpdateUserRequest,
        delete_request=users_pb2.DeleteUserRequest,
    ),
}


class Calls:
    """The calls of one kind of resource. Each raises ArtemisError. Options are the fields of a request, by name."""

    def __init__(self, resource: Resource, client: "ArtemisClient") -> None:
        from artemis_client import Event, User  # noqa: PLC0415 - it imports gRPC, which the help does not need

        self._client = client
        self._resource = resource
        self._part: Any = getattr(client, resource.name)
        self._entity: Any = {"events": Event, "users": User}[resource.name]

    def list(self, **options: Any) -> Iterator[Message]:
        """Yields the resources of all pages."""
        yield from _messages(self._part.list(**options))

    def get(self, ids: Sequence[int], **options: Any) -> Iterator[Message]:
        """Yields the resources with these ids, in their order."""
        if len(ids) == 1:
            yield from _messages(self._part.get(each, **options) for each in ids)
            return
        for some in chunks(ids):
            yield from _messages(self._part.batch_get(some, **options))

    def create(self, message: Message, **options: Any) -> Message:
        """Creates one."""
        (created,) = _messages([self._part.create(self._entity.from_message(message), **options)])
        return created

    def create_batch(self, messages: Sequence[Message], request_id: str) -> Sequence[Message]:
        """Creates all of them or none."""
        return [*_messages(self._part.batch_create(self._entities(messages), request_id=request_id))]

    def server_time(self) -> datetime:
        """Returns the time by the server's clock: the one at which a create that is only checked would be made."""
        from artemis_client import Event  # noqa: PLC0415 - likewise

        some_time = datetime.fromtimestamp(0, UTC)
        event = Event(name="clock", start_time=some_time, end_time=some_time)
        return self._client.events.create(event, validate_only=True).create_time

    def holders(self, users: Sequence[Any]) -> "builtins.list[Any]":
        """Returns, for each of the users, the stored one that has its e-mail address, if there is one."""
        from artemis_client import where  # noqa: PLC0415 - likewise

        found: dict[str, Any] = {}
        for some in chunks(users, MAX_ADDRESSES):
            text = " OR ".join(where("email = {}", each.email) for each in some)
            found |= {each.email: each for each in cast("Iterator[Any]", self.list(filter=text))}
        return [found.get(each.email) for each in users]

    def has_same_content(self, message: Message, other: Message) -> bool:
        """Tells whether two resources differ in nothing that a caller sets."""
        return all(getattr(message, each.name) == getattr(other, each.name) for each in self._resource.writable)

    def update(self, messages: Sequence[Message], mask: Sequence[str], **options: Any) -> Iterator[Message]:
        """Changes the fields of the mask, in calls of up to 1000 resources, each of which does all or nothing."""
        if len(messages) == 1:
            updates = (self._part.update(each, update_mask=mask, **options) for each in self._entities(messages))
            yield from _messages(updates)
            return
        for some in chunks(messages):
            yield from _messages(self._part.batch_update(self._entities(some), update_mask=mask, **options))

    def delete(self, ids: Sequence[int], **options: Any) -> Iterator[Message]:
        """Deletes them, in calls of up to 1000 resources, each of which does all or nothing; yields the last states."""
        if len(ids) == 1:
            yield from _messages(self._part.delete(each, **options) for each in ids)
            return
        for some in chunks(ids):
            yield from _messages(self._part.batch_delete(some, **options))

    def history(self, event_id: int) -> Iterator[events_pb2.EventChange]:
        """Yields the changes of one event, the newest first."""
        yield from map(_change, self._part.history(event_id))

    def watch(self, resume_token: str | None, **options: Any) -> "Changes":
        """Returns the changes of events from now on, or since a token."""
        return Changes(self._part.watch(resume_token or None, **options))

    def _entities(self, messages: Sequence[Message]) -> Sequence[Any]:
        return [self._entity.from_message(each) for each in messages]


class Changes:
    """The changes of a watch, with the token that continues after those that were taken."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch

    @property
    def resume_token(self) -> str:
        """The token that continues after the responses that were yielded, once the next one is asked for."""
        return self._watch.resume_token

    def __iter__(self) -> Iterator[events_pb2.WatchEventsResponse]:
        """Yields changes that belong together, with the token that continues after them."""
        response = events_pb2.WatchEventsResponse()
        for change in self._watch:
            response.changes.append(_change(change))
            if change.resume_token is not None:
                response.resume_token = change.resume_token
                yield response
                response = events_pb2.WatchEventsResponse()


def created_at(message: Message) -> datetime:
    """Returns the time at which a resource was created."""
    time: Timestamp = getattr(message, "create_time")  # noqa: B009 - Message has no such attribute for mypy
    return time.ToDatetime(UTC)


def _change(change: "EventChange") -> events_pb2.EventChange:
    """Returns a change as the message of the contract."""
    message = events_pb2.EventChange(
        type=f"TYPE_{change.type.name}",
        event=change.event.to_message(),
        principal=change.principal,
        previous_event=change.previous_event.to_message() if change.previous_event else None,
    )
    message.change_time.FromDatetime(change.change_time)
    return message


def _messages(entities: Iterable[Any]) -> Iterator[Message]:
    """Yields the messages of what the library returns."""
    return (each.to_message() for each in entities)


def chunks(items: Sequence[Any], size: int = MAX_BATCH) -> Iterator[Sequence[Any]]:
    """Yields the items in parts of this size."""
    return (items[start : start + size] for start in range(0, len(items), size))
