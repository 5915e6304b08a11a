"""Health (grpc.health.v1): the status follows the database and its schema, which a thread of its own probes."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

INTERVAL = 2.0
"""Seconds between probes, and the longest that a probe may take."""
MAX_NOTIFY = 1.0
"""Seconds that a stopping server waits at most for its watches to receive NOT_SERVING."""
MAX_WATCHES = 256
"""The most watches that are open at a time. Each holds a thread while a status is on its way to it."""
MAX_SEND = 5.0
"""Seconds that a watch may leave a status unread when all places are taken; then it loses its place to another."""

log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class _Watch:
    """An open watch. At most one status is on its way, and `latest` follows it: a watch may miss those in between."""

    service: str | None
    """None once the service is found to be unknown: its name may be long, and no status of it is ever set."""
    context: grpc.ServicerContext
    send: Callable[[health_pb2.HealthCheckResponse], None]
    """Sends a response and waits until the client's flow control has let it through, or the stream has ended."""
    latest: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    told: int | None = None
    begun: float | None = None
    """Since when a status is on its way; None while none is."""


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers with the status of each service that was set. See docs/adr/0025 for why it is not the library's.

    A watch holds a thread only while a status is on its way to it, and holds up no other watch and no stop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[str, int] = {}
        self._watches: dict[grpc.ServicerContext, _Watch] = {}
        self._stopping = False

    def Check(  # noqa: N802, gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Returns the status of a service at once. It ends with NOT_FOUND if no status of the service was set."""
        status = self._statuses.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "the service is unknown")
        return health_pb2.HealthCheckResponse(status=status)

    def Watch(  # type: ignore[override]  # noqa: N802, gRPC's name, and the way that it calls non-blocking methods
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Callable[[health_pb2.HealthCheckResponse], None],
    ) -> None:
        """Streams the status of a service, and of an unknown one SERVICE_UNKNOWN, until the client or the server ends.

        It ends with UNIMPLEMENTED when MAX_WATCHES are open and read what they are told: a client takes that for a
        server that tells no health, and calls it. Any other code would keep the client from the server (gRFC A17).
        """
        watch = _Watch(service=request.service, context=context, send=send_response_callback)
        if not self._admit(watch):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"more than {MAX_WATCHES} watches of the health are open")
        if not context.add_callback(lambda: self._forget(context)):
            self._forget(context)  # it has ended already
        self._tell(watch)

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def set(self, service: str, status: int) -> None:
        """Sets the status of a service, and begins to tell it to those that watch the service."""
        self._change({service: status})

    def enter_graceful_shutdown(self) -> None:
        """Sets every status to NOT_SERVING for good, and returns when the watches that read have received it."""
        with self._lock:
            statuses = dict.fromkeys(self._statuses, health_pb2.HealthCheckResponse.NOT_SERVING)
        end = time.monotonic() + MAX_NOTIFY
        for sender in self._change(statuses, stopping=True):
            sender.join(max(0.0, end - time.monotonic()))

    def _change(self, statuses: Mapping[str, int], *, stopping: bool = False) -> list[threading.Thread]:
        """Sets statuses, unless the server stops already; returns the threads that tell them to watches."""
        with self._lock:
            if self._stopping:
                return []
            self._stopping = stopping
            self._statuses.update(statuses)
            watches = [each for each in self._watches.values() if each.service in statuses]
            for watch in watches:
                assert watch.service is not None  # noqa: S101, for the type checker
                watch.latest = statuses[watch.service]
        return [sender for watch in watches if (sender := self._tell(watch)) is not None]

    def _admit(self, watch: _Watch) -> bool:
        """Gives the watch a place, if need be that of one that does not read. Returns False if there is none."""
        stuck = None
        with self._lock:
            if len(self._watches) >= MAX_WATCHES:
                before = time.monotonic() - MAX_SEND
                stuck = next((each for each in self._watches.values() if (each.begun or before) < before), None)
                if stuck is None:
                    return False
                del self._watches[stuck.context]
            watch.latest = self._statuses.get(str(watch.service), watch.latest)
            if watch.service not in self._statuses:
                watch.service = None
            self._watches[watch.context] = watch
        if stuck is not None:
            stuck.context.cancel()
        return True

    def _tell(self, watch: _Watch) -> threading.Thread | None:
        """Begins to send the latest status. Returns None if another status is still on its way: it will follow that."""
        with self._lock:
            if watch.begun is not None:
                return None
            watch.begun = time.monotonic()
        sender = threading.Thread(target=self._send, args=(watch,), name="health-watch", daemon=True)
        sender.start()
        return sender

    def _send(self, watch: _Watch) -> None:
        while True:
            with self._lock:
                if watch.told == watch.latest:
                    watch.begun = None
                    return
                watch.told, watch.begun = watch.latest, time.monotonic()
            watch.send(health_pb2.HealthCheckResponse(status=watch.told))

    def _forget(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self._watches.pop(context, None)


class HealthMonitor:
    """Sets the status of the services to the result of `probe`: SERVING when it returns, NOT_SERVING when it raises.

    A probe that takes longer than INTERVAL counts as failed. The monitor calls `on_hang` each time that the same
    probe has hung for another INTERVAL. When `doubt` is set, the next probe begins at once.
    """

    def __init__(
        self,
        servicer: HealthServicer,
        services: Iterable[str],
        probe: Callable[[], None],
        on_hang: Callable[[], None],
        doubt: threading.Event | None = None,
    ) -> None:
        self._servicer = servicer
        self._services = ("", *services)
        self._probe = probe
        self._on_hang = on_hang
        self._doubt = doubt or threading.Event()
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
        self._doubt.set()
        self._thread.join()
        self._prober.shutdown(wait=False)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._doubt.wait(0 if self._pending else INTERVAL)
            self._doubt.clear()
            if not self._stopping.is_set():
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
