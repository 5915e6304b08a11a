"""The Python client of Artemis.

from artemis_client import ArtemisClient, Event

with ArtemisClient("127.0.0.1:50051") as client:
    event = client.events.create(Event(name="PyCon", start_time=start, end_time=end))
"""

import typing as _typing

from artemis_client._async.client import AsyncArtemisClient
from artemis_client._async.mirror import AsyncEventMirror
from artemis_client._async.pages import AsyncPager
from artemis_client._async.watch import AsyncWatch
from artemis_client._sync.client import ArtemisClient
from artemis_client._sync.mirror import EventMirror
from artemis_client._sync.pages import Pager
from artemis_client._sync.watch import Watch
from artemis_client.config import Keepalive
from artemis_client.credentials import tls
from artemis_client.entities import Event, User
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
from artemis_client.pages import Found, Page
from artemis_client.retries import Retry
from artemis_client.watching.changes import ChangeType, EventChange
from artemis_client.watching.stores import AsyncEventStore, EventStore, MemoryStore
from artemis_client.where import where

if _typing.TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Returns `__version__`, whose module takes a third of the time of the whole import."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415, see above

        return version("artemis-client")


__all__ = [
    "Aborted",
    "AlreadyExists",
    "ArtemisClient",
    "ArtemisError",
    "AsyncArtemisClient",
    "AsyncEventMirror",
    "AsyncEventStore",
    "AsyncPager",
    "AsyncWatch",
    "Cancelled",
    "ChangeType",
    "DeadlineExceeded",
    "Event",
    "EventChange",
    "EventMirror",
    "EventStore",
    "FailedPrecondition",
    "Found",
    "InternalError",
    "InvalidArgument",
    "Keepalive",
    "MemoryStore",
    "NotFound",
    "OutOfRange",
    "Page",
    "Pager",
    "PermissionDenied",
    "ResourceExhausted",
    "ResumeTokenExpired",
    "Retry",
    "Unauthenticated",
    "Unavailable",
    "User",
    "Violation",
    "Watch",
    "tls",
    "where",
]
