"""Read replicas, with a real primary and two standbys. The long form is `tests/robustness/replicas.py`."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client import Aborted, ArtemisClient, Event, NotFound
from artemis_models import create_engine
from artemis_server.db.connection.database import Database
from artemis_server.db.connection.observer import Observer
from artemis_server.db.events import EventStore
from artemis_server.db.replicas.routing import Replicas
from sqlalchemy import event as engine_event

from tests.e2e.samples import event, event_message
from tests.e2e.servers import PATIENCE, Server, run
from tests.robustness.calls import code_of
from tests.robustness.replicas import early, read_while_lagging, routed, server_with_replicas, urls
from tests.robustness.replication import Cluster, Node, cluster, wait_for_status

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A primary and two standbys, with a migrated database."""
    with cluster() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def server(nodes: Cluster) -> Iterator[Server]:
    """A server whose replicas are all nodes, and which is never started again."""
    with server_with_replicas(nodes) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[ArtemisClient]:
    with ArtemisClient(server.target, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def late(server: Server, client: ArtemisClient) -> Iterator[ArtemisClient]:
    """A client that has seen so little that any standby may answer it."""
    client.events.create(event())
    with ArtemisClient(server.target, timeout=PATIENCE) as late:
        late.position = early(client.position)
        yield late


def wait_until_a_replica_reads(server: Server, read: Callable[[], object]) -> None:
    """Reads until a replica has answered."""
    before, end = routed(server)["replica"], time.monotonic() + PATIENCE
    while routed(server)["replica"] == before:
        assert time.monotonic() < end, f"no replica answers: {routed(server)}\n{server.log.text}"
        read()


def wait_until_replayed(nodes: Cluster, *standbys: Node) -> None:
    """Waits until these standbys, or all, have replayed what the primary has flushed."""
    ((flushed,),) = nodes.primary.ask("SELECT pg_current_wal_flush_lsn()::text")
    end = time.monotonic() + PATIENCE
    for standby in standbys or nodes.standbys:
        while standby.ask(f"SELECT pg_last_wal_replay_lsn() >= '{flushed}'") != [(True,)]:
            assert time.monotonic() < end, "the standby does not replay"


def test_a_replica_answers_only_those_whose_writes_it_has(
    nodes: Cluster, server: Server, client: ArtemisClient, late: ArtemisClient
) -> None:
    old = client.events.create(event(location="old"))
    wait_until_a_replica_reads(server, lambda: client.events.get(old.id))
    wait_until_replayed(nodes)  # on both
    with ExitStack() as stack, ArtemisClient(server.target) as without_position:
        for standby in nodes.standbys:
            stack.enter_context(standby.paused())
        new = client.events.update(Event(id=old.id, location="new"))
        other = client.events.create(event())

        assert late.events.get(old.id) == old, "the replicas must lag for this test to mean something"
        assert list(late.events.list(filter=f"id = {old.id}")) == late.events.batch_get([old.id]) == [old]
        for reader in (client, without_position):
            assert reader.events.get(old.id) == new
            assert list(reader.events.list(filter=f"id = {old.id}")) == reader.events.batch_get([old.id]) == [new]
        assert late.events.get(other.id) == other, "an event that a replica has not may be on the primary"
        assert late.events.batch_get([other.id]) == [other]
        with pytest.raises(Aborted):
            late.events.update(Event(id=old.id, location="newer", etag=old.etag))
        assert late.events.get(old.id) == new, "the etag of the error is the one to read next"
    with pytest.raises(NotFound):
        client.events.get(2**40)


def test_answers_of_a_replica_are_those_of_the_primary(server: Server, client: ArtemisClient) -> None:
    """Pages may be read from both in turn."""
    made = client.events.batch_create([event(name=f"page {number}") for number in range(7)])
    matching, order = 'name : "page"', "name desc"
    with ArtemisClient(server.target) as without_position, grpc.insecure_channel(server.target) as channel:
        wait_until_a_replica_reads(server, lambda: client.events.get(made[0].id))
        whole = list(without_position.events.list(filter=matching, order_by=order))
        assert list(client.events.list(filter=matching, order_by=order, page_size=2)) == whole
        stub = events_pb2_grpc.EventServiceStub(channel)
        found: list[Event] = []
        token = ""
        for number in range(4):
            request = events_pb2.ListEventsRequest(filter=matching, order_by=order, page_size=2, page_token=token)
            metadata = (("x-artemis-position", client.position),) if number % 2 else ()
            page = stub.ListEvents(request, metadata=metadata)
            found += map(Event.from_message, page.events)
            token = page.next_page_token

    assert found == whole == made[::-1]
    assert token == ""


def test_no_read_is_stale_while_standbys_lag(nodes: Cluster, server: Server) -> None:
    before = routed(server)
    reads, stale, _ = read_while_lagging(nodes, [server], 400)

    assert (reads >= 400, stale) == (True, 0)
    went = routed(server) - before
    assert went["replica"] > 0
    assert went["behind"] > 0


def test_reads_with_what_is_no_position_go_to_the_primary(server: Server, client: ArtemisClient) -> None:
    made = client.events.create(event())
    wait_until_a_replica_reads(server, lambda: client.events.get(made.id))
    before = routed(server)["replica"]
    known = ("x-artemis-position", client.position)
    with grpc.insecure_channel(server.target) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        for text in ("", "x", "f" * 40, "0" * 40, "-" * 40, "F" * 40, "f" * 4000, f"{client.position}0"):
            for metadata in ((("x-artemis-position", text),), (known, ("x-artemis-position", text))):
                found = stub.GetEvent(events_pb2.GetEventRequest(id=made.id), metadata=metadata)
                assert Event.from_message(found) == made

    assert routed(server)["replica"] == before


class Recorded(Observer):
    """Counts where reads went."""

    def __init__(self) -> None:
        self.went: Counter[str] = Counter()

    def routed(self, result: str) -> None:
        self.went[result] += 1


class Reading:
    """A caller who has read a position in the trailers of its write."""

    def __init__(self, position: str = "") -> None:
        self.position = position
        self.reached = ""

    def time_remaining(self) -> float:
        return PATIENCE

    def is_active(self) -> bool:
        return True


def test_a_balancer_of_standbys_gives_no_stale_read(nodes: Cluster) -> None:
    """A URL must lead to one node. Here each new connection leads to another one, of which one replays nothing."""
    store, recorded = EventStore(), Recorded()
    balanced, ports = create_engine(f"postgresql://postgres@{nodes.primary.address}/postgres"), count()
    current, behind = nodes.standbys

    def balance(_dialect: object, _record: object, _args: object, params: dict[str, Any]) -> None:
        params["port"] = (current, behind)[next(ports) % 2].port

    engine_event.listen(balanced, "do_connect", balance)
    replicas = Replicas([balanced], recorded)
    with closing(Database(create_engine(nodes.url), observer=recorded, replicas=replicas)) as database:
        writer = Reading()
        old = database.write(lambda session: store.create(session, event_message(location="old")), writer)
        wait_until_replayed(nodes)
        with behind.paused(), ThreadPoolExecutor(4) as executor:
            new = database.write(
                lambda session: store.update(session, old.id, event_message(location="new"), ["location"], ""), writer
            )
            wait_until_replayed(nodes, current)
            replicas.start()
            get = partial(store.get, row_id=old.id)
            end = time.monotonic() + PATIENCE
            while recorded.went["replica"] < 20:
                assert time.monotonic() < end, recorded.went
                assert set(executor.map(lambda _: database.read(get, Reading(writer.reached)).location, range(8))) == {
                    new.location
                }


def test_silent_and_restarted_standbys_cost_no_read(nodes: Cluster, server: Server, client: ArtemisClient) -> None:
    made = client.events.create(event())
    wait_until_a_replica_reads(server, lambda: client.events.get(made.id))
    with ExitStack() as stack:
        for standby in nodes.standbys:
            stack.enter_context(standby.silent())
        assert [client.events.get(made.id) for _ in range(20)] == [made] * 20
        with grpc.insecure_channel(server.target) as channel:
            wait_for_status(channel, "SERVING")
    wait_until_a_replica_reads(server, lambda: client.events.get(made.id))
    for standby in nodes.standbys:
        standby.kill()
        assert client.events.get(made.id) == made
        standby.start()
        assert client.events.get(made.id) == made
    nodes.wait_for_standbys()
    wait_until_a_replica_reads(server, lambda: client.events.get(made.id))


def test_replicas_answer_while_the_primary_is_away(nodes: Cluster) -> None:
    """Also a list with pages, of a server that has seen none before."""
    with server_with_replicas(nodes) as server, ArtemisClient(server.target, timeout=PATIENCE) as client:
        made, other = client.events.batch_create([event(), event()])
        wait_until_a_replica_reads(server, lambda: client.events.get(made.id))
        wait_until_replayed(nodes)
        position = client.position
        nodes.primary.kill()

        for _ in range(50):
            assert client.events.get(made.id) == made
            assert list(client.events.list(filter=f"id = {made.id}")) == [made]
        assert list(client.events.list(filter=f"id >= {made.id}", page_size=1)) == [made, other]
        with grpc.insecure_channel(server.target) as channel:
            stub = events_pb2_grpc.EventServiceStub(channel)
            assert code_of(lambda: stub.GetEvent(events_pb2.GetEventRequest(id=made.id))) == "UNAVAILABLE"

        old = nodes.fail_over()
        old.follow(nodes.primary)
        nodes.wait_for_standbys()
        with grpc.insecure_channel(server.target) as channel:
            wait_for_status(channel, "SERVING")
        assert client.events.get(made.id) == made
        wait_until_a_replica_reads(server, lambda: client.events.get(made.id))
        assert client.position > position, "the old position is of the old timeline, which no replica answers any more"
        written = client.events.update(Event(id=made.id, location="new"))
        assert client.events.get(made.id) == written


def test_check_refuses_what_is_no_replica(nodes: Cluster, postgresql_url: str) -> None:
    """Every node may be named, but not the primary alone. The other database is another cluster's."""
    primary, standby = (f"postgresql://postgres@{node.address}/postgres" for node in (nodes.primary, nodes.standbys[0]))
    expected = {
        urls(nodes): "",
        primary: "it is a primary",
        f"{standby},postgresql://postgres@nowhere.invalid/postgres": "failed to resolve host 'nowhere.invalid'",
    }
    for value, failure in expected.items():
        checked = run("check", nodes.url, "--replica-url", value)
        assert (checked.returncode, checked.stderr.count("\n")) == ((1, 1) if failure else (0, 0))
        assert failure in checked.stderr
    foreign = run("check", postgresql_url, "--replica-url", standby)
    sibling = run("check", nodes.url, "--replica-url", f"{standby.removesuffix('postgres')}template1")
    for checked in (foreign, sibling):
        assert checked.stderr.endswith(": it belongs to another cluster than the primary, or is another database\n")
