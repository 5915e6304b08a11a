"""The end of a server, ordered or not, while requests come in: what was acknowledged is kept."""

import grpc
import pytest
from artemis_client import ArtemisClient, Unavailable
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.e2e.conftest import Serve
from tests.e2e.load import load_on
from tests.e2e.servers import PATIENCE, Server, query, watch_health
from tests.e2e.wire import EVENTS, USERS

CREATES = 200
"""Events that are acknowledged before the server is ended."""


def stored_ids(server: Server) -> set[int]:
    return {event_id for (event_id,) in query(server.database, "SELECT id FROM events")}


def test_sigterm_under_load_ends_well_and_finishes_what_was_accepted(serve: Serve) -> None:
    """Each acknowledged write is stored, and each stored write was acknowledged."""
    server = serve()
    with load_on(server.target, retries=False) as load:
        load.wait_for(CREATES)
        code = server.stop()
        acknowledged, _ = load.finish()

    assert code == 0
    assert acknowledged == stored_ids(server)
    assert "Traceback" not in server.log.text
    assert server.log.text.endswith("stopped\n")


@pytest.mark.acceptance
def test_sigterm_under_load_refuses_the_rest_as_unavailable(serve: Serve) -> None:
    """Not as cancelled, which is what a caller does: the call may be made again, on another server."""
    server = serve()
    with load_on(server.target, threads=16, retries=False) as load:
        load.wait_for(5 * CREATES)
        server.stop()
        _, errors = load.finish()

    assert {type(error) for error in errors} == {Unavailable}


def test_sigterm_turns_the_health_to_not_serving(serve: Serve) -> None:
    server = serve("--shutdown-grace", "1")
    with grpc.insecure_channel(server.target) as channel:
        updates = {service: watch_health(channel, service) for service in ("", EVENTS, USERS)}
        assert all(HealthCheckResponse.SERVING in each for each in updates.values())

        server.process.terminate()

        assert all(HealthCheckResponse.NOT_SERVING in each for each in updates.values())
    assert server.stop() == 0


def test_a_watch_of_the_health_does_not_hold_up_the_end(serve: Serve) -> None:
    """A watch is not a request that can finish: waiting for it would make every stop last the whole grace."""
    server = serve("--shutdown-grace", str(10 * PATIENCE))
    with grpc.insecure_channel(server.target) as channel:
        updates = watch_health(channel)
        assert next(updates) == HealthCheckResponse.SERVING

        server.process.terminate()

        assert server.process.wait(PATIENCE) == 0


def test_sigkill_under_load_keeps_what_was_acknowledged(serve: Serve) -> None:
    """The next server on the file has it all, and goes on with new ids."""
    server = serve()
    with load_on(server.target, retries=False) as load:
        load.wait_for(CREATES)
        server.kill()
        acknowledged, _ = load.finish()

    with ArtemisClient(serve().target, timeout=PATIENCE) as client:
        listed = {each.id for each in client.events.list(page_size=1000)}
        assert acknowledged <= listed
        assert client.events.create(next(client.events.list())).id > max(listed)
