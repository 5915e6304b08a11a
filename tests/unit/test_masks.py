"""Update masks: what they name, and what merging makes of it."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from artemis.v1.events_pb2 import Event, GetEventRequest
from artemis.v1.users_pb2 import User
from artemis_server import contract, masks
from artemis_server.errors import InvalidArgument
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

CALLERS_CANNOT_SET = {"id", "source", "external_id", "create_time", "update_time", "etag"}
WRITABLE: dict[type[Message], tuple[str, ...]] = {
    kind: tuple(field.name for field in kind.DESCRIPTOR.fields if field.name not in CALLERS_CANNOT_SET)
    for kind in (Event, User)
}
EVENT = cast("Descriptor", Event.DESCRIPTOR)
EVENT_FIELDS = tuple(field.name for field in Event.DESCRIPTOR.fields)
TEXT = st.text(st.characters(codec="utf-8"), max_size=3)
TIMES = st.builds(Timestamp, seconds=st.integers(-2, 2), nanos=st.integers(0, 2))
VALUES = {
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_INT64: st.integers(0, 3),
    FieldDescriptor.TYPE_MESSAGE: TIMES,
}
EVENTS = st.builds(
    lambda fields: Event(**fields),
    st.fixed_dictionaries({}, optional={field.name: VALUES[field.type] for field in Event.DESCRIPTOR.fields}),
)


def as_model(message: Message) -> dict[str, Any]:
    """Returns the message as plain Python: its fields by name, None where a field has presence and is unset."""
    return {
        field.name: getattr(message, field.name) if not field.has_presence or message.HasField(field.name) else None
        for field in message.DESCRIPTOR.fields
    }


@given(EVENTS, EVENTS, st.lists(st.sampled_from(WRITABLE[Event]), unique=True))
def test_merge_takes_the_paths_from_what_was_sent_and_the_rest_from_what_is_stored(
    stored: Event, sent: Event, paths: Sequence[str]
) -> None:
    expected = as_model(stored) | {path: as_model(sent)[path] for path in paths}
    masks.merge(stored, sent, paths)
    assert expected == as_model(stored)


@given(EVENTS, EVENTS, st.lists(st.sampled_from(WRITABLE[Event])))
def test_merge_leaves_what_was_sent_as_it_is(stored: Event, sent: Event, paths: Sequence[str]) -> None:
    before = sent.SerializeToString(deterministic=True)
    masks.merge(stored, sent, paths)
    assert before == sent.SerializeToString(deterministic=True)


@pytest.mark.parametrize("kind", [Event, User])
def test_writable_fields_are_those_that_callers_may_set(kind: type[Message]) -> None:
    assert WRITABLE[kind] == contract.writable_fields(kind.DESCRIPTOR)


@pytest.mark.parametrize("kind", [Event, User])
def test_a_star_is_every_writable_field(kind: type[Message]) -> None:
    assert WRITABLE[kind] == masks.updated_fields(FieldMask(paths=["*"]), kind())


@given(st.lists(st.sampled_from(EVENT_FIELDS), min_size=1), EVENTS)
def test_a_mask_names_its_writable_fields_whatever_was_sent(paths: Sequence[str], sent: Event) -> None:
    expected = tuple(name for name in WRITABLE[Event] if name in paths)
    assert expected == masks.updated_fields(FieldMask(paths=paths), sent)


@given(EVENTS)
def test_no_mask_is_the_populated_fields(sent: Event) -> None:
    populated = {field.name for field, _ in sent.ListFields()}
    expected = tuple(name for name in WRITABLE[Event] if name in populated)
    assert expected == masks.updated_fields(FieldMask(), sent)


def test_a_field_with_presence_is_populated_when_it_holds_its_default() -> None:
    sent = Event(start_time=Timestamp(), owner_id=0, name="")
    assert masks.updated_fields(FieldMask(), sent) == ("start_time", "owner_id")


@pytest.mark.parametrize(
    "paths",
    [
        ["source"],
        ["id", "etag", "external_id", "create_time", "update_time"],
    ],
)
def test_fields_that_callers_cannot_set_are_ignored(paths: Sequence[str]) -> None:
    assert masks.updated_fields(FieldMask(paths=paths), Event(source="x", etag="x")) == ()


@pytest.mark.parametrize(
    "path",
    [
        "nmae",
        "Name",
        "startTime",
        "start_time.seconds",
        "event.name",
        "version",
        "",
        " name",
        "name,description",
        "**",
        "日本",
    ],
)
def test_an_unknown_path_is_refused_by_its_name(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        masks.updated_fields(FieldMask(paths=["name", path]), Event())
    assert caught.value.reason == "UNKNOWN_FIELD"
    (violation,) = caught.value.violations
    assert violation.field == "update_mask"
    assert f'"{path}"' in violation.description


def test_every_unknown_path_is_told() -> None:
    with pytest.raises(InvalidArgument) as caught:
        masks.updated_fields(FieldMask(paths=["b", "name", "a", "b"]), Event())
    assert [violation.description for violation in caught.value.violations] == [
        'Event has no field "a"',
        'Event has no field "b"',
    ]


def test_a_star_beside_other_paths_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r'"\*" stands for all fields: it must be the only path'):
        masks.updated_fields(FieldMask(paths=["*", "name"]), Event())


@given(st.lists(st.sampled_from(EVENT_FIELDS)))
def test_a_read_mask_gives_its_fields_once_and_in_their_order(paths: list[str]) -> None:
    fields = masks.read_fields(GetEventRequest(id=1, read_mask=FieldMask(paths=paths)), EVENT)
    expected = tuple(name for name in EVENT_FIELDS if name in paths)
    assert fields == (None if expected in ((), EVENT_FIELDS) else expected)


@pytest.mark.parametrize("request_", [GetEventRequest(), GetEventRequest(read_mask=FieldMask(paths=["*"]))])
def test_a_read_without_a_mask_or_with_a_star_returns_all_fields(request_: GetEventRequest) -> None:
    assert masks.read_fields(request_, EVENT) is None


@pytest.mark.parametrize(
    ("paths", "unknown"),
    [
        (["name", "nme", "x", "x"], ["nme", "x"]),
        (["start_time.seconds"], ["start_time.seconds"]),
        ([""], [""]),
        (["NAME"], ["NAME"]),
        (["name,id"], ["name,id"]),
        (["event.name"], ["event.name"]),
    ],
)
def test_each_unknown_path_of_a_read_mask_is_a_violation(paths: list[str], unknown: list[str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        masks.read_fields(GetEventRequest(read_mask=FieldMask(paths=paths)), EVENT)
    assert caught.value.reason == "UNKNOWN_FIELD"
    assert [violation.field for violation in caught.value.violations] == ["read_mask"] * len(unknown)
    assert [violation.values["path"] for violation in caught.value.violations] == unknown


def test_a_star_beside_other_paths_of_a_read_mask_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        masks.read_fields(GetEventRequest(read_mask=FieldMask(paths=["name", "*"])), EVENT)
    assert [violation.rule for violation in caught.value.violations] == ["read_mask.star"]
