"""The client: a channel, and a part for each service."""

from collections.abc import Mapping, Sequence
from types import TracebackType

import grpc

from artemis_client._async.calls import AsyncCaller
from artemis_client._async.events import AsyncEventClient
from artemis_client._async.io import Channel, Interceptor, connect
from artemis_client._async.users import AsyncUserClient
from artemis_client.calls import DEFAULT_TIMEOUT, CallSettings, checked_metadata
from artemis_client.config import Keepalive, connection
from artemis_client.credentials import AsyncTokenProvider, provider_of
from artemis_client.retries import Retry


class AsyncArtemisClient:
    """Calls the Artemis server at `target`, such as "127.0.0.1:50051". The tasks of one event loop may share it.

    A client has one connection to each address of the target's name ("dns:///artemis:50051" may have several), and
    sends calls in turn to the servers that are healthy. One worker of a server answers all calls of a connection: a
    program that needs more than one worker of a server needs more clients. A client belongs to the process that made
    it, and does not survive a fork.

    Close it, or use it as a context manager. Every call has a deadline of `timeout` seconds, unless the call has a
    timeout of its own. Calls that fail with UNAVAILABLE, or with RESOURCE_EXHAUSTED and a time after which to try
    again, are repeated until the deadline, as `retry` says. The default deadline is longer than a failover of the
    database. A write that is repeated is made once: every attempt has the same request id.
    With `credentials`, such as `tls()`, the connection is encrypted. `token` tells the server who calls: a string, or
    a function that returns the current one. The function is called for each call, where the call is made, and again
    if the server refuses its token: when it then returns another, the call is made with that. An exception of the
    function is raised as Unauthenticated. A coroutine function shares the deadline of the call; a plain function must
    return soon, because nothing can end it.
    Of `target`, `credentials` and `token`, the ones that are not given come from the environment: ARTEMIS_TARGET;
    ARTEMIS_CA, ARTEMIS_CERT and ARTEMIS_KEY (the files of `tls()`) or ARTEMIS_TLS=true; ARTEMIS_TOKEN or
    ARTEMIS_TOKEN_FILE, which is read for each call. ARTEMIS_TLS=false is `insecure`.
    `interceptors` are gRPC's own; the first is the outermost. With `channel`, a channel of your own, the client has no
    part in how it connects: give no target, credentials, keepalive or interceptors, and close the channel yourself.
    Nothing comes from the environment then.

    Raises:
        ValueError: there is no target; the token would go unencrypted to another machine, and `insecure` does not allow
            that; a string cannot be a token; arguments, or variables of the environment, contradict each other.
        TypeError, ValueError: the timeout is not a number.
        OSError: a file that the environment names cannot be read.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own, given by its name
        self,
        target: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | AsyncTokenProvider | None = None,
        insecure: bool = False,
        retry: Retry | None = None,
        keepalive: Keepalive | None = None,
        interceptors: Sequence[Interceptor] = (),
        channel: Channel | None = None,
    ) -> None:
        if channel is None:
            found = connection(target, credentials, token, insecure=insecure)
            provider = found.token
        elif target or credentials or insecure or keepalive or interceptors:
            raise ValueError("a channel of your own has its target, credentials, keepalive and interceptors already")
        else:
            provider = None if token is None else provider_of(token)
        settings = CallSettings(timeout=timeout, token=provider, retry=retry or Retry())
        caller = AsyncCaller(settings)
        self._owns_channel = channel is None
        if channel is None:
            options = found.options(keepalive or Keepalive())
            channel = connect(found.target, found.credentials, options, interceptors)
        self._assemble(channel, caller)

    def _assemble(self, channel: Channel, caller: AsyncCaller) -> None:
        self._channel = channel
        self._caller = caller
        self._position = caller.position
        self.events = AsyncEventClient(channel, caller)
        self.users = AsyncUserClient(channel, caller)

    @property
    def channel(self) -> Channel:
        """The channel, for a generated stub of your own, such as `HealthStub(client.channel)`.

        A stub sends no token, tries nothing again, and raises the errors of gRPC.
        """
        return self._channel

    @property
    def position(self) -> str:
        """The position of the latest write of this client in the server's database; empty without replicas.

        Every call sends it, so that a replica answers only when it has that write. To let another client read what
        this one wrote, set it there: `other.position = client.position`. An earlier position, or an empty one, changes
        nothing. A text that is not a position raises ValueError.
        """
        return self._position.text

    @position.setter
    def position(self, position: str) -> None:
        self._position.advance(position)

    def with_metadata(self, metadata: Mapping[str, str | bytes]) -> "AsyncArtemisClient":
        """Returns a client that also sends this metadata with each call, over the same connection.

        Closing it leaves this client open; it is closed with this client. Names are in lower case. A value is a string
        in ASCII, or bytes if the name ends with "-bin".

        Raises:
            TypeError: a value has the wrong type.
            ValueError: a name or a value cannot be sent, or the client itself sends the name.
        """
        other = object.__new__(type(self))
        other._owns_channel = False
        other._assemble(self._channel, self._caller.with_metadata(checked_metadata(metadata)))
        return other

    async def close(self) -> None:
        """Closes the connection. Calls in flight, and those that wait for their next attempt, fail with Cancelled.

        A channel of your own stays open, and so do the calls in flight on it.
        """
        self._caller.close()
        if self._owns_channel and self._caller.is_closed:
            await self._channel.close()

    async def __aenter__(self) -> "AsyncArtemisClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
