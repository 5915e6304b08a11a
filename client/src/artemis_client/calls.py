"""Calls as both clients make them: their settings, their metadata, and their failures as exceptions."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import grpc

from artemis_client.credentials import AnyTokenProvider
from artemis_client.errors import ArtemisError, Cancelled, from_rpc_error
from artemis_client.retries import Retry, checked_timeout
from artemis_client.tracing import Metadata, trace_context

DEFAULT_TIMEOUT = 60.0  # seconds; an HA manager takes 30 to 45 to replace the primary of a database
SILENCE = 40.0
"""Seconds without a response after which a stream counts as dead. A server sends a checkpoint every 10 seconds."""
_TOO_LARGE = re.compile(r"larger than max \((\d+) vs\. (\d+)\)")  # in gRPC's text: the size and the limit
_METADATA_NAME = re.compile(r"[0-9a-z_.-]+")
_METADATA_TEXT = re.compile(r"[ -~]*")
_RESERVED = ("authorization", "x-artemis-position")


class AnyRequest(Protocol):
    """A request of the contract."""

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name for it
        """Returns how many bytes are sent."""


class WriteRequest(AnyRequest, Protocol):
    """A request that changes something, and is done once however often it is sent with the same id."""

    request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSettings:
    """The settings that the calls of one client share."""

    timeout: float = DEFAULT_TIMEOUT
    """Seconds, of a call that gives none itself."""
    token: AnyTokenProvider | None = None
    retry: Retry = field(default_factory=Retry)
    metadata: Metadata = ()
    """Metadata that every call sends besides its own."""
    silence: float = SILENCE
    """Seconds without a response after which the stream of a watch counts as dead."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout", checked_timeout(self.timeout))

    def metadata_with(self, token: str | None) -> Metadata:
        """Returns the metadata of a call: the token, if there is one, the trace of the call, and the settings' own."""
        named = () if token is None else (("authorization", f"Bearer {token}"),)
        return (*named, *self.metadata, *trace_context())


def checked_metadata(metadata: Mapping[str, str | bytes]) -> Metadata:
    """Returns metadata that gRPC can send.

    Raises:
        TypeError: a value has the wrong type: bytes if the name ends with "-bin", and else a string.
        ValueError: a name is not one of HTTP/2 in lower case, or the client itself sends it; a string is not in ASCII.
    """
    for name, value in metadata.items():
        if not _METADATA_NAME.fullmatch(name) or name.startswith("grpc-") or name in _RESERVED:
            raise ValueError(f"{name!r} cannot be the name of metadata: use a-z, 0-9, '-', '_' and '.'")
        expected = bytes if name.endswith("-bin") else str
        if not isinstance(value, expected):
            raise TypeError(f"the metadata {name!r} must be {expected.__name__}, not {type(value).__name__}")
        if isinstance(value, str) and not _METADATA_TEXT.fullmatch(value):
            raise ValueError(f"the metadata {name!r} must be printable ASCII; a name that ends with -bin takes bytes")
    return tuple(metadata.items())


def detached(error: ArtemisError) -> ArtemisError:
    """Returns the error of an attempt without the frames that it came through.

    They are a cycle that keeps the attempt's call, and gRPC a channel for as long as it has calls: one that is closed
    would go on trying to connect until the cycle is collected.
    """
    error.__context__ = None
    return error.with_traceback(None)


def explained(error: ArtemisError, request: AnyRequest, before: ArtemisError | None) -> ArtemisError:
    """Returns the error with a message that helps, if gRPC made it and not the server.

    `before` is the error of the attempt before, which tells why an attempt has met the deadline.
    """
    if error.details:
        return error
    method, message = type(request).__name__.removesuffix("Request"), error.message
    if error.code is grpc.StatusCode.UNIMPLEMENTED:
        message = f"the server has no method {method}: {message}"
    elif error.code is grpc.StatusCode.DEADLINE_EXCEEDED and before is not None:
        message = f"{message}; the attempt before ended as {before}"
    elif sizes := _TOO_LARGE.search(message):
        size, limit = map(int, sizes.groups())
        sent = size == request.ByteSize()
        whose, taker, advice = ("request", "server", "send") if sent else ("response", "client", "ask for")
        message = f"the {whose} of {method} has {size} bytes, the {taker} takes up to {limit}; {advice} less at once"
    return type(error)(error.code, message, request_id=error.request_id)


class OneReader:
    """Lets one reader at a time wait for what comes next: two would get the same, or one of them nothing.

    Raises:
        RuntimeError: another task or thread waits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("another task or thread waits for the next one; a list or a watch has one reader")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@contextmanager
def grpc_errors() -> Iterator[None]:
    """Raises the errors of gRPC inside of it as ArtemisError."""
    try:
        yield
    except grpc.RpcError as failure:
        raise from_rpc_error(failure) from None
    except (ValueError, grpc.aio.UsageError) as error:
        if "closed" not in str(error):
            raise
        raise closed() from None


def closed() -> Cancelled:
    """Returns the error of a call of a client that is closed."""
    return Cancelled(grpc.StatusCode.CANCELLED, "the client is closed")
