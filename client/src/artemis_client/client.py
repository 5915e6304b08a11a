"""The client: a channel, and a part for each service."""

import json
from types import TracebackType

import grpc
from artemis.v1 import events_pb2, users_pb2

from artemis_client.calls import DEFAULT_TIMEOUT, Caller
from artemis_client.events import EventClient
from artemis_client.users import UserClient

_READS = (
    ("EventService", events_pb2, ("GetEvent", "ListEvents")),
    ("UserService", users_pb2, ("GetUser", "ListUsers")),
)
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            # Only what may be repeated: a write that seems to have failed may have been made (AIP-194).
            "name": [
                {"service": module.DESCRIPTOR.services_by_name[service].full_name, "method": method}
                for service, module, methods in _READS
                for method in methods
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "3s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_RECONNECT = (  # milliseconds; gRPC's own second or more would use up the retries while a server restarts
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class ArtemisClient:
    """Calls the Artemis server at `target`, such as "127.0.0.1:50051". Threads may share it.

    Close it, or use it as a context manager. Every call has a deadline: `timeout` seconds, unless it is
    given one of its own. Reads that fail with UNAVAILABLE are tried up to five times within the deadline,
    which outlasts the restart of a server (gRFC A6).
    With `credentials` the connection is encrypted.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options = [("grpc.service_config", json.dumps(_SERVICE_CONFIG)), *_RECONNECT]
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, credentials, options)
        caller = Caller(timeout)
        self.events = EventClient(self._channel, caller)
        self.users = UserClient(self._channel, caller)

    def close(self) -> None:
        """Closes the connection; calls that are under way fail with Cancelled."""
        self._channel.close()

    def __enter__(self) -> "ArtemisClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
