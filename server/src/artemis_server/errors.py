"""Exceptions a request can fail with; `rpc/status.py` maps them to statuses.

    RequestError
    +-- InvalidArgument        the request breaks the contract
    +-- OutOfRange             the request was right once
    +-- ResourceError          the request does not fit the stored resources
    |   +-- NotFound
    |   +-- AlreadyExists
    |   +-- FailedPrecondition
    |   +-- Aborted
    +-- AccessError            the caller may not do this
    |   +-- Unauthenticated
    |   +-- PermissionDenied
    +-- ServerError            the request may well succeed later
        +-- Unavailable
        +-- ResourceExhausted
        +-- DeadlineExceeded
        +-- Cancelled

They know neither gRPC nor the database. The caller reads their texts.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

MAX_VIOLATIONS = 50
"""The most violations that one error keeps. The checks of a batch stop at this number."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One bad field: its path in the request, a description of the fault, and the id of the broken rule.

    `values` names the parts of the description that vary, such as {"limit": "200"} (AIP-193).
    """

    field: str
    description: str
    rule: str = ""
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)


class RequestError(Exception):
    """A request that failed.

    `reason` is the ErrorInfo reason, in UPPER_SNAKE_CASE (AIP-193). `text` describes the fault. `field` is the
    path of the field at fault, or empty. `values` names the parts of the text that vary, such as {"id": "17"}.
    """

    def __init__(self, reason: str, message: str, field: str = "", values: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.text = message
        self.values = values or {}

    @property
    def message(self) -> str:
        """The text for the caller: "event.name: must not be blank"."""
        return f"{self.field}: {self.text}" if self.field else self.text

    @property
    def metadata(self) -> dict[str, str]:
        """Every part of the message that varies, by name, as ErrorInfo.metadata has it (AIP-193)."""
        return {**({"field": self.field} if self.field else {}), **self.values}

    def at(self, field: str) -> Self:
        """Sets the path of the field at fault, and returns the error."""
        self.field = field
        return self

    def under(self, prefix: str) -> "RequestError":
        """Returns the error with `prefix` before the path of each field: "name" under "event." is "event.name"."""
        return self.at(prefix + self.field)


class InvalidArgument(RequestError):
    """The request breaks the contract. It fails with any data in the database.

    `violations` has at most MAX_VIOLATIONS, and `unlisted` is the number of those that were found beyond them.
    """

    def __init__(self, *violations: Violation, reason: str = "INVALID_FIELD", unlisted: int = 0) -> None:
        first = violations[0]
        others = len(violations) - 1 + unlisted
        more, values = (f" (and {others} more)", {"more": str(others)}) if others else ("", {})
        super().__init__(reason, f"{first.description}{more}", first.field, {**first.values, **values})
        self.violations = violations[:MAX_VIOLATIONS]
        self.unlisted = unlisted + len(violations) - len(self.violations)

    def under(self, prefix: str) -> "InvalidArgument":
        """Returns the same error with `prefix` before the path of each field."""
        moved = (replace(violation, field=prefix + violation.field) for violation in self.violations)
        return InvalidArgument(*moved, reason=self.reason, unlisted=self.unlisted)


def apply_to_each(items: Iterable[T], work: Callable[[int, T], R]) -> list[R]:
    """Calls `work(index, item)` for each item and returns the results.

    Raises:
        InvalidArgument: with the violations of the items, if any item has one. Items after the one with the violation
            of the number MAX_VIOLATIONS are not looked at.
    """
    results: list[R] = []
    found: list[InvalidArgument] = []
    count = 0
    for index, item in enumerate(items):
        try:
            results.append(work(index, item))
        except InvalidArgument as error:
            found.append(error)
            count += len(error.violations)
        if count >= MAX_VIOLATIONS:
            break
    if found:
        raise join(found)
    return results


def attempt_both(first: Callable[[], T], second: Callable[[], R]) -> tuple[T, R]:
    """Calls both and returns their results.

    Raises:
        InvalidArgument: with the violations of both, if either raises it.
    """
    try:
        result = first()
    except InvalidArgument as error:
        try:
            second()
        except InvalidArgument as other:
            raise join([error, other]) from None
        raise
    return result, second()


def join(errors: Sequence[InvalidArgument]) -> InvalidArgument:
    """Returns one error with the violations of all errors, of which there is one at least, and the reason of the first.

    A field that an error blames is not blamed again for the violations of the errors after it.
    """
    violations: list[Violation] = []
    blamed: set[str] = set()
    for error in errors:
        violations += [each for each in error.violations if each.field not in blamed]
        blamed.update(each.field for each in error.violations)
    return InvalidArgument(*violations, reason=errors[0].reason, unlisted=sum(error.unlisted for error in errors))


class OutOfRange(RequestError):
    """The request asks for a part of the log of changes that is no longer there."""


class ResourceError(RequestError):
    """The request does not fit one stored resource, of this type ("event") and this name ("17").

    `named_by` is the field that the name comes from: the id, or the e-mail address of a user.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        resource_type: str,
        resource_name: str,
        field: str = "",
        named_by: str = "id",
    ) -> None:
        super().__init__(reason, message, field, {named_by: resource_name})
        self.resource_type = resource_type
        self.resource_name = resource_name


class NotFound(ResourceError):
    """There is no such resource."""


class AlreadyExists(ResourceError):
    """Another resource has the same value in a field that must be unique."""


class FailedPrecondition(ResourceError):
    """The stored resources do not allow the change."""


class Aborted(ResourceError):
    """The resource changed since the caller read it (AIP-154)."""


class AccessError(RequestError):
    """The caller may not do this. The error says nothing about what is stored, or whose credentials exist."""


class Unauthenticated(AccessError):
    """The caller sent no credentials, or none that are valid."""


class PermissionDenied(AccessError):
    """The caller has not the role that the method needs."""


class ServerError(RequestError):
    """The server cannot answer now. `retry_after` is in seconds, and callers may get it as RetryInfo."""

    def __init__(self, reason: str, message: str, *, retry_after: int = 1) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class Unavailable(ServerError):
    """The database cannot be reached, is busy or is broken."""


class ResourceExhausted(ServerError):
    """A limit is reached."""


class DeadlineExceeded(ServerError):
    """The caller's deadline passed before the answer was ready."""


class Cancelled(ServerError):
    """The caller no longer waits for the answer."""
