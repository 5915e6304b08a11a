"""Connections of clients: metadata of its own, interceptors, a channel of the caller, several servers, retries."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from artemis.v1.events_pb2 import Event, GetEventRequest
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis_client import ArtemisClient, Cancelled, Retry, Unavailable
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from tests.depth import examples
from tests.e2e import blocking
from tests.e2e.guard import Guard, guarding
from tests.e2e.servers import PATIENCE

pytestmark = pytest.mark.usefixtures("each_client")
THREADS = pytest.mark.parametrize("each_client", ["threads"], indirect=True)
ASYNCIO = pytest.mark.parametrize("each_client", ["asyncio"], indirect=True)


@pytest.fixture
def guard() -> Iterator[Guard]:
    with guarding("", "fresh") as guard:
        yield guard


def sent(guard: Guard, name: str) -> list[Any]:
    """Returns the values of one name that the calls came with."""
    return [call.metadata.get(name) for call in guard.calls]


def test_metadata_goes_with_each_call_of_the_client_that_has_it(guard: Guard) -> None:
    with ArtemisClient(guard.target, token="fresh") as client:
        tenant = client.with_metadata({"x-tenant": "a", "x-key-bin": b"\x00\xff"})
        traced = tenant.with_metadata({"x-trace": "7"})
        for each in (client, tenant, traced):
            each.events.get(1)

    assert sent(guard, "x-tenant") == [None, "a", "a"]
    assert sent(guard, "x-key-bin") == [None, b"\x00\xff", b"\x00\xff"]
    assert sent(guard, "x-trace") == [None, None, "7"]
    assert guard.seen == ["fresh"] * 3


def test_a_client_with_metadata_ends_with_the_one_that_it_was_made_of(guard: Guard) -> None:
    with ArtemisClient(guard.target) as client:
        with client.with_metadata({"x-tenant": "a"}) as tenant:
            tenant.position = client.position
            tenant.events.get(1)
        with pytest.raises(Cancelled):
            tenant.events.get(1)
        client.events.get(1)
        other = client.with_metadata({"x-tenant": "b"})
    with pytest.raises(Cancelled):
        other.events.get(1)


@pytest.mark.thorough
@THREADS
def test_threads_may_use_a_client_while_another_one_closes_it() -> None:
    """All views and watches are closed with it. The threads take turns as often as they can, so that they meet."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            for _ in range(examples(20)):
                client = ArtemisClient("127.0.0.1:1")
                made = [client.with_metadata({}) for _ in range(200)]
                threads = [pool.submit(lambda: [client.with_metadata({}) for _ in range(100)]) for _ in range(3)]  # noqa: B023 - the threads end within the round
                client.close()
                for each in (*made, *(one for thread in threads for one in thread.result(PATIENCE))):
                    with pytest.raises(Cancelled):
                        each.events.get(1)
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"authorization": "Bearer mine"}, ValueError),
        ({"x-artemis-position": "0"}, ValueError),
        ({"X-Tenant": "a"}, ValueError),
        ({"grpc-timeout": "1"}, ValueError),
        ({"": "a"}, ValueError),
        ({"x-tenant": "a\n"}, ValueError),
        ({"x-tenant": "\u00e9"}, ValueError),
        ({"x-tenant": b"a"}, TypeError),
        ({"x-key-bin": "a"}, TypeError),
        ({"x-tenant": 7}, TypeError),
    ],
)
def test_metadata_that_cannot_be_sent_is_refused(guard: Guard, metadata: Any, error: type[Exception]) -> None:
    with ArtemisClient(guard.target) as client, pytest.raises(error):
        client.with_metadata(metadata)


class Recorder(grpc.UnaryUnaryClientInterceptor):
    """Remembers the methods that are called."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self.methods.append(client_call_details.method)
        return continuation(client_call_details, request)


class AsyncRecorder(grpc.aio.UnaryUnaryClientInterceptor):
    """Remembers the methods that are called."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self.methods.append(client_call_details.method)
        return await continuation(client_call_details, request)


@pytest.mark.parametrize(
    ("each_client", "kind"), [("threads", Recorder), ("asyncio", AsyncRecorder)], indirect=["each_client"]
)
def test_interceptors_see_each_attempt(guard: Guard, kind: Any) -> None:
    recorder, guard.unavailable = kind(), 1
    with ArtemisClient(guard.target, interceptors=[recorder]) as client:
        client.events.get(1)

    methods = [method if isinstance(method, str) else method.decode() for method in recorder.methods]
    assert methods == ["/artemis.v1.EventService/GetEvent"] * 2


@THREADS
def test_a_channel_of_the_caller_stays_open(guard: Guard) -> None:
    with grpc.insecure_channel(guard.target) as channel:
        with ArtemisClient(channel=channel, token="fresh") as client:
            assert client.channel is channel
            client.events.get(1)
        with pytest.raises(Cancelled):
            client.events.get(1)
        EventServiceStub(channel).GetEvent(GetEventRequest(id=1))

    assert guard.seen == ["fresh", ""]


@ASYNCIO
def test_a_channel_of_the_caller_stays_open_in_its_event_loop(guard: Guard) -> None:
    channel = blocking.LOOP.make(grpc.aio.insecure_channel, guard.target)
    with blocking.client(channel=channel, token="fresh") as client:
        client.events.get(1)
    with pytest.raises(Cancelled):
        client.events.get(1)

    async def call() -> None:
        await EventServiceStub(channel).GetEvent(GetEventRequest(id=1))
        await channel.close()

    blocking.LOOP.run(call())
    assert guard.seen == ["fresh", ""]


def test_the_attempts_of_a_call_can_be_limited(guard: Guard) -> None:
    guard.unavailable = 1_000_000
    retry = Retry(max_attempts=3, initial_backoff=0.001, max_backoff=0.002)
    with ArtemisClient(guard.target, retry=retry, timeout=PATIENCE) as client, pytest.raises(Unavailable):
        client.events.get(1)

    assert len(guard.calls) == 3


def test_the_environment_names_the_server_and_the_token(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTEMIS_TARGET", guard.target)
    monkeypatch.setenv("ARTEMIS_TOKEN", "fresh")
    with ArtemisClient() as client:
        client.events.get(1)

    assert guard.seen == ["fresh"]


@dataclass
class Replica:
    """A server that tells its health."""

    health: HealthServicer
    target: str = ""
    calls: list[int] = field(default_factory=list)

    def set(self, status: int) -> None:
        self.health.set("", status)

    def has_calls(self) -> bool:
        return bool(self.calls)

    def answer(self, request: GetEventRequest, _: grpc.ServicerContext) -> Event:
        self.calls.append(request.id)
        return Event(id=request.id)


@contextmanager
def replica(*, tells_health: bool = True) -> Iterator[Replica]:
    """Runs a server that is healthy at first."""
    with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(2) as watches:
        made = Replica(HealthServicer(experimental_non_blocking=True, experimental_thread_pool=watches))
        made.set(HealthCheckResponse.SERVING)
        get = grpc.unary_unary_rpc_method_handler(made.answer, GetEventRequest.FromString, Event.SerializeToString)
        handler = grpc.method_handlers_generic_handler("artemis.v1.EventService", {"GetEvent": get})
        server = grpc.server(pool, handlers=[handler])
        if tells_health:
            add_HealthServicer_to_server(made.health, server)
        made.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield made
        finally:
            server.stop(None).wait(PATIENCE)


def test_a_server_that_is_not_serving_gets_no_calls_until_it_serves_again() -> None:
    with replica() as first, replica() as second, ArtemisClient(f"ipv4:{first.target},{second.target}") as client:
        for away, other in ((first, second), (second, first)):
            call_until(client, away.has_calls)
            away.set(HealthCheckResponse.NOT_SERVING)
            call_until(client, partial(is_left, client, away, other))
            away.set(HealthCheckResponse.SERVING)
            away.calls.clear()


def call_until(client: Any, reached: Callable[[], bool]) -> None:
    """Calls until something is so."""
    for _ in range(100_000):
        if reached():
            return
        client.events.get(1)
    raise AssertionError("it is never so")


def is_left(client: Any, away: Replica, other: Replica) -> bool:
    """Tells whether ten calls go to the other server."""
    before = len(away.calls), len(other.calls)
    for _ in range(10):
        client.events.get(1)
    return (len(away.calls), len(other.calls)) == (before[0], before[1] + 10)


def test_a_server_that_tells_no_health_is_called() -> None:
    """It answers UNIMPLEMENTED, as one of ours does that has no place for another watch of its health."""
    with replica(tells_health=False) as server, ArtemisClient(f"dns:///{server.target}") as client:
        assert client.events.get(7).id == 7
