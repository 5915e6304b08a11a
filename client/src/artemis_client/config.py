"""The target and credentials of a client: its arguments first, then the environment; and the options of its channel."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from artemis_client.credentials import AnyTokenProvider, is_local, provider_of, tls

_NEVER = 2**31 - 1
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
# To each address of the target's name in turn, so that several servers share the calls of one client.
_ROUND_ROBIN: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
# To none of several servers that says of itself that it does not serve, such as one that is about to stop. The error of
# a single server tells the cause; gRPC would say "backend unhealthy" in its place.
_HEALTH_CHECK = {"healthCheckConfig": {"serviceName": ""}}
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
# gRPC would go to the proxy that `http_proxy` names, also for an address of this machine, and show it the token.
_NO_PROXY = ("grpc.enable_http_proxy", 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Keepalive:
    """Pings by which a client notices that its server or network disappeared without closing the connection.

    Raises:
        ValueError: a number is not more than 0.
    """

    time: float = 30.0
    """Seconds without a sign of life after which the client sends a ping, while a call is under way. `math.inf` sends
    none."""
    timeout: float = 10.0
    """Seconds that the answer to the ping may take."""

    def __post_init__(self) -> None:
        if not (self.time > 0 and self.timeout > 0):
            raise ValueError("the time and the timeout of a keepalive must be more than 0 seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """The target and the credentials of a client."""

    target: str
    credentials: grpc.ChannelCredentials | None
    """None sends everything unencrypted."""
    token: AnyTokenProvider | None

    def options(self, keepalive: Keepalive) -> list[tuple[str, str | int]]:
        """Returns the options of the channel (grpc/impl/channel_arg_names.h)."""
        several = self.target.startswith("dns:") or "," in self.target
        options: list[tuple[str, str | int]] = [
            ("grpc.service_config", json.dumps(_ROUND_ROBIN | (_HEALTH_CHECK if several else {}))),
            _NO_RETRIES,
            _OWN_CONNECTION,
            *_RECONNECT,
            ("grpc.keepalive_time_ms", _milliseconds(keepalive.time)),
            ("grpc.keepalive_timeout_ms", _milliseconds(keepalive.timeout)),
        ]
        plaintext_token = self.token is not None and self.credentials is None
        return [*options, _NO_PROXY] if plaintext_token and is_local(self.target) else options


def connection(
    target: str | None,
    credentials: grpc.ChannelCredentials | None,
    token: str | AnyTokenProvider | None,
    *,
    insecure: bool,
    environ: Mapping[str, str] = os.environ,
) -> Connection:
    """Returns what the arguments of a client say, and for those that are None or False, what the environment says.

    Raises:
        TypeError: the token is neither a string nor a function.
        ValueError: there is no target; the token would go unencrypted to another machine, and `insecure` does not allow
            that; a string cannot be a token; variables of the environment contradict each other.
        OSError: a file that a variable names cannot be read.
    """
    target = environ.get("ARTEMIS_TARGET") or None if target is None else target
    if not target:
        raise ValueError('give the target, such as "127.0.0.1:50051", or set ARTEMIS_TARGET')
    wants_tls = _boolean(environ, "ARTEMIS_TLS")
    if credentials is None and not insecure:
        credentials = _credentials(environ, wants_tls)
    provider = provider_of(token) if token is not None else _provider(environ)
    trusted = insecure or wants_tls is False or is_local(target)
    if provider is not None and credentials is None and not trusted:
        raise ValueError(
            f"refusing to send a token to {target} unencrypted: "
            "give credentials=tls(), or insecure=True on a network that you trust"
        )
    return Connection(target=target, credentials=credentials, token=provider)


def _credentials(environ: Mapping[str, str], wants_tls: bool | None) -> grpc.ChannelCredentials | None:
    names = ("ARTEMIS_CA", "ARTEMIS_CERT", "ARTEMIS_KEY")
    files = [environ.get(name) or None for name in names]
    if wants_tls is False and any(files):
        raise ValueError(f"ARTEMIS_TLS is false, and {', '.join(names)} are for TLS: set one or the others")
    return tls(*files) if wants_tls or any(files) else None


def _provider(environ: Mapping[str, str]) -> AnyTokenProvider | None:
    token, file = environ.get("ARTEMIS_TOKEN"), environ.get("ARTEMIS_TOKEN_FILE")
    if token and file:
        raise ValueError("set ARTEMIS_TOKEN or ARTEMIS_TOKEN_FILE, not both")
    if file:
        return lambda: Path(file).read_text(encoding="ascii").strip()
    return provider_of(token) if token else None


def _milliseconds(seconds: float) -> int:
    """Returns what gRPC can take: a 32-bit integer, whose greatest value stands for never, and 1 at least."""
    return max(1, round(min(1000 * seconds, _NEVER)))


def _boolean(environ: Mapping[str, str], name: str) -> bool | None:
    text = environ.get(name, "").lower()
    if text and text not in _BOOLEANS:
        raise ValueError(f"{name} must be true or false, not {text!r}")
    return _BOOLEANS.get(text)
