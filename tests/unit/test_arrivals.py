"""The order in which a server receives requests, through a real server and channels."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from artemis_server.rpc import calls as rpc_calls
from artemis_server.rpc.calls import Calls, Limits
from artemis_server.rpc.waiting import MAX_CALM, MAX_HELD, STEP

from tests.e2e.servers import PATIENCE
from tests.unit.test_lanes import Code, Server, failure, until

LARGE = bytes(MAX_HELD + 1)


MAX_QUEUED = 25


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that sweeps only when it is told to, with a short queue."""
    monkeypatch.setattr(rpc_calls, "SWEEP_INTERVAL", PATIENCE)
    monkeypatch.setattr(rpc_calls, "MAX_QUEUED", MAX_QUEUED)
    started = Server(Calls(Limits(100, seconds=60)))
    yield started
    started.stop()


def begin_silent(server: Server, count: int) -> list[Any]:
    """Sends the headers of so many calls on one connection, and returns when the server has them."""
    known = len(server.calls.incomplete) + len(server.calls.queued)
    calls = [server.begin_without_request("echo") for _ in range(count)]
    until(lambda: len(server.calls.incomplete) + len(server.calls.queued) == known + count)
    return calls


def test_a_connection_with_requests_that_do_not_arrive_holds_up_no_other(server: Server) -> None:
    begin_silent(server, STEP)
    queued = server.begin("echo")
    until(lambda: len(server.calls.queued) == 1)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options) as other:
        echo = other.unary_unary("/test/echo", bytes, bytes)
        assert [echo(request, timeout=PATIENCE) for request in (b"y", LARGE)] == [b"y", LARGE]
    assert not queued.done()


def test_a_request_that_is_queued_is_received_when_another_one_of_its_connection_has_ended(server: Server) -> None:
    silent = begin_silent(server, STEP)
    queued = [server.begin("echo", bytes([number])) for number in range(5)]
    until(lambda: len(server.calls.queued) == 5)
    silent[0].cancel()
    assert [each.result() for each in queued] == [bytes([number]) for number in range(5)], (
        "each makes room for the next"
    )
    assert len(server.calls.incomplete) == STEP - 1


def test_a_large_request_makes_room_at_the_next_sweep(server: Server) -> None:
    begin_silent(server, STEP - 1)
    assert server.call("echo", LARGE) == LARGE
    queued = server.begin("echo")
    until(lambda: len(server.calls.queued) == 1)
    assert not queued.done()
    server.calls.arrivals.sweep()
    assert queued.result() == b"x"


def test_more_requests_are_begun_while_none_of_them_arrives(server: Server) -> None:
    begin_silent(server, 25)
    begun = [len(server.calls.incomplete)]
    for _ in range(MAX_CALM + 3):
        server.calls.arrivals.sweep()
        begun.append(len(server.calls.incomplete))
    assert begun == [2, 4, 6, 8, 10, 12, 14, 18, 24]


def test_of_too_many_queued_calls_the_oldest_is_refused(server: Server) -> None:
    begin_silent(server, STEP)
    queued = begin_silent(server, 1) + begin_silent(server, MAX_QUEUED - 1)
    last = server.begin("echo")
    assert failure(queued[0]) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert [each.done() for each in [*queued[1:], last]] == [False] * MAX_QUEUED


def test_a_server_that_drains_refuses_queued_calls(server: Server) -> None:
    begin_silent(server, STEP)
    queued = server.begin("echo")
    until(lambda: len(server.calls.queued) == 1)
    assert server.calls.drain(PATIENCE) is True
    assert failure(queued) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
