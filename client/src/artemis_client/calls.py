"""One call: its deadline, its metadata, the id that makes it safe to repeat, and its failure as an exception."""

import re
import time
from typing import Protocol, TypeVar
from uuid import uuid4

import grpc

from artemis_client.credentials import TokenProvider
from artemis_client.errors import ArtemisError, Cancelled, from_rpc_error
from artemis_client.positions import LatestPosition
from artemis_client.tracing import Metadata, trace_context

Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)
Request = TypeVar("Request", bound="AnyRequest")
Response = TypeVar("Response")
Write = TypeVar("Write", bound="WriteRequest")
DEFAULT_TIMEOUT = 10.0  # seconds
_PROBE_TIMEOUT = 0.1  # seconds; a channel that cannot connect fails a call in less than a millisecond
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


class AnyRequest(Protocol):
    """A request of the contract."""

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name for it
        """Returns how many bytes are sent."""


class WriteRequest(AnyRequest, Protocol):
    """A request that changes something, and is done once however often it is sent with the same id."""

    request_id: str


class Caller:
    """Calls methods with a default deadline, and with a token if there is a provider of one."""

    def __init__(self, channel: grpc.Channel, timeout: float, token: TokenProvider | None = None) -> None:
        self._timeout = timeout
        self._token = token
        self.position = LatestPosition()
        # A method that the retry policy leaves out, called as bytes.
        self._check_health: Method[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")

    def call(self, method: Method[Request, Response], request: Request, timeout: float | None) -> Response:
        """Returns the response. Raises ArtemisError when the call fails."""
        timeout = self._timeout if timeout is None else timeout
        try:
            if self._token is None:
                return self._send(method, request, timeout, trace_context())
            return self._call_with_token(self._token, method, request, timeout)
        except grpc.RpcError as error:
            raise self._explained(from_rpc_error(error), request) from None
        except ValueError as error:
            if "closed channel" not in str(error):
                raise
            raise Cancelled(grpc.StatusCode.CANCELLED, "the client is closed") from None

    def write(self, method: Method[Write, Response], request: Write, timeout: float | None) -> Response:
        """Calls with an id: a new one if the request has none, kept when gRPC tries again (AIP-4235)."""
        request.request_id = request.request_id or str(uuid4())
        return self.call(method, request, timeout)

    def _call_with_token(
        self, provide: TokenProvider, method: Method[Request, Response], request: Request, timeout: float
    ) -> Response:
        """Calls with a token. If the server refuses it and the provider returns another one then, calls once more."""
        end = time.monotonic() + timeout

        def attempt(token: str) -> Response:
            metadata = (("authorization", f"Bearer {token}"), *trace_context())
            return self._send(method, request, end - time.monotonic(), metadata)

        token = provide()
        try:
            return attempt(token)
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            other = provide()
            if other == token:
                raise
        return attempt(other)

    def _send(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Response:
        """Sends the latest position, by which a replica can tell whether it may answer, and keeps the returned one."""
        try:
            response, call = method.with_call(request, timeout=timeout, metadata=(*metadata, *self.position.metadata()))
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call):
                self.position.keep(error.trailing_metadata())
            raise
        self.position.keep(call.trailing_metadata(), wrote=hasattr(request, "request_id"))
        return response

    def _explained(self, error: ArtemisError, request: AnyRequest) -> ArtemisError:
        """Returns the error with a message that helps, if gRPC made it and not the server."""
        if error.details:
            return error
        method, message = type(request).__name__.removesuffix("Request"), error.message
        if error.code is grpc.StatusCode.UNIMPLEMENTED:
            message = f"the server has no method {method}: {message}"
        elif error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            message += self._connection_error()
        elif sizes := _TOO_LARGE.search(message):
            size, limit = map(int, sizes.groups())
            sent = size == request.ByteSize()
            whose, taker, advice = ("request", "server", "send") if sent else ("response", "client", "ask for")
            message = (
                f"the {whose} of {method} has {size} bytes, the {taker} takes up to {limit}; {advice} less at once"
            )
        return type(error)(error.code, message, request_id=error.request_id)

    def _connection_error(self) -> str:
        """Returns ": " and why the channel cannot connect, or nothing if it can.

        gRPC forgets the cause when it tries again until the deadline, and tells it to a call that is not tried
        again: "failed to connect to all addresses; last error: ...".
        """
        try:
            self._check_health(b"", timeout=_PROBE_TIMEOUT)
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
            return f": {failure.message}" if failure.code is grpc.StatusCode.UNAVAILABLE else ""
        except ValueError:  # the channel was closed meanwhile
            pass
        return ""
