"""Metrics of the feeds that are loaded on their schedules. Prometheus reads them over http.

They count the loads of this process. When it starts, it reads each feed's last load from the history.
"""

import io
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server
from sqlalchemy import Connection

from artemis_loader.errors import ListenError
from artemis_loader.history import SUCCESSES, last_ended, last_success
from artemis_loader.summary import Counts, Status, Summary

ENDS = (Status.LOADED, Status.NOT_MODIFIED, Status.FAILED, Status.INTERRUPTED)
"""The states in which a scheduled load may end."""
MAX_SILENCE = 2.0
"""Seconds that a request waits for the next bytes of its client, which holds a thread."""


class _Handler(WSGIRequestHandler):
    """Logs no request, and no stack trace of one that its client does not end well."""

    timeout = MAX_SILENCE

    def handle(self) -> None:
        """Answers a request, unless its client says nothing or goes."""
        with suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the library's name
        """Logs nothing."""

    def get_stderr(self) -> io.StringIO:
        """Returns where the library writes stack traces."""
        return io.StringIO()


class LoadMetrics:
    """Counts the loads of some feeds. Threads may share it."""

    def __init__(self, feeds: Iterable[str]) -> None:
        self._feeds = tuple(feeds)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._last_success = self._gauge("last_success_timestamp_seconds", "When a load succeeded last; 0 if never.")
        self._last_load = self._gauge("last_load_timestamp_seconds", "When a load ended last; 0 if never.")
        self._duration = self._gauge("load_duration_seconds", "How long the last load took.")
        self._records = self._gauge("records", "Records or rows of the last load, by what became of them.", "outcome")
        self._loads = Counter(
            "artemis_loader_loads",
            "Loads since the loader started, by how they ended.",
            ("feed", "status"),
            registry=self._registry,
        )
        for feed in self._feeds:  # so that a counter is there before it grows
            self._set(feed, 0.0, 0.0, Counts())
            self._last_success.labels(feed)
            for status in ENDS:
                self._loads.labels(feed, status)

    def restore(self, connection: Connection) -> None:
        """Sets the metrics of each feed to its last load in the history."""
        for feed in self._feeds:
            last = last_ended(connection, feed)
            if last is not None and last.end_time is not None and last.seconds is not None:
                self._set(feed, last.end_time / 1e6, last.seconds, last.counts)
            self._last_success.labels(feed).set((last_success(connection, feed) or 0) / 1e6)

    def observe(self, feed: str, load: Callable[[], Summary]) -> Summary:
        """Loads a feed, counts the load by its status, also when it raises, and returns the summary."""
        summary = Summary(feed=feed, status=Status.FAILED)
        try:
            summary = load()
        finally:
            self._record(summary)
        return summary

    def listen(self, address: str) -> str:
        """Answers Prometheus on HOST:PORT or [IPV6]:PORT until the process ends; returns the address, with its port.

        Raises:
            ListenError: the address is taken, or not one of this machine's.
        """
        host, _, port = address.rpartition(":")
        try:
            server, _ = start_http_server(int(port), host.strip("[]"), self._registry)
        except OSError as error:
            raise ListenError(f"cannot listen on {address}: {error.strerror}") from None
        assert isinstance(server, WSGIServer)  # noqa: S101, for the type checker
        server.RequestHandlerClass = _Handler
        return f"{host}:{server.server_port}"

    def _record(self, summary: Summary) -> None:
        now = time.time()
        self._set(summary.feed, now, summary.seconds, summary.counts)
        self._loads.labels(summary.feed, summary.status).inc()
        if summary.status in SUCCESSES:
            self._last_success.labels(summary.feed).set(now)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"artemis_loader_{name}", text, ("feed", *labels), registry=self._registry)

    def _set(self, feed: str, end: float, seconds: float, counts: Counts) -> None:
        self._last_load.labels(feed).set(end)
        self._duration.labels(feed).set(seconds)
        for outcome, number in asdict(counts).items():
            self._records.labels(feed, outcome).set(number)
