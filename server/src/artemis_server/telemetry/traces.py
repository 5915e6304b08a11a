"""Traces by OpenTelemetry: a span for each call, and below it a span for each read or write of the database.

They are on when OTEL_TRACES_EXPORTER or an OTEL_EXPORTER_* variable is set. Otherwise nothing of OpenTelemetry is
imported. The SDK reads OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_PROPAGATORS, OTEL_BSP_*
and OTEL_EXPORTER_OTLP_* itself.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import grpc

from artemis_server.rpc.incoming import IncomingCall
from artemis_server.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

PROTOCOLS = {"grpc": "grpc", "http/protobuf": "http"}
"""The protocols of OTLP, and the part of their modules' names."""
MAX_FLUSH = 1.0
"""Seconds that a stop waits for a collector to take the last spans."""
_EXPORTER = "OTEL_TRACES_EXPORTER"
_SERVICE_NAME = "OTEL_SERVICE_NAME"
_NANOSECONDS = 1_000_000_000
_FAULTS = {
    *(grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED),
    *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS),
}
"""The codes that make the span of a server an error (OpenTelemetry, semantic conventions for gRPC)."""

log = logging.getLogger(__name__)


class TracesError(SettingsError):
    """The environment asks for traces that this program cannot make; its text is one line."""


def enabled(environment: Mapping[str, str] = os.environ) -> bool:
    """Tells whether the environment asks for traces (OpenTelemetry, environment variable specification).

    Raises:
        TracesError: it asks for an exporter or a protocol that does not exist, or OpenTelemetry is not installed.
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get(_EXPORTER, "")
    if exporter == "none" or not (exporter or any(key.startswith("OTEL_EXPORTER_") for key in environment)):
        return False
    if exporter not in ("", "otlp", "console"):
        raise TracesError(f"{_EXPORTER} must be otlp, console or none, not {exporter!r}")
    protocol = _protocol(environment)
    if protocol not in PROTOCOLS:
        raise TracesError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    if not _installed(f"opentelemetry.exporter.otlp.proto.{PROTOCOLS[protocol]}"):
        raise TracesError(
            "OTEL_* asks for traces, and OpenTelemetry is not installed: pip install artemis-server[otel]"
        )
    return True


def traces_of(system: str) -> "Traces | None":
    """Returns the tracer of this process; None if the environment asks for none. `system` is the database's name.

    Raises:
        TracesError: as `enabled`, or OpenTelemetry refuses its variables.
    """
    if not enabled():
        return None
    # The exporters log a header with a token that they cannot read, and repeat their failure for each batch, which
    # `_reporting` tells once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        return Traces(_exporter(os.environ), system)
    except Exception as error:
        text = str(error).partition("\n")[0]
        raise TracesError(f"the variables OTEL_* cannot be used: {type(error).__name__}: {text}") from error


def _exporter(environment: Mapping[str, str]) -> "SpanExporter":
    if environment.get(_EXPORTER) == "console":
        export = import_module("opentelemetry.sdk.trace.export")
        to_console: SpanExporter = export.ConsoleSpanExporter()
        return to_console
    name = f"opentelemetry.exporter.otlp.proto.{PROTOCOLS[_protocol(environment)]}.trace_exporter"
    over_network: SpanExporter = import_module(name).OTLPSpanExporter()
    return over_network


class Traces:
    """Makes the spans of one process. Make it after the process was forked: it starts a thread."""

    def __init__(self, exporter: "SpanExporter", system: str) -> None:
        """Gives the spans to the exporter, in batches. `system` is "sqlite" or "postgresql"."""
        from opentelemetry import propagate, trace  # noqa: PLC0415, costs nothing without traces
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415, likewise
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415, likewise
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415, likewise

        defaults = {} if os.environ.get(_SERVICE_NAME) else {"service.name": "artemis-server"}
        self._provider = TracerProvider(resource=Resource.create(defaults), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_reporting(exporter)))
        self._tracer = self._provider.get_tracer("artemis-server")
        self._extract = propagate.extract
        self._trace = trace
        self._system = system

    def begun(self, call: IncomingCall) -> None:
        """Begins the span of a call, below that of its caller, if the metadata name one (W3C Trace Context)."""
        parent = self._extract({key: value for key, value in call.metadata if isinstance(value, str)})
        service, _, method = call.method[1:].partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        attributes["artemis.request_id"] = call.request_id
        span = self._tracer.start_span(
            call.method[1:], context=parent, kind=self._trace.SpanKind.SERVER, attributes=attributes
        )
        call.span = span
        call.trace_id = format(span.get_span_context().trace_id, "032x")

    def ended(self, call: IncomingCall) -> None:
        """Ends the span of a call."""
        span, code = call.span, call.code or grpc.StatusCode.UNKNOWN
        span.set_attribute("rpc.grpc.status_code", code.value[0])
        if code in _FAULTS:
            span.set_status(self._trace.StatusCode.ERROR, call.reason)
        span.end()

    def done(self, operation: str, caller: object, seconds: float) -> None:
        """Makes the span of a read or write that has just ended."""
        parent = getattr(caller, "span", None)
        if parent is None:  # the server itself
            return
        now = time.time_ns()
        span = self._tracer.start_span(
            f"{operation} {self._system}",
            context=self._trace.set_span_in_context(parent),
            kind=self._trace.SpanKind.CLIENT,
            attributes={"db.system": self._system, "db.operation": operation},
            start_time=now - int(seconds * _NANOSECONDS),
        )
        span.end(now)

    def stop(self) -> None:
        """Exports the last spans. It waits for a collector that does not answer for MAX_FLUSH seconds at most."""
        stopping = threading.Thread(target=self._provider.shutdown, name="traces-stop", daemon=True)
        stopping.start()
        stopping.join(MAX_FLUSH)
        if stopping.is_alive():
            log.warning("the collector of traces does not answer: the last spans are lost")


def _protocol(environment: Mapping[str, str]) -> str:
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    return environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or general


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None and find_spec("opentelemetry.sdk") is not None
    except ModuleNotFoundError:
        return False


def _reporting(exporter: "SpanExporter") -> Any:
    """Returns the exporter, which logs when a collector begins to refuse spans, and when it takes them again."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: PLC0415, see Traces

    class Reporting(SpanExporter):
        fails = False

        def export(self, spans: Any) -> SpanExportResult:
            try:
                result = exporter.export(spans)
            except Exception:
                result = SpanExportResult.FAILURE
            fails = result is not SpanExportResult.SUCCESS
            if fails != self.fails:
                self.fails = fails
                if fails:
                    log.warning("the collector of traces takes no spans: they are lost until it does")
                else:
                    log.info("the collector of traces takes spans again")
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return exporter.force_flush(timeout_millis)

    return Reporting()
