"""The client: a channel, and a part for each service."""

import json
from types import TracebackType

import grpc

from artemis_client.calls import DEFAULT_TIMEOUT, Caller
from artemis_client.credentials import TokenProvider, is_local, provider_of
from artemis_client.events import EventClient
from artemis_client.users import UserClient

# To each address of the target's name in turn, so that several servers share the calls of one client.
_SERVICE_CONFIG = ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]}))
# Calls are tried again by `artemis_client.retries`: gRPC makes five attempts at most, which end within seconds.
_NO_RETRIES = ("grpc.enable_retries", 0)
# A connection of its own: clients of one process would share one, which ends at one worker of the server.
_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
_RECONNECT = (  # milliseconds
    # gRPC's own pauses of a second and more would keep a call from a server that is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Despite its name, this limits an attempt to connect. gRPC's own 20 seconds are more than many deadlines: a call to
    # an address that never answers would not name the cause.
    ("grpc.min_reconnect_backoff_ms", 5000),
)
# milliseconds; a connection whose server or network vanished without a word is given up after 40 seconds
_KEEPALIVE = (("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000))
# gRPC would go to the proxy that `http_proxy` names, also for an address of this machine, and show it the token.
_NO_PROXY = ("grpc.enable_http_proxy", 0)


class ArtemisClient:
    """Calls the Artemis server at `target`, such as "127.0.0.1:50051". Threads may share it.

    A client has one connection to each address that the target's name has, as "dns:///artemis:50051" may have several,
    and sends calls to them in turn. One worker of a server answers a connection: a program that keeps more than one
    worker of it busy needs more clients.

    Close it, or use it as a context manager. Every call has a deadline: `timeout` seconds, unless it is
    given one of its own. Calls that fail with UNAVAILABLE, or with RESOURCE_EXHAUSTED and a time after which to come
    back, are tried again until the deadline. The default outlasts a failover of the database. A write that is
    tried again is made once: every attempt has the same request id.
    With `credentials`, such as `tls()`, the connection is encrypted. `token` tells the server who calls: a string, or
    a function that returns the current one. The function is called for each call, on the thread of the call, and again
    if the server refuses its token: when it then returns another, the call is made with that. An exception of the
    function is raised as Unauthenticated.

    Raises:
        ValueError: the token would go unencrypted to another machine, and `insecure` does not allow that; or it is
            a string that cannot be a token.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | TokenProvider | None = None,
        insecure: bool = False,
    ) -> None:
        provider = None if token is None else provider_of(token)
        plaintext_token = provider is not None and credentials is None
        if plaintext_token and not insecure and not is_local(target):
            raise ValueError(
                f"refusing to send a token to {target} unencrypted: "
                "give credentials=tls(), or insecure=True on a network that you trust"
            )
        options = [_SERVICE_CONFIG, _NO_RETRIES, _OWN_CONNECTION, *_RECONNECT, *_KEEPALIVE]
        if plaintext_token and is_local(target):
            options.append(_NO_PROXY)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, credentials, options)
        self._caller = Caller(timeout, provider)
        self.events = EventClient(self._channel, self._caller)
        self.users = UserClient(self._channel, self._caller)

    def close(self) -> None:
        """Closes the connection; calls that are under way or wait to be tried again fail with Cancelled."""
        self._caller.close()
        self._channel.close()

    def __enter__(self) -> "ArtemisClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
