"""Lists, page by page: their size, their order, their end, and what happens to them while rows come and go."""

import random
from collections.abc import Iterator
from itertools import islice

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2, users_pb2_grpc
from artemis_client import ArtemisClient, Event, InvalidArgument

from tests.depth import examples
from tests.e2e.conftest import Serve
from tests.e2e.samples import event, user
from tests.e2e.servers import PATIENCE, Server, serving

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with more events and users than fit a page, and some that are as large as they can be."""
    with (
        serving(tmp_path_factory.mktemp("lists") / "artemis.db") as server,
        ArtemisClient(server.target, timeout=PATIENCE) as client,
    ):
        small = [event(name=f"Event {number}") for number in range(1010)]
        large = [event(name=f"Large {number}", description="講" * 8192) for number in range(130)]
        client.events.batch_create([*small, *large])
        client.users.batch_create([user() for _ in range(60)])
        yield server


@pytest.fixture(scope="module")
def events(server: Server) -> Iterator[events_pb2_grpc.EventServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield events_pb2_grpc.EventServiceStub(channel)


@pytest.fixture(scope="module")
def users(server: Server) -> Iterator[users_pb2_grpc.UserServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield users_pb2_grpc.UserServiceStub(channel)


def pages(events: events_pb2_grpc.EventServiceStub, page_size: int) -> Iterator[events_pb2.ListEventsResponse]:
    request = events_pb2.ListEventsRequest(page_size=page_size)
    while True:
        page = events.ListEvents(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


@pytest.mark.parametrize("page_size", [0, 77, 1000])
def test_a_list_has_every_event_once_in_order_of_id(client: ArtemisClient, page_size: int) -> None:
    ids = [each.id for each in client.events.list(page_size=page_size)]

    assert sorted(set(ids)) == ids
    assert len(ids) >= 1140


def test_a_listed_event_is_the_one_that_get_returns(client: ArtemisClient) -> None:
    assert all(each == client.events.get(each.id) for each in islice(client.events.list(), 3))


def test_a_list_has_every_user_once_in_order_of_id(client: ArtemisClient) -> None:
    ids = [each.id for each in client.users.list(page_size=7)]

    assert sorted(set(ids)) == ids
    assert ids == [each.id for each in client.users.list()]
    assert len(ids) == 60


@pytest.mark.parametrize(("asked", "got"), [(0, 50), (1, 1), (50, 50), (999, 999), (1000, 1000), (1001, 1000)])
def test_a_page_has_as_many_events_as_were_asked_for(
    events: events_pb2_grpc.EventServiceStub, asked: int, got: int
) -> None:
    page = events.ListEvents(events_pb2.ListEventsRequest(page_size=asked))

    assert len(page.events) == got
    assert page.next_page_token


def test_the_largest_page_size_is_taken_as_1000(events: events_pb2_grpc.EventServiceStub) -> None:
    assert len(events.ListEvents(events_pb2.ListEventsRequest(page_size=2**31 - 1)).events) == 1000


def test_the_default_page_of_users_is_50(users: users_pb2_grpc.UserServiceStub) -> None:
    first = users.ListUsers(users_pb2.ListUsersRequest())
    second = users.ListUsers(users_pb2.ListUsersRequest(page_token=first.next_page_token))

    assert (len(first.users), len(second.users), second.next_page_token) == (50, 10, "")


def test_a_negative_page_size_is_refused(client: ArtemisClient) -> None:
    with pytest.raises(InvalidArgument) as refused_events:
        next(client.events.list(page_size=-1))
    with pytest.raises(InvalidArgument) as refused_users:
        next(client.users.list(page_size=-1))

    for refused in (refused_events, refused_users):
        assert [each.field for each in refused.value.violations] == ["page_size"]


def test_the_page_size_may_differ_from_page_to_page(events: events_pb2_grpc.EventServiceStub) -> None:
    first = events.ListEvents(events_pb2.ListEventsRequest(page_size=3))
    second = events.ListEvents(events_pb2.ListEventsRequest(page_size=5, page_token=first.next_page_token))
    together = events.ListEvents(events_pb2.ListEventsRequest(page_size=8))

    assert list(together.events) == [*first.events, *second.events]
    third, same = (
        events.ListEvents(events_pb2.ListEventsRequest(page_size=4, page_token=page.next_page_token))
        for page in (together, second)
    )
    assert third.events == same.events


def test_a_page_ends_before_3_mib(events: events_pb2_grpc.EventServiceStub) -> None:
    """And not long before: the next event is what did not fit."""
    sizes = [(page.ByteSize(), len(page.events), page.next_page_token) for page in pages(events, 1000)]
    cut = [size for size, length, token in sizes if length < 1000 and token]

    assert all(size < 3 * MIB for size, _, _ in sizes)
    assert cut
    assert all(size > 2.8 * MIB for size in cut)
    assert sum(length for _, length, _ in sizes) >= 1140


def test_the_last_page_has_no_token_even_if_it_is_full_or_empty(serve: Serve) -> None:
    target = serve().target
    with ArtemisClient(target, timeout=PATIENCE) as client, grpc.insecure_channel(target) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        empty = list(pages(stub, 2))
        stored = [client.events.create(event()) for _ in range(4)]
        full = list(pages(stub, 2))

    assert [(list(each.events), each.next_page_token) for each in empty] == [([], "")]
    assert [stored[:2], stored[2:]] == [[*map(Event.from_message, page.events)] for page in full]


def test_a_token_is_good_after_a_restart(serve: Serve) -> None:
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client, grpc.insecure_channel(server.target) as channel:
        stored = [client.events.create(event()) for _ in range(2)]
        request = events_pb2.ListEventsRequest(page_size=1)
        token = events_pb2_grpc.EventServiceStub(channel).ListEvents(request).next_page_token
    server.stop()

    with grpc.insecure_channel(serve().target) as channel:
        page = events_pb2_grpc.EventServiceStub(channel).ListEvents(events_pb2.ListEventsRequest(page_token=token))

    assert stored[1:] == [*map(Event.from_message, page.events)]


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(examples(3)))
def test_rows_that_come_and_go_meanwhile_move_no_other_row(client: ArtemisClient, seed: int) -> None:
    """A row that was there before and stays is seen exactly once, whatever else comes and goes between the pages."""
    chance = random.Random(seed)  # noqa: S311, the same every time is what is wanted
    kept = [each.id for each in client.events.list(page_size=1000)]
    passing: list[int] = []
    seen = []
    for listed in client.events.list(page_size=chance.randint(40, 200)):
        seen.append(listed.id)
        if chance.random() < 0.05:
            passing.append(client.events.create(event()).id)
        if passing and chance.random() < 0.04:
            client.events.delete(passing.pop(chance.randrange(len(passing))), allow_missing=True)
    for event_id in passing:
        client.events.delete(event_id)

    assert sorted(set(seen)) == seen
    assert [each for each in seen if each in set(kept)] == kept


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(examples(2)))
def test_rows_that_others_delete_before_and_after_the_position_move_no_other_row(
    client: ArtemisClient, seed: int
) -> None:
    """Deletes hit rows of the page that was just read and rows still to come alike."""
    chance = random.Random(seed)  # noqa: S311, the same every time is what is wanted
    mine = [client.events.create(event(name="mine")) for _ in range(60)]
    doomed = {each.id for each in chance.sample(mine, 30)}
    remaining = sorted(doomed, key=lambda _: chance.random())
    seen: list[Event] = []
    for listed in client.events.list(page_size=11):
        seen.append(listed)
        if listed.id >= mine[0].id and remaining:
            client.events.delete(remaining.pop())

    kept = [each for each in mine if each.id not in doomed]
    assert kept == [each for each in seen if each.id >= mine[0].id and each.id not in doomed]
    assert len({each.id for each in seen}) == len(seen)
