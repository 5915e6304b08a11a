"""Exceptions of failed calls: one for each status code, with the details that the server sent.

ArtemisError
+-- InvalidArgument       violations: which fields are wrong, and how
+-- NotFound
+-- AlreadyExists
+-- FailedPrecondition
+-- Aborted               read the resource again, then retry
+-- OutOfRange
|   +-- ResumeTokenExpired   list again, then watch from there
+-- Unauthenticated
+-- PermissionDenied
+-- ResourceExhausted     retry_delay: how long to wait
+-- Unavailable           retry_delay: how long to wait
+-- DeadlineExceeded
+-- Cancelled
+-- InternalError         request_id: what to look for in the server's log
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

Trailers: TypeAlias = "Iterable[Any] | None"
"""The trailing metadata of a call; its types are gRPC's own."""
_DETAILS = "grpc-status-details-bin"
_REQUEST_ID = "x-request-id"
D = TypeVar("D", bound=Message)


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One bad field of a request: its path, a description, and the stable name of the broken rule (AIP-193)."""

    field: str
    description: str
    reason: str = ""


class ArtemisError(Exception):
    """A call that failed.

    `code` is the gRPC status code, `message` its text, `reason` the stable name of the error in
    UPPER_SNAKE_CASE (AIP-193; empty if the server was not reached), `metadata` the values that the message names, and
    `details` all details that the server sent, as google.rpc messages. `request_id` is the id of the call in the
    server's log; it is empty if no server answered. The exception can be pickled and copied with all of that.
    In a batch, `items` are the indices of the items of the call that failed, and `done` are the results of all items
    before them. None of the items after them was sent.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, details: Sequence[Message] = (), request_id: str = ""
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.request_id = request_id
        self.items = range(0)
        self.done: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message, self.details), self.__dict__

    @property
    def reason(self) -> str:
        """The stable name of the error, such as "EVENT_NOT_FOUND"."""
        info = self.detail(error_details_pb2.ErrorInfo)
        return info.reason if info else ""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The values that the message names, such as an id or a limit, by name."""
        info = self.detail(error_details_pb2.ErrorInfo)
        return dict(info.metadata) if info else {}

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The bad fields of the request."""
        bad = self.detail(error_details_pb2.BadRequest)
        found = bad.field_violations if bad else ()
        return tuple(Violation(field=each.field, description=each.description, reason=each.reason) for each in found)

    @property
    def retry_delay(self) -> timedelta | None:
        """The time to wait before trying again; None if the server did not say."""
        retry = self.detail(error_details_pb2.RetryInfo)
        return retry.retry_delay.ToTimedelta() if retry else None

    def detail(self, kind: type[D]) -> D | None:
        """Returns the detail of this type, None if the server did not send one."""
        return next((each for each in self.details if isinstance(each, kind)), None)


class InvalidArgument(ArtemisError):
    """The request breaks the contract; `violations` says where."""


class NotFound(ArtemisError):
    """There is no such resource."""


class AlreadyExists(ArtemisError):
    """Another resource has the same value in a field that must be unique."""


class FailedPrecondition(ArtemisError):
    """The stored resources do not allow the change."""


class Aborted(ArtemisError):
    """The resource changed since it was read."""


class OutOfRange(ArtemisError):
    """The request asks for data that is no longer kept."""


class ResumeTokenExpired(OutOfRange):
    """The changes after a resume token are no longer kept: list the events again, and watch from that list."""


class Unauthenticated(ArtemisError):
    """The caller did not prove who it is."""


class PermissionDenied(ArtemisError):
    """The caller may not do this."""


class ResourceExhausted(ArtemisError):
    """A limit was reached."""


class Unavailable(ArtemisError):
    """The server cannot be reached, or cannot answer now."""


class DeadlineExceeded(ArtemisError):
    """The answer did not come in time; the call may have taken effect."""


class Cancelled(ArtemisError):
    """The call was cancelled, or the client was closed."""


class InternalError(ArtemisError):
    """The server failed; `request_id` names the request in its log."""


_BY_CODE = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.INTERNAL: InternalError,
}
_BY_REASON = {"RESUME_TOKEN_EXPIRED": ResumeTokenExpired}
"""Errors that a program answers in another way than others of their code."""
_DETAIL_TYPES: dict[str, type[Message]] = {
    kind.full_name: getattr(error_details_pb2, name)
    for name, kind in error_details_pb2.DESCRIPTOR.message_types_by_name.items()
}


def trailers_of(error: grpc.RpcError) -> Trailers:
    """Returns the trailing metadata of a failed gRPC call."""
    return error.trailing_metadata() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None


def from_rpc_error(error: grpc.RpcError) -> ArtemisError:
    """Returns the exception for a failed gRPC call."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return ArtemisError(grpc.StatusCode.UNKNOWN, str(error))
    trailers = trailers_of(error)
    code, details = error.code() or grpc.StatusCode.UNKNOWN, _details(trailers)
    named = next((each.request_id for each in details if isinstance(each, error_details_pb2.RequestInfo)), "")
    request_id = named or str(_trailer(trailers, _REQUEST_ID))
    made = _BY_CODE.get(code, ArtemisError)(code, error.details() or "", details, request_id)
    special = _BY_REASON.get(made.reason)
    return special(code, made.message, details, request_id) if special else made


def _trailer(trailers: Trailers, name: str) -> str | bytes:
    """Returns the first value of this name in the trailers, "" if there is none."""
    return next((value for key, value in trailers or () if key == name), "")


def _details(trailers: Trailers) -> list[Message]:
    """Returns the details of the status in the trailers; those of unknown types and broken ones are left out."""
    raw = _trailer(trailers, _DETAILS)
    try:
        status = status_pb2.Status.FromString(raw if isinstance(raw, bytes) else b"")
        return [
            _DETAIL_TYPES[each.TypeName()].FromString(each.value)
            for each in status.details
            if each.TypeName() in _DETAIL_TYPES
        ]
    except DecodeError:
        return []
