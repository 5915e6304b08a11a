"""The Python client of Artemis.

from artemis_client import ArtemisClient, Event

with ArtemisClient("127.0.0.1:50051") as client:
    event = client.events.create(Event(name="PyCon", start_time=start, end_time=end))
"""

from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User

from artemis_client.client import ArtemisClient
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
    Unauthenticated,
    Unavailable,
    Violation,
)

__all__ = [
    "Aborted",
    "AlreadyExists",
    "ArtemisClient",
    "ArtemisError",
    "Cancelled",
    "DeadlineExceeded",
    "Event",
    "FailedPrecondition",
    "InternalError",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "Unauthenticated",
    "Unavailable",
    "User",
    "Violation",
]
