"""The Python client of Artemis.

from artemis_client import ArtemisClient, Event, timestamp

with ArtemisClient("127.0.0.1:50051") as client:
    event = client.events.create(Event(name="PyCon", start_time=timestamp(start), end_time=timestamp(end)))
"""

from importlib.metadata import version as _version

from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User

from artemis_client.client import ArtemisClient
from artemis_client.credentials import tls
from artemis_client.errors import (
    Aborted,
    AlreadyExists,
    ArtemisError,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    ResumeTokenExpired,
    Unauthenticated,
    Unavailable,
    Violation,
)
from artemis_client.times import timestamp
from artemis_client.watching.changes import ChangeType, EventChange
from artemis_client.watching.mirror import EventMirror
from artemis_client.watching.stores import EventStore, MemoryStore
from artemis_client.watching.watch import Watch
from artemis_client.where import where

__version__ = _version("artemis-client")

__all__ = [
    "Aborted",
    "AlreadyExists",
    "ArtemisClient",
    "ArtemisError",
    "Cancelled",
    "ChangeType",
    "DeadlineExceeded",
    "Event",
    "EventChange",
    "EventMirror",
    "EventStore",
    "FailedPrecondition",
    "InternalError",
    "InvalidArgument",
    "MemoryStore",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "ResumeTokenExpired",
    "Unauthenticated",
    "Unavailable",
    "User",
    "Violation",
    "Watch",
    "timestamp",
    "tls",
    "where",
]
