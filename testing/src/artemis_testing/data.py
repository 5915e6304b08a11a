"""The data that a test begins with: what is not given gets a default, so that a test names what it is about."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2, users_pb2_grpc
from artemis.v1.events_pb2 import Event as EventMessage
from artemis.v1.users_pb2 import User as UserMessage
from artemis_client import Event, User
from artemis_client.errors import from_rpc_error
from google.protobuf.json_format import ParseDict

START = datetime(2030, 1, 1, 9, tzinfo=UTC)
"""The start time of an event that is not given one."""
DURATION = timedelta(hours=1)
"""The time from the start to the end of an event that is not given an end."""
UNSCRIPTED = "x-artemis-testing"
"""The metadata by which the server knows the calls of the kit: they are not recorded, and no fault meets them."""
MAX_BATCH = 80
"""Events or users of one call: events as large as they may be, 35 KiB each, stay below the size of an answer, 3 MiB."""


class EventFields(TypedDict, total=False):
    """The fields of an event that a caller may set. Times have a time zone."""

    name: str
    description: str
    category: str
    location: str
    publisher: str
    start_time: datetime
    end_time: datetime
    owner_id: int


class UserFields(TypedDict, total=False):
    """The fields of a user that a caller may set."""

    email: str
    first_name: str
    last_name: str


class Data:
    """Adds events and users by calls of the API. Raises: `artemis_client.ArtemisError`, as the client does."""

    def __init__(self, channel: grpc.Channel, token: str | None) -> None:
        self._events = events_pb2_grpc.EventServiceStub(channel)
        self._users = users_pb2_grpc.UserServiceStub(channel)
        self._metadata = ((UNSCRIPTED, "1"), *((("authorization", f"Bearer {token}"),) if token else ()))
        self.forget()

    def forget(self) -> None:
        """Begins to count events and users anew: their numbers are in their default names."""
        self._event_count = self._user_count = 0

    def events(self, events: Iterable[Event | EventMessage]) -> list[Event]:
        """Adds events, in their order; returns them with their ids."""
        requests = [events_pb2.CreateEventRequest(event=self._complete_event(to_message(each))) for each in events]
        added: list[EventMessage] = []
        for some in _batches(requests):
            batch = events_pb2.BatchCreateEventsRequest(requests=some)
            added += self._call(self._events.BatchCreateEvents, batch).events
        return [from_message(Event, each) for each in added]

    def users(self, users: Iterable[User | UserMessage]) -> list[User]:
        """Adds users, in their order; returns them with their ids."""
        requests = [users_pb2.CreateUserRequest(user=self._complete_user(to_message(each))) for each in users]
        added: list[UserMessage] = []
        for some in _batches(requests):
            batch = users_pb2.BatchCreateUsersRequest(requests=some)
            added += self._call(self._users.BatchCreateUsers, batch).users
        return [from_message(User, each) for each in added]

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, metadata=self._metadata, wait_for_ready=True, timeout=30)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def _complete_event(self, given: EventMessage) -> EventMessage:
        event = EventMessage()
        event.CopyFrom(given)
        self._event_count += 1
        event.name = event.name or f"Event {self._event_count}"
        if not event.HasField("start_time"):
            start = event.end_time.ToDatetime(UTC) - DURATION if event.HasField("end_time") else START
            event.start_time.FromDatetime(start)
        if not event.HasField("end_time"):
            event.end_time.FromDatetime(event.start_time.ToDatetime(UTC) + DURATION)
        return event

    def _complete_user(self, given: UserMessage) -> UserMessage:
        user = UserMessage()
        user.CopyFrom(given)
        self._user_count += 1
        user.email = user.email or f"user{self._user_count}@example.com"
        return user


def _batches(requests: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (requests[start : start + MAX_BATCH] for start in range(0, len(requests), MAX_BATCH))


def to_message(resource: Any) -> Any:
    """Returns the contract's message of an event or a user, which may be one already."""
    return resource.to_message() if hasattr(resource, "to_message") else resource


def from_message(kind: Any, message: Any) -> Any:
    """Returns the event or user of the client's type for a message of the contract. The two types may be one."""
    return kind.from_message(message) if hasattr(kind, "from_message") else message


def event_of(fields: EventFields) -> EventMessage:
    """Returns an event with these fields.

    Raises:
        ValueError: a time has no time zone, or there is no such field.
    """
    event = EventMessage()
    for name, value in fields.items():
        if name not in EventFields.__annotations__:
            raise ValueError(f"there is no field {name!r}; there are {', '.join(EventFields.__annotations__)}")
        if not isinstance(value, datetime):
            setattr(event, name, value)
        elif value.tzinfo is None:
            raise ValueError(f"{name} has no time zone; give it one, such as tzinfo=timezone.utc")
        else:
            getattr(event, name).FromDatetime(value)
    return event


def read(path: Path) -> tuple[list[UserMessage], list[EventMessage]]:
    """Returns the users and the events of a file: a JSON object on each line, a user if it has an e-mail address.

        {"email": "ada@example.com"}
        {"name": "Compiler day", "startTime": "2030-05-04T09:00:00Z", "ownerId": "1"}

    Names may be those of JSON or of the .proto files, such as start_time.

    Raises:
        ValueError: a line is not such an object; the text has its number.
    """
    users: list[UserMessage] = []
    events: list[EventMessage] = []
    for number, values in _lines(path):
        try:
            if "email" in values:
                users.append(ParseDict(values, UserMessage()))
            else:
                events.append(ParseDict(values, EventMessage()))
        except Exception as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    return users, events


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
