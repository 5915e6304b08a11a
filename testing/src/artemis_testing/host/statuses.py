"""The statuses that scripted calls end with: those of the server's own errors, with their details."""

from collections.abc import Callable

import grpc
from artemis_server import errors
from artemis_server.rpc.lanes import grpc_status

_RESOURCE = {"resource_type": "event", "resource_name": "1"}
_DEFAULTS: dict[str, tuple[str, str]] = {
    "INVALID_ARGUMENT": ("INVALID_FIELD", "the request was made to fail"),
    "OUT_OF_RANGE": (
        "RESUME_TOKEN_EXPIRED",
        "the changes after it are no longer kept, or the database was restored to a state before it; list again",
    ),
    "NOT_FOUND": ("EVENT_NOT_FOUND", "there is no event 1"),
    "ALREADY_EXISTS": ("EMAIL_TAKEN", "another user has the address"),
    "FAILED_PRECONDITION": ("OWNER_NOT_FOUND", "there is no user 1"),
    "ABORTED": ("ETAG_MISMATCH", "event 1 was changed since it was read; read it again"),
    "UNAUTHENTICATED": ("CREDENTIALS_INVALID", "the credentials are not valid"),
    "PERMISSION_DENIED": ("ROLE_REQUIRED", "the method needs the role writer"),
    "UNAVAILABLE": ("DATABASE_UNAVAILABLE", "the database does not answer; try again"),
    "RESOURCE_EXHAUSTED": ("TOO_MANY_CALLS", "the server answers as many calls as it can; try again later"),
    "DEADLINE_EXCEEDED": ("DEADLINE_EXCEEDED", "the deadline passed while the database worked on the request"),
    "CANCELLED": ("CANCELLED", "the caller has gone; nothing was changed"),
}
"""The reason and the text of a status by its code, unless they are given."""
_ERRORS: dict[str, Callable[[str, str, int], errors.RequestError]] = {
    "INVALID_ARGUMENT": lambda reason, text, _: errors.InvalidArgument(
        errors.Violation(field="", description=text), reason=reason
    ),
    "OUT_OF_RANGE": lambda reason, text, _: errors.OutOfRange(reason, text, "resume_token"),
    "NOT_FOUND": lambda reason, text, _: errors.NotFound(reason, text, **_RESOURCE),
    "ALREADY_EXISTS": lambda reason, text, _: errors.AlreadyExists(reason, text, **_RESOURCE),
    "FAILED_PRECONDITION": lambda reason, text, _: errors.FailedPrecondition(reason, text, **_RESOURCE),
    "ABORTED": lambda reason, text, _: errors.Aborted(reason, text, **_RESOURCE),
    "UNAUTHENTICATED": lambda reason, text, _: errors.Unauthenticated(reason, text),
    "PERMISSION_DENIED": lambda reason, text, _: errors.PermissionDenied(reason, text, values={"role": "writer"}),
    "UNAVAILABLE": lambda reason, text, after: errors.Unavailable(reason, text, retry_after=after),
    "RESOURCE_EXHAUSTED": lambda reason, text, after: errors.ResourceExhausted(reason, text, retry_after=after),
    "DEADLINE_EXCEEDED": lambda reason, text, _: errors.DeadlineExceeded(reason, text),
    "CANCELLED": lambda reason, text, _: errors.Cancelled(reason, text),
}


def status_of(code: str, reason: str, message: str, retry_after: int) -> grpc.Status:
    """Returns the status of an error of the server with this code, such as "UNAVAILABLE".

    Raises:
        ValueError: the server has no errors with this code.
    """
    if code == "INTERNAL":
        return grpc_status(RuntimeError(message or "the test wants an internal error"), "scripted")
    if code not in _ERRORS:
        raise ValueError(f"the server never answers {code}; it has INTERNAL, {', '.join(_ERRORS)}")
    default_reason, default_text = _DEFAULTS[code]
    return grpc_status(_ERRORS[code](reason or default_reason, message or default_text, retry_after))
