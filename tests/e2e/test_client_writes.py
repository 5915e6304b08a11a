"""The requests of the client, seen by a server that records it: ids that make retries safe, filters, batches."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2, users_pb2_grpc
from artemis.v1.events_pb2 import Event as EventMessage
from artemis_client import ArtemisClient, Event, User
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from tests.e2e.servers import PATIENCE

pytestmark = pytest.mark.usefixtures("each_client")

NEXT_PAGES = {"": "second", "second": "third", "third": ""}
Write = Callable[..., object]

UPDATES: dict[str, Write] = {
    "UpdateEvent": lambda client, **options: client.events.update(Event(id=1, name="a"), **options),
    "UpdateUser": lambda client, **options: client.users.update(User(id=1, email="a@example.com"), **options),
    "BatchUpdateEvents": lambda client, **options: client.events.batch_update([Event(id=1, name="a")], **options),
    "BatchUpdateUsers": lambda client, **options: client.users.batch_update([User(id=1, email="a@b.de")], **options),
}
WRITES: dict[str, Write] = UPDATES | {
    "CreateEvent": lambda client, **options: client.events.create(Event(name="a"), **options),
    "DeleteEvent": lambda client, **options: client.events.delete(1, **options),
    "CreateUser": lambda client, **options: client.users.create(User(email="a@example.com"), **options),
    "DeleteUser": lambda client, **options: client.users.delete(1, **options),
    "BatchCreateEvents": lambda client, **options: client.events.batch_create([Event(name="a")], **options),
    "BatchDeleteEvents": lambda client, **options: client.events.batch_delete([1], **options),
    "BatchCreateUsers": lambda client, **options: client.users.batch_create([User(email="a@b.de")], **options),
    "BatchDeleteUsers": lambda client, **options: client.users.batch_delete([1], **options),
}

every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


class Recorder:
    """Keeps what arrives, and refuses what it is told to."""

    def __init__(self) -> None:
        self._refusals = 0
        self.requests: list[Any] = []
        self.target = ""

    def refuse(self, calls: int) -> None:
        """Answers the next calls with UNAVAILABLE."""
        self._refusals = calls

    def record(self, request: Message, context: grpc.ServicerContext) -> None:
        """Takes a request."""
        self.requests.append(request)
        if self._refusals > 0:
            self._refusals -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    @property
    def request(self) -> Any:
        """The only request so far."""
        (request,) = self.requests
        return request

    @property
    def body(self) -> Any:
        """The only request so far, without its id."""
        body = type(self.request)()
        body.CopyFrom(self.request)
        body.ClearField("request_id")
        return body


class Events(events_pb2_grpc.EventServiceServicer):
    """Answers with events that have ids, and the names that were sent."""

    def __init__(self, recorder: Recorder) -> None:
        self._record = recorder.record

    def CreateEvent(self, request: events_pb2.CreateEventRequest, context: grpc.ServicerContext) -> events_pb2.Event:
        self._record(request, context)
        return events_pb2.Event(id=1, name=request.event.name)

    def GetEvent(self, request: events_pb2.GetEventRequest, context: grpc.ServicerContext) -> events_pb2.Event:
        self._record(request, context)
        return events_pb2.Event(id=request.id)

    def ListEvents(
        self, request: events_pb2.ListEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListEventsResponse:
        self._record(request, context)
        page = [events_pb2.Event(name=request.page_token)]
        return events_pb2.ListEventsResponse(events=page, next_page_token=NEXT_PAGES[request.page_token])

    def UpdateEvent(self, request: events_pb2.UpdateEventRequest, context: grpc.ServicerContext) -> events_pb2.Event:
        self._record(request, context)
        return request.event

    def DeleteEvent(self, request: events_pb2.DeleteEventRequest, context: grpc.ServicerContext) -> events_pb2.Event:
        self._record(request, context)
        return events_pb2.Event(id=request.id)

    def BatchGetEvents(
        self, request: events_pb2.BatchGetEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchGetEventsResponse:
        self._record(request, context)
        return events_pb2.BatchGetEventsResponse(
            events=[events_pb2.Event(id=each, name="stored") for each in request.ids]
        )

    def BatchCreateEvents(
        self, request: events_pb2.BatchCreateEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchCreateEventsResponse:
        self._record(request, context)
        created = [events_pb2.Event(id=number, name=each.event.name) for number, each in enumerate(request.requests, 1)]
        return events_pb2.BatchCreateEventsResponse(events=created)

    def BatchUpdateEvents(
        self, request: events_pb2.BatchUpdateEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchUpdateEventsResponse:
        self._record(request, context)
        updated = [events_pb2.Event(id=each.event.id, name="updated") for each in request.requests]
        return events_pb2.BatchUpdateEventsResponse(events=updated)

    def BatchDeleteEvents(
        self, request: events_pb2.BatchDeleteEventsRequest, context: grpc.ServicerContext
    ) -> events_pb2.BatchDeleteEventsResponse:
        self._record(request, context)
        deleted = [events_pb2.Event(id=each.id, name="deleted") for each in request.requests]
        return events_pb2.BatchDeleteEventsResponse(events=deleted)

    def ListEventChanges(
        self, request: events_pb2.ListEventChangesRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListEventChangesResponse:
        self._record(request, context)
        return events_pb2.ListEventChangesResponse()

    def WatchEvents(
        self, request: events_pb2.WatchEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[events_pb2.WatchEventsResponse]:
        self._record(request, context)
        return iter(())


class Users(users_pb2_grpc.UserServiceServicer):
    """Answers with users that have ids."""

    def __init__(self, recorder: Recorder) -> None:
        self._record = recorder.record

    def CreateUser(self, request: users_pb2.CreateUserRequest, context: grpc.ServicerContext) -> users_pb2.User:
        self._record(request, context)
        return users_pb2.User(id=1, email=request.user.email)

    def GetUser(self, request: users_pb2.GetUserRequest, context: grpc.ServicerContext) -> users_pb2.User:
        self._record(request, context)
        return users_pb2.User(id=request.id)

    def ListUsers(
        self, request: users_pb2.ListUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.ListUsersResponse:
        self._record(request, context)
        page = [users_pb2.User(first_name=request.page_token)]
        return users_pb2.ListUsersResponse(users=page, next_page_token=NEXT_PAGES[request.page_token])

    def UpdateUser(self, request: users_pb2.UpdateUserRequest, context: grpc.ServicerContext) -> users_pb2.User:
        self._record(request, context)
        return request.user

    def DeleteUser(self, request: users_pb2.DeleteUserRequest, context: grpc.ServicerContext) -> users_pb2.User:
        self._record(request, context)
        return users_pb2.User(id=request.id)

    def BatchGetUsers(
        self, request: users_pb2.BatchGetUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchGetUsersResponse:
        self._record(request, context)
        return users_pb2.BatchGetUsersResponse(users=[users_pb2.User(id=each, email="stored") for each in request.ids])

    def BatchCreateUsers(
        self, request: users_pb2.BatchCreateUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchCreateUsersResponse:
        self._record(request, context)
        created = [users_pb2.User(id=number, email=each.user.email) for number, each in enumerate(request.requests, 1)]
        return users_pb2.BatchCreateUsersResponse(users=created)

    def BatchUpdateUsers(
        self, request: users_pb2.BatchUpdateUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchUpdateUsersResponse:
        self._record(request, context)
        updated = [users_pb2.User(id=each.user.id, email="updated") for each in request.requests]
        return users_pb2.BatchUpdateUsersResponse(users=updated)

    def BatchDeleteUsers(
        self, request: users_pb2.BatchDeleteUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchDeleteUsersResponse:
        self._record(request, context)
        deleted = [users_pb2.User(id=each.id, email="deleted") for each in request.requests]
        return users_pb2.BatchDeleteUsersResponse(users=deleted)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server in this process that is not Artemis."""
    recorder = Recorder()
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        events_pb2_grpc.add_EventServiceServicer_to_server(Events(recorder), server)
        users_pb2_grpc.add_UserServiceServicer_to_server(Users(recorder), server)
        recorder.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield recorder
        finally:
            server.stop(None).wait(PATIENCE)


@pytest.fixture
def artemis(recorder: Recorder) -> Iterator[ArtemisClient]:
    """A client of the recorder."""
    with ArtemisClient(recorder.target, timeout=PATIENCE) as client:
        yield client


@every_write
def test_a_write_is_given_an_id(recorder: Recorder, artemis: ArtemisClient, write: Write) -> None:
    write(artemis)

    given = UUID(recorder.request.request_id)
    assert (given.version, str(given)) == (4, recorder.request.request_id)
    assert not recorder.request.validate_only


@every_write
def test_every_write_has_its_own_id(recorder: Recorder, artemis: ArtemisClient, write: Write) -> None:
    write(artemis)
    write(artemis)

    first, second = recorder.requests
    assert first.request_id != second.request_id


@every_write
def test_an_id_of_the_callers_is_kept(recorder: Recorder, artemis: ArtemisClient, write: Write) -> None:
    given = str(uuid4())

    write(artemis, request_id=given)

    assert recorder.request.request_id == given


@every_write
def test_a_write_that_is_only_checked_has_an_id_too(recorder: Recorder, artemis: ArtemisClient, write: Write) -> None:
    write(artemis, validate_only=True)

    assert recorder.request.validate_only
    assert UUID(recorder.request.request_id).version == 4


@every_write
def test_a_write_that_is_unavailable_is_sent_again_unchanged(
    recorder: Recorder, artemis: ArtemisClient, write: Write
) -> None:
    recorder.refuse(2)

    write(artemis)

    first, second, third = recorder.requests
    assert first.request_id
    assert first == second == third


def test_a_big_batch_is_sent_again_too(recorder: Recorder, artemis: ArtemisClient) -> None:
    """As big as a server takes; by default gRPC keeps 256 KiB of a request to send again."""
    recorder.refuse(1)

    artemis.events.batch_create([Event(name="big", description="d" * 4_100_000)])

    first, second = recorder.requests
    assert 3.8 * 2**20 < first.ByteSize() < 4 * 2**20
    assert first == second


def test_reading_a_batch_is_tried_again(recorder: Recorder, artemis: ArtemisClient) -> None:
    recorder.refuse(1)

    artemis.events.batch_get([1])

    assert len(recorder.requests) == 2


def test_every_page_of_events_is_asked_for_with_the_same_filter(recorder: Recorder, artemis: ArtemisClient) -> None:
    found = list(artemis.events.list(filter='category = "python"', order_by="name desc", page_size=7))

    assert [each.name for each in found] == ["", "second", "third"]
    assert recorder.requests == [
        events_pb2.ListEventsRequest(
            filter='category = "python"', order_by="name desc", page_size=7, page_token=page_token
        )
        for page_token in ("", "second", "third")
    ]


def test_every_page_of_users_is_asked_for_with_the_same_filter(recorder: Recorder, artemis: ArtemisClient) -> None:
    found = list(artemis.users.list(filter="last_name:*", order_by="email", page_size=7))

    assert [each.first_name for each in found] == ["", "second", "third"]
    assert recorder.requests == [
        users_pb2.ListUsersRequest(filter="last_name:*", order_by="email", page_size=7, page_token=page_token)
        for page_token in ("", "second", "third")
    ]


def test_a_batch_is_read_in_its_order(recorder: Recorder, artemis: ArtemisClient) -> None:
    found = artemis.events.batch_get(iter([3, 1, 2]))

    assert found == [Event(id=each, name="stored") for each in (3, 1, 2)]
    assert recorder.request == events_pb2.BatchGetEventsRequest(ids=[3, 1, 2])


def test_a_batch_is_created_in_its_order(recorder: Recorder, artemis: ArtemisClient) -> None:
    created = artemis.events.batch_create(Event(name=name) for name in "cab")

    assert created == [Event(id=1, name="c"), Event(id=2, name="a"), Event(id=3, name="b")]
    assert recorder.body == events_pb2.BatchCreateEventsRequest(
        requests=[events_pb2.CreateEventRequest(event=EventMessage(name=name)) for name in "cab"]
    )


def test_a_batch_is_updated_in_its_order_with_one_mask(recorder: Recorder, artemis: ArtemisClient) -> None:
    changed = [Event(id=3, name="c", etag="x"), Event(id=1, name="a"), Event(id=2, name="b")]

    updated = artemis.events.batch_update(iter(changed), update_mask=iter(["name", "location"]))

    assert updated == [Event(id=each, name="updated") for each in (3, 1, 2)]
    assert recorder.body == events_pb2.BatchUpdateEventsRequest(
        requests=[
            events_pb2.UpdateEventRequest(event=each.to_message(), update_mask=FieldMask(paths=["name", "location"]))
            for each in changed
        ]
    )


def test_a_batch_may_be_updated_without_a_mask(recorder: Recorder, artemis: ArtemisClient) -> None:
    artemis.events.batch_update([Event(id=1, name="a")])

    assert recorder.body == events_pb2.BatchUpdateEventsRequest(
        requests=[events_pb2.UpdateEventRequest(event=EventMessage(id=1, name="a"))]
    )


@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_batch_is_deleted_in_its_order(recorder: Recorder, artemis: ArtemisClient, allow_missing: bool) -> None:
    deleted = artemis.events.batch_delete(iter([3, 1, 2]), allow_missing=allow_missing)

    assert deleted == [Event(id=each, name="deleted") for each in (3, 1, 2)]
    assert recorder.body == events_pb2.BatchDeleteEventsRequest(
        requests=[events_pb2.DeleteEventRequest(id=each, allow_missing=allow_missing) for each in (3, 1, 2)]
    )


@pytest.mark.parametrize("method", [name for name in WRITES if name.startswith("Batch")])
def test_the_batch_has_the_options_and_its_requests_have_none(
    recorder: Recorder, artemis: ArtemisClient, method: str
) -> None:
    WRITES[method](artemis, request_id=str(uuid4()), validate_only=True)

    (child,) = recorder.request.requests
    assert (child.request_id, child.validate_only) == ("", False)


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_a_mask_is_not_one_string(recorder: Recorder, artemis: ArtemisClient, update: Write) -> None:
    with pytest.raises(TypeError, match=r"\['name'\], not the string 'name'"):
        update(artemis, update_mask="name")

    assert recorder.requests == []
