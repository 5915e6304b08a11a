"""A server for tests: the real one, in a process of its own."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Unpack

import grpc
from artemis_client import ArtemisClient, AsyncArtemisClient, Event, User

from artemis_testing.calls import RecordedCall, recorded
from artemis_testing.clock import Clock
from artemis_testing.data import Data, EventFields, UserFields, event_of, read, user_of
from artemis_testing.faults import Faults
from artemis_testing.process import ServerFailedError, ServerProcess

CLIENT_TIMEOUT = 10.0
"""Seconds of `ArtemisServer.client`, so that a test that waits for nothing fails soon."""


class ArtemisServer:
    """A real server with an empty database, on a port of 127.0.0.1. The fixture `artemis` gives one to each test."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self.target = f"127.0.0.1:{process.port}"
        """The address, as clients take it."""
        self.clock = Clock(process)
        """The clock that the server's data follow."""
        self.faults = Faults(process)
        """The faults of the next calls."""
        self._channel = grpc.insecure_channel(self.target, _OPTIONS)
        self._data = Data(self._channel, process.tokens.get("admin"))
        self._client: ArtemisClient | None = None
        self._log_begin = process.log_size

    @property
    def client(self) -> ArtemisClient:
        """A client of this server, which may do everything, and waits for 10 seconds at most."""
        if self._client is None:
            token = self._process.tokens.get("admin")
            self._client = ArtemisClient(self.target, token=token, timeout=CLIENT_TIMEOUT)
        return self._client

    def async_client(self, **options: Any) -> AsyncArtemisClient:
        """Returns a new client for asyncio, which is like `client`. Call this in a coroutine, and close the client.

        The options are those of AsyncArtemisClient.
        """
        defaults = {"token": self._process.tokens.get("admin"), "timeout": CLIENT_TIMEOUT}
        return AsyncArtemisClient(self.target, **{**defaults, **options})

    def token(self, role: str) -> str:
        """Returns a token that has this role: "reader", "writer" or "admin".

        Raises:
            KeyError: there is no such role, or the server was made without `access`.
        """
        return self._process.tokens[role]

    def add_event(self, **fields: Unpack[EventFields]) -> Event:
        """Adds an event, and returns it with its id. What is not given has a default: it begins at `data.START`.

        Raises:
            TypeError: a value has the wrong type.
            ValueError: a time has no time zone, or a caller may not set such a field.
            artemis_client.ArtemisError: the server refuses the event.
        """
        return self.add_events([event_of(fields)])[0]

    def add_events(self, events: Iterable[Event]) -> list[Event]:
        """Adds events, and returns them with their ids. An event without a name, a start or an end gets one."""
        return self._data.events(events)

    def add_user(self, **fields: Unpack[UserFields]) -> User:
        """Adds a user, and returns it with its id. The address is userN@example.com unless it is given."""
        return self.add_users([user_of(fields)])[0]

    def add_users(self, users: Iterable[User]) -> list[User]:
        """Adds users, and returns them with their ids. A user without an e-mail address gets one."""
        return self._data.users(users)

    def load(self, path: Path | str) -> None:
        """Adds the users, and then the events, of a file that has a JSON object on each line (`data.read`).

        The first user of an empty server has the id 1, so events of the file can name their owners.

        Raises:
            ValueError: a line is not a user or an event.
        """
        users, events = read(Path(path))
        self.add_users(users)
        self.add_events(events)

    @property
    def calls(self) -> list[RecordedCall]:
        """The calls that arrived since the last reset, in their order. Those that add data are not among them."""
        return [recorded(*each) for each in self._process.ask("calls")]

    @property
    def log(self) -> str:
        """The lines that the server has logged since the last reset: one for each call, and what went wrong."""
        with suppress(ServerFailedError):  # its log is there all the same
            self._process.ask("flush_log")
        return self._process.log(self._log_begin)

    def reset(self) -> None:
        """Makes the database empty, the clock right, and the faults and the recorded calls forgotten.

        Open calls and watches end with UNAVAILABLE. The target stays, and so do connections. Ids begin at 1 again.
        """
        self._process.ask("reset")
        self._process.ask("flush_log")
        self._data.forget()
        self._log_begin = self._process.log_size

    def close_client(self) -> None:
        """Closes `client`, if it was used; the next use makes another one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """Ends the server, and removes its files."""
        self.close_client()
        self._channel.close()
        self._process.close()


_OPTIONS = (
    # A connection of its own, which ends with the channel.
    ("grpc.use_local_subchannel_pool", 1),
    # Faults cut the connection, and the next call must not wait for gRPC's pause of a second.
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_http_proxy", 0),
)
