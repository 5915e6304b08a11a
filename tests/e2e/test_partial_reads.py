"""Read masks and totals over the wire (AIP-157, 158): through the client, in watches, and the errors."""

from itertools import islice
from typing import Any
from uuid import uuid4

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2
from artemis_client import ArtemisClient, Event, InvalidArgument, User
from artemis_client.errors import from_rpc_error
from google.protobuf.field_mask_pb2 import FieldMask

from tests.e2e.refusals import call, fields, refused
from tests.e2e.samples import event, user
from tests.e2e.servers import PATIENCE, Server

UNKNOWN = FieldMask(paths=["nme", "id", "start_time.seconds", ""])
STAR = FieldMask(paths=["*", "id"])


def masked(mask: FieldMask) -> list[Any]:
    """Returns a request of each method that takes a mask."""
    return [
        events_pb2.GetEventRequest(id=1, read_mask=mask),
        events_pb2.BatchGetEventsRequest(ids=[1], read_mask=mask),
        events_pb2.ListEventsRequest(read_mask=mask),
        events_pb2.ListEventChangesRequest(id=1, read_mask=mask),
        users_pb2.GetUserRequest(id=1, read_mask=mask),
        users_pb2.BatchGetUsersRequest(ids=[1], read_mask=mask),
        users_pb2.ListUsersRequest(read_mask=mask),
    ]


@pytest.mark.parametrize("request_", masked(UNKNOWN), ids=lambda each: type(each).__name__)
def test_a_mask_with_unknown_paths_is_refused_with_a_violation_for_each(
    server: Server, channel: grpc.Channel, request_: Any
) -> None:
    error = refused(server, lambda: call(channel, request_))
    kind = "User" if "User" in type(request_).__name__ else "Event"
    assert isinstance(error, InvalidArgument)
    assert (error.reason, fields(error)) == ("UNKNOWN_FIELD", ["read_mask"] * 3)
    assert [each.description for each in error.violations] == [
        f'{kind} has no field "{path}"' for path in ("", "nme", "start_time.seconds")
    ]


@pytest.mark.parametrize("request_", masked(STAR), ids=lambda each: type(each).__name__)
def test_a_star_beside_other_paths_is_refused(server: Server, channel: grpc.Channel, request_: Any) -> None:
    error = refused(server, lambda: call(channel, request_))
    assert fields(error) == ["read_mask"]
    assert "must be the only path" in error.message


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (events_pb2.GetEventRequest(read_mask=UNKNOWN), ["id", "read_mask"]),
        (events_pb2.BatchGetEventsRequest(read_mask=UNKNOWN), ["ids", "read_mask"]),
        (users_pb2.GetUserRequest(id=-1, read_mask=UNKNOWN), ["id", "read_mask"]),
        (users_pb2.BatchGetUsersRequest(ids=[0], read_mask=UNKNOWN), ["ids[0]", "read_mask"]),
        (events_pb2.ListEventsRequest(filter="name =", read_mask=UNKNOWN), ["filter", "read_mask"]),
        (
            users_pb2.ListUsersRequest(page_size=-1, order_by="x", read_mask=UNKNOWN),
            ["page_size", "order_by", "read_mask"],
        ),
        (events_pb2.ListEventChangesRequest(id=1, page_token="x", read_mask=UNKNOWN), ["page_token", "read_mask"]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_bad_mask_is_named_beside_the_other_bad_fields(
    server: Server, channel: grpc.Channel, request_: Any, expected: list[str]
) -> None:
    assert list(dict.fromkeys(fields(refused(server, lambda: call(channel, request_))))) == expected


def test_a_mask_with_too_many_paths_is_refused(server: Server, channel: grpc.Channel) -> None:
    request = events_pb2.GetEventRequest(id=1, read_mask=FieldMask(paths=["name"] * 251))
    error = refused(server, lambda: call(channel, request))
    assert fields(error) == ["read_mask.paths"]


def test_a_watch_with_a_bad_mask_and_filter_names_both(channel: grpc.Channel) -> None:
    request = events_pb2.WatchEventsRequest(read_mask=UNKNOWN, filter="x =")
    with pytest.raises(grpc.RpcError) as caught:
        next(events_pb2_grpc.EventServiceStub(channel).WatchEvents(request, timeout=PATIENCE))
    assert list(dict.fromkeys(fields(from_rpc_error(caught.value)))) == ["filter", "read_mask"]


@pytest.mark.usefixtures("each_client")
def test_the_client_reads_the_fields_that_it_names(server: Server) -> None:
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        category = uuid4().hex
        stored = [client.events.create(event(name=f"{number}", category=category)) for number in range(3)]
        owner = client.users.create(user())
        names = [Event(name=each.name) for each in stored]
        ids = [each.id for each in stored]

        assert client.events.get(ids[0], read_mask=["name"]) == names[0]
        assert client.events.batch_get(ids, read_mask=["name"]) == names
        listed = client.events.list(filter=f'category = "{category}"', read_mask=["name"], page_size=2)
        assert [*listed] == names
        assert client.events.get(ids[0], read_mask=["*"]) == stored[0]
        assert [each.event for each in client.events.history(ids[0], read_mask=["id"])] == [Event(id=ids[0])]
        assert client.users.get(owner.id, read_mask=["email"]) == User(email=owner.email)
        assert client.users.batch_get([owner.id], read_mask=["id"]) == [User(id=owner.id)]
        assert [*client.users.list(filter=f"id = {owner.id}", read_mask=["etag"])] == [User(etag=owner.etag)]
        with pytest.raises(TypeError, match="read_mask must be several paths"):
            client.events.get(1, read_mask="name")
        with pytest.raises(InvalidArgument):
            client.events.get(1, read_mask=["nme"])


@pytest.mark.usefixtures("each_client")
def test_the_first_page_of_the_client_has_the_total(server: Server) -> None:
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        name = uuid4().hex
        for _ in range(3):
            client.events.create(event(category=name))
            client.users.create(user(last_name=name))
        pages = client.events.list(filter=f'category = "{name}"', page_size=1, return_total_size=True).pages()
        totals = [(each.total_size, each.total_size_estimated) for each in pages]
        assert totals == [(3, False), (None, False), (None, False)]
        users = client.users.list(filter=f'last_name = "{name}"', return_total_size=True)
        assert next(users.pages()).total_size == 3
        assert next(client.users.list().pages()).total_size is None


def test_a_watch_sends_the_fields_of_its_mask_and_filters_by_all(client: ArtemisClient) -> None:
    chosen = 'location = "masked watch"'
    with (
        client.events.watch(filter=chosen, read_mask=["id", "name"]) as some,
        client.events.watch(filter=chosen, read_mask=["owner_id"]) as bare,
        client.events.watch(filter=chosen) as whole,
    ):
        stored = client.events.create(event(name="first", location="masked watch"))
        client.events.create(event(location="elsewhere"))
        client.events.update(Event(id=stored.id, name="second"))
        client.events.update(Event(id=stored.id, location="elsewhere"))
        entire = [*islice(whole, 3)]

        assert [each.type for each in entire] == ["created", "updated", "deleted"]
        for watch, expected in (
            (some, [Event(id=stored.id, name=name) for name in ("first", "second", "second")]),
            (bare, [Event()] * 3),
        ):
            changes = [*islice(watch, 3)]
            assert [each.event for each in changes] == expected
            assert [(each.type, each.change_time, each.principal) for each in changes] == [
                (each.type, each.change_time, each.principal) for each in entire
            ]


def test_a_watch_that_begins_in_the_past_has_a_mask_as_well(client: ArtemisClient) -> None:
    token = next(client.events.list(page_size=1).pages()).resume_token
    stored = client.events.create(event(name="before"))
    with client.events.watch(token, read_mask=["name"]) as watch:
        assert next(watch).event == Event(name=stored.name)
