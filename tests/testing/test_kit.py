"""The test kit does what it says, seen by a plain stub and by both clients, whose retries hide some faults."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2
from artemis_client import (
    ArtemisClient,
    DeadlineExceeded,
    Event,
    EventMirror,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResumeTokenExpired,
    Unavailable,
)
from artemis_testing import ArtemisServer, ServerFailedError
from artemis_testing.data import START, EventFields, UserFields
from artemis_testing.process import ServerProcess
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

from tests.e2e import blocking
from tests.testing.test_plugin import wait_until

pytest_plugins = ["artemis_testing.plugin"]

Code = grpc.StatusCode
NEW_YEAR = datetime(2040, 1, 1, tzinfo=UTC)
REQUEST_ID = "5ec7a1f0-6a49-4d9e-9df5-0d3d2b0a7c11"
PATIENCE = 30.0
NO_RETRIES = (("grpc.enable_retries", 0),)
"""Options of a plain stub's channel, so that it shows the outcome of one attempt."""


@pytest.fixture
def stub(artemis: ArtemisServer) -> Iterator[events_pb2_grpc.EventServiceStub]:
    """A plain stub, which tries nothing again."""
    with grpc.insecure_channel(artemis.target, NO_RETRIES) as channel:
        yield events_pb2_grpc.EventServiceStub(channel)


@pytest.fixture(params=["threads", "asyncio"])
def client(artemis: ArtemisServer, request: pytest.FixtureRequest) -> Iterator[ArtemisClient]:
    """Each of the two clients, in the shape of the one without asyncio."""
    if request.param == "threads":
        yield artemis.client
    else:
        with blocking.blocking(artemis.async_client)() as client:
            yield client


def new_message() -> events_pb2.Event:
    """Returns an event that can be created."""
    event = events_pb2.Event(name="Once")
    event.start_time.FromDatetime(START)
    event.end_time.FromDatetime(START)
    return event


def new_event() -> Event:
    """Returns the same event for the client."""
    return Event.from_message(new_message())


def create(stub: events_pb2_grpc.EventServiceStub, timeout: float = PATIENCE) -> events_pb2.Event:
    return stub.CreateEvent(events_pb2.CreateEventRequest(event=new_message()), timeout=timeout)


def failure(call: Any, *arguments: Any) -> Any:
    """Returns the error of a call of a plain stub."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments)
    return caught.value


def detail(error: Any, kind: Any) -> Any:
    """Returns the detail of this type that an error has."""
    status = rpc_status.from_call(error)
    assert status is not None
    (packed,) = [each for each in status.details if each.Is(kind.DESCRIPTOR)]
    unpacked = kind()
    packed.Unpack(unpacked)
    return unpacked


def names(artemis: ArtemisServer) -> list[str]:
    return [event.name for event in artemis.client.events.list()]


def methods(artemis: ArtemisServer) -> list[str]:
    return [call.method for call in artemis.calls]


def test_a_reset_leaves_nothing(artemis: ArtemisServer, client: ArtemisClient) -> None:
    target = artemis.target
    artemis.clock.freeze(NEW_YEAR)
    artemis.add_event(owner_id=artemis.add_user().id)
    client.events.create(new_event(), request_id=REQUEST_ID)
    _, watch = client.events.list_and_watch()
    token = watch.resume_token
    artemis.faults.fail(Code.INTERNAL, calls=100)

    artemis.reset()

    assert artemis.target == target
    assert names(artemis) == []
    assert list(client.users.list()) == []
    assert methods(artemis) == ["ListEvents", "ListUsers"]
    assert abs(artemis.clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert artemis.add_event().name == "Event 1"
    assert client.events.create(new_event(), request_id=REQUEST_ID).id == 2
    artemis.clock.freeze(NEW_YEAR)
    for old in (watch, client.events.watch(token)):
        with pytest.raises(ResumeTokenExpired):
            next(old)


def test_a_connection_outlives_resets(artemis: ArtemisServer, stub: events_pb2_grpc.EventServiceStub) -> None:
    """Also with open calls on it, so that a program may keep its channel for all tests."""
    for _ in range(10):
        artemis.faults.delay(20, method="GetEvent")
        late = stub.GetEvent.future(events_pb2.GetEventRequest(id=1), timeout=PATIENCE)
        watch = stub.WatchEvents(events_pb2.WatchEventsRequest(), timeout=PATIENCE)
        assert next(watch).resume_token
        assert create(stub).id == 1

        artemis.reset()

        assert create(stub).id == 1
        artemis.reset()
        for call in (late.result, lambda open_watch=watch: list(open_watch)):
            error = failure(call)
            assert (error.code(), detail(error, ErrorInfo).reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")


def test_what_is_not_given_has_a_default(artemis: ArtemisServer) -> None:
    user = artemis.add_user(first_name="Ada")
    assert (user.id, user.email, user.first_name) == (1, "user1@example.com", "Ada")
    event = artemis.add_event(owner_id=user.id)
    assert (event.id, event.name, event.owner_id) == (1, "Event 1", 1)
    assert event.start_time == START
    assert event.end_time == START + timedelta(hours=1)
    late = artemis.add_event(end_time=NEW_YEAR)
    assert late.start_time == NEW_YEAR - timedelta(hours=1)
    assert late == artemis.client.events.get(late.id)
    first = artemis.add_event(end_time=datetime.min.replace(tzinfo=UTC))
    last = artemis.add_event(start_time=datetime.max.replace(tzinfo=UTC))
    assert (first.start_time, last.end_time) == (first.end_time, last.start_time)


def test_many_events_are_added_in_their_order(artemis: ArtemisServer) -> None:
    wide = "\N{CLAPPER BOARD}"  # four bytes
    event = Event(name=wide * 200, description=wide * 8192, category=wide * 100, location=wide * 300)
    added = artemis.add_events(Event(name=event.name, publisher=str(number)) for number in range(5))
    added += artemis.add_events([event] * 245)
    assert [each.publisher for each in added[:5]] == list("01234")
    assert [event.id for event in added] == list(range(1, 251))
    assert methods(artemis) == []


def test_data_that_the_server_refuses_raise_its_error(artemis: ArtemisServer) -> None:
    with pytest.raises(InvalidArgument):
        artemis.add_event(name="x" * 201)
    with pytest.raises(ValueError, match="start_time has no time zone"):
        artemis.add_event(start_time=datetime(2031, 1, 1))
    with pytest.raises(ValueError, match="there is no field 'nmae'"):
        artemis.add_event(nmae="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"expected an artemis_client\.Event, not .*events_pb2\.Event"):
        artemis.add_events([new_message()])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"expected an artemis_client\.User, not .*users_pb2\.User"):
        artemis.add_users([users_pb2.User()])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="there is no field 'source'"):
        artemis.add_user(source="feed")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"User\.email must be a str"):
        artemis.add_user(email=3)  # type: ignore[arg-type]


def test_a_file_has_users_and_events(artemis: ArtemisServer, tmp_path: Path) -> None:
    lines = [{"name": "A", "ownerId": "1"}, {"email": "ada@example.com"}, {"start_time": "2031-05-04T09:00:00Z"}]
    (tmp_path / "data.jsonl").write_text("\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    artemis.load(tmp_path / "data.jsonl")
    assert [(event.name, event.owner_id or 0) for event in artemis.client.events.list()] == [("A", 1), ("Event 2", 0)]


@pytest.mark.parametrize("line", ["{", "3", '{"nmae": "x"}'])
def test_a_bad_line_is_named(artemis: ArtemisServer, tmp_path: Path, line: str) -> None:
    (tmp_path / "data.jsonl").write_text(f'{{"name": "A"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"data\.jsonl:2: "):
        artemis.load(tmp_path / "data.jsonl")


@pytest.mark.parametrize(("message", "fields"), [(events_pb2.Event, EventFields), (users_pb2.User, UserFields)])
def test_every_field_that_a_caller_may_set_can_be_given(message: Any, fields: Any) -> None:
    assert set(fields.__annotations__) == {each.name for each in writable(message.DESCRIPTOR)}


def writable(descriptor: Descriptor) -> list[Any]:
    """Returns the fields that are neither the id nor output only, but for the etag."""
    behaviors = field_behavior_pb2.field_behavior
    fixed = {field_behavior_pb2.IDENTIFIER, field_behavior_pb2.OUTPUT_ONLY}
    return [
        each
        for each in descriptor.fields
        if each.name != "etag" and not fixed & set(each.GetOptions().Extensions[behaviors])
    ]


def test_calls_are_recorded(artemis: ArtemisServer, stub: events_pb2_grpc.EventServiceStub) -> None:
    failure(lambda: stub.GetEvent(events_pb2.GetEventRequest(id=7), metadata=(("x-team", "a"), ("x-bin", b"\0\1"))))
    (call,) = artemis.calls
    assert (call.method, call.request) == ("GetEvent", events_pb2.GetEventRequest(id=7))
    assert {("x-team", "a"), ("x-bin", "AAE=")} < set(call.metadata)


@pytest.mark.parametrize(
    "code", [each for each in Code if each not in (Code.OK, Code.UNKNOWN, Code.UNIMPLEMENTED, Code.DATA_LOSS)]
)
def test_a_call_fails_with_the_details_of_the_server(
    artemis: ArtemisServer, stub: events_pb2_grpc.EventServiceStub, code: grpc.StatusCode
) -> None:
    artemis.faults.fail(code)
    error = failure(create, stub)
    assert error.code() is code
    assert detail(error, ErrorInfo).domain == "artemis"
    assert names(artemis) == []


def test_a_code_that_the_server_never_answers_is_refused(artemis: ArtemisServer) -> None:
    with pytest.raises(ValueError, match="the server never answers DATA_LOSS"):
        artemis.faults.fail(Code.DATA_LOSS)
    with pytest.raises(ValueError, match="there is no method 'CreatEvent'"):
        artemis.faults.fail(Code.INTERNAL, method="CreatEvent")
    with pytest.raises(ValueError, match="calls must be 1 or more"):
        artemis.faults.drop_connection(calls=0)
    for calls in (-1, 1.5, True):
        with pytest.raises(ValueError, match="calls must be 1 or more"):
            artemis.faults.fail(Code.INTERNAL, calls=calls)  # type: ignore[arg-type]
    for seconds in (-1, 0.5, 10**12):
        with pytest.raises(ValueError, match="retry_after is from 0 to"):
            artemis.faults.fail(Code.UNAVAILABLE, retry_after=seconds)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="reason must be a str"):
        artemis.faults.fail(Code.NOT_FOUND, reason=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="message has half of a surrogate pair"):
        artemis.faults.fail(Code.NOT_FOUND, message="\ud800")
    with pytest.raises(TypeError, match=r"a code is one of grpc\.StatusCode, not 'NOT_FOUND'"):
        artemis.faults.fail("NOT_FOUND")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the answer of WatchEvents is a stream"):
        artemis.faults.lose_answer(method="WatchEvents")
    with pytest.raises(ValueError, match="a delay is from 0 to 25 seconds"):
        artemis.faults.delay(26)


def test_a_failure_has_the_reason_the_text_and_the_pause_that_the_test_gives(
    artemis: ArtemisServer, stub: events_pb2_grpc.EventServiceStub
) -> None:
    artemis.faults.fail(Code.UNAVAILABLE, reason="SHUTTING_DOWN", message="going", retry_after=60)
    error = failure(create, stub)
    assert error.details() == "going"
    assert detail(error, ErrorInfo).reason == "SHUTTING_DOWN"
    assert detail(error, RetryInfo).retry_delay.seconds == 60


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED])
def test_the_client_hides_failures_that_pass(
    artemis: ArtemisServer, client: ArtemisClient, code: grpc.StatusCode
) -> None:
    artemis.faults.fail(code, calls=2, method="CreateEvent")
    assert client.events.create(new_event()).id == 1
    assert methods(artemis) == ["CreateEvent"] * 3


def test_the_client_does_not_hide_other_failures(artemis: ArtemisServer, client: ArtemisClient) -> None:
    event = artemis.add_event()
    artemis.faults.fail(Code.NOT_FOUND, method="GetEvent")
    assert names(artemis) == ["Event 1"]
    with pytest.raises(NotFound):
        client.events.get(event.id)
    assert client.events.get(event.id) == event


def test_faults_are_met_one_after_the_other_until_they_are_cleared(
    artemis: ArtemisServer, stub: events_pb2_grpc.EventServiceStub
) -> None:
    artemis.faults.fail(Code.INTERNAL)
    artemis.faults.fail(Code.NOT_FOUND, method="GetEvent")
    artemis.faults.fail(Code.ABORTED, calls=100)
    assert [failure(create, stub).code() for _ in range(3)] == [Code.INTERNAL, Code.ABORTED, Code.ABORTED]
    assert failure(lambda: stub.GetEvent(events_pb2.GetEventRequest(id=1))).code() is Code.NOT_FOUND
    artemis.faults.clear()
    assert create(stub).id == 1


def test_a_late_answer_is_one_all_the_same(
    artemis: ArtemisServer, client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    artemis.faults.delay(0, method="GetEvent")
    assert failure(lambda: stub.GetEvent(events_pb2.GetEventRequest(id=1))).code() is Code.NOT_FOUND
    artemis.faults.delay(0.2, method="CreateEvent", calls=2)
    begin = time.monotonic()
    assert create(stub).id == 1
    assert client.events.create(new_event()).id == 2
    assert time.monotonic() - begin >= 0.4


def test_a_caller_whose_deadline_passes_may_have_written(
    artemis: ArtemisServer, client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    artemis.faults.delay(20, calls=2)
    assert failure(create, stub, 0.3).code() is Code.DEADLINE_EXCEEDED
    with pytest.raises(DeadlineExceeded):
        client.events.create(new_event(), timeout=0.3)
    assert names(artemis) == ["Once", "Once"]


def test_a_dropped_connection_has_no_effect(
    artemis: ArtemisServer, client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    artemis.faults.drop_connection(calls=2)
    assert failure(create, stub).code() is Code.UNAVAILABLE
    assert client.events.create(new_event()).id == 1
    assert methods(artemis) == ["CreateEvent"] * 3


def test_a_lost_answer_is_that_of_a_write_which_is_made_once(
    artemis: ArtemisServer, client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    artemis.faults.lose_answer(method="CreateEvent", calls=2)
    assert failure(create, stub).code() is Code.UNAVAILABLE
    assert client.events.create(new_event()).id == 2
    assert names(artemis) == ["Once", "Once"]
    assert methods(artemis)[:3] == ["CreateEvent"] * 3


def test_an_error_can_be_lost_as_well(artemis: ArtemisServer, client: ArtemisClient) -> None:
    artemis.faults.lose_answer(method="GetEvent")
    with pytest.raises(NotFound):
        client.events.get(7)
    assert methods(artemis) == ["GetEvent", "GetEvent"]


def test_a_watch_of_the_client_outlives_its_connection(
    artemis: ArtemisServer, client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    plain = stub.WatchEvents(events_pb2.WatchEventsRequest(), timeout=PATIENCE)
    assert next(plain).resume_token
    _, watch = client.events.list_and_watch()
    artemis.add_event()
    assert next(watch).event.id == 1

    artemis.faults.disconnect()
    artemis.add_event()

    assert failure(lambda: list(plain)).code() is Code.UNAVAILABLE
    assert next(watch).event.id == 2


def test_a_watch_of_the_client_outlives_what_its_call_meets(
    artemis: ArtemisServer, client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    artemis.faults.fail(Code.UNAVAILABLE, method="WatchEvents")
    assert failure(lambda: list(resume(stub, ""))).code() is Code.UNAVAILABLE
    _, watch = client.events.list_and_watch()
    artemis.faults.fail(Code.UNAVAILABLE, method="WatchEvents")
    artemis.faults.drop_connection(method="WatchEvents")
    artemis.faults.lose_answer(method="CreateEvent")
    client.events.create(new_event())
    assert next(watch).event.id == 1
    assert methods(artemis).count("WatchEvents") == 4


@pytest.mark.parametrize("changed", [False, True])
def test_an_expired_log_ends_watches_and_their_tokens(
    artemis: ArtemisServer, client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub, changed: bool
) -> None:
    plain = stub.WatchEvents(events_pb2.WatchEventsRequest(), timeout=PATIENCE)
    token = next(plain).resume_token
    _, watch = client.events.list_and_watch()
    if changed:
        artemis.add_event()
        assert next(watch).event.id == 1

    artemis.faults.expire_watch_log()

    for error in (failure(lambda: list(plain)), failure(lambda: list(resume(stub, token)))):
        assert (error.code(), detail(error, ErrorInfo).reason) == (Code.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED")
    with pytest.raises(ResumeTokenExpired):
        next(watch)
    events, again = client.events.list_and_watch()
    assert len(list(events)) == changed
    added = artemis.add_event()
    assert next(again).event == added


@pytest.mark.parametrize("mirror_of", [EventMirror, blocking.mirror], ids=["threads", "asyncio"])
def test_a_mirror_outlives_an_expired_log(artemis: ArtemisServer, mirror_of: Any) -> None:
    client = artemis.client if mirror_of is EventMirror else blocking.blocking(artemis.async_client)()
    with client, mirror_of(client) as mirror:
        assert mirror.wait_until_synced(PATIENCE)
        artemis.faults.expire_watch_log()
        event = artemis.add_event()
        wait_until(lambda: mirror.events.get(event.id) == event)


def resume(stub: events_pb2_grpc.EventServiceStub, token: str) -> Any:
    return stub.WatchEvents(events_pb2.WatchEventsRequest(resume_token=token), timeout=PATIENCE)


def test_a_frozen_clock_is_that_of_the_data(artemis: ArtemisServer) -> None:
    assert artemis.clock.freeze(NEW_YEAR) == NEW_YEAR
    first = artemis.add_event()
    assert artemis.clock.advance(timedelta(hours=1)) == artemis.clock.now() == NEW_YEAR + timedelta(hours=1)
    artemis.add_event()
    updated = artemis.client.events.update(Event(id=first.id, name="A"))

    assert first.create_time == NEW_YEAR
    assert updated.update_time == NEW_YEAR + timedelta(hours=1)
    late = artemis.client.events.list(filter='create_time > "2040-01-01T00:30:00Z"')
    assert [event.name for event in late] == ["Event 2"]
    history = [change.change_time for change in artemis.client.events.history(first.id)]
    assert history == [NEW_YEAR + timedelta(hours=1), NEW_YEAR]


def test_a_clock_that_is_not_frozen_goes_on_from_where_it_was_moved_to(artemis: ArtemisServer) -> None:
    day = timedelta(days=1)
    artemis.clock.advance(-day)
    assert abs(artemis.clock.now() + day - datetime.now(UTC)) < timedelta(minutes=1)
    before = artemis.clock.now()
    assert artemis.clock.now() > before
    assert artemis.clock.freeze() == artemis.clock.now()
    with pytest.raises(ValueError, match="years 1 to 9999"):
        artemis.clock.advance(timedelta(days=366 * 9999))
    assert artemis.clock.now() == artemis.clock.freeze()
    for limit in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        artemis.clock.freeze(limit)
        assert artemis.add_event().create_time == limit
    with pytest.raises(ValueError, match="has no time zone"):
        artemis.clock.freeze(datetime(2040, 1, 1))
    with pytest.raises(TypeError, match="at must be a datetime"):
        artemis.clock.freeze("2040-01-01T00:00:00Z")  # type: ignore[arg-type]


def test_what_is_kept_for_a_time_goes_with_the_clock(artemis: ArtemisServer, client: ArtemisClient) -> None:
    artemis.clock.freeze(NEW_YEAR)
    first = client.events.create(new_event(), request_id=REQUEST_ID)
    artemis.clock.advance(timedelta(hours=23))
    assert client.events.create(new_event(), request_id=REQUEST_ID) == first
    artemis.clock.advance(timedelta(hours=2))
    assert client.events.create(new_event(), request_id=REQUEST_ID).id == 2

    _, watch = client.events.list_and_watch()
    token = watch.resume_token
    watch.close()
    artemis.add_events([Event(), Event()])
    artemis.clock.advance(timedelta(days=8))
    with pytest.raises(ResumeTokenExpired):
        next(client.events.watch(token))


@pytest.mark.acceptance
def test_two_servers_have_nothing_in_common_and_one_that_has_ended_is_told_with_its_log(
    artemis: ArtemisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = ServerProcess(tmp_path, access=True)
    other = ArtemisServer(process)
    other.clock.freeze(NEW_YEAR)
    other.add_event()
    other.faults.fail(Code.UNAVAILABLE, calls=100)

    assert names(artemis) == []
    assert artemis.clock.now() < NEW_YEAR
    other.faults.clear()
    reader = ArtemisClient(other.target, token=other.token("reader"), timeout=PATIENCE)
    with reader, pytest.raises(PermissionDenied):
        reader.events.delete(1)
    assert other.client.events.delete(1).id == 1

    with pytest.raises(ServerFailedError):
        process.ask("crash")  # there is no such command
    process._process.wait(PATIENCE)
    for _ in range(2):  # the second command is written to a socket that nobody reads
        with pytest.raises(ServerFailedError, match="has ended with exit code 1; its log:") as caught:
            other.clock.now()
    assert "healthy: serving" in str(caught.value)
    assert "ValueError: crash" in str(caught.value)
    monkeypatch.setattr("artemis_testing.process.MIN_FREE", 1 << 62)
    with pytest.raises(ServerFailedError, match="has no space left"):
        other.reset()
    other.close()
    other.close()
    assert not process._folder.exists()


def test_calls_of_asyncio_meet_faults_as_well(artemis: ArtemisServer) -> None:
    artemis.add_event()
    artemis.faults.lose_answer(method="CreateEvent")
    artemis.faults.delay(0.1, method="GetEvent", calls=20)

    async def call() -> None:
        async with grpc.aio.insecure_channel(artemis.target, NO_RETRIES) as channel:
            stub: Any = events_pb2_grpc.EventServiceStub(channel)
            gets = (stub.GetEvent(events_pb2.GetEventRequest(id=1), timeout=PATIENCE) for _ in range(20))
            assert {event.name for event in await asyncio.gather(*gets)} == {"Event 1"}
            request = events_pb2.CreateEventRequest(event=new_message())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreateEvent(request, timeout=PATIENCE)
            assert caught.value.code() is Code.UNAVAILABLE

    asyncio.run(call())
    assert names(artemis) == ["Event 1", "Once"]


def test_a_client_without_an_answer_fails_at_its_deadline(artemis: ArtemisServer, client: ArtemisClient) -> None:
    artemis.faults.drop_connection(calls=1000)
    with pytest.raises((Unavailable, DeadlineExceeded)):
        client.events.get(1, timeout=0.3)
