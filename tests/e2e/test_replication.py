"""A primary with two standbys: the short form of `tests/robustness/replication.py`."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_models import create_engine
from artemis_server.db.connection.cancellation import InternalCaller
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.errors import Unavailable
from sqlalchemy.exc import OperationalError

from tests.e2e.samples import event_message
from tests.e2e.servers import PATIENCE, Server, run, serving
from tests.robustness.calls import code_of
from tests.robustness.replication import Cluster, Writers, cluster, lost_and_repeated, wait_for_status

pytestmark = pytest.mark.long

ABSENT = "absent"
"""The name of a synchronous standby that nobody has: a commit waits for it until it is cancelled."""
WAIT = 0.3
"""Seconds that a caller waits for an answer that cannot come."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A primary and two standbys, with a migrated database."""
    with cluster() as nodes:
        yield nodes


@pytest.fixture
def without_standbys(nodes: Cluster) -> Iterator[Cluster]:
    """The nodes while no standby confirms a commit."""
    nodes.primary.set(synchronous_standby_names=ABSENT)
    yield nodes
    nodes.primary.set(synchronous_standby_names="")


@pytest.fixture(scope="module")
def server(nodes: Cluster) -> Iterator[Server]:
    """A server that knows all nodes, and is never started again."""
    with serving(nodes.url) as server:
        yield server


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A connection to the server, which serves."""
    with grpc.insecure_channel(server.target) as channel:
        wait_for_status(channel, "SERVING")
        yield channel


def test_check_of_a_standby_is_one_line(nodes: Cluster) -> None:
    standby = f"postgresql://postgres@{nodes.standbys[0].address}/postgres"

    checked = run("check", standby)

    assert checked.returncode == 1
    assert checked.stderr == (
        "artemis-server: the database is read-only: it is a standby, or default_transaction_read_only is on\n"
    )


def test_hosts_that_are_all_standbys_are_one_line(nodes: Cluster) -> None:
    one, other = (node.address for node in nodes.standbys)

    checked = run("check", f"postgresql://postgres@{one},{other}/postgres")

    assert checked.returncode == 1
    assert checked.stderr.endswith(f": {one}: session is read-only; {other}: session is read-only\n")


def test_no_answer_tells_of_what_no_standby_has(nodes: Cluster, channel: grpc.Channel) -> None:
    stub = events_pb2_grpc.EventServiceStub(channel)
    number = str(uuid.uuid4())
    create = events_pb2.CreateEventRequest(event=event_message(name=number), request_id=number)
    delete = events_pb2.DeleteEventRequest(id=2**40, allow_missing=True)
    batch = events_pb2.BatchDeleteEventsRequest(requests=[delete])
    nodes.primary.set(synchronous_standby_names=ABSENT)

    refused = {
        code_of(partial(getattr(stub, name), request, timeout=WAIT))
        for name, request in 2 * [("CreateEvent", create), ("DeleteEvent", delete), ("BatchDeleteEvents", batch)]
    }
    wait_for_status(channel, "NOT_SERVING")
    told = code_of(partial(stub.CreateEvent, create, timeout=PATIENCE))  # which ends long before
    nodes.primary.set(synchronous_standby_names="")
    wait_for_status(channel, "SERVING")
    stub.CreateEvent(create, timeout=10)

    assert refused <= {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
    assert told == "UNAVAILABLE"
    assert [name for (name,) in nodes.primary.ask("SELECT name FROM events")].count(number) == 1


def test_a_commit_that_no_standby_confirmed_is_unavailable(without_standbys: Cluster) -> None:
    database = Database(create_engine(without_standbys.url))
    store = EventStore()
    try:
        for write in (database.write, database.write_statement):
            with pytest.raises(Unavailable) as failed:
                write(lambda session: store.create(session, event_message()), InternalCaller(WAIT))
            assert failed.value.reason == "NOT_REPLICATED"
    finally:
        database.close()


@pytest.mark.parametrize("options", ["", "?options=-c%20client_min_messages=error"])
def test_a_commit_past_the_server_fails_as_well(without_standbys: Cluster, options: str) -> None:
    """A load, which has its connection to itself, or a migration, whose COMMIT the database's operator cancels."""
    engine = create_engine(without_standbys.url + options)
    waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with engine.connect() as connection, ThreadPoolExecutor(1) as executor:
        connection.detach()
        connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'test', '')")
        commit = executor.submit(connection.commit)
        while not without_standbys.primary.ask(waiting):
            assert not commit.done()
        with pytest.raises(OperationalError, match="stored on this node only"):
            commit.result()
    engine.dispose()


@pytest.mark.acceptance
def test_writes_follow_the_primary(nodes: Cluster, channel: grpc.Channel) -> None:
    """The primary is killed; then its successor is made read-only while its connections stay, and a third takes over.

    No acknowledged write is lost, none is made twice, and the server is not started again.
    """
    nodes.replicate_synchronously()
    writers = Writers(channel, 4)
    with writers.writing():
        writers.wait_for(20)
        nodes.primary.kill()
        nodes.fail_over().follow(nodes.primary)
        writers.wait_for(20)
        nodes.wait_for_standbys()
        nodes.primary.set(default_transaction_read_only="on")
        old = nodes.fail_over()
        writers.wait_for(20)
        wait_for_status(channel, "SERVING")
        old.stop()
        old.follow(nodes.primary)

    assert lost_and_repeated(nodes, writers) == (0, 0)
    for node in nodes.nodes:
        node.set(synchronous_standby_names="")
