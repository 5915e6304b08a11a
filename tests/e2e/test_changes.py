"""The history of an event, and the token of a list, over the API."""

from collections.abc import Iterator

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import EventChange
from artemis_client import ArtemisClient, Event

from tests.e2e.samples import event
from tests.e2e.servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("changes") / "artemis.db") as server:
        yield server


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[events_pb2_grpc.EventServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield events_pb2_grpc.EventServiceStub(channel)


def test_the_history_of_a_deleted_event_says_what_it_was(
    client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    made = client.events.create(event())
    changed = client.events.update(Event(id=made.id, name="Later"))
    client.events.delete(made.id)
    request = events_pb2.ListEventChangesRequest(id=made.id, page_size=2)
    first = stub.ListEventChanges(request)
    request.page_token = first.next_page_token
    second = stub.ListEventChanges(request)
    changes = [*first.changes, *second.changes]
    assert not second.next_page_token
    assert all(change.HasField("change_time") for change in changes)
    for change in changes:
        change.ClearField("change_time")
    assert changes == [
        EventChange(type=EventChange.TYPE_DELETED, event=changed.to_message()),
        EventChange(type=EventChange.TYPE_UPDATED, event=changed.to_message(), previous_event=made.to_message()),
        EventChange(type=EventChange.TYPE_CREATED, event=made.to_message()),
    ]
    request.id += 1
    with pytest.raises(grpc.RpcError) as refused:
        stub.ListEventChanges(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_event_that_never_was_has_no_history(stub: events_pb2_grpc.EventServiceStub) -> None:
    none = stub.ListEventChanges(events_pb2.ListEventChangesRequest(id=2**62))
    assert none == events_pb2.ListEventChangesResponse()


def test_the_first_page_of_a_list_has_a_resume_token(
    client: ArtemisClient, stub: events_pb2_grpc.EventServiceStub
) -> None:
    for _ in range(2):
        client.events.create(event())
    first = stub.ListEvents(events_pb2.ListEventsRequest(page_size=1))
    assert first.resume_token
    second = stub.ListEvents(events_pb2.ListEventsRequest(page_size=1, page_token=first.next_page_token))
    assert not second.resume_token
