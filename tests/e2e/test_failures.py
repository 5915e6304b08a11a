"""A database that fails while the server runs: callers are told to come back, and the server recovers."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client import ArtemisClient, ArtemisError, ResourceExhausted, Unavailable
from artemis_client.errors import from_rpc_error
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.e2e.conftest import Serve
from tests.e2e.samples import event, event_message
from tests.e2e.servers import PATIENCE, Server, contents, run, wait_for_health


@contextmanager
def no_room(server: Server) -> Iterator[None]:
    """Lets no file of the server grow, as a full disk does."""
    wal = server.database.with_name(server.database.name + "-wal")
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (wal.stat().st_size, hard))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_finds_no_room_may_be_tried_again(serve: Serve) -> None:
    """Reads go on meanwhile, nothing is half stored, and writes go on when there is room again."""
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        stored = client.events.create(event())
        before = contents(server.database)
        with no_room(server):
            errors = [refused(server) for _ in range(3)]
            assert stored == client.events.get(stored.id)

        assert all(isinstance(error, Unavailable | ResourceExhausted) for error in errors), errors
        assert all(error.retry_delay and error.reason for error in errors)
        assert before == contents(server.database)
        assert client.events.create(event()).id > stored.id


def refused(server: Server) -> ArtemisError:
    """Returns how the server refuses one create, which is not tried again."""
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as refused:
        events_pb2_grpc.EventServiceStub(channel).CreateEvent(events_pb2.CreateEventRequest(event=event_message()))
    return from_rpc_error(refused.value)


def test_writes_to_a_database_without_a_schema_may_be_tried_again(serve: Serve) -> None:
    error = refused(serve("--no-migrate"))
    assert isinstance(error, Unavailable)
    assert error.reason == "SCHEMA_MISMATCH"
    assert error.retry_delay


def test_a_file_that_is_cut_short_does_not_end_the_server(serve: Serve) -> None:
    server = serve()
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        client.events.batch_create([event(description="x" * 500) for _ in range(1000)])
    assert server.stop() == 0, "which moves the log into the file"
    server = serve()
    with grpc.insecure_channel(server.target) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        stub.GetEvent(events_pb2.GetEventRequest(id=1))
        os.truncate(server.database, 4096)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetEvent(events_pb2.GetEventRequest(id=1000))
    assert from_rpc_error(refused.value).reason == "DATABASE_UNAVAILABLE"
    assert server.process.poll() is None


@pytest.mark.acceptance
@pytest.mark.long
def test_health_says_whether_the_database_can_be_written(serve: Serve, tmp_path: Path) -> None:
    """A full disk shows once a write failed. When there is room again, the server serves by itself."""
    server = serve(new=True)  # which leaves a log, as `no_room` needs it
    with grpc.insecure_channel(server.target) as channel:
        wait_for_health(channel, HealthCheckResponse.SERVING)
        with no_room(server):
            refused(server)
            wait_for_health(channel, HealthCheckResponse.NOT_SERVING)
            server.log.wait_for("not serving: cannot write to the database")
        wait_for_health(channel, HealthCheckResponse.SERVING)

        kept = tmp_path / "kept"
        kept.mkdir()
        for file in server.database.parent.glob(f"{server.database.name}*"):
            file.rename(kept / file.name)
        wait_for_health(channel, HealthCheckResponse.NOT_SERVING)
        server.log.wait_for(f"not serving: the file {server.database} is missing")
        errors = [refused(server) for _ in range(20)]
        assert {error.reason for error in errors} == {"DATABASE_UNAVAILABLE"}
        assert not server.database.exists()
        assert server.log.text.count("the database failed") < 10

        run("migrate", server.database)
        wait_for_health(channel, HealthCheckResponse.SERVING)
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        assert client.events.create(event()).id == 1
