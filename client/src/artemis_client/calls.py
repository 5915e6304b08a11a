"""One call: its attempts, its metadata, the id that makes it safe to repeat, and its failure as an exception."""

import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar
from uuid import uuid4

import grpc

from artemis_client.credentials import TokenProvider
from artemis_client.errors import ArtemisError, Cancelled, from_rpc_error
from artemis_client.positions import LatestPosition, Trailers
from artemis_client.retries import Attempts, checked_timeout
from artemis_client.tracing import Metadata, trace_context

Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)
Request = TypeVar("Request", bound="AnyRequest")
Response = TypeVar("Response")
Write = TypeVar("Write", bound="WriteRequest")
DEFAULT_TIMEOUT = 60.0  # seconds; an HA manager takes 30 to 45 to replace the primary of a database
_TOO_LARGE = re.compile(r"larger than max \((\d+) vs\. (\d+)\)")  # in gRPC's text: the size and the limit


class Method(Protocol[Request_contra, Response_co]):
    """A unary method of a generated stub."""

    def __call__(
        self, request: Request_contra, timeout: float | None = None, metadata: Metadata | None = None
    ) -> Response_co:
        """Calls it; `timeout` is in seconds."""

    def with_call(
        self, request: Request_contra, timeout: float | None = None, metadata: Metadata | None = None
    ) -> tuple[Response_co, grpc.Call]:
        """Calls it, and returns the call as well, which has the trailers."""

    def future(
        self, request: Request_contra, timeout: float | None = None, metadata: Metadata | None = None
    ) -> "PendingCall[Response_co]":
        """Starts a call that another thread may cancel."""


class PendingCall(Protocol[Response_co]):
    """A unary call that is under way."""

    def result(self) -> Response_co:
        """Waits for the response."""

    def trailing_metadata(self) -> Trailers:
        """Waits for the trailers."""

    def cancel(self) -> object:
        """Ends the call."""


class AnyRequest(Protocol):
    """A request of the contract."""

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name for it
        """Returns how many bytes are sent."""


class WriteRequest(AnyRequest, Protocol):
    """A request that changes something, and is done once however often it is sent with the same id."""

    request_id: str


class Caller:
    """Calls methods with a default deadline, and with a token if there is a provider of one."""

    def __init__(self, timeout: float, token: TokenProvider | None = None) -> None:
        self._timeout = checked_timeout(timeout)
        self._token = token
        self.position = LatestPosition()
        self._closed = threading.Event()
        self._children: weakref.WeakSet[Caller] = weakref.WeakSet()

    def close(self) -> None:
        """Ends the pauses between attempts, whose calls fail with Cancelled, and closes the callers that it adopted."""
        self._closed.set()
        for child in [*self._children]:
            child.close()

    def adopt(self, child: "Caller") -> None:
        """Closes another caller when this one is closed."""
        self._children.add(child)
        if self._closed.is_set():
            child.close()

    def call(self, method: Method[Request, Response], request: Request, timeout: float | None) -> Response:
        """Returns the response of the first attempt that has one. Raises ArtemisError when the call fails.

        If the server refuses the token and the provider returns another one then, the call is made with that, once.
        """
        attempts = Attempts(self._timeout if timeout is None else checked_timeout(timeout))
        token, other, before = self._provide(), None, None
        while True:
            try:
                return self._attempt(method, request, attempts.time_left, other or token)
            except ArtemisError as failed:
                error = failed
            if error.code is grpc.StatusCode.UNAUTHENTICATED and other is None:
                other = self._provide()
                if other != token:
                    continue
            pause = attempts.pause_after(error)
            if pause is None:
                raise explained(error, request, before) from None
            self.pause(pause)
            before = error

    def write(self, method: Method[Write, Response], request: Write, timeout: float | None) -> Response:
        """Calls with an id: a new one if the request has none, the same in every attempt (AIP-4235)."""
        request.request_id = request.request_id or str(uuid4())
        return self.call(method, request, timeout)

    def pause(self, seconds: float) -> None:
        """Waits. Raises Cancelled when the caller is closed."""
        if self._closed.wait(seconds):
            raise closed() from None

    def _provide(self) -> str | None:
        return None if self._token is None else self._token()

    def _attempt(
        self, method: Method[Request, Response], request: Request, timeout: float, token: str | None
    ) -> Response:
        """Sends the latest position, by which a replica can tell whether it may answer, and keeps the returned one.

        Raises ArtemisError.
        """
        metadata = (*metadata_with(token), *self.position.metadata())
        with grpc_errors():
            try:
                response, trailers = self._send(method, request, timeout, metadata)
            except grpc.RpcError as failure:
                if isinstance(failure, grpc.Call):
                    self.position.keep(failure.trailing_metadata())
                raise
        self.position.keep(trailers, wrote=hasattr(request, "request_id"))
        return response

    def _send(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> tuple[Response, Trailers]:
        """Returns the response and the trailers."""
        response, call = method.with_call(request, timeout=timeout, metadata=metadata)
        return response, call.trailing_metadata()


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


def metadata_with(token: str | None) -> Metadata:
    """Returns the metadata of a call: the token, if there is one, and the trace that the call belongs to."""
    return trace_context() if token is None else (("authorization", f"Bearer {token}"), *trace_context())


@contextmanager
def grpc_errors() -> Iterator[None]:
    """Raises the errors of gRPC inside of it as ArtemisError."""
    try:
        yield
    except grpc.RpcError as failure:
        raise from_rpc_error(failure) from None
    except ValueError as error:
        if "closed channel" not in str(error):
            raise
        raise closed() from None


def closed() -> Cancelled:
    """Returns the error of a call of a client that is closed."""
    return Cancelled(grpc.StatusCode.CANCELLED, "the client is closed")
