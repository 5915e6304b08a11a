"""Events and users to send."""

import itertools
from datetime import UTC, datetime
from typing import Any, TypeVar

from artemis_client import Event, User
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

START = datetime(2026, 5, 13, 9, 0, 0, 123456, tzinfo=UTC)
END = datetime(2026, 5, 15, 17, 30, tzinfo=UTC)
SERVERS_PART = ("id", "create_time", "update_time", "etag", "source", "external_id")

M = TypeVar("M", bound=Message)
_numbers = itertools.count(1)


def event(**fields: Any) -> Event:
    """Returns an event with every field that a caller can set, but the owner, and with these fields instead."""
    given: dict[str, Any] = {
        "name": "Conference on embedded databases",
        "description": "Talks — 講演 — and workshops 🎉\nfor two days",
        "category": "databases",
        "location": "京都, Japan",
        "publisher": "Society for Small Data",
        "start_time": START,
        "end_time": END,
    }
    return Event(**(given | fields))


def user(**fields: Any) -> User:
    """Returns a user with an e-mail address that no other sample has, and with these fields instead."""
    given = {"email": f"Ada.{next(_numbers)}@Example.com", "first_name": "Ada", "last_name": "Lovelace"}
    return User(**(given | fields))


def at(seconds: int, nanos: int = 0) -> Timestamp:
    """Returns a timestamp, whether or not it is a valid one."""
    return Timestamp(seconds=seconds, nanos=nanos)


def sent_part(message: M) -> M:
    """Returns the message without what the server adds."""
    kept = type(message)()
    kept.CopyFrom(message)
    for name in SERVERS_PART:
        kept.ClearField(name)
    return kept
