"""The client's dataclasses: what they accept, and that they are the messages of the contract in Python's terms."""

import copy
import dataclasses
import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from artemis.v1 import events_pb2, users_pb2
from artemis_client.entities import Event, User
from google.protobuf.descriptor import Descriptor
from hypothesis import given, settings
from hypothesis import strategies as st

START = datetime(2030, 5, 4, 9, 0, 0, 123456, tzinfo=UTC)
MESSAGES: dict[type[Event | User], Any] = {Event: events_pb2.Event, User: users_pb2.User}
VALUES: dict[Any, Any] = {int: 7, str: "é", datetime: START, int | None: 8}
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def full(entity: type[Event | User]) -> Any:
    """Returns an entity with a value in each field."""
    return entity(**{name: VALUES[kind] for name, kind in get_type_hints(entity).items()})


@pytest.fixture(params=MESSAGES, ids=lambda entity: entity.__name__)
def entity(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_an_entity_has_the_fields_of_its_message_in_their_order(entity: Any) -> None:
    descriptor: Descriptor = MESSAGES[entity].DESCRIPTOR
    assert [each.name for each in dataclasses.fields(entity)] == [each.name for each in descriptor.fields]


def test_defaults_are_those_of_the_message(entity: Any) -> None:
    message = MESSAGES[entity]()
    assert entity().to_message() == message
    assert entity.from_message(message) == entity()
    assert not message.ListFields()
    unset = {name for name, kind in get_type_hints(entity).items() if kind in (datetime, int | None)}
    assert {each.name for each in dataclasses.fields(entity) if getattr(entity(), each.name) is None} == unset


def test_a_message_and_back_is_the_same(entity: Any) -> None:
    made = full(entity)
    message = made.to_message()
    assert {field.name for field, _ in message.ListFields()} == {each.name for each in dataclasses.fields(entity)}
    assert made == entity.from_message(message)
    assert message == entity.from_message(message).to_message()


def test_an_entity_can_be_copied_pickled_hashed_and_replaced(entity: Any) -> None:
    made = full(entity)
    assert made == copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == dataclasses.replace(made)  # noqa: S301 - our own
    assert {made: 1} == {full(entity): 1}
    assert made != dataclasses.replace(made, etag="other")


def test_an_entity_cannot_be_changed_or_get_other_fields(entity: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        full(entity).etag = "x"
    with pytest.raises(TypeError, match="nme"):
        entity(nme="x")
    with pytest.raises(TypeError, match="positional"):
        entity(5)


def test_an_unset_owner_differs_from_owner_0() -> None:
    assert Event().owner_id is None
    assert Event.from_message(events_pb2.Event(owner_id=0)).owner_id == 0
    assert Event(owner_id=0).to_message().HasField("owner_id")


@settings(deadline=None)
@given(TIMES, ZONES)
def test_a_time_is_the_same_moment_in_utc(time: datetime, zone: timezone) -> None:
    moment = time.replace(tzinfo=zone)
    back = Event.from_message(Event(start_time=moment).to_message()).start_time
    assert back == moment
    assert back.tzinfo is UTC


@pytest.mark.parametrize("fold", [0, 1])
def test_both_hours_of_a_change_of_clocks_are_told_apart(fold: int) -> None:
    moment = datetime(2030, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=fold)
    assert Event(start_time=moment).to_message().start_time.ToDatetime(UTC) == moment.astimezone(UTC)


def test_digits_finer_than_a_microsecond_are_cut_off() -> None:
    message = events_pb2.Event()
    message.start_time.seconds, message.start_time.nanos = -1, 999_999_999
    assert Event.from_message(message).start_time == datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_time_are_times(year: int) -> None:
    moment = datetime(year, 1, 1, tzinfo=UTC) if year == 1 else datetime.max.replace(tzinfo=UTC)
    assert Event.from_message(Event(end_time=moment).to_message()).end_time == moment


def test_a_time_without_a_zone_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        ValueError, match=r"Event.start_time has no time zone: 2030-05-04T09:00:00; give it one"
    ) as caught:
        Event(start_time=datetime(2030, 5, 4, 9))
    assert "tzinfo=timezone.utc" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": 5}, "Event.name must be a str, not the int 5"),
        ({"name": b"x"}, "Event.name must be a str, not the bytes b'x'"),
        ({"name": None}, "Event.name must be a str, not the NoneType None"),
        ({"id": "5"}, "Event.id must be an int, not the str '5'"),
        ({"id": None}, "Event.id must be an int, not the NoneType None"),
        ({"id": True}, "Event.id must be an int, not the bool True"),
        ({"owner_id": 5.0}, "Event.owner_id must be an int, not the float 5.0"),
        ({"owner_id": User(id=1)}, "Event.owner_id must be an int, not the User User(id=1"),
        ({"start_time": "2030-05-04"}, "Event.start_time must be a datetime, not the str '2030-05-04'"),
        ({"end_time": date(2030, 5, 4)}, "Event.end_time must be a datetime, not the date datetime.date(2030, 5, 4)"),
        ({"end_time": 1.5}, "Event.end_time must be a datetime, not the float 1.5"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_the_name_of_its_field(fields: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Event(**fields)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": 2**63}, "User.id must be a 64-bit integer"),
        ({"id": -(10**5000)}, "User.id must be a 64-bit integer"),
        ({"email": "a\udc80b"}, "User.email has half of a surrogate pair at index 1"),
    ],
    ids=["2**63", "-10**5000", "surrogate"],
)
def test_a_value_that_the_contract_cannot_hold_is_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        User(**fields)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(User(), **fields)
