"""Valid messages to store, changes of them, what is stored, and callers who wait for it."""

import threading
from typing import Any, TypeVar

from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server.db.batches import Change
from artemis_server.db.connection.database import Database
from artemis_server.db.store import Store
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.orm import Session

START = 1_767_225_600  # 2026-01-01T00:00:00Z
HOUR = 3600

M = TypeVar("M", Event, User)


def new_event(**fields: Any) -> Event:
    """Returns an event of one hour with every writable field set but the owner; `fields` replaces some."""
    values: dict[str, Any] = {
        "name": "Release party",
        "description": "Cake for everyone.",
        "category": "party",
        "location": "Kyoto, Japan",
        "publisher": "Release team",
        "start_time": Timestamp(seconds=START, nanos=123_456_000),
        "end_time": Timestamp(seconds=START + HOUR),
    }
    return Event(**values | fields)


class Waiting:
    """A caller who waits so many seconds, or until it goes away."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._gone = threading.Event()

    def time_remaining(self) -> float | None:
        """Returns how long it waits, whenever it is asked."""
        return self._seconds

    def is_active(self) -> bool:
        """Tells whether it is still there."""
        return not self._gone.is_set()

    def go_away(self) -> None:
        """Does not wait any more."""
        self._gone.set()


def new_user(number: int = 0, **fields: Any) -> User:
    """Returns a user whose address has this number; `fields` replaces some of the others."""
    values: dict[str, Any] = {"email": f"User{number}@example.com", "first_name": "Ada", "last_name": "Lovelace"}
    return User(**values | fields)


def change(message: M, **fields: Any) -> Change[M]:
    """Returns the change of these fields; None clears one."""
    merged = type(message)()
    merged.CopyFrom(message)
    for name in fields:
        merged.ClearField(name)
    merged.MergeFrom(type(message)(**{name: value for name, value in fields.items() if value is not None}))
    return Change(merged, tuple(fields))


def all_stored(store: Store[M], database: Database) -> list[M]:
    """Returns every message that there is, in the order of the ids."""

    def work(session: Session) -> list[M]:
        chunks = store.query("", "").scan(session, after=None, limit=10_000)
        return [store.codec.to_message(row) for chunk in chunks for row in chunk]

    return database.read(work)
