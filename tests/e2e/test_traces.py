"""Traces: the spans of real calls, in process and through a collector that speaks OTLP."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client import ArtemisClient
from artemis_models import create_engine
from artemis_models.flags import OFF
from artemis_server.app import Application
from artemis_server.settings import Settings
from artemis_server.telemetry.traces import Traces, TracesError, enabled
from artemis_server.telemetry.worker import Telemetry
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.e2e.processes import Process
from tests.e2e.samples import event, event_message
from tests.e2e.servers import PATIENCE, environment, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)


@contextmanager
def traced(url: str) -> Iterator[tuple[str, InMemorySpanExporter]]:
    """Runs a server in this process, and yields its address and the spans that it has made once it has ended."""
    spans = InMemorySpanExporter()
    engine = create_engine(url, connections=100)
    settings = Settings(command="serve", database_url=url, listen="127.0.0.1:0", metrics_listen=OFF)
    application = Application(settings, engine, telemetry=Telemetry(settings, None, Traces(spans, engine.dialect.name)))
    port = application.start()
    try:
        yield f"127.0.0.1:{port}", spans
    finally:
        application.stop(PATIENCE)
        application.server.stop(0).wait()


def shown(span: ReadableSpan) -> tuple[str, dict[str, Any], str]:
    attributes = {key: value for key, value in (span.attributes or {}).items() if key != "artemis.request_id"}
    return span.name, attributes, span.status.status_code.name


def test_a_call_has_a_span_below_its_caller_and_the_database_has_one_below_it(database_url: str) -> None:
    with traced(database_url) as (target, exporter), grpc.insecure_channel(target) as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        create = events_pb2.CreateEventRequest(event=event_message())
        stub.CreateEvent(create, timeout=PATIENCE, metadata=TRACEPARENT)
        with pytest.raises(grpc.RpcError):
            stub.GetEvent(events_pb2.GetEventRequest(id=2**62), timeout=PATIENCE)
    system = database_url.partition(":")[0].partition("+")[0]
    write, created, read, failed = exporter.get_finished_spans()
    service = {"rpc.system": "grpc", "rpc.service": "artemis.v1.EventService"}
    assert [shown(span) for span in (write, created, read, failed)] == [
        (f"write {system}", {"db.system": system, "db.operation": "write"}, "UNSET"),
        (
            "artemis.v1.EventService/CreateEvent",
            {**service, "rpc.method": "CreateEvent", "rpc.grpc.status_code": 0},
            "UNSET",
        ),
        (f"read {system}", {"db.system": system, "db.operation": "read"}, "UNSET"),
        ("artemis.v1.EventService/GetEvent", {**service, "rpc.method": "GetEvent", "rpc.grpc.status_code": 5}, "UNSET"),
    ]
    assert created.parent is not None
    assert (format(created.parent.trace_id, "032x"), format(created.parent.span_id, "016x")) == (TRACE, PARENT)
    assert failed.parent is None
    for below, above in ((write, created), (read, failed)):
        assert below.parent is not None
        assert above.context is not None
        assert below.parent.span_id == above.context.span_id
        assert above.start_time is not None
        assert below.start_time is not None
        assert above.start_time - 1_000_000 <= below.start_time
    assert {span.resource.attributes["service.name"] for span in (write, failed)} == {"artemis-server"}


class Collector:
    """A collector that speaks OTLP over HTTP: it keeps the names of the spans that it gets, and the ids of traces."""

    def __init__(self) -> None:
        spans: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend((span.name, span.trace_id.hex()) for span in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.spans = spans
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.acceptance
def test_a_collector_gets_the_spans_of_all_workers_and_the_log_names_their_traces(
    sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    try:
        with serving(sqlite_file, "--workers", "2", "--log-format", "json", "--log-sample", "1") as server:
            with grpc.insecure_channel(server.target) as channel:
                stub = events_pb2_grpc.EventServiceStub(channel)
                stub.ListEvents(events_pb2.ListEventsRequest(), timeout=PATIENCE, metadata=TRACEPARENT)
            assert server.stop() == 0
            assert f'"trace_id":"{TRACE}"' in server.log.text
        assert ("artemis.v1.EventService/ListEvents", TRACE) in collector.spans
        assert ("read sqlite", TRACE) in collector.spans
    finally:
        collector.stop()


def test_a_collector_that_is_away_is_named_once_and_harms_no_call(
    sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization Bearer s3cret")  # which is malformed
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with serving(sqlite_file) as server:
        with ArtemisClient(server.target, timeout=PATIENCE) as client:
            made = client.events.create(event())
            server.log.wait_for("the collector of traces takes no spans")
            for _ in range(20):
                assert client.events.get(made.id) == made
        assert server.stop() == 0
        assert server.log.text.count("collector") == 1
        assert "s3cret" not in server.log.text
        assert "Traceback" not in server.log.text


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_TRACES_EXPORTER": ""},
    ],
)
def test_traces_are_off_unless_an_exporter_is_named(variables: dict[str, str]) -> None:
    assert not enabled(variables)


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_traces_are_on_when_an_exporter_is_named(variables: dict[str, str]) -> None:
    assert enabled(variables)


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER must be otlp, console or none, not 'zipkin'"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL must be one of grpc, http/protobuf, not 'http/json'",
        ),
    ],
)
def test_an_exporter_that_there_is_not_is_named(variables: dict[str, str], text: str) -> None:
    with pytest.raises(TracesError, match=f"^{text}$"):
        enabled(variables)


def program(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs one of `tests.programs`."""
    process = Process(["tests.programs", *command], environment() | variables)
    out, err = process.communicate(PATIENCE)
    return subprocess.CompletedProcess(command, process.wait(PATIENCE), out, err)


def test_without_the_extra_one_line_says_what_to_install() -> None:
    ended = program("serve_without_opentelemetry", "sqlite:////nowhere/x.db", OTEL_TRACES_EXPORTER="otlp")
    expected = (
        "artemis-server: OTEL_* asks for traces, and OpenTelemetry is not installed: pip install artemis-server[otel]"
    )
    assert (ended.returncode, ended.stderr.splitlines()) == (2, [expected])


def test_without_traces_nothing_of_opentelemetry_is_imported() -> None:
    assert program("print_the_modules_of", "opentelemetry").stdout == "[]\n"
    assert program("print_the_modules_of", "artemis_server").stdout != "[]\n", "the program can tell"
