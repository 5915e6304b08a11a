"""One call: its deadline, the id that makes it safe to repeat, and its failure as an exception."""

from typing import Protocol, TypeVar
from uuid import uuid4

import grpc

from artemis_client.errors import Cancelled, from_rpc_error

Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)
Request = TypeVar("Request")
Response = TypeVar("Response")
Write = TypeVar("Write", bound="WriteRequest")
DEFAULT_TIMEOUT = 10.0  # seconds


class Method(Protocol[Request_contra, Response_co]):
    """A unary method of a generated stub."""

    def __call__(self, request: Request_contra, timeout: float | None = None) -> Response_co:
        """Calls it; `timeout` is in seconds."""


class WriteRequest(Protocol):
    """A request that changes something, and is done once however often it is sent with the same id."""

    request_id: str


class Caller:
    """Calls methods with a default deadline."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def call(self, method: Method[Request, Response], request: Request, timeout: float | None) -> Response:
        """Returns the response. Raises ArtemisError when the call fails."""
        try:
            return method(request, timeout=self._timeout if timeout is None else timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None
        except ValueError as error:
            if "closed channel" not in str(error):
                raise
            raise Cancelled(grpc.StatusCode.CANCELLED, "the client is closed") from None

    def write(self, method: Method[Write, Response], request: Write, timeout: float | None) -> Response:
        """Calls with an id: a new one if the request has none, kept when gRPC tries again (AIP-4235)."""
        request.request_id = request.request_id or str(uuid4())
        return self.call(method, request, timeout)
