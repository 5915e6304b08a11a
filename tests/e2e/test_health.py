"""Health and reflection: what monitors and tools see of a server."""

import grpc
import pytest
from artemis_client import ArtemisClient, Unavailable
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.e2e.conftest import Serve
from tests.e2e.samples import event
from tests.e2e.servers import run, wait_for_health, watch_health
from tests.e2e.wire import EVENTS, USERS, refusal, send

SERVICES = ("", EVENTS, USERS)


def check(channel: grpc.Channel, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    return HealthCheckResponse.FromString(send(channel, "/grpc.health.v1.Health/Check", request)).status


@pytest.mark.parametrize("service", SERVICES)
def test_a_server_that_started_is_serving(channel: grpc.Channel, service: str) -> None:
    assert check(channel, service) == HealthCheckResponse.SERVING
    assert next(watch_health(channel, service)) == HealthCheckResponse.SERVING


def test_the_health_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="artemis.v1.Nonsense").SerializeToString()

    refused = refusal(channel, "/grpc.health.v1.Health/Check", request)

    assert refused is not None
    assert refused.code() is grpc.StatusCode.NOT_FOUND


def test_a_server_without_a_schema_waits_for_it(serve: Serve) -> None:
    """It says which revision it needs, refuses requests as one that may be asked again, and then serves by itself."""
    server = serve("--no-migrate")
    with ArtemisClient(server.target) as client, grpc.insecure_channel(server.target) as channel:
        assert [check(channel, each) for each in SERVICES] == [HealthCheckResponse.NOT_SERVING] * 3
        assert server.log.wait_for(r"schema revision none, and this program needs \w+: run `artemis-server migrate`")
        with pytest.raises(Unavailable) as refused:
            client.events.get(1)
        assert refused.value.reason == "SCHEMA_MISMATCH"
        assert refused.value.retry_delay is not None

        assert run("migrate", server.database).returncode == 0

        for service in SERVICES:
            wait_for_health(channel, HealthCheckResponse.SERVING, service)
        stored = client.events.create(event())
        assert [stored] == list(client.events.list())
    assert server.stop() == 0
    assert "Traceback" not in server.log.text


def test_reflection_lists_every_service(channel: grpc.Channel) -> None:
    services = ProtoReflectionDescriptorDatabase(channel).get_services()

    assert sorted(services) == [EVENTS, USERS, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]


def test_reflection_describes_the_methods(channel: grpc.Channel) -> None:
    file = ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(EVENTS)

    assert [method.name for method in file.service[0].method] == [
        "CreateEvent",
        "GetEvent",
        "ListEvents",
        "UpdateEvent",
        "DeleteEvent",
        "BatchGetEvents",
        "BatchCreateEvents",
        "BatchUpdateEvents",
        "BatchDeleteEvents",
    ]


def test_reflection_can_be_turned_off(serve: Serve) -> None:
    with grpc.insecure_channel(serve("--no-reflection").target) as channel:
        refused = refusal(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"")

        assert refused is not None
        assert refused.code() is grpc.StatusCode.UNIMPLEMENTED
        assert check(channel, "") == HealthCheckResponse.SERVING
