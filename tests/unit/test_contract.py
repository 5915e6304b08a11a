"""The rules of the contract, each with the path that it is reported on (AIP-193)."""

from typing import Any

import pytest
from artemis.v1 import events_pb2, users_pb2
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server import contract
from artemis_server.errors import InvalidArgument
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.storage.samples import START, new_event, new_user

FIRST = -62_135_596_800  # 0001-01-01T00:00:00Z
LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
UNSET = object()
INVISIBLE = [
    "\u3164",
    "\u2800",
    "\u0301",
    "\u115f\u1160",
    "\uffa0",
    "\u2065",
    "\ufff0",
    "\ufe0f",
    "\U000e0100",
    "\u200d \u3164",
]
VISIBLE = ["e\u0301", "\U0001f600", "\u2713", ".", "\u3131", "\u2801", "\ue000", "\u3164x"]


def violations(message: Message, prefix: str = "") -> list[tuple[str, str]]:
    """Returns the field path and the rule of each violation."""
    try:
        contract.validate(message, prefix)
    except InvalidArgument as error:
        return sorted((each.field, each.rule) for each in error.violations)
    return []


def create_event(**fields: Any) -> events_pb2.CreateEventRequest:
    event = new_event(**{name: value for name, value in fields.items() if value is not UNSET})
    for name, value in fields.items():
        if value is UNSET:
            event.ClearField(name)
    return events_pb2.CreateEventRequest(event=event)


def create_user(**fields: Any) -> users_pb2.CreateUserRequest:
    return users_pb2.CreateUserRequest(user=new_user(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "x"},
        *({"name": name} for name in VISIBLE),
        {"name": "x" * 200},
        {"name": "😀" * 200},
        {"name": " \u200bx\n"},
        {"description": "x" * 8192, "category": "x" * 100, "location": "x" * 300, "publisher": "x" * 100},
        {"description": "", "category": "", "location": "", "publisher": ""},
        {"start_time": Timestamp(seconds=FIRST), "end_time": Timestamp(seconds=LAST, nanos=999_999_999)},
        {"start_time": Timestamp(), "end_time": Timestamp()},
        {"start_time": Timestamp(seconds=START, nanos=5), "end_time": Timestamp(seconds=START, nanos=5)},
        {"owner_id": 1},
        {"owner_id": 2**63 - 1},
    ],
)
def test_a_valid_event_is_accepted(fields: dict[str, Any]) -> None:
    assert violations(create_event(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, ("event.name", "string.not_blank")),
        ({"name": " "}, ("event.name", "string.not_blank")),
        ({"name": "\t\r\n\u00a0\u2003\u3000\u200b\ufeff\u0007"}, ("event.name", "string.not_blank")),
        *(({"name": name}, ("event.name", "string.not_blank")) for name in INVISIBLE),
        ({"name": "x" * 201}, ("event.name", "string.max_len")),
        ({"name": "😀" * 201}, ("event.name", "string.max_len")),
        ({"name": "a\0b"}, ("event.name", "string.not_contains")),
        ({"description": "x" * 8193}, ("event.description", "string.max_len")),
        ({"description": "\0"}, ("event.description", "string.not_contains")),
        ({"category": "x" * 101}, ("event.category", "string.max_len")),
        ({"category": "\0"}, ("event.category", "string.not_contains")),
        ({"location": "x" * 301}, ("event.location", "string.max_len")),
        ({"location": "\0"}, ("event.location", "string.not_contains")),
        ({"publisher": "x" * 101}, ("event.publisher", "string.max_len")),
        ({"publisher": "\0"}, ("event.publisher", "string.not_contains")),
        ({"start_time": UNSET}, ("event.start_time", "required")),
        ({"end_time": UNSET}, ("event.end_time", "required")),
        ({"end_time": Timestamp(seconds=START - 1)}, ("event.end_time", "end_time.not_before_start")),
        (
            {"start_time": Timestamp(seconds=1, nanos=2), "end_time": Timestamp(seconds=1, nanos=1)},
            ("event.end_time", "end_time.not_before_start"),
        ),
        ({"start_time": Timestamp(seconds=FIRST - 1)}, ("event.start_time", "timestamp.gte_lte")),
        ({"start_time": Timestamp(seconds=-(2**63))}, ("event.start_time", "timestamp.gte_lte")),
        ({"end_time": Timestamp(seconds=LAST + 1)}, ("event.end_time", "timestamp.gte_lte")),
        ({"end_time": Timestamp(seconds=2**63 - 1)}, ("event.end_time", "timestamp.gte_lte")),
        ({"owner_id": 0}, ("event.owner_id", "int64.gt")),
        ({"owner_id": -1}, ("event.owner_id", "int64.gt")),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused_at_its_field(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert [expected] == violations(create_event(**fields))


@pytest.mark.parametrize(
    "email",
    ["a@b.example", "A.B+c@Example.COM", "o'neil@example.com", "x" * 64 + "@" + "y" * 60 + ".example"],
)
def test_a_valid_address_is_accepted(email: str) -> None:
    assert violations(create_user(email=email)) == []


@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada @example.com",
        "ada@exa mple.com",
        "ada@example.com\0",
        "ada@example.com\n",
        "Ada <ada@example.com>",
        "ådå@example.com",
        "ada@exåmple.com",
        "ada@-example.com",
    ],
)
def test_an_address_that_is_none_is_refused(email: str) -> None:
    assert violations(create_user(email=email)) == [("user.email", "string.email")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"email": ""}, ("user.email", "string.email_empty")),
        ({"email": "x" * 243 + "@example.com"}, ("user.email", "string.max_len")),
        ({"first_name": "x" * 101}, ("user.first_name", "string.max_len")),
        ({"first_name": "\0"}, ("user.first_name", "string.not_contains")),
        ({"last_name": "x" * 101}, ("user.last_name", "string.max_len")),
        ({"last_name": "\0"}, ("user.last_name", "string.not_contains")),
    ],
)
def test_a_user_that_breaks_a_rule_is_refused_at_its_field(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert [expected] == violations(create_user(**fields))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (events_pb2.CreateEventRequest(), ("event", "required")),
        (events_pb2.GetEventRequest(), ("id", "int64.gt")),
        (events_pb2.GetEventRequest(id=-1), ("id", "int64.gt")),
        (events_pb2.ListEventsRequest(page_size=-1), ("page_size", "int32.gte")),
        (events_pb2.UpdateEventRequest(), ("event", "event.required")),
        (events_pb2.UpdateEventRequest(event=Event()), ("event.id", "event.id.positive")),
        (events_pb2.UpdateEventRequest(event=Event(id=-1)), ("event.id", "event.id.positive")),
        (events_pb2.DeleteEventRequest(), ("id", "int64.gt")),
        (users_pb2.CreateUserRequest(), ("user", "required")),
        (users_pb2.GetUserRequest(id=-(2**63)), ("id", "int64.gt")),
        (users_pb2.ListUsersRequest(page_size=-(2**31)), ("page_size", "int32.gte")),
        (users_pb2.UpdateUserRequest(), ("user", "user.required")),
        (users_pb2.UpdateUserRequest(user=User()), ("user.id", "user.id.positive")),
        (users_pb2.DeleteUserRequest(id=0), ("id", "int64.gt")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Message) else None,
)
def test_a_request_that_breaks_a_rule_is_refused_at_its_field(request_: Message, expected: tuple[str, str]) -> None:
    assert [expected] == violations(request_)


@pytest.mark.parametrize(
    "request_",
    [
        events_pb2.UpdateEventRequest(event=Event(id=1, name=" ", owner_id=-1)),
        users_pb2.UpdateUserRequest(user=User(id=1, email="ada")),
    ],
)
def test_the_fields_of_an_update_are_not_judged_before_they_are_merged(request_: Message) -> None:
    assert violations(request_) == []


def test_paths_begin_with_the_prefix() -> None:
    event = new_event(name="", owner_id=0, end_time=Timestamp(seconds=START))
    assert violations(event, "event.") == [
        ("event.end_time", "end_time.not_before_start"),
        ("event.name", "string.not_blank"),
        ("event.owner_id", "int64.gt"),
    ]


def test_every_violation_is_told_and_the_text_names_the_first() -> None:
    with pytest.raises(InvalidArgument) as caught:
        contract.validate(create_user(email="ada", first_name="x" * 101))
    assert {each.field for each in caught.value.violations} == {"user.email", "user.first_name"}
    first = caught.value.violations[0]
    assert caught.value.message == f"{first.field}: {first.description} (and 1 more)"


def test_every_violation_says_what_is_wrong() -> None:
    with pytest.raises(InvalidArgument) as caught:
        contract.validate(create_event(name="", start_time=UNSET, owner_id=0, category="\0"))
    for violation in caught.value.violations:
        assert violation.description


def test_every_bad_field_is_named_at_once() -> None:
    bad = create_event(name=" ", start_time=Timestamp(nanos=-1), end_time=Timestamp(seconds=1, nanos=10**9))
    nanos = [("event.end_time", "timestamp.nanos"), ("event.start_time", "timestamp.nanos")]
    assert violations(bad) == [nanos[0], ("event.name", "string.not_blank"), nanos[1]]
    batch = events_pb2.BatchCreateEventsRequest(requests=[create_event(), bad])
    assert violations(batch) == [
        (f"requests[1].{field}", rule) for field, rule in [nanos[0], ("event.name", "string.not_blank"), nanos[1]]
    ]


def test_times_that_callers_do_not_set_are_not_looked_at() -> None:
    malformed = Timestamp(nanos=-1)
    assert violations(create_event(create_time=malformed, update_time=malformed)) == []
    sent = new_event(id=1, start_time=malformed)
    assert violations(events_pb2.UpdateEventRequest(event=sent)) == []
    assert violations(sent, "event.") == [("event.start_time", "timestamp.nanos")]


@pytest.mark.parametrize(
    ("request_", "metadata"),
    [
        (create_event(name="x" * 201), {"field": "event.name", "limit": "200"}),
        (create_event(owner_id=-1), {"field": "event.owner_id", "limit": "0"}),
        (
            create_event(start_time=Timestamp(nanos=-1)),
            {"field": "event.start_time", "minimum": "0", "maximum": "999999999"},
        ),
        (
            create_event(start_time=Timestamp(seconds=2**40), end_time=Timestamp(seconds=2**40)),
            {
                "field": "event.start_time",
                "minimum": "0001-01-01T00:00:00Z",
                "maximum": "9999-12-31T23:59:59.999999999Z",
                "more": "1",
            },
        ),
        (events_pb2.GetEventRequest(), {"field": "id", "limit": "0"}),
        (events_pb2.UpdateEventRequest(event=new_event()), {"field": "event.id", "limit": "0"}),
        (create_event(name=" "), {"field": "event.name"}),
        (create_event(name="\0a"), {"field": "event.name"}),
        (events_pb2.DeleteEventRequest(id=1, request_id="x"), {"field": "request_id"}),
        (events_pb2.BatchGetEventsRequest(ids=[1] * 1001), {"field": "ids", "limit": "1000"}),
        (create_event(name=" ", description="x" * 8193), {"field": "event.name", "more": "1"}),
    ],
)
def test_what_varies_in_a_message_stands_in_its_metadata(request_: Message, metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        contract.validate(request_)
    assert metadata == refused.value.metadata
    for value in metadata.values():
        assert value in refused.value.message
