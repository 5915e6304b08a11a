"""The telemetry of one process that serves: it puts metrics, traces and the request log together."""

import logging
import time
from dataclasses import dataclass
from socket import socket

from artemis_server import logs
from artemis_server.db.connection.cancellation import Caller
from artemis_server.db.connection.observer import Observer as DatabaseObserver
from artemis_server.rpc.calls import Observer
from artemis_server.settings import Settings
from artemis_server.telemetry.endpoint import Endpoint
from artemis_server.telemetry.families import Layout
from artemis_server.telemetry.memory import Memory
from artemis_server.telemetry.pages import Page
from artemis_server.telemetry.recorder import Gauges, Recorder, Sampler, gauges_of
from artemis_server.telemetry.request_log import NAME, RequestLog
from artemis_server.telemetry.traces import Traces

SUMS, WORKERS = "/metrics", "/metrics/workers"
"""The paths of the pages."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The parts of the metrics that the workers of a server share. They are made before the workers are forked."""

    listening: socket
    layout: Layout
    memory: Memory


class Telemetry(DatabaseObserver):
    """Observes the calls and the database of one process. Make it after the process was forked."""

    def __init__(
        self, settings: Settings, metrics: Metrics | None = None, traces: Traces | None = None, *, worker: int = 1
    ) -> None:
        """With `metrics` it counts as the worker of this number."""
        self._metrics = metrics
        self._traces = traces
        self._recorder: Recorder | None = None
        if metrics is not None:
            self._block = metrics.memory.take(worker, gauges_of(metrics.layout))
            self._recorder = Recorder(metrics.layout, self._block)
        self._log = _request_log(settings, self._recorder)
        self._sampler: Sampler | None = None
        self._endpoint: Endpoint | None = None

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The observers of each call. The traces are first, because the log has their ids."""
        return tuple(each for each in (self._traces, self._recorder, self._log) if each is not None)

    def unknown(self) -> None:
        """Counts a call to a method that the server does not have."""
        if self._recorder is not None:
            self._recorder.unknown()

    def done(self, operation: str, caller: Caller, began: float) -> None:
        """Counts a read or a write that has ended, and makes its span."""
        seconds = time.monotonic() - began
        if self._recorder is not None:
            self._recorder.database(operation, seconds)
        if self._traces is not None:
            self._traces.done(operation, caller, seconds)

    def routed(self, result: str) -> None:
        """Counts where a read of a caller went."""
        if self._recorder is not None:
            self._recorder.routed(result)

    def committed(self, size: int) -> None:
        """Counts a transaction of SQLite's writer."""
        if self._recorder is not None:
            self._recorder.group(size)

    def watch_ended(self, reason: str) -> None:
        """Counts a watch that has ended."""
        if self._recorder is not None:
            self._recorder.watch_ended(reason)

    def start(self, gauges: Gauges) -> None:
        """Starts to read the gauges, to write the log, and to answer Prometheus."""
        if self._log is not None:
            self._log.start()
        if self._metrics is None or self._recorder is None:
            return
        self._sampler = Sampler(self._recorder, self._block, gauges)
        self._sampler.start()
        layout, memory = self._metrics.layout, self._metrics.memory
        pages = {
            SUMS: Page(layout, memory, by_worker=False),
            WORKERS: Page(layout, memory, by_worker=True),
        }
        self._endpoint = Endpoint(self._metrics.listening, pages)
        self._endpoint.start()

    def flush_log(self) -> None:
        """Writes the lines of the request log that wait."""
        if self._log is not None:
            self._log.flush()

    def stop(self) -> None:
        """Writes the last lines and exports the last spans. Nothing may be observed after it."""
        if self._endpoint is not None:
            self._endpoint.stop()
        if self._sampler is not None:
            self._sampler.stop()
        if self._log is not None:
            self._log.stop()
        if self._traces is not None:
            self._traces.stop()


def _request_log(settings: Settings, recorder: Recorder | None) -> RequestLog | None:
    formatter = logs.formatter()
    if formatter is None:  # nobody set the log up
        return None
    return RequestLog(
        formatter,
        logs.write,
        level=logging.getLogger(NAME).getEffectiveLevel(),
        sample=settings.log_sample,
        slow=settings.log_slow,
        omitted=(lambda _: None) if recorder is None else recorder.omitted,
    )
