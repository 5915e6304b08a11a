"""The data that a test begins with: what is not given gets a default, so that a test names what it is about."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import grpc
from artemis.v1 import events_pb2, users_pb2
from artemis_client import ArtemisClient, Event, User
from google.protobuf.json_format import ParseDict

START = datetime(2030, 1, 1, 9, tzinfo=UTC)
"""The start time of an event that is not given one."""
DURATION = timedelta(hours=1)
"""The time from the start to the end of an event that is not given an end."""
UNSCRIPTED = "x-artemis-testing"
"""The metadata by which the server knows the calls of the kit: they are not recorded, and no fault meets them."""
TIMEOUT = 30.0
"""Seconds of one call. The client makes it again on a new connection if a fault has cut the connection."""


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
        client = ArtemisClient(channel=channel, token=token, timeout=TIMEOUT)
        self._client = client.with_metadata({UNSCRIPTED: "1"})
        self.forget()

    def forget(self) -> None:
        """Begins to count events and users anew: their numbers are in their default names."""
        self._event_count = self._user_count = 0

    def events(self, events: Iterable[Event]) -> list[Event]:
        """Adds events, in their order; returns them with their ids."""
        return self._client.events.batch_create([self._complete_event(each) for each in events])

    def users(self, users: Iterable[User]) -> list[User]:
        """Adds users, in their order; returns them with their ids."""
        return self._client.users.batch_create([self._complete_user(each) for each in users])

    def _complete_event(self, event: Event) -> Event:
        _check_kind(event, Event)
        self._event_count += 1
        start = event.start_time or (_moved(event.end_time, -DURATION) if event.end_time else START)
        end = event.end_time or _moved(start, DURATION)
        return replace(event, name=event.name or f"Event {self._event_count}", start_time=start, end_time=end)

    def _complete_user(self, user: User) -> User:
        _check_kind(user, User)
        self._user_count += 1
        return replace(user, email=user.email or f"user{self._user_count}@example.com")


def event_of(fields: EventFields) -> Event:
    """Returns an event with these fields.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a time has no time zone, or a caller may not set such a field.
    """
    _check_names(fields, EventFields)
    return Event(**fields)


def user_of(fields: UserFields) -> User:
    """Returns a user with these fields. Raises: as `event_of`."""
    _check_names(fields, UserFields)
    return User(**fields)


def read(path: Path) -> tuple[list[User], list[Event]]:
    """Returns the users and the events of a file: a JSON object on each line, a user if it has an e-mail address.

        {"email": "ada@example.com"}
        {"name": "Compiler day", "startTime": "2030-05-04T09:00:00Z", "ownerId": "1"}

    Names may be those of JSON or of the .proto files, such as start_time.

    Raises:
        ValueError: a line is not such an object; the text has its number.
    """
    users: list[User] = []
    events: list[Event] = []
    for number, values in _lines(path):
        try:
            if "email" in values:
                users.append(User.from_message(ParseDict(values, users_pb2.User())))
            else:
                events.append(Event.from_message(ParseDict(values, events_pb2.Event())))
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


def _check_names(fields: Mapping[str, object], kind: type[EventFields] | type[UserFields]) -> None:
    for name in fields.keys() - kind.__annotations__.keys():
        raise ValueError(f"there is no field {name!r} that a test may set; there are {', '.join(kind.__annotations__)}")


def _check_kind(entity: object, kind: type[Event] | type[User]) -> None:
    if not isinstance(entity, kind):
        found = type(entity)
        raise TypeError(f"expected an artemis_client.{kind.__name__}, not {found.__module__}.{found.__qualname__}")


def _moved(time: datetime, by: timedelta) -> datetime:
    """Returns the time moved, or as it is where the years that Python knows end."""
    try:
        return time + by
    except OverflowError:
        return time
