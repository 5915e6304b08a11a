"""Events and users to send: as the client takes them, and as messages of the stubs, which can also be invalid."""

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from artemis.v1 import events_pb2, users_pb2
from artemis_client import Event, User
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

START = datetime(2026, 5, 13, 9, 0, 0, 123456, tzinfo=UTC)
END = datetime(2026, 5, 15, 17, 30, tzinfo=UTC)
SERVERS_PART = ("id", "create_time", "update_time", "etag", "source", "external_id")

M = TypeVar("M", bound=Message)
E = TypeVar("E", Event, User)
_numbers = itertools.count(1)


def event_fields(**fields: Any) -> dict[str, Any]:
    """Returns every field of an event that a caller can set, but the owner, and these fields instead."""
    given: dict[str, Any] = {
        "name": "Conference on embedded databases",
        "description": "Talks — 講演 — and workshops 🎉\nfor two days",
        "category": "databases",
        "location": "京都, Japan",
        "publisher": "Society for Small Data",
        "start_time": START,
        "end_time": END,
    }
    return given | fields


def event(**fields: Any) -> Event:
    """Returns an event with every field that a caller can set, but the owner, and with these fields instead."""
    return Event(**event_fields(**fields))


def event_message(**fields: Any) -> events_pb2.Event:
    """Returns the same as a message."""
    return events_pb2.Event(**event_fields(**fields))


def user_fields(**fields: Any) -> dict[str, Any]:
    """Returns every field of a user that a caller can set, with a new e-mail address, and these fields instead."""
    given: dict[str, Any] = {
        "email": f"Ada.{next(_numbers)}@Example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
    }
    return given | fields


def user(**fields: Any) -> User:
    """Returns a user with an e-mail address that no other sample has, and with these fields instead."""
    return User(**user_fields(**fields))


def user_message(**fields: Any) -> users_pb2.User:
    """Returns the same as a message."""
    return users_pb2.User(**user_fields(**fields))


def moment(seconds: int, micros: int = 0) -> datetime:
    """Returns the time so many seconds after 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micros)


def at(seconds: int, nanos: int = 0) -> Timestamp:
    """Returns a timestamp, whether or not it is a valid one."""
    return Timestamp(seconds=seconds, nanos=nanos)


def sent_part(entity: E) -> E:
    """Returns the event or user without what the server adds."""
    fields: dict[str, Any] = {
        each.name: each.default for each in dataclasses.fields(entity) if each.name in SERVERS_PART
    }
    return dataclasses.replace(entity, **fields)


def sent_part_of_message(message: M) -> M:
    """Returns the message without what the server adds."""
    kept = type(message)()
    kept.CopyFrom(message)
    for name in SERVERS_PART:
        kept.ClearField(name)
    return kept
