"""Health follows what the probe finds."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import grpc
import pytest
from artemis_server import health as monitored
from artemis_server.health import HealthMonitor, HealthServicer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.depth import examples
from tests.e2e.servers import watch_health
from tests.robustness.peer import WATCH, Peer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE = 60.0  # seconds after which a test is stuck


class Statuses(HealthServicer):
    """The health service, which tells when a status was set."""

    def __init__(self) -> None:
        super().__init__()
        self.now: dict[str, int] = {}
        self._changed = threading.Condition()

    def set(self, service: str, status: Any) -> None:
        super().set(service, status)
        with self._changed:
            self.now[service] = status
            self._changed.notify_all()

    def wait_for(self, **expected: int) -> bool:
        """Waits until these services, and the server as a whole, have these statuses."""
        with self._changed:
            return self._changed.wait_for(lambda: self.now == expected | {"": expected["events"]}, PATIENCE)


def fail() -> None:
    raise RuntimeError("the disk is gone")


@contextmanager
def monitoring(probe: Callable[[], None], on_hang: Callable[[], None] = lambda: None) -> Iterator[Statuses]:
    statuses = Statuses()
    monitor = HealthMonitor(statuses, ["events"], probe, on_hang)
    monitor.start()
    try:
        yield statuses
    finally:
        monitor.stop()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes follow each other at once, and must answer at once."""
    monkeypatch.setattr(monitored, "INTERVAL", 0.01)


def test_a_server_is_healthy_as_soon_as_it_started() -> None:
    with monitoring(lambda: None) as statuses:
        assert statuses.now == {"": SERVING, "events": SERVING}


def test_a_server_whose_probe_fails_is_not_serving(caplog: pytest.LogCaptureFixture) -> None:
    with monitoring(fail) as statuses:
        assert statuses.now == {"": NOT_SERVING, "events": NOT_SERVING}
    assert "the disk is gone" in caplog.text


@pytest.mark.usefixtures("often")
def test_health_follows_the_database_down_and_up() -> None:
    broken = threading.Event()

    with monitoring(lambda: fail() if broken.is_set() else None) as statuses:
        assert statuses.wait_for(events=SERVING)
        broken.set()
        assert statuses.wait_for(events=NOT_SERVING)
        broken.clear()
        assert statuses.wait_for(events=SERVING)


@pytest.mark.usefixtures("often")
def test_a_probe_that_hangs_is_not_serving_and_is_not_asked_twice() -> None:
    go, asked = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        asked.release()
        go.wait(PATIENCE)

    given_up = threading.Event()
    with monitoring(hang, given_up.set) as statuses:
        assert statuses.wait_for(events=NOT_SERVING)
        assert given_up.wait(PATIENCE)
        assert asked.acquire(blocking=False)
        assert not asked.acquire(blocking=False)
        go.set()
        assert statuses.wait_for(events=SERVING)


def test_a_doubt_makes_the_next_probe_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitored, "INTERVAL", 10 * PATIENCE)
    doubt, probes = threading.Event(), threading.Semaphore(0)
    monitor = HealthMonitor(Statuses(), ["events"], probes.release, lambda: None, doubt)
    monitor.start()
    try:
        assert probes.acquire(timeout=PATIENCE)
        doubt.set()
        assert probes.acquire(timeout=PATIENCE)
    finally:
        monitor.stop()


def test_a_server_that_stops_is_not_serving_for_good() -> None:
    with monitoring(lambda: None) as statuses:
        pass
    statuses.set("events", SERVING)
    response = statuses.Check(health_pb2.HealthCheckRequest(service="events"), cast("grpc.ServicerContext", None))
    assert response.status == NOT_SERVING


@pytest.mark.thorough
def test_watches_that_end_while_others_are_told_do_not_stop_the_server() -> None:
    """One thread of gRPC both ends watches and confirms what they are told: neither may wait for the other."""
    servicer = HealthServicer()
    servicer.set("", SERVING)

    with answering(servicer) as target, grpc.insecure_channel(target) as channel:

        def come_and_go() -> None:
            while changing.is_alive():
                watch = watch_health(channel)
                next(watch)
                watch.close()

        def change() -> None:
            updates = watch_health(channel)
            assert next(updates) == SERVING
            for status in [NOT_SERVING, SERVING] * examples(200):
                servicer.set("", status)
                assert next(updates) == status
            changed.set()

        changed = threading.Event()
        changing = threading.Thread(target=change, daemon=True)  # a test that fails must end
        changing.start()
        with ThreadPoolExecutor(4) as watchers:
            for each in [watchers.submit(come_and_go) for _ in range(4)]:
                each.result()
        assert changed.is_set()


@contextmanager
def answering(servicer: HealthServicer) -> Iterator[str]:
    """Serves the health service and yields where."""
    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0)  # which ends by itself


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < end:
        time.sleep(0.001)
    assert holds()


def unread(target: str) -> Peer:
    """Watches the health on a connection of its own that lets the server send no byte of a response."""
    peer = Peer(int(target.rpartition(":")[2]), window=0)
    peer.call(WATCH, b"")
    return peer


@contextmanager
def crowded(monkeypatch: pytest.MonkeyPatch, places: int, max_send: float) -> Iterator[tuple[HealthServicer, str]]:
    """Serves with a few places for watches, each of which is taken by one that does not read."""
    monkeypatch.setattr(monitored, "MAX_WATCHES", places)
    monkeypatch.setattr(monitored, "MAX_SEND", max_send)
    servicer = HealthServicer()
    servicer.set("", SERVING)
    with answering(servicer) as target, ExitStack() as stack:
        for _ in range(places):
            stack.enter_context(unread(target))
        wait_until(lambda: len(servicer._watches) == places)
        yield servicer, target


def test_a_watch_that_does_not_read_holds_up_no_other_and_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    with crowded(monkeypatch, 8, max_send=0.0) as (servicer, target), grpc.insecure_channel(target) as channel:
        updates = watch_health(channel)  # takes the place of one of them
        assert next(updates) == SERVING
        servicer.set("", NOT_SERVING)
        assert next(updates) == NOT_SERVING

        begin = time.monotonic()
        servicer.enter_graceful_shutdown()
        assert time.monotonic() - begin < monitored.MAX_NOTIFY


def test_a_watch_is_refused_while_all_places_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code that lets the client call the server nevertheless (gRFC A17)."""
    with crowded(monkeypatch, 2, max_send=PATIENCE) as (_, target), grpc.insecure_channel(target) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            next(watch_health(channel))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_watch_that_ended_leaves_its_place_and_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitored, "MAX_WATCHES", 1)
    servicer = HealthServicer()
    with answering(servicer) as target, grpc.insecure_channel(target) as channel:
        for number in range(5):
            updates = watch_health(channel, f"unknown-{number}")
            assert next(updates) == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            updates.close()
            wait_until(lambda: not servicer._watches)
    assert "unknown" not in repr(vars(servicer))
