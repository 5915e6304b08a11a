"""Health and reflection: what monitors and tools see of a server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client import ArtemisClient, Unavailable
from artemis_client.errors import from_rpc_error
from artemis_server.reflection import MAX_QUESTION, MAX_STREAMS, ReflectionServicer, add_reflection
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from tests.e2e.conftest import Serve
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, run, wait_for_health, watch_health
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
    with ArtemisClient(server.target, timeout=PATIENCE) as client, grpc.insecure_channel(server.target) as channel:
        assert [check(channel, each) for each in SERVICES] == [HealthCheckResponse.NOT_SERVING] * 3
        assert server.log.wait_for(r"schema revision none, and this program needs \w+: run `artemis-server migrate`")
        with pytest.raises(grpc.RpcError) as refused:
            events_pb2_grpc.EventServiceStub(channel).GetEvent(events_pb2.GetEventRequest(id=1), timeout=PATIENCE)
        error = from_rpc_error(refused.value)
        assert (type(error), error.reason) == (Unavailable, "SCHEMA_MISMATCH")
        assert error.retry_delay is not None

        assert run("migrate", server.database).returncode == 0

        for service in SERVICES:
            wait_for_health(channel, HealthCheckResponse.SERVING, service)
        stored = client.events.create(event())
        assert [stored] == list(client.events.list())
    assert server.stop() == 0
    assert "Traceback" not in server.log.text


class Reflection:
    """An open stream of reflection: each question is answered before the next one is asked."""

    def __init__(self, channel: grpc.Channel, version: str) -> None:
        self._questions: SimpleQueue[ServerReflectionRequest | None] = SimpleQueue()
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        self._answers = ask(iter(self._questions.get, None), timeout=PATIENCE)

    def ask(self, field: str, value: str) -> ServerReflectionResponse:
        question = ServerReflectionRequest()
        setattr(question, field, value)
        self._questions.put(question)
        return next(self._answers)

    def file_of(self, symbol: str) -> FileDescriptorProto:
        answer = self.ask("file_containing_symbol", symbol)
        return FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])

    def close(self) -> None:
        self._questions.put(None)


@contextmanager
def reflection(channel: grpc.Channel, version: str = "v1") -> Iterator[Reflection]:
    stream = Reflection(channel, version)
    try:
        yield stream
    finally:
        stream.close()


VERSIONS = pytest.mark.parametrize("version", ["v1", "v1alpha"])


@VERSIONS
def test_reflection_lists_every_service(channel: grpc.Channel, version: str) -> None:
    with reflection(channel, version) as stream:
        services = [each.name for each in stream.ask("list_services", "").list_services_response.service]

    assert sorted(services) == [
        EVENTS,
        USERS,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


@VERSIONS
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        (EVENTS, "artemis/v1/events.proto"),
        (f"{EVENTS}.CreateEvent", "artemis/v1/events.proto"),
        (f"{USERS}.ListUsers", "artemis/v1/users.proto"),
        ("artemis.v1.Event", "artemis/v1/events.proto"),
        ("artemis.v1.Event.owner_id", "artemis/v1/events.proto"),
        ("grpc.health.v1.Health.Watch", "grpc_health/v1/health.proto"),
        ("grpc.health.v1.HealthCheckResponse.SERVING", "grpc_health/v1/health.proto"),
        ("grpc.reflection.v1.ServerReflection.ServerReflectionInfo", "grpc_reflection/v1/reflection.proto"),
        ("grpc.reflection.v1.ServerReflectionRequest", "grpc_reflection/v1/reflection.proto"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc_reflection/v1alpha/reflection.proto"),
    ],
)
def test_reflection_finds_the_file_of_a_symbol(channel: grpc.Channel, version: str, symbol: str, file: str) -> None:
    with reflection(channel, version) as stream:
        assert stream.file_of(symbol).name == file
        answer = stream.ask("file_by_filename", file)

    assert FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0]).name == file


@pytest.mark.parametrize("symbol", ["artemis.v1.EventService.Nonsense", "artemis.v2.Event", ""])
def test_reflection_says_that_a_symbol_is_unknown(channel: grpc.Channel, symbol: str) -> None:
    with reflection(channel) as stream:
        answer = stream.ask("file_containing_symbol", symbol)

    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_reflection_refuses_a_question_that_is_too_long(channel: grpc.Channel) -> None:
    with reflection(channel) as stream, pytest.raises(grpc.RpcError) as refused:
        stream.ask("file_containing_symbol", "x" * MAX_QUESTION)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_reflection_describes_the_methods(channel: grpc.Channel) -> None:
    with reflection(channel) as stream:
        file = stream.file_of(EVENTS)

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
        "WatchEvents",
        "ListEventChanges",
    ]


def test_idle_streams_of_reflection_keep_no_other_from_being_answered(channel: grpc.Channel) -> None:
    """A further stream ends the one that was used least recently; one in use goes on."""
    streams = [Reflection(channel, "v1") for _ in range(MAX_STREAMS)]
    for stream in [*streams, streams[0]]:
        assert stream.file_of(EVENTS).name == "artemis/v1/events.proto"

    with reflection(channel) as further:
        assert further.file_of(USERS).name == "artemis/v1/users.proto"

    with pytest.raises(grpc.RpcError) as ended:
        streams[1].ask("list_services", "")
    assert ended.value.code() is grpc.StatusCode.CANCELLED
    assert streams[0].file_of(USERS).name == "artemis/v1/users.proto"
    for stream in streams:
        stream.close()


def test_the_threads_of_reflection_belong_to_one_server() -> None:
    """A pool that is set on the class would be the pool of every server in the process."""
    add_reflection([EVENTS], grpc.server(ThreadPoolExecutor(1)))

    assert not hasattr(ReflectionServicer.ServerReflectionInfo, "experimental_thread_pool")


@VERSIONS
def test_reflection_can_be_turned_off(serve: Serve, version: str) -> None:
    with grpc.insecure_channel(serve("--no-reflection").target) as channel:
        refused = refusal(channel, f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo", b"")

        assert refused is not None
        assert refused.code() is grpc.StatusCode.UNIMPLEMENTED
        assert check(channel, "") == HealthCheckResponse.SERVING
