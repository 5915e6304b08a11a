"""Calls that the client makes again: servers that go away and come back, and servers that say when to come back."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event as Flag

import grpc
import pytest
from artemis.v1.events_pb2 import Event
from artemis_client import ArtemisClient, Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable
from artemis_client.retries import INITIAL_BACKOFF
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from tests.e2e.conftest import Serve
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE
from tests.e2e.test_client_errors import answering

pytestmark = pytest.mark.usefixtures("each_client")

SHORT = 0.3
"""Seconds that a call has which fails."""


@dataclass
class Busy:
    """Refuses GetEvent with a code until `refusals` are used up, and says after how many seconds to come back."""

    code: grpc.StatusCode
    seconds: float | None
    refusals: int = 1_000_000
    arrived: Flag = field(default_factory=Flag)
    times: list[float] = field(default_factory=list)
    """The times of the calls."""

    def __call__(self, context: grpc.ServicerContext) -> Event:
        self.times.append(time.monotonic())
        self.arrived.set()
        if len(self.times) > self.refusals:
            return Event(id=1)
        status = Status(code=self.code.value[0], message="not now")
        if self.seconds is not None:
            info, packed = error_details_pb2.RetryInfo(), Any()
            info.retry_delay.FromNanoseconds(round(1e9 * self.seconds))
            packed.Pack(info)
            status.details.append(packed)
        details = ("grpc-status-details-bin", status.SerializeToString())
        context.set_trailing_metadata((details, ("x-request-id", f"call-{len(self.times)}")))
        context.abort(self.code, "not now")
        raise AssertionError


def test_calls_outlast_a_server_that_is_killed_and_started_again(serve: Serve) -> None:
    """Calls that began while it was away, also one on a new connection. The write is made once."""
    first = serve()
    with (
        ArtemisClient(first.target) as client,
        ArtemisClient(first.target) as other,
        ThreadPoolExecutor(3) as pool,
    ):
        stored = client.events.create(event())
        first.kill()
        create = pool.submit(client.events.create, event(name="once"))
        get = pool.submit(client.events.get, stored.id)
        early = pool.submit(other.events.get, stored.id)
        serve(listen=first.target)
        created = create.result(PATIENCE)

        assert [stored, stored] == [get.result(PATIENCE), early.result(PATIENCE)]
        assert [stored, created] == list(client.events.list())


def test_a_call_that_stays_unavailable_fails_as_its_last_attempt() -> None:
    busy = Busy(grpc.StatusCode.UNAVAILABLE, None)

    def refuse(context: grpc.ServicerContext) -> Event:
        busy.seconds = 2 * PATIENCE if busy.times else None
        return busy(context)

    with (
        answering(refuse) as target,
        ArtemisClient(target, timeout=PATIENCE) as client,
        pytest.raises(Unavailable, match="not now") as refused,
    ):
        client.events.get(1)

    assert len(busy.times) == 2
    assert refused.value.request_id == "call-2"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_server_that_says_when_to_come_back_is_not_called_before(code: grpc.StatusCode) -> None:
    busy = Busy(code, SHORT, refusals=1)
    with answering(busy) as target, ArtemisClient(target) as client:
        client.events.get(1)

    first, second = busy.times
    assert second - first >= SHORT


def test_a_limit_is_final_if_the_server_does_not_say_when_to_come_back() -> None:
    busy = Busy(grpc.StatusCode.RESOURCE_EXHAUSTED, None)
    with answering(busy) as target, ArtemisClient(target) as client, pytest.raises(ResourceExhausted):
        client.events.get(1)

    assert len(busy.times) == 1


def test_a_call_fails_at_once_if_its_deadline_is_before_the_next_attempt() -> None:
    busy = Busy(grpc.StatusCode.UNAVAILABLE, 2 * PATIENCE)
    with answering(busy) as target, ArtemisClient(target) as client, pytest.raises(Unavailable):
        client.events.get(1)

    assert len(busy.times) == 1


def test_attempts_share_the_deadline_and_the_last_one_tells_of_the_one_before() -> None:
    given = []

    def slow_at_last(context: grpc.ServicerContext) -> Event:
        given.append(context.time_remaining())
        while busy.times and context.is_active():
            time.sleep(0.01)
        return busy(context)

    busy = Busy(grpc.StatusCode.UNAVAILABLE, None)
    with (
        answering(slow_at_last) as target,
        ArtemisClient(target) as client,
        pytest.raises(DeadlineExceeded, match="the attempt before ended as UNAVAILABLE: not now"),
    ):
        client.events.get(1, timeout=SHORT)

    first, second = given
    assert SHORT > first > second + INITIAL_BACKOFF / 4


def test_closing_a_client_ends_the_wait_for_the_next_attempt() -> None:
    busy = Busy(grpc.StatusCode.UNAVAILABLE, 1.5 * PATIENCE)
    with answering(busy) as target, ThreadPoolExecutor(1) as pool:
        client = ArtemisClient(target, timeout=5 * PATIENCE)
        call = pool.submit(client.events.get, 1)
        assert busy.arrived.wait(PATIENCE)
        client.close()
        with pytest.raises(Cancelled):
            call.result(PATIENCE)
    assert len(busy.times) == 1
