"""Streams of WatchEvents on real servers: bad requests, limits, clients that vanish, stops, workers and metrics."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2_grpc
from artemis.v1.events_pb2 import CreateEventRequest, ListEventsRequest, WatchEventsRequest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.e2e.conftest import Serve
from tests.e2e.samples import event_message
from tests.e2e.servers import PATIENCE, Server, serving
from tests.e2e.test_telemetry import METRICS, count, read, samples, until

OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
MAX_WATCHERS = 2
Stub = events_pb2_grpc.EventServiceStub
Code = grpc.StatusCode
CREATE = CreateEventRequest(event=event_message())


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of few watches, with metrics."""
    flags = ("--max-watchers", str(MAX_WATCHERS), "--metrics-listen", "127.0.0.1:0", "--log-level", "INFO")
    with serving(tmp_path_factory.mktemp("limited") / "artemis.db", *flags) as server:
        yield server


@pytest.fixture
def stub(limited: Server) -> Iterator[Stub]:
    with grpc.insecure_channel(limited.target, OWN_CONNECTION) as channel:
        yield Stub(channel)


def watch(stub: Stub, token: str = "", chosen: str = "") -> Any:
    """Returns a watch that has begun, or failed."""
    request = WatchEventsRequest(resume_token=token, filter=chosen)
    return stub.WatchEvents(request, timeout=PATIENCE, wait_for_ready=True)


def failure(call: Any) -> tuple[Code, str]:
    """Returns the code and the reason of a stream that ends with an error, after what it may still send."""
    with pytest.raises(grpc.RpcError):
        for _ in call:
            pass
    status, info = rpc_status.from_call(call), error_details_pb2.ErrorInfo()
    if status is not None:
        status.details[0].Unpack(info)
    return call.code(), info.reason


def follow(call: Any, wanted: int) -> list[int]:
    """Returns the ids of the next changes."""
    found: list[int] = []
    while len(found) < wanted:
        found += [change.event.id for change in next(call).changes]
    return found


def token_of(stub: Stub) -> str:
    return stub.ListEvents(ListEventsRequest(page_size=1)).resume_token


def test_a_token_of_another_database_a_changed_one_and_a_bad_filter_are_refused(stub: Stub, serve: Serve) -> None:
    token = token_of(stub)
    changed = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
    with grpc.insecure_channel(serve(new=True).target) as channel:
        foreign = token_of(Stub(channel))
    bad_token = Code.INVALID_ARGUMENT, "INVALID_RESUME_TOKEN"
    assert failure(watch(stub, changed)) == bad_token
    assert failure(watch(stub, foreign)) == bad_token
    assert failure(watch(stub, chosen='name = "'))[0] is Code.INVALID_ARGUMENT
    assert failure(watch(stub, token, 'colour = "red"'))[0] is Code.INVALID_ARGUMENT


def test_places_of_clients_that_vanish_are_free_again_and_the_metrics_tell(stub: Stub, limited: Server) -> None:
    url = limited.log.wait_for(METRICS)[1]

    def found(name: str, **labels: str) -> float:
        return count(samples(read(url)), name, **labels)

    until(lambda: found("artemis_watchers") == 0)
    before = found("artemis_watches_ended_total", ended="client")
    with grpc.insecure_channel(limited.target, OWN_CONNECTION) as channel:
        calls = [watch(Stub(channel)) for _ in range(MAX_WATCHERS)]
        for call in calls:
            next(call)
        assert failure(watch(stub)) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES")
        made = stub.CreateEvent(CREATE)
        assert [follow(call, 1) for call in calls] == [[made.id]] * MAX_WATCHERS
        until(lambda: found("artemis_watchers") == MAX_WATCHERS)
    until(lambda: found("artemis_watchers") == 0)
    until(lambda: found("artemis_watches_ended_total", ended="client") == before + MAX_WATCHERS)
    call = watch(stub)
    next(call)
    call.cancel()


def test_the_size_of_the_log_is_known_though_nobody_watches(serve: Serve) -> None:
    with grpc.insecure_channel(serve().target) as channel:
        Stub(channel).CreateEvent(CREATE)
    server = serve("--metrics-listen", "127.0.0.1:0", "--log-level", "INFO")
    url = server.log.wait_for(METRICS)[1]
    until(lambda: count(samples(read(url)), "artemis_changes") >= 1)


def test_a_stop_sends_the_last_change_and_then_unavailable(serve: Serve) -> None:
    server = serve()
    with grpc.insecure_channel(server.target) as channel:
        stub = Stub(channel)
        calls = [watch(stub) for _ in range(5)]
        for call in calls:
            next(call)
        made = [stub.CreateEvent(CREATE).id for _ in range(20)]
        server.process.terminate()
        for call in calls:
            assert follow(call, len(made)) == made
            assert failure(call) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
    assert server.stop() == 0


def test_a_token_from_the_time_after_a_backup_and_one_of_pruned_changes_have_expired(
    serve: Serve, database_path: Path, tmp_path: Path
) -> None:
    server = serve()
    with grpc.insecure_channel(server.target) as channel:
        stub = Stub(channel)
        old = token_of(stub)
        stub.CreateEvent(CREATE)
        with closing(sqlite3.connect(database_path)) as source, closing(sqlite3.connect(tmp_path / "copy")) as copy:
            source.backup(copy)
        for _ in range(3):
            stub.CreateEvent(CREATE)
        future = token_of(stub)
    assert server.stop() == 0
    for each in tmp_path.glob("artemis.db*"):
        each.unlink()
    (tmp_path / "copy").rename(database_path)
    with closing(sqlite3.connect(database_path)) as database, database:
        database.execute("DELETE FROM event_changes WHERE id < (SELECT max(id) FROM event_changes)")
    with grpc.insecure_channel(serve().target) as channel:
        stub = Stub(channel)
        expired = Code.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"
        assert failure(watch(stub, future)) == expired
        stub.CreateEvent(CREATE)  # the log goes on with the numbers of the changes that were lost
        stub.CreateEvent(CREATE)
        stub.CreateEvent(CREATE)
        assert failure(watch(stub, future)) == expired
        assert failure(watch(stub, old)) == expired


@pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")
def test_watches_of_each_worker_receive_what_any_worker_writes(serve: Serve) -> None:
    with ExitStack() as stack:
        target = serve("--workers", "2").target
        channels = [stack.enter_context(grpc.insecure_channel(target, OWN_CONNECTION)) for _ in range(8)]
        stubs = [Stub(channel) for channel in channels]
        calls = [watch(stub) for stub in stubs]
        for call in calls:
            next(call)
        made = [stub.CreateEvent(CREATE).id for stub in stubs]
        assert [follow(call, len(made)) for call in calls] == [made] * len(calls)
