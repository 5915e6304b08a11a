"""A server of two workers: one server to its callers, whatever becomes of its processes."""

import os
import signal
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import grpc
import pytest
from artemis.v1 import events_pb2_grpc
from artemis.v1.events_pb2 import (
    CreateEventRequest,
    Event,
    GetEventRequest,
    ListEventsRequest,
    UpdateEventRequest,
)
from artemis_client import ArtemisClient
from artemis_models import create_engine
from artemis_server import cli
from artemis_server.settings import Settings

from tests.e2e.conftest import Serve
from tests.e2e.load import load_on
from tests.e2e.samples import event, event_message
from tests.e2e.servers import PATIENCE, Server, query, run, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")

CLIENTS = 16
"""Connections, each to one of two workers: all of them to the same one once in 32,768 runs."""
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two workers on SQLite, which tests share."""
    with serving(tmp_path_factory.mktemp("workers") / "artemis.db", "--workers", "2") as server:
        yield server


def workers(server: Server) -> set[int]:
    """Returns the ids of the processes of the workers."""
    pid = server.process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))


def check_one_server(target: str) -> None:
    """Checks that connections to any worker answer as one server does."""
    with ExitStack() as stack:
        channels = [stack.enter_context(grpc.insecure_channel(target, OWN_CONNECTION)) for _ in range(CLIENTS)]
        stubs = [events_pb2_grpc.EventServiceStub(channel) for channel in channels]

        created = [stub.CreateEvent(CreateEventRequest(event=event_message())) for stub in stubs]
        token = ""
        listed: list[Event] = []
        for stub in stubs:
            page = stub.ListEvents(ListEventsRequest(page_size=1, page_token=token, order_by="create_time"))
            token, listed = page.next_page_token, [*listed, *page.events]
        assert created == listed  # also: each create was later than the ones before

        request = CreateEventRequest(event=event_message(), request_id=str(uuid.uuid4()))
        assert len({stub.CreateEvent(request).id for stub in stubs}) == 1

        changed = stubs[0].UpdateEvent(UpdateEventRequest(event=Event(id=created[0].id, location="Hall 1")))
        for stub in stubs:
            assert changed == stub.GetEvent(GetEventRequest(id=changed.id))
            with pytest.raises(grpc.RpcError, match="was changed since it was read"):
                stub.UpdateEvent(UpdateEventRequest(event=created[0]))


def test_workers_on_one_file_are_one_server_to_callers(server: Server) -> None:
    check_one_server(server.target)


@pytest.mark.acceptance
def test_workers_on_postgresql_are_one_server_to_callers(postgresql_url: str) -> None:
    with serving(postgresql_url, "--workers", "2") as server:
        check_one_server(server.target)
        assert server.stop() == 0


@pytest.mark.acceptance
def test_a_worker_indexes_the_texts_of_what_is_created_also_after_one_was_killed(serve: Serve) -> None:
    server = serve("--workers", "2")
    with ArtemisClient(server.target) as client:
        for kill in (False, True):
            client.events.batch_create([event()] * 1000)
            if kill:
                os.kill(min(workers(server)), signal.SIGKILL)
            give_up = time.monotonic() + PATIENCE
            waiting = "SELECT id FROM events WHERE id > (SELECT last_id FROM event_text_progress) LIMIT 1"
            while query(server.database, waiting) and time.monotonic() < give_up:
                pass
            assert query(server.database, waiting) == []
    assert server.stop() == 0


def started(server: Server, count: int) -> None:
    """Waits until so many workers have come to serve since the server's start."""
    server.log.wait_for("(?s)" + "healthy: serving.*" * count)


@pytest.mark.acceptance
def test_a_renewal_under_load_replaces_every_worker_and_shows_no_error(serve: Serve) -> None:
    server = serve("--workers", "2")
    before = workers(server)
    with load_on(server.target, threads=8) as load:
        load.wait_for(50)
        server.process.send_signal(signal.SIGHUP)
        server.log.wait_for("the workers are renewed")
        after = workers(server)
        load.wait_for(50 + load.count)
        load.stop()
        acknowledged, errors = load.finish()
    assert errors == []
    assert len(after) == 2
    assert not before & after
    assert server.log.text.count("stopping: up to 2 s") == 2
    assert server.stop() == 0
    assert acknowledged == {each for (each,) in query(server.database, "SELECT id FROM events")}


@pytest.mark.acceptance
def test_workers_that_are_killed_under_load_come_back_and_callers_see_no_error(server: Server) -> None:
    with load_on(server.target, threads=8) as load:
        for killed in range(1, 4):
            load.wait_for(30 + load.count)
            os.kill(min(workers(server)), signal.SIGKILL)
            started(server, 2 + killed)
        load.wait_for(30 + load.count)
        load.stop()
        acknowledged, errors = load.finish()
    assert errors == []
    stored = {each for (each,) in query(server.database, "SELECT id FROM events")}
    assert acknowledged <= stored


def test_a_worker_makes_no_file_in_the_place_of_one_that_was_deleted(serve: Serve) -> None:
    server = serve("--workers", "2")
    for name in ("", "-wal", "-shm"):
        server.database.with_name(server.database.name + name).unlink(missing_ok=True)
    server.log.wait_for("(?s)" + "is missing.*" * 2)  # both workers
    os.kill(min(workers(server)), signal.SIGKILL)
    server.log.wait_for("(?s)" + "is missing.*" * 3)
    assert not server.database.exists()


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_second_server_on_the_port_is_refused(server: Server, tmp_path: Path, count: str) -> None:
    second = run("serve", tmp_path / "other.db", "--listen", server.target, "--workers", count)
    assert second.returncode == 1
    assert second.stderr == f"artemis-server: cannot listen on {server.target}: Address already in use\n"


def test_each_worker_has_cores_of_its_own(server: Server) -> None:
    allowed = os.sched_getaffinity(0)
    found = [os.sched_getaffinity(pid) for pid in workers(server)]
    assert len(found) == 2
    assert bool(found[0] & found[1]) is (len(allowed) == 1)


def test_workers_end_when_their_supervisor_is_killed(serve: Serve) -> None:
    """They drain, and the log that they share ends with the last of them."""
    server = serve("--workers", "2")
    server.kill()
    assert server.log.text.count("the supervisor has ended") == 2
    assert server.log.text.count("artemis_server: stopped\n") == 2


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_second_signal_to_stop_ends_the_server_though_a_request_is_in_flight(serve: Serve, count: str) -> None:
    server = serve("--workers", count, "--shutdown-grace", "100")
    with (
        grpc.insecure_channel(server.target) as channel,
        closing(sqlite3.connect(server.database, isolation_level=None)) as other,
    ):
        stub = events_pb2_grpc.EventServiceStub(channel)
        other.execute("BEGIN IMMEDIATE")
        held = stub.CreateEvent.future(CreateEventRequest(event=event_message()))
        stub.ListEvents(ListEventsRequest())  # the server has the create as well now
        server.process.terminate()
        server.log.wait_for("stopping: up to 100 s")
        assert server.process.poll() is None
        while server.process.poll() is None:  # signals that follow within 0.1 s count as one
            with suppress(ProcessLookupError):
                server.process.terminate()
        assert held.code() is grpc.StatusCode.UNAVAILABLE
    assert server.process.returncode == 1
    server.log.join()
    assert "stopping at once" in server.log.text


def test_sighup_does_not_end_a_server_of_one_process(serve: Serve) -> None:
    server = serve()
    server.process.send_signal(signal.SIGHUP)
    server.log.wait_for("SIGHUP changes nothing")
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        assert list(client.events.list()) == []


def test_the_limit_of_postgresql_bounds_the_default_number_of_workers(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cli, "available", lambda: 1000)
    engine = create_engine(postgresql_url)
    try:
        default = cli.count_workers(Settings(command="serve"), engine)
        asked = cli.count_workers(Settings(command="serve", workers=1000), engine)
        with engine.connect() as connection:
            limit = int(connection.exec_driver_sql("SHOW max_connections").scalar_one())
    finally:
        engine.dispose()
    assert 1 < default < limit / cli.MIN_THREADS
    assert asked == 1000
    assert caplog.text.count("raise max_connections") == 2


def test_one_process_serves_a_file_by_default(sqlite_url: str) -> None:
    assert cli.count_workers(Settings(command="serve"), create_engine(sqlite_url)) == 1
