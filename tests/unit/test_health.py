"""Health follows what the probe finds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc
import pytest
from artemis_server import health as monitored
from artemis_server.health import HealthMonitor
from grpc_health.v1 import health, health_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE = 30.0  # seconds after which a test is stuck


class Statuses(health.HealthServicer):
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
def monitoring(probe: Callable[[], None]) -> Iterator[Statuses]:
    statuses = Statuses()
    monitor = HealthMonitor(statuses, ["events"], probe)
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

    with monitoring(hang) as statuses:
        assert statuses.wait_for(events=NOT_SERVING)
        assert asked.acquire(blocking=False)
        assert not asked.acquire(blocking=False)
        go.set()
        assert statuses.wait_for(events=SERVING)


def test_a_server_that_stops_is_not_serving_for_good() -> None:
    with monitoring(lambda: None) as statuses:
        pass
    statuses.set("events", SERVING)
    response = statuses.Check(health_pb2.HealthCheckRequest(service="events"), cast("grpc.ServicerContext", None))
    assert response.status == NOT_SERVING
