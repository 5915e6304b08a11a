"""The error of a failed call: all that the server sent, whole in another process, and the cause if gRPC failed."""

import copy
import multiprocessing
import pickle
import socket
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from uuid import uuid4

import artemis_client
import grpc
import pytest
from artemis.v1 import events_pb2
from artemis_client import (
    ArtemisClient,
    ArtemisError,
    Cancelled,
    DeadlineExceeded,
    Event,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    User,
    Violation,
)
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from tests.e2e.gateway import Handler
from tests.e2e.samples import START, event
from tests.e2e.servers import PATIENCE, Server

pytestmark = pytest.mark.usefixtures("each_client")

DETAILS: list[Message] = [
    error_details_pb2.ErrorInfo(reason="TOO_MANY", domain="artemis", metadata={"limit": "7", "field": "event.name"}),
    error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="event.name", description="is bad", reason="IS_BAD")
        ]
    ),
    error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2)),
    error_details_pb2.RequestInfo(request_id="f00"),
    error_details_pb2.ResourceInfo(resource_type="artemis/event", resource_name="1"),
    error_details_pb2.PreconditionFailure(
        violations=[error_details_pb2.PreconditionFailure.Violation(type="T", subject="s", description="d")]
    ),
    error_details_pb2.QuotaFailure(violations=[error_details_pb2.QuotaFailure.Violation(subject="s")]),
    error_details_pb2.Help(links=[error_details_pb2.Help.Link(url="https://example.com")]),
]
"""One of each kind, also of those that a proxy may send and Artemis does not."""
ERRORS = [kind for kind in vars(artemis_client).values() if isinstance(kind, type) and issubclass(kind, ArtemisError)]
every_error = pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)


@contextmanager
def answering(answer: Callable[[grpc.ServicerContext], events_pb2.Event]) -> Iterator[str]:
    """Runs a server in this process that has GetEvent alone, and yields its address."""
    handler: Handler = grpc.unary_unary_rpc_method_handler(
        lambda _, context: answer(context), response_serializer=events_pb2.Event.SerializeToString
    )
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(
            pool, handlers=[grpc.method_handlers_generic_handler("artemis.v1.EventService", {"GetEvent": handler})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait(PATIENCE)


def refuse(context: grpc.ServicerContext) -> events_pb2.Event:
    """Aborts with every kind of detail."""
    status = Status(code=3, message="no", details=[packed(each) for each in DETAILS])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")


def packed(message: Message) -> Any:
    made = Any()
    made.Pack(message)
    return made


@pytest.fixture(scope="module")
def free_address() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def contents(error: ArtemisError) -> tuple[object, ...]:
    """Returns everything that an error carries."""
    return (
        type(error),
        str(error),
        repr(error),
        error.code,
        error.message,
        error.reason,
        error.metadata,
        error.violations,
        error.retry_delay,
        error.details,
        error.request_id,
        getattr(error, "__notes__", None),
    )


def copies(value: object) -> list[object]:
    """Returns the value as every protocol of pickle and both ways of copying make it anew."""
    pickled = [
        pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 - our own bytes
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    return [*pickled, copy.copy(value), copy.deepcopy(value)]


def get_missing(target: str) -> None:
    """Fails in a process of its own."""
    with ArtemisClient(target) as client:
        client.events.get(2**40)


def test_an_error_has_all_that_the_server_sent() -> None:
    with answering(refuse) as target, ArtemisClient(target) as client, pytest.raises(InvalidArgument) as refused:
        client.events.get(1)

    error = refused.value
    assert (error.message, error.reason) == ("no", "TOO_MANY")
    assert error.metadata == {"limit": "7", "field": "event.name"}
    assert error.violations == (Violation(field="event.name", description="is bad", reason="IS_BAD"),)
    assert (error.retry_delay, error.request_id) == (timedelta(seconds=2), "f00")
    assert error.details == tuple(DETAILS)


@every_error
def test_an_error_survives_pickle_and_copy_with_all_it_carries(kind: type[ArtemisError]) -> None:
    error = kind(grpc.StatusCode.NOT_FOUND, "there is no event 7", DETAILS)
    error.add_note("in the third try")

    for each in copies(error):
        assert isinstance(each, ArtemisError)
        assert contents(each) == contents(error)


@every_error
def test_an_error_without_details_survives_pickle_and_copy(kind: type[ArtemisError]) -> None:
    error = kind(grpc.StatusCode.UNKNOWN, "")

    for each in copies(error):
        assert isinstance(each, ArtemisError)
        assert contents(each) == contents(error)


@pytest.mark.parametrize(
    "value",
    [
        Violation(field="event.name", description="is bad", reason="IS_BAD"),
        Event(id=1, start_time=START, owner_id=3),
        User(email="ada@example.com"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_public_survives_pickle_and_copy(value: object) -> None:
    assert copies(value) == [value] * len(copies(value))


@pytest.mark.acceptance
@pytest.mark.parametrize("each_client", ["threads"], indirect=True)
def test_an_error_in_another_process_reaches_its_caller(server: Server, client: ArtemisClient) -> None:
    with pytest.raises(NotFound) as here:
        client.events.get(2**40)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(get_missing, server.target).exception(PATIENCE)
        again = pool.submit(get_missing, server.target).exception(PATIENCE)

    assert isinstance(there, NotFound)
    assert isinstance(again, NotFound), "the pool is broken"
    assert contents(there)[:-2] == contents(here.value)[:-2]
    assert there.request_id not in ("", here.value.request_id), "each call has an id of its own"


@pytest.mark.parametrize("call", ["batch_get", "batch_create", "batch_update", "batch_delete"])
def test_an_empty_batch_calls_nothing(free_address: str, call: str) -> None:
    with ArtemisClient(free_address, timeout=0.01) as client:
        assert getattr(client.events, call)(iter([])) == []


def test_a_server_that_is_down_is_told_with_the_cause_when_time_is_up(free_address: str) -> None:
    away = Unavailable, DeadlineExceeded  # the time may be up between two attempts, or in one
    with ArtemisClient(free_address, timeout=0.3) as client, pytest.raises(away) as refused:
        client.events.get(1)

    assert free_address in refused.value.message
    assert "Connection refused" in refused.value.message


def test_a_server_without_encryption_is_told_to_a_client_that_wants_it() -> None:
    once = artemis_client.Retry(max_attempts=1)  # a later attempt may end by the deadline
    with (
        answering(refuse) as target,
        ArtemisClient(target, retry=once, credentials=grpc.ssl_channel_credentials()) as client,
        pytest.raises(Unavailable, match=f"{target}: Tls handshake failed"),
    ):
        client.events.get(1)


def test_a_server_that_is_only_slow_is_not_told_as_away(server: Server) -> None:
    with closing(sqlite3.connect(server.database)) as other, ArtemisClient(server.target) as client:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DeadlineExceeded) as refused:
            client.events.create(event(), timeout=0.2)

    assert "connect" not in refused.value.message


def test_a_connection_may_take_longer_than_a_second() -> None:
    """Far away, or with a slow handshake: the client waits for it, and does not begin anew."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        ThreadPoolExecutor(1) as pool,
        ArtemisClient(f"127.0.0.1:{listener.getsockname()[1]}") as client,
    ):
        listener.settimeout(PATIENCE)
        call = pool.submit(client.events.get, 1)
        connection, _ = listener.accept()
        listener.settimeout(1.5)
        with connection, pytest.raises(TimeoutError):
            listener.accept()
        client.close()
        assert isinstance(call.exception(PATIENCE), Cancelled)


def test_a_request_that_is_too_large_is_told_with_its_size_and_the_limit(client: ArtemisClient) -> None:
    batch, number = [event(), event(description="d" * 5 * 2**20)], str(uuid4())
    requests = [events_pb2.CreateEventRequest(event=batch[1].to_message())]
    size = events_pb2.BatchCreateEventsRequest(requests=requests, request_id=number).ByteSize()

    with pytest.raises(ResourceExhausted) as refused:
        client.events.batch_create(batch, request_id=number)

    assert refused.value.message == (
        f"the request of BatchCreateEvents has {size} bytes, the server takes up to {4 * 2**20}; send less at once"
    )


def test_a_response_that_is_too_large_is_told_with_its_size_and_the_limit() -> None:
    large = events_pb2.Event(description="d" * 5 * 2**20)

    with (
        answering(lambda _: large) as target,
        ArtemisClient(target) as client,
        pytest.raises(ResourceExhausted) as refused,
    ):
        client.events.get(1)

    assert refused.value.message == (
        f"the response of GetEvent has {large.ByteSize()} bytes, the client takes up to {4 * 2**20}; "
        "ask for less at once"
    )


def test_metadata_that_is_too_large_is_told_with_its_size_and_the_limit() -> None:
    def chatter(context: grpc.ServicerContext) -> events_pb2.Event:
        context.set_trailing_metadata((("chatter", "c" * 20_000),))
        return events_pb2.Event()

    with (
        answering(chatter) as target,
        ArtemisClient(target) as client,
        pytest.raises(ResourceExhausted, match=r"metadata size exceeds hard limit.*20\d\d\d vs\. 16384"),
    ):
        client.events.get(1)


def test_a_method_that_the_server_does_not_have_is_named() -> None:
    with answering(refuse) as target, ArtemisClient(target) as client, pytest.raises(ArtemisError) as refused:
        client.users.get(1)

    assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.message == "the server has no method GetUser: Method not found!"
