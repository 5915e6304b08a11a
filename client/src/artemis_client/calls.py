"""One call: its deadline, and its failure as an exception."""

from typing import Protocol, TypeVar

import grpc

from artemis_client.errors import Cancelled, from_rpc_error

Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)
Request = TypeVar("Request")
Response = TypeVar("Response")
DEFAULT_TIMEOUT = 10.0  # seconds


class Method(Protocol[Request_contra, Response_co]):
    """A unary method of a generated stub."""

    def __call__(self, request: Request_contra, timeout: float | None = None) -> Response_co:
        """Calls it; `timeout` is in seconds."""


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
