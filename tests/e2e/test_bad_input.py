"""Bad input on the wire: it is refused with a status that says what is wrong, and nothing is stored.

Requests go out as bytes, past the client and what it would not let through.
"""

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from artemis.v1 import users_pb2
from artemis.v1.events_pb2 import (
    BatchCreateEventsRequest,
    BatchDeleteEventsRequest,
    BatchGetEventsRequest,
    BatchUpdateEventsRequest,
    CreateEventRequest,
    DeleteEventRequest,
    GetEventRequest,
    ListEventsRequest,
)
from artemis.v1.events_pb2 import Event as EventMessage
from artemis.v1.events_pb2 import UpdateEventRequest as UpdateEvent
from artemis.v1.users_pb2 import (
    BatchCreateUsersRequest,
    BatchDeleteUsersRequest,
    CreateUserRequest,
    DeleteUserRequest,
    GetUserRequest,
    ListUsersRequest,
)
from artemis.v1.users_pb2 import UpdateUserRequest as UpdateUser
from artemis.v1.users_pb2 import User as UserMessage
from artemis_client import ArtemisClient
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tests.e2e.refusals import MISSING, STALE
from tests.e2e.samples import at, event, event_message, user, user_message
from tests.e2e.servers import PATIENCE, Server, contents, serving
from tests.e2e.wire import EVENTS, METHODS, refusal, send, status_of

BEFORE_YEAR_1 = -62_135_596_801
YEAR_10000 = 253_402_300_800
CONSTANT = re.compile(
    r"""such as ("[^"]*"|\S+)|version 4|64-bit|years 0001 to 9999|U\+0000|UTF-8|= "null"|before \\, ", ' or \*"""
)
"""The parts with digits or quotes of messages that are the same in every error of their kind."""
QUOTE = '"'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one event and one user, of id 1, that good requests would change."""
    with (
        serving(tmp_path_factory.mktemp("bad") / "artemis.db") as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
    ):
        owner = client.users.create(user())
        client.events.create(event(owner_id=owner.id))
        yield server


def refused(channel: grpc.Channel, method: str, request: bytes) -> grpc.Call:
    call = refusal(channel, method, request)
    assert call is not None, "it was answered"
    return call


def detail(status: status_pb2.Status, kind: type[Message]) -> Any:
    found = kind()
    assert any(each.Unpack(found) for each in status.details), f"no {kind.__name__} in {status}"
    return found


def unexplained(status: status_pb2.Status) -> list[str]:
    """Returns the numbers and the quoted texts of an error's message that its metadata does not have (AIP-193)."""
    values = detail(status, error_details_pb2.ErrorInfo).metadata.values()
    varying = CONSTANT.sub("", status.message)
    return [
        part
        for part in re.findall(r'"[^"]*"|\d+', varying)
        if not any(re.search(rf"(?<![0-9]){re.escape(part.strip(QUOTE))}(?![0-9])", value) for value in values)
    ]


def assert_refused(server: Server, channel: grpc.Channel, method: str, request: bytes) -> list[str]:
    """Checks all that holds of every INVALID_ARGUMENT, and returns the fields that it names."""
    before = contents(server.database)
    call = refused(channel, method, request)
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT, call.details()
    info = detail(status_of(call), error_details_pb2.ErrorInfo)
    assert info.domain == "artemis"
    assert info.reason.isupper()
    assert unexplained(status_of(call)) == []
    assert before == contents(server.database)
    violations = detail(status_of(call), error_details_pb2.BadRequest).field_violations
    assert all(each.description for each in violations)
    return [each.field for each in violations]


def masked(fields: EventMessage, *paths: str) -> UpdateEvent:
    return UpdateEvent(event=fields, update_mask=FieldMask(paths=paths))


BAD_EVENTS: dict[str, list[Any]] = {
    "name": ["", " ", "\t\n\r", "\u00a0\u2003\u3000", "\u200b\u2060", "n" * 201, "a\0b", "\0"],
    "description": ["d" * 8193, "講" * 8193, "a\0b"],
    "category": ["c" * 101, "\0"],
    "location": ["l" * 301, "\0"],
    "publisher": ["p" * 101, "\0"],
    "start_time": [None, at(BEFORE_YEAR_1), at(YEAR_10000), at(-(2**63)), at(2**63 - 1), at(0, -1), at(0, 10**9)],
    "end_time": [None, at(BEFORE_YEAR_1), at(YEAR_10000), at(2**63 - 1), at(-(2**63)), at(2**33, 2**31 - 1)],
    "owner_id": [0, -1, -(2**63)],
}
BAD_USERS: dict[str, list[Any]] = {
    "email": [
        "",
        " ",
        "ada",
        "ada@",
        "@example.com",
        "a b@example.com",
        "ada@example.com\0",
        "é@" + "x" * 260 + ".com",
    ],
    "first_name": ["f" * 101, "\0"],
    "last_name": ["l" * 101, "\0"],
}


def short(value: Any) -> str:
    return repr(value).strip()[:24]


EVENT_CASES = [(field, value) for field, values in BAD_EVENTS.items() for value in values]
USER_CASES = [(field, value) for field, values in BAD_USERS.items() for value in values]


@pytest.mark.parametrize(("field", "value"), EVENT_CASES, ids=short)
def test_a_bad_field_of_an_event_is_refused(server: Server, channel: grpc.Channel, field: str, value: Any) -> None:
    """The event is created, replaced, and changed in this field alone."""
    bad = event_message(id=1, **{field: value})
    alone = EventMessage(id=1, **{field: value})

    create, update = METHODS[CreateEventRequest], METHODS[UpdateEvent]
    for method, request in [
        (create, CreateEventRequest(event=bad)),
        (update, masked(bad, "*")),
        (update, masked(alone, field)),
    ]:
        assert f"event.{field}" in assert_refused(server, channel, method, request.SerializeToString())


@pytest.mark.parametrize(("field", "value"), USER_CASES, ids=short)
def test_a_bad_field_of_a_user_is_refused(server: Server, channel: grpc.Channel, field: str, value: Any) -> None:
    bad = user_message(id=1, **{field: value})
    alone = UserMessage(id=1, **{field: value})

    create, update = METHODS[CreateUserRequest], METHODS[UpdateUser]
    for method, request in [
        (create, CreateUserRequest(user=bad)),
        (update, UpdateUser(user=bad, update_mask=FieldMask(paths=["*"]))),
        (update, UpdateUser(user=alone, update_mask=FieldMask(paths=[field]))),
    ]:
        assert f"user.{field}" in assert_refused(server, channel, method, request.SerializeToString())


@pytest.mark.parametrize("nanos", [0, 999])
def test_an_end_before_the_start_is_refused(server: Server, channel: grpc.Channel, nanos: int) -> None:
    bad = event_message(id=1, start_time=at(1000, 1000), end_time=at(1000, nanos))

    for request in (CreateEventRequest(event=bad), masked(bad, "*")):
        fields = assert_refused(server, channel, METHODS[type(request)], request.SerializeToString())
        assert fields == ["event.end_time"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (CreateEventRequest(), "event"),
        (UpdateEvent(), "event"),
        (UpdateEvent(event=event_message()), "event.id"),
        (UpdateEvent(event=event_message(id=-1)), "event.id"),
        (GetEventRequest(), "id"),
        (GetEventRequest(id=-(2**63)), "id"),
        (DeleteEventRequest(), "id"),
        (DeleteEventRequest(id=-1, allow_missing=True), "id"),
        (CreateUserRequest(), "user"),
        (UpdateUser(), "user"),
        (UpdateUser(user=user_message(id=-1)), "user.id"),
        (GetUserRequest(id=0), "id"),
        (DeleteUserRequest(id=-1), "id"),
        (ListEventsRequest(page_size=-1), "page_size"),
        (ListUsersRequest(page_size=-(2**31)), "page_size"),
        (masked(EventMessage(id=1, name="x"), "nme"), "update_mask"),
        (masked(EventMessage(id=1, name="x"), "name", "start_time.seconds"), "update_mask"),
        (masked(EventMessage(id=1, name="x"), "name", "*"), "update_mask"),
        (masked(EventMessage(id=1, name="x"), ""), "update_mask"),
        (masked(EventMessage(id=1, name="x"), "name,category"), "update_mask"),
        (UpdateUser(user=UserMessage(id=1, first_name="x"), update_mask=FieldMask(paths=["name"])), "update_mask"),
    ],
    ids=short,
)
def test_a_bad_request_is_refused(server: Server, channel: grpc.Channel, request_: Message, field: str) -> None:
    fields = assert_refused(server, channel, METHODS[type(request_)], request_.SerializeToString())

    assert fields == [field]


def test_a_mask_with_many_long_unknown_paths_is_an_invalid_argument(server: Server, channel: grpc.Channel) -> None:
    """However much of the request the status would quote, it must fit what peers take as trailers."""
    paths = [f"{number}" + "🎉" * 1000 for number in range(100)]

    request = masked(EventMessage(id=1, name="x"), *paths).SerializeToString()

    assert set(assert_refused(server, channel, METHODS[UpdateEvent], request)) == {"update_mask"}


def users_token(channel: grpc.Channel) -> str:
    """Returns a token that ListUsers gave out."""
    for _ in range(2):
        create = CreateUserRequest(user=user_message()).SerializeToString()
        send(channel, METHODS[CreateUserRequest], create)
    answer = send(channel, METHODS[ListUsersRequest], ListUsersRequest(page_size=1).SerializeToString())
    return users_pb2.ListUsersResponse.FromString(answer).next_page_token


@pytest.mark.parametrize(
    "token", ["x", "1", "A" * 22, "====", "é", "\0", " ", "A" * 100_000, "-_-_", "users'"], ids=short
)
def test_a_token_of_another_make_is_refused(server: Server, channel: grpc.Channel, token: str) -> None:
    sent = users_token(channel) if token == "users'" else token

    fields = assert_refused(
        server, channel, METHODS[ListEventsRequest], ListEventsRequest(page_token=sent).SerializeToString()
    )

    assert fields == ["page_token"]


def test_a_token_with_any_character_changed_is_refused(server: Server, channel: grpc.Channel) -> None:
    token = users_token(channel)

    for position, letter in enumerate(token):
        changed = token[:position] + ("B" if letter == "A" else "A") + token[position + 1 :]
        request = ListUsersRequest(page_token=changed)
        assert_refused(server, channel, METHODS[ListUsersRequest], request.SerializeToString())


@pytest.mark.parametrize(
    "request_",
    [
        b"\x0a\x05\x12\x03\xff\xfe\xfd",  # event.name is not UTF-8
        b"\x0a\x07\x12\x05\xed\xa0\x80ab",  # event.name has half of a surrogate pair
        b"\x0a\xff\xff\xff\xff\x0f",  # longer than the message
        b"\x0a\x05\x12",  # cut off
        b"\x07",  # no such wire type
        b"\xff" * 20,
    ],
    ids=repr,
)
def test_bytes_that_are_no_message_are_refused(server: Server, channel: grpc.Channel, request_: bytes) -> None:
    call = refused(channel, METHODS[CreateEventRequest], request_)

    assert detail(status_of(call), error_details_pb2.ErrorInfo).reason == "MALFORMED_REQUEST"
    assert_refused(server, channel, METHODS[CreateEventRequest], request_)


def test_a_message_above_4_mib_is_refused_by_the_transport(server: Server, channel: grpc.Channel) -> None:
    before = contents(server.database)
    request = CreateEventRequest(event=event_message(description="d" * (4 * 1024 * 1024)))

    call = refused(channel, METHODS[CreateEventRequest], request.SerializeToString())

    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert before == contents(server.database)


@pytest.mark.parametrize("method", [f"/{EVENTS}/Nonsense", "/artemis.v1.Nonsense/GetEvent", "/", "/x", "/a/b/c"])
def test_an_unknown_method_is_unimplemented(channel: grpc.Channel, method: str) -> None:
    assert refused(channel, method, b"").code() is grpc.StatusCode.UNIMPLEMENTED


REFUSALS: list[tuple[Message, str, dict[str, str]]] = [
    (GetEventRequest(id=MISSING), "EVENT_NOT_FOUND", {"id": str(MISSING)}),
    (GetUserRequest(id=MISSING), "USER_NOT_FOUND", {"id": str(MISSING)}),
    (DeleteEventRequest(id=1, etag=STALE), "ETAG_MISMATCH", {"id": "1"}),
    (UpdateEvent(event=EventMessage(id=1, name="x", etag=STALE)), "ETAG_MISMATCH", {"id": "1"}),
    (DeleteUserRequest(id=1), "USER_OWNS_EVENTS", {"id": "1"}),
    (
        CreateEventRequest(event=event_message(owner_id=MISSING)),
        "OWNER_NOT_FOUND",
        {"id": str(MISSING), "field": "event.owner_id"},
    ),
    (
        CreateUserRequest(user=user_message(email="taken7@example.com")),
        "EMAIL_TAKEN",
        {"email": "taken7@example.com", "field": "user.email"},
    ),
    (BatchGetEventsRequest(ids=[1, MISSING]), "EVENT_NOT_FOUND", {"id": str(MISSING), "field": "ids[1]"}),
    (
        BatchUpdateEventsRequest(requests=[UpdateEvent(event=EventMessage(id=MISSING, name="x"))]),
        "EVENT_NOT_FOUND",
        {"id": str(MISSING), "field": "requests[0].event.id"},
    ),
    (
        BatchDeleteEventsRequest(requests=[DeleteEventRequest(id=1), DeleteEventRequest(id=1)]),
        "INVALID_FIELD",
        {"id": "1", "field": "requests[1].id", "earlier": "requests[0]"},
    ),
    (
        BatchCreateEventsRequest(requests=[CreateEventRequest(event=event_message(owner_id=MISSING))]),
        "OWNER_NOT_FOUND",
        {"id": str(MISSING), "field": "requests[0].event.owner_id"},
    ),
    (
        BatchDeleteEventsRequest(requests=[DeleteEventRequest(id=1, etag=STALE)]),
        "ETAG_MISMATCH",
        {"id": "1", "field": "requests[0].etag"},
    ),
    (
        BatchDeleteUsersRequest(requests=[DeleteUserRequest(id=1)]),
        "USER_OWNS_EVENTS",
        {"id": "1", "field": "requests[0].id"},
    ),
    (
        BatchCreateUsersRequest(requests=[CreateUserRequest(user=user_message(email="taken7@example.com"))]),
        "EMAIL_TAKEN",
        {"email": "taken7@example.com", "field": "requests[0].user.email"},
    ),
    (BatchGetEventsRequest(ids=[1] * 1001), "INVALID_FIELD", {"field": "ids", "limit": "1000"}),
    (masked(EventMessage(id=1), "a7", "b8"), "UNKNOWN_FIELD", {"field": "update_mask", "path": "a7", "more": "1"}),
    *(
        (ListEventsRequest(filter=text), "INVALID_FILTER", {"field": "filter", **values})
        for text, values in {
            "nme7 = x": {"position": "1", "name": "nme7"},
            "name =": {"position": "7"},
            "name = x 7 )": {"position": "12", "found": ")"},
            "owner_id = x": {"position": "12", "name": "owner_id", "operator": "="},
            "start_time < x": {"position": "14", "name": "start_time", "operator": "<"},
            "etag > x": {"position": "8", "name": "etag", "operator": ">"},
            "lower7(name)": {"position": "1", "name": "lower7"},
            '"name7" = x': {"position": "1", "name": "name7"},
            '"name" = 7': {"position": "1", "name": "name", "operator": "="},
            "name = (a OR b)": {"position": "8", "name": "name", "operator": "="},
            '"a" "b""c7"': {"position": "8", "found": '"c7"'},
            "name = null": {"position": "8", "name": "name"},
            "a and b": {"position": "3", "found": "and"},
            '"a7': {"position": "1", "found": '"'},
            'name = "\\7"': {"position": "9", "found": "7"},
            "(" * 11 + "a": {"position": "11", "limit": "10"},
            "a " * 51: {"position": "101", "limit": "50"},
            "a " * 16: {"position": "1", "limit": "30", "count": "32"},
            "a" * 101: {"position": "1", "limit": "100", "count": "101"},
        }.items()
    ),
    *(
        (ListEventsRequest(order_by=text), "INVALID_ORDER_BY", {"field": "order_by", **values})
        for text, values in {
            "nme7": {"position": "1", "name": "nme7"},
            "name, name": {"position": "7", "name": "name"},
            "name 7": {"position": "6", "found": "7"},
        }.items()
    ),
]


@pytest.mark.parametrize(("request_", "reason", "metadata"), REFUSALS, ids=short)
def test_every_part_of_a_message_that_varies_stands_in_the_metadata(
    channel: grpc.Channel, request_: Message, reason: str, metadata: dict[str, str]
) -> None:
    taken = CreateUserRequest(user=user_message(email="taken7@example.com"))
    refusal(channel, METHODS[CreateUserRequest], taken.SerializeToString())

    status = status_of(refused(channel, METHODS[type(request_)], request_.SerializeToString()))

    info = detail(status, error_details_pb2.ErrorInfo)
    assert (info.reason, dict(info.metadata)) == (reason, metadata)
    assert unexplained(status) == []


def test_a_response_that_is_too_large_names_the_limit(server: Server, channel: grpc.Channel) -> None:
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        half = [event(description="d" * 8000)] * 225
        ids = [each.id for _ in range(2) for each in client.events.batch_create(half)]
    request = BatchGetEventsRequest(ids=ids)

    status = status_of(refused(channel, METHODS[BatchGetEventsRequest], request.SerializeToString()))

    info = detail(status, error_details_pb2.ErrorInfo)
    assert (info.reason, dict(info.metadata)) == ("RESPONSE_TOO_LARGE", {"field": "ids", "limit": "3 MiB"})
    assert unexplained(status) == []


BAD_ID = "not a UUID"
GOOD_ID = "0b7a3c1e-5d2f-4a68-9c3b-7e1f00aa42d9"
FOREIGN = "x"
AT_ONCE: list[tuple[Message, str, list[str]]] = [
    (
        ListEventsRequest(filter="name =", order_by="nme", page_token=FOREIGN),
        "INVALID_FILTER",
        ["filter", "order_by", "page_token"],
    ),
    (
        ListUsersRequest(page_size=-1, filter="email =", order_by="nme", page_token=FOREIGN),
        "INVALID_FIELD",
        ["page_size", "filter", "order_by", "page_token"],
    ),
    (ListEventsRequest(filter="a" * 8193, order_by="nme"), "INVALID_FIELD", ["filter", "order_by"]),
    (ListEventsRequest(order_by="nme", page_token=FOREIGN), "INVALID_ORDER_BY", ["order_by", "page_token"]),
    (ListEventsRequest(page_size=-1, page_token=FOREIGN), "INVALID_FIELD", ["page_size", "page_token"]),
    (masked(EventMessage(id=1, name=" "), "name", "nme"), "UNKNOWN_FIELD", ["update_mask", "event.name"]),
    (masked(EventMessage(id=1, name=" "), "category", "nme"), "UNKNOWN_FIELD", ["update_mask"]),
    (
        UpdateEvent(
            event=EventMessage(name=" ", owner_id=-1),
            update_mask=FieldMask(paths=["name", "x", "owner_id"]),
            request_id=BAD_ID,
        ),
        "INVALID_FIELD",
        ["request_id", "event.id", "update_mask", "event.name", "event.owner_id"],
    ),
    (
        UpdateEvent(event=event_message(id=1, start_time=at(2), end_time=at(1)), request_id=BAD_ID),
        "INVALID_FIELD",
        ["request_id", "event.end_time"],
    ),
    (
        UpdateUser(user=UserMessage(id=1, email="x"), update_mask=FieldMask(paths=["email", "nme"])),
        "UNKNOWN_FIELD",
        ["update_mask", "user.email"],
    ),
    (
        BatchUpdateEventsRequest(
            requests=[
                masked(EventMessage(id=1, name=" "), "name"),
                masked(EventMessage(id=2, name="x"), "nme"),
                masked(EventMessage(id=1, name="x"), "name"),
                UpdateEvent(event=EventMessage(id=3, name="x"), request_id=GOOD_ID, validate_only=True),
            ]
        ),
        "INVALID_FIELD",
        [
            "requests[3].request_id",
            "requests[3].validate_only",
            "requests[2].event.id",
            "requests[1].update_mask",
            "requests[0].event.name",
        ],
    ),
    (
        BatchDeleteEventsRequest(
            requests=[DeleteEventRequest(id=1), DeleteEventRequest(id=1, validate_only=True), DeleteEventRequest()]
        ),
        "INVALID_FIELD",
        ["requests[2].id", "requests[1].validate_only", "requests[1].id"],
    ),
    (
        BatchCreateEventsRequest(
            requests=[
                CreateEventRequest(event=event_message(name=" ")),
                CreateEventRequest(event=event_message(), validate_only=True),
            ]
        ),
        "INVALID_FIELD",
        ["requests[0].event.name", "requests[1].validate_only"],
    ),
]


@pytest.mark.parametrize(("request_", "reason", "fields"), AT_ONCE, ids=short)
def test_every_bad_field_is_told_at_once(
    server: Server, channel: grpc.Channel, request_: Message, reason: str, fields: list[str]
) -> None:
    """The reason of the error is that of its first violation."""
    method, raw = METHODS[type(request_)], request_.SerializeToString()

    assert sorted(fields) == sorted(assert_refused(server, channel, method, raw))
    assert detail(status_of(refused(channel, method, raw)), error_details_pb2.ErrorInfo).reason == reason


def test_a_batch_far_too_large_is_refused_like_any_other(server: Server, channel: grpc.Channel) -> None:
    request = BatchUpdateEventsRequest(requests=[masked(EventMessage(id=1), "nme")] * 20_000).SerializeToString()

    assert "requests" in assert_refused(server, channel, METHODS[BatchUpdateEventsRequest], request)
