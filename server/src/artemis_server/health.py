"""Health (grpc.health.v1): the status follows the database and its schema, which a thread of its own probes."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from artemis_server.streams import OpenStreams

INTERVAL = 2.0
"""Seconds between probes, and the longest that a probe may take."""
MAX_NOTIFY = 1.0
"""Seconds that a stopping server waits at most for its watches to receive NOT_SERVING."""

log = logging.getLogger(__name__)


class HealthServicer(health.HealthServicer):
    """The standard servicer; a thread of its own notifies the watches, and the server can end them.

    The standard one holds its lock while it notifies a watch and waits for gRPC's thread of events. When that
    thread waits for the lock, because another watch has ended, the server no longer answers anybody.
    """

    def __init__(self, streams: OpenStreams) -> None:
        super().__init__()
        self._streams = streams
        self._notifier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health-watches")

    def Watch(  # noqa: N802, gRPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Any = None,
    ) -> Any:
        """Streams the status of a service."""
        self._streams.add(context)
        return super().Watch(request, context, partial(self._notifier.submit, send_response_callback))

    def enter_graceful_shutdown(self) -> None:
        """Sets every status to NOT_SERVING for good, and returns when the watches have received it."""
        super().enter_graceful_shutdown()
        wait([self._notifier.submit(lambda: None)], MAX_NOTIFY)


class HealthMonitor:
    """Sets the status of the services to the result of `probe`: SERVING when it returns, NOT_SERVING when it raises.

    A probe that takes longer than INTERVAL counts as failed. The monitor calls `on_hang` each time that the same
    probe has hung for another INTERVAL.
    """

    def __init__(
        self,
        servicer: health.HealthServicer,
        services: Iterable[str],
        probe: Callable[[], None],
        on_hang: Callable[[], None],
    ) -> None:
        self._servicer = servicer
        self._services = ("", *services)
        self._probe = probe
        self._on_hang = on_hang
        self._pending: Future[None] | None = None
        self._problem: str | None = ""
        self._stopping = threading.Event()
        self._prober = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health-probe")
        self._thread = threading.Thread(target=self._run, name="health")

    @property
    def healthy(self) -> bool:
        """True while the status is SERVING."""
        return self._problem is None

    def start(self) -> None:
        """Probes once, and every INTERVAL seconds after that."""
        self._check()
        self._thread.start()

    def stop(self) -> None:
        """Sets every status to NOT_SERVING for good and stops probing."""
        self._servicer.enter_graceful_shutdown()
        self._stopping.set()
        self._thread.join()
        self._prober.shutdown(wait=False)

    def _run(self) -> None:
        while not self._stopping.wait(0 if self._pending else INTERVAL):
            self._check()

    def _check(self) -> None:
        problem = self._find_problem()
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            log.info("healthy: serving")
        else:
            log.error("not serving: %s", problem)
        serving = health_pb2.HealthCheckResponse
        for service in self._services:
            self._servicer.set(service, serving.SERVING if problem is None else serving.NOT_SERVING)

    def _find_problem(self) -> str | None:
        """Waits for the probe for at most INTERVAL seconds; while one hangs, no second one is started."""
        again = self._pending is not None
        pending = self._pending = self._pending or self._prober.submit(self._probe)
        wait([pending], INTERVAL)
        if not pending.done():
            if again:
                self._on_hang()
            return f"the database does not answer within {INTERVAL:g} s"
        self._pending = None
        error = pending.exception()
        return None if error is None else str(error)
