"""The client itself: deadlines, retries, typed errors, and its end."""

import socket
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import artemis_client
import grpc
import pytest
from artemis_client import (
    AlreadyExists,
    ArtemisClient,
    Cancelled,
    DeadlineExceeded,
    Event,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    User,
    Violation,
)
from google.rpc import error_details_pb2

from tests.e2e.gateway import Gateway, gateway_to
from tests.e2e.samples import event, user
from tests.e2e.servers import PATIENCE, Server

Call = Callable[[ArtemisClient, Event, User], object]

CALLS: dict[str, Call] = {
    "GetEvent": lambda client, event, _: client.events.get(event.id),
    "ListEvents": lambda client, *_: next(client.events.list()),
    "GetUser": lambda client, _, user: client.users.get(user.id),
    "ListUsers": lambda client, *_: next(client.users.list()),
    "CreateEvent": lambda client, *_: client.events.create(event()),
    "UpdateEvent": lambda client, event, _: client.events.update(Event(id=event.id, name="x")),
    "DeleteEvent": lambda client, event, _: client.events.delete(event.id),
    "CreateUser": lambda client, *_: client.users.create(user()),
    "UpdateUser": lambda client, _, user: client.users.update(User(id=user.id, first_name="x")),
    "DeleteUser": lambda client, _, user: client.users.delete(user.id),
    "BatchGetEvents": lambda client, event, _: client.events.batch_get([event.id]),
    "BatchCreateEvents": lambda client, *_: client.events.batch_create([event(), event()]),
    "BatchUpdateEvents": lambda client, event, _: client.events.batch_update([Event(id=event.id, name="x")]),
    "BatchDeleteEvents": lambda client, event, _: client.events.batch_delete([event.id]),
    "BatchGetUsers": lambda client, _, user: client.users.batch_get([user.id]),
    "BatchCreateUsers": lambda client, *_: client.users.batch_create([user(), user()]),
    "BatchUpdateUsers": lambda client, _, user: client.users.batch_update([User(id=user.id, first_name="x")]),
    "BatchDeleteUsers": lambda client, _, user: client.users.batch_delete([user.id]),
}


@pytest.fixture
def rows(client: ArtemisClient) -> tuple[Event, User]:
    """An event and a user to call about."""
    return client.events.create(event()), client.users.create(user())


@pytest.fixture
def gateway(server: Server) -> Iterator[Gateway]:
    with gateway_to(server.target) as gateway:
        yield gateway


@pytest.fixture
def distant(gateway: Gateway) -> Iterator[ArtemisClient]:
    """A client that reaches the server through the gateway."""
    with ArtemisClient(gateway.target) as client:
        yield client


def methods(gateway: Gateway) -> list[str]:
    return [call.method.rpartition("/")[2] for call in gateway.calls]


@pytest.mark.parametrize("method", CALLS)
def test_a_call_that_is_unavailable_is_tried_again(
    gateway: Gateway, distant: ArtemisClient, rows: tuple[Event, User], method: str
) -> None:
    gateway.refuse(1)

    CALLS[method](distant, *rows)

    assert methods(gateway) == [method, method]


def test_a_call_has_a_deadline_of_60_seconds(gateway: Gateway, distant: ArtemisClient) -> None:
    distant.events.create(event())
    distant.users.get(distant.users.create(user()).id)

    assert all(50 < call.seconds < 60.5 for call in gateway.calls)


def test_the_clients_timeout_is_the_deadline_of_its_calls(gateway: Gateway) -> None:
    with ArtemisClient(gateway.target, timeout=3) as client:
        client.events.create(event())

    assert all(1 < call.seconds < 3.5 for call in gateway.calls)


def test_a_timeout_of_a_call_is_its_deadline(gateway: Gateway, distant: ArtemisClient) -> None:
    stored = distant.events.create(event(), timeout=100)
    distant.events.get(stored.id, timeout=200)
    next(distant.events.list(timeout=300))
    distant.events.update(stored, timeout=400)
    distant.events.delete(stored.id, timeout=500)

    assert [round(call.seconds, -2) for call in gateway.calls] == [100, 200, 300, 400, 500]


def test_a_call_without_an_answer_ends_at_its_deadline(gateway: Gateway, distant: ArtemisClient) -> None:
    gateway.hold()

    with pytest.raises(DeadlineExceeded) as refused:
        distant.events.get(1, timeout=0.2)

    assert refused.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_write_that_waits_for_another_process_ends_at_its_deadline(client: ArtemisClient, server: Server) -> None:
    """Reads go on meanwhile, and so do writes afterwards."""
    stored = client.events.create(event())
    with closing(sqlite3.connect(server.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DeadlineExceeded):
            client.events.create(event(), timeout=0.3)
        assert stored == client.events.get(stored.id)
        other.execute("ROLLBACK")

    assert client.events.create(event()).id > stored.id


def test_an_invalid_argument_names_every_bad_field(client: ArtemisClient) -> None:
    with pytest.raises(InvalidArgument) as refused:
        client.events.create(Event(name=" ", category="c" * 101))

    error = refused.value
    assert error.violations == (
        Violation(field="event.name", description="must not be blank", reason="STRING_NOT_BLANK"),
        Violation(field="event.category", description="must be at most 100 characters", reason="STRING_MAX_LEN"),
        Violation(field="event.start_time", description="value is required", reason="REQUIRED"),
        Violation(field="event.end_time", description="value is required", reason="REQUIRED"),
    )
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert error.message == "event.name: must not be blank (and 3 more)"
    assert error.retry_delay is None


def test_an_error_has_the_id_of_its_call_in_the_servers_log(client: ArtemisClient) -> None:
    found = []
    for _ in range(2):
        with pytest.raises(NotFound) as refused:
            client.events.get(2**40)
        found.append(refused.value.request_id)

    assert all(found)
    assert len(set(found)) == 2


def test_not_found_names_the_resource(client: ArtemisClient) -> None:
    with pytest.raises(NotFound) as refused:
        client.events.get(2**40)

    resource = refused.value.detail(error_details_pb2.ResourceInfo)
    assert resource is not None
    assert (resource.resource_type, resource.resource_name) == ("artemis/event", str(2**40))
    assert (refused.value.reason, refused.value.violations) == ("EVENT_NOT_FOUND", ())
    assert refused.value.metadata == {"id": str(2**40)}


def test_already_exists_names_the_resource(client: ArtemisClient) -> None:
    taken = client.users.create(user())
    with pytest.raises(AlreadyExists) as refused:
        client.users.create(User(email=taken.email))

    resource = refused.value.detail(error_details_pb2.ResourceInfo)
    assert resource is not None
    assert (resource.resource_type, resource.resource_name) == ("artemis/user", taken.email)


def test_a_failed_precondition_says_which(client: ArtemisClient) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        client.events.create(event(owner_id=2**40))

    failure = refused.value.detail(error_details_pb2.PreconditionFailure)
    assert failure is not None
    assert [(each.type, each.subject) for each in failure.violations] == [("OWNER_NOT_FOUND", f"user/{2**40}")]


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    once = artemis_client.Retry(max_attempts=1)  # a later attempt may end by the deadline
    with ArtemisClient(f"127.0.0.1:{port}", retry=once) as client, pytest.raises(Unavailable) as refused:
        client.events.create(event())

    assert (refused.value.reason, refused.value.metadata, refused.value.details) == ("", {}, ())
    assert "Connection refused" in refused.value.message


def test_a_client_is_a_context_manager_that_closes_it(server: Server) -> None:
    with ArtemisClient(server.target) as client:
        stored = client.events.create(event())
        assert stored == client.events.get(stored.id)

    with pytest.raises(Cancelled, match="closed"):
        client.events.get(stored.id)


def test_closing_a_client_twice_is_harmless(server: Server) -> None:
    client = ArtemisClient(server.target)
    client.close()
    client.close()


def test_closing_a_client_cancels_what_is_under_way(gateway: Gateway) -> None:
    gateway.hold()
    client = ArtemisClient(gateway.target)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.events.get, 1)
        assert gateway.arrived.wait(PATIENCE)
        client.close()
        with pytest.raises(Cancelled):
            call.result(PATIENCE)


def test_threads_share_a_client(client: ArtemisClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda number: client.events.create(event(name=f"{number}")), range(80)))
        read = list(pool.map(lambda each: client.events.get(each.id), created))

    assert created == read
    assert [each.name for each in read] == [str(number) for number in range(80)]
