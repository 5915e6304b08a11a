"""Errors become statuses: a code and details for each class, and nothing that only the log may hold."""

import logging
import sqlite3
from base64 import b64encode
from urllib.parse import quote

import pytest
from artemis_server import errors
from artemis_server.errors import InvalidArgument, Violation
from artemis_server.rpc.status import status_of
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

DETAILS: tuple[type[Message], ...] = (
    error_details_pb2.BadRequest,
    error_details_pb2.ErrorInfo,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.RequestInfo,
    error_details_pb2.ResourceInfo,
    error_details_pb2.RetryInfo,
)
METADATA_LIMIT = 8 * 1024
"""Bytes of headers and trailers that gRPC peers accept by default (GRPC_ARG_MAX_METADATA_SIZE)."""


def details(status: status_pb2.Status) -> list[Message]:
    """Returns the details in their own types."""
    types = {kind.DESCRIPTOR.full_name: kind for kind in DETAILS}
    return [types[each.TypeName()].FromString(each.value) for each in status.details]


def info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain="artemis", metadata=metadata)


RETRY = error_details_pb2.RetryInfo()
RETRY.retry_delay.seconds = 1
RESOURCE = error_details_pb2.ResourceInfo(resource_type="artemis/event", resource_name="17", description="the text")
PRECONDITION = error_details_pb2.PreconditionFailure(
    violations=[
        error_details_pb2.PreconditionFailure.Violation(type="A_REASON", subject="event/17", description="the text")
    ]
)


@pytest.mark.parametrize(
    ("kind", "code", "detail"),
    [
        (errors.NotFound, code_pb2.NOT_FOUND, RESOURCE),
        (errors.AlreadyExists, code_pb2.ALREADY_EXISTS, RESOURCE),
        (errors.Aborted, code_pb2.ABORTED, RESOURCE),
        (errors.FailedPrecondition, code_pb2.FAILED_PRECONDITION, PRECONDITION),
    ],
)
def test_an_error_of_a_resource_names_it(kind: type[errors.ResourceError], code: int, detail: Message) -> None:
    status = status_of(kind("A_REASON", "the text", resource_type="event", resource_name="17"))
    assert code == status.code
    assert status.message == "the text"
    assert [info("A_REASON", id="17"), detail] == details(status)


def test_an_error_of_one_request_in_a_batch_names_its_field() -> None:
    missing = errors.NotFound("EVENT_NOT_FOUND", "there is no event 17", resource_type="event", resource_name="17")
    status = status_of(missing.at("ids[3]"))
    assert status.message == "ids[3]: there is no event 17"
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="ids[3]", description="there is no event 17", reason="EVENT_NOT_FOUND"
    )
    assert details(status)[-1] == error_details_pb2.BadRequest(field_violations=[violation])
    assert details(status)[0] == info("EVENT_NOT_FOUND", id="17", field="ids[3]")


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        (errors.Unavailable, code_pb2.UNAVAILABLE, [RETRY]),
        (errors.ResourceExhausted, code_pb2.RESOURCE_EXHAUSTED, [RETRY]),
        (errors.DeadlineExceeded, code_pb2.DEADLINE_EXCEEDED, []),
    ],
)
def test_an_error_of_the_server_says_when_to_retry(
    kind: type[errors.ServerError], code: int, expected: list[Message]
) -> None:
    status = status_of(kind("A_REASON", "the text"))
    assert code == status.code
    assert status.message == "the text"
    assert [info("A_REASON"), *expected] == details(status)


def test_an_invalid_argument_names_every_bad_field() -> None:
    status = status_of(
        InvalidArgument(
            Violation(field="event.name", description="must not be blank", rule="string.not_blank", values={"a": "b"}),
            Violation(field="event.end_time", description="is early", rule=""),
        )
    )
    field = error_details_pb2.BadRequest.FieldViolation
    assert status.code == code_pb2.INVALID_ARGUMENT
    assert status.message == "event.name: must not be blank (and 1 more)"
    assert details(status) == [
        info("INVALID_FIELD", field="event.name", a="b", more="1"),
        error_details_pb2.BadRequest(
            field_violations=[
                field(field="event.name", description="must not be blank", reason="STRING_NOT_BLANK"),
                field(field="event.end_time", description="is early"),
            ]
        ),
    ]


def leaves(kind: type[errors.RequestError]) -> list[type[errors.RequestError]]:
    """Returns the classes of `errors` that have no other one below them."""
    below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return [leaf for each in below for leaf in leaves(each)] if below else [kind]


@pytest.mark.parametrize("kind", leaves(errors.RequestError))
def test_every_error_has_a_code_of_its_own(kind: type[errors.RequestError]) -> None:
    made: errors.RequestError
    if issubclass(kind, errors.ResourceError):
        made = kind("A_REASON", "the text", resource_type="event", resource_name="17")
    elif issubclass(kind, errors.InvalidArgument):
        made = kind(Violation(field="id", description="is bad"))
    else:
        made = kind("A_REASON", "the text")
    expected = "".join(f"_{each}" if each.isupper() else each.upper() for each in kind.__name__).lstrip("_")
    assert expected == code_pb2.Code.Name(status_of(made).code)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("SELECT secret FROM /var/lib/artemis.db"),
        sqlite3.OperationalError("SELECT secret FROM /var/lib/artemis.db"),
        KeyError("secret"),
    ],
)
def test_an_unexpected_error_is_internal_and_keeps_its_text(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status = status_of(error)
    assert status.code == code_pb2.INTERNAL
    assert b"secret" not in status.SerializeToString()
    assert "secret" in caplog.text
    found, request = details(status)
    assert isinstance(request, error_details_pb2.RequestInfo)
    assert info("INTERNAL", requestId=request.request_id) == found
    assert request.request_id in status.message
    assert request.request_id in caplog.text


def test_every_internal_error_has_a_request_id_of_its_own() -> None:
    assert status_of(ValueError()).message != status_of(ValueError()).message


def on_the_wire(status: status_pb2.Status) -> int:
    """Returns about how many bytes of trailers the status takes: gRPC quotes the text, and HTTP/2 has base64."""
    names = len("grpc-status-details-bin") + len("grpc-message") + len("grpc-status") + 3 * 32
    return len(quote(status.message)) + len(b64encode(status.SerializeToString())) + names


@pytest.mark.parametrize("character", ["x", "é", "😀", "\n"])
@pytest.mark.parametrize("count", [1, 20, 1000])
def test_however_much_is_wrong_the_details_fit_into_trailers(character: str, count: int) -> None:
    """As with an update mask of many long paths that no event has."""
    text = character * 10_000
    bad = Violation(field=text, description=text, rule="update_mask.path", values={"path": text, "name": text})
    assert on_the_wire(status_of(InvalidArgument(*[bad] * count))) <= METADATA_LIMIT


@pytest.mark.parametrize("kind", [errors.AlreadyExists, errors.FailedPrecondition])
def test_however_long_a_name_is_the_details_fit_into_trailers(kind: type[errors.ResourceError]) -> None:
    email = "x" * 254
    error = kind("A_REASON", f"another user has {email}", resource_type="user", resource_name=email)
    assert on_the_wire(status_of(error)) <= METADATA_LIMIT


def test_many_violations_are_told_as_far_as_they_fit_and_the_last_says_how_many_are_not() -> None:
    bad = [Violation(field=f"field_{number}", description="is bad") for number in range(1000)]
    status = status_of(InvalidArgument(*bad))
    _, found = details(status)
    assert isinstance(found, error_details_pb2.BadRequest)
    assert [f"field_{number}" for number in range(50)] == [each.field for each in found.field_violations[:-1]]
    assert found.field_violations[-1] == error_details_pb2.BadRequest.FieldViolation(
        field="field_49", description="950 more violations were found", reason="MORE_VIOLATIONS"
    )
    assert status.message == "field_0: is bad (and 999 more)"


def test_violations_that_do_not_fit_are_counted_as_well() -> None:
    found = details(status_of(InvalidArgument(*[Violation(field="a", description="x" * 1000)] * 40)))[1]
    assert isinstance(found, error_details_pb2.BadRequest)
    told = len(found.field_violations) - 1
    assert found.field_violations[-1].description == f"{40 - told} more violations were found"
