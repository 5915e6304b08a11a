"""Two servers on one database, of either engine: what one changes, the other sees at once. And a client of several."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from artemis.v1 import events_pb2
from artemis_client import ArtemisClient, Event, NotFound

from tests.e2e.load import load_on
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, serving
from tests.e2e.wire import EVENTS


def test_what_another_server_changes_is_never_stale(database_url: str) -> None:
    """Also when the other has read the event before, and keeps what it answered."""
    with (
        serving(database_url) as one,
        serving(database_url) as other,
        ArtemisClient(one.target, timeout=PATIENCE) as first,
        ArtemisClient(other.target, timeout=PATIENCE) as second,
    ):
        current = first.events.create(event())
        for number in range(5):
            assert current == second.events.get(current.id) == second.events.get(current.id)
            assert [current] == list(second.events.list(filter=f"id = {current.id}"))
            current = first.events.update(Event(id=current.id, location=str(number)))
        first.events.delete(current.id)
        assert list(second.events.list(filter=f"id = {current.id}")) == []
        with pytest.raises(NotFound):
            second.events.get(current.id)


def test_a_client_of_several_servers_sees_no_error_when_one_stops(database_url: str) -> None:
    with (
        serving(database_url) as one,
        serving(database_url) as other,
        load_on(f"ipv4:{one.target},{other.target}") as load,
    ):
        load.wait_for(20)
        assert one.stop() == 0
        load.wait_for(load.count + 20)
        load.stop()
        _, errors = load.finish()
    assert errors == []


@contextmanager
def numbered(number: int) -> Iterator[str]:
    """Runs a server whose events have this number, and yields its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    get = grpc.unary_unary_rpc_method_handler(
        lambda _, __: events_pb2.Event(id=number),
        request_deserializer=events_pb2.GetEventRequest.FromString,
        response_serializer=events_pb2.Event.SerializeToString,
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(EVENTS, {"GetEvent": get})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_client_sends_its_calls_to_each_server_of_the_name_in_turn_and_misses_none_that_stops() -> None:
    with numbered(1) as first:
        with numbered(2) as second, ArtemisClient(f"ipv4:{first},{second}") as client:
            seen = set[int]()
            while seen != {1, 2}:  # either may be connected first
                seen.add(client.events.get(1).id)
            assert {client.events.get(1).id for _ in range(2)} == {1, 2}
        with ArtemisClient(f"ipv4:{first},{second}") as client:
            assert {client.events.get(1).id for _ in range(20)} == {1}
