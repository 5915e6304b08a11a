"""Maps errors to google.rpc.Status, which callers receive (AIP-193). This is the only such mapping."""

import logging
import uuid
from collections.abc import Callable, Iterable

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from artemis_server import errors

DOMAIN = "artemis"
MAX_VIOLATIONS_BYTES = 3 * 1024
"""The most bytes of all violations together. A status travels in the trailers, in base64, and its text once more in
percent-encoding: 7.5 KiB at most with these bounds. Many HTTP/2 peers accept 8 KiB."""
MORE_VIOLATIONS = "MORE_VIOLATIONS"
"""The reason of the last violation of a list that is not complete."""
MAX_TEXT_BYTES = 256
"""The most bytes of one text, which may quote the request."""

log = logging.getLogger(__name__)


def status_of(error: BaseException, request_id: str = "") -> status_pb2.Status:
    """Returns the status for an error of the call with this id.

    One that is not a RequestError is logged, and its status is INTERNAL.
    """
    if not isinstance(error, errors.RequestError):
        return _internal(error, request_id or str(uuid.uuid4()))
    code, details = next(_CODES_AND_DETAILS[kind] for kind in type(error).__mro__ if kind in _CODES_AND_DETAILS)
    metadata = {name: _shorten(value) for name, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    return _status(code, error.message, [info, *details(error), *_field_at_fault(error)])


def _status(code: int, text: str, details: Iterable[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=_shorten(text))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _shorten(text: str) -> str:
    """Returns the text if it has at most MAX_TEXT_BYTES, and else its beginning; it may have 4 MiB."""
    raw = text[: MAX_TEXT_BYTES + 1].replace("\0", "U+0000").encode()
    return raw.decode() if len(raw) <= MAX_TEXT_BYTES else raw[:MAX_TEXT_BYTES].decode(errors="ignore") + "…"


def _internal(error: BaseException, request_id: str) -> status_pb2.Status:
    log.error("request %s failed", request_id, exc_info=error)
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"requestId": request_id})
    request = error_details_pb2.RequestInfo(request_id=request_id)
    return _status(
        code_pb2.INTERNAL, f"internal error; the server's log has it as request {request_id}", [info, request]
    )


def _field_at_fault(error: errors.RequestError) -> list[Message]:
    """Returns the field at fault, such as that of one request in a batch, unless violations name it already."""
    if not error.field or isinstance(error, errors.InvalidArgument):
        return []
    violation = errors.Violation(field=error.field, description=error.text, rule=error.reason)
    return _bad_request(errors.InvalidArgument(violation))


def _bad_request(error: errors.RequestError) -> list[Message]:
    """Returns the violations that fit into MAX_VIOLATIONS_BYTES, and after them one that says how many do not."""
    assert isinstance(error, errors.InvalidArgument)  # noqa: S101, for the type checker
    bad_request, space, unlisted = error_details_pb2.BadRequest(), MAX_VIOLATIONS_BYTES, error.unlisted
    for index, violation in enumerate(error.violations):
        shown = error_details_pb2.BadRequest.FieldViolation(
            field=_shorten(violation.field),
            description=_shorten(violation.description),
            reason=violation.rule.replace(".", "_").upper(),  # which must be UPPER_SNAKE_CASE
        )
        space -= shown.ByteSize()
        if space < 0:
            unlisted += len(error.violations) - index
            break
        bad_request.field_violations.append(shown)
    if unlisted:
        bad_request.field_violations.add(
            field=_shorten(error.violations[-1].field),
            description=f"{unlisted} more violations were found",
            reason=MORE_VIOLATIONS,
        )
    return [bad_request]


def _resource(error: errors.RequestError) -> list[Message]:
    assert isinstance(error, errors.ResourceError)  # noqa: S101, for the type checker
    return [
        error_details_pb2.ResourceInfo(
            resource_type=f"{DOMAIN}/{error.resource_type}",
            resource_name=_shorten(error.resource_name),
            description=_shorten(error.message),
        )
    ]


def _precondition(error: errors.RequestError) -> list[Message]:
    assert isinstance(error, errors.ResourceError)  # noqa: S101, for the type checker
    violation = error_details_pb2.PreconditionFailure.Violation(
        type=error.reason,
        subject=_shorten(f"{error.resource_type}/{error.resource_name}"),
        description=_shorten(error.message),
    )
    return [error_details_pb2.PreconditionFailure(violations=[violation])]


def _retry(error: errors.RequestError) -> list[Message]:
    assert isinstance(error, errors.ServerError)  # noqa: S101, for the type checker
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(error.retry_after)
    return [retry]


_CODES_AND_DETAILS: dict[type[errors.RequestError], tuple[int, Callable[[errors.RequestError], list[Message]]]] = {
    errors.InvalidArgument: (code_pb2.INVALID_ARGUMENT, _bad_request),
    errors.OutOfRange: (code_pb2.OUT_OF_RANGE, lambda _: []),
    errors.NotFound: (code_pb2.NOT_FOUND, _resource),
    errors.AlreadyExists: (code_pb2.ALREADY_EXISTS, _resource),
    errors.FailedPrecondition: (code_pb2.FAILED_PRECONDITION, _precondition),
    errors.Aborted: (code_pb2.ABORTED, _resource),
    errors.Unauthenticated: (code_pb2.UNAUTHENTICATED, lambda _: []),
    errors.PermissionDenied: (code_pb2.PERMISSION_DENIED, lambda _: []),
    errors.Unavailable: (code_pb2.UNAVAILABLE, _retry),
    errors.ResourceExhausted: (code_pb2.RESOURCE_EXHAUSTED, _retry),
    errors.DeadlineExceeded: (code_pb2.DEADLINE_EXCEEDED, lambda _: []),
    errors.Cancelled: (code_pb2.CANCELLED, lambda _: []),
}
